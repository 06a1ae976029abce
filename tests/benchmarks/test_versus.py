import io
import json
import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from bench import side, versus
from bench.checkpoints import config_fields
from bench.versus import HERE, Side, compare, largest_difference, one_round, options, render
from bench.workloads import Shape, Workload

SMALL = config_fields(Shape(layers=1, width=8, heads=2, wide=16, vocabulary=50, positions=8))
WORK = Workload("two", (3, 5))


def changed(folder, line):
    """A checkout with a line at the end of its functions."""
    shutil.copytree(HERE / "minibert", folder / "minibert")
    with (folder / "minibert" / "functions.py").open("a") as file:
        file.write(f"\n{line}\n")
    return folder


def test_each_side_runs_its_own_checkout(tmp_path):
    other = changed(tmp_path, "layer_norm = lambda *x, norm=layer_norm: 2 * norm(*x)")
    with Side("this", HERE, 1, SMALL) as this, Side("other", other, 1, SMALL) as that:
        assert this.about["file"] == str(HERE / "minibert" / "__init__.py")
        assert that.about["file"] == str(other / "minibert" / "__init__.py")
        assert "kernel" in this.about["blas"]
        assert 0 < this.run(WORK, repeat=3) < 60
        assert this.cpu(WORK) > 0
        assert largest_difference([this, this], WORK) == 0
        assert largest_difference([this, that], WORK) > 0.1
    assert this.process.returncode == that.process.returncode == 0


def test_a_side_runs_as_often_as_it_is_asked_to(one_thread, monkeypatch, tmp_path, capsys):
    shapes = []

    def model(ids, mask):
        shapes.append(ids.shape)
        return SimpleNamespace(last_hidden_state=ids[..., None] / 2)

    monkeypatch.setattr(side.minibert, "BertModel", lambda config, seed: model)
    asked = [{"repeat": 0, "save": None}, {"repeat": 3, "save": str(tmp_path / "x.npy")}]
    lines = [json.dumps({**question, "lengths": [3, 5]}) for question in asked]
    monkeypatch.setattr(side.sys, "stdin", io.StringIO("\n".join(lines)))
    side.main(1, SMALL)
    about, *answers = map(json.loads, capsys.readouterr().out.splitlines())
    assert about["file"] == side.minibert.__file__
    assert [sorted(answer) for answer in answers] == [["cpu", "seconds"]] * 2
    assert shapes == [(2, 5)] * 3
    ids, mask = WORK.inputs(SMALL["vocab_size"])
    assert (np.load(tmp_path / "x.npy") == ids[mask == 1][:, None] / 2).all()


def test_a_checkout_that_fails_is_told(tmp_path, capfd):
    broken = Side("other", changed(tmp_path, "1 / 0"), 1, SMALL)
    with pytest.raises(RuntimeError, match="the process of the other checkout ended"), broken:
        pass
    assert "ZeroDivisionError" in capfd.readouterr().err


class Fake:
    """A side whose runs take what is said, and move the clock."""

    def __init__(self, name, seconds, machine):
        self.name, self.seconds, self.machine = name, seconds, machine
        self.taken, self.repeats = 0.0, []

    def run(self, workload, repeat=1):
        self.repeats.append(repeat)
        self.machine.pass_by(self.seconds * repeat)
        self.taken += 2 * self.seconds * repeat  # on two cores
        self.machine.busy += 2 * self.seconds * repeat
        return self.seconds

    def cpu(self, workload):
        return self.taken


class Machine:
    """A clock, and what all processes took of the cores; others may take some, by the round."""

    def __init__(self, others=0.0):
        self.now, self.busy, self.others = 0.0, 0.0, others

    def pass_by(self, seconds):
        self.now += seconds
        self.busy += self.others * seconds


@pytest.fixture
def faked(monkeypatch):
    machine = Machine()
    monkeypatch.setattr(versus.time, "perf_counter", lambda: machine.now)
    monkeypatch.setattr(versus.time, "process_time", lambda: 0.0)
    monkeypatch.setattr(versus.time, "sleep", machine.pass_by)
    monkeypatch.setattr(versus, "busy_seconds", lambda: machine.busy)
    monkeypatch.setattr(versus, "largest_difference", lambda sides, workload: 0.0)
    return machine


def test_a_round_tells_what_others_took(faked):
    sides = [Fake("this", 1, faked), Fake("other", 3, faked)]
    assert one_round(sides, WORK, 2, 0) == (pytest.approx(0, abs=1e-9), [1, 3])
    faked.others = 0.5
    assert one_round(sides, WORK, 2, 1)[0] == pytest.approx(0.5)
    assert sides[0].repeats == [1, 2] * 2


def test_a_comparison_has_as_many_rounds_as_asked_for(faked):
    found = compare([Fake("this", 0.1, faked), Fake("other", 0.25, faked)], WORK, 3, 1000)
    assert found["median"] == pytest.approx([0.1, 0.25])
    assert found["ratio"] == found["ratio of the least"] == pytest.approx(2.5)
    assert found["rounds"] == {"quiet": 3, "kept": 3, "all": 3}


def test_what_is_short_is_run_often_enough(faked):
    this = Fake("this", 0.0625, faked)
    compare([this, Fake("other", 0.1, faked)], WORK, 1, 1000)
    assert this.repeats == [1, 1, math.ceil(0.3 / 0.0625)]


def test_noisy_rounds_are_replaced(faked, monkeypatch):
    noise = iter([0.4, 0.0, 0.2, 0.1, 0.9, 0.05])
    times = iter([9, 1, 9, 2, 9, 3])
    monkeypatch.setattr(versus, "one_round", lambda *_: (next(noise), [1.0, next(times)]))
    found = compare([Fake("this", 1, faked), Fake("other", 1, faked)], WORK, 3, 1000)
    assert found["rounds"] == {"quiet": 3, "kept": 3, "all": 6}
    assert found["ratio"] == 2
    assert sorted(found["seconds"][1]) == [1, 2, 3]


def test_on_a_busy_machine_the_time_ends_and_it_is_told(faked):
    faked.others = 0.7
    found = compare([Fake("this", 1, faked), Fake("other", 2, faked)], WORK, 4, 10)
    assert found["rounds"] == {"quiet": 0, "kept": 4, "all": 4}
    assert render([found]).splitlines() == [
        "  work      this     other  ratio  of the least  difference   quiet rounds",
        "  two   1,000 ms  2,000 ms  2.000         2.000           -  0 of 4: NOISY",
    ]


def test_what_the_command_refuses(tmp_path, capsys):
    with pytest.raises(SystemExit):
        options([str(tmp_path)])
    assert "is no checkout of minibert" in capsys.readouterr().err
    assert options([str(HERE)]).path == HERE
