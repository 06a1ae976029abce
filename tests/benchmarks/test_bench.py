"""The benchmarks' own logic: who comes when, what is counted, what is printed. No speed."""

import itertools
import sys
import time
from collections import Counter

import numpy as np
import pytest
from bench import (
    engines,
    forward,
    growth,
    memory,
    onnx_files,
    sizes,
)
from bench.machine import MATMUL, MATMUL_FLOPS
from bench.programs import Program, absent
from bench.tables import duration, megabytes, table
from bench.turns import FEWEST_ROUNDS, in_turn, ratio, turn_order
from bench.workloads import FORWARD, Shape, Workload, even, spread, useful_flops


class Clock:
    """Time that passes only when somebody says so."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds

    def work(self, seconds):
        return lambda: self.sleep(seconds)


@pytest.mark.parametrize("count", range(1, 8))
def test_each_runs_once_in_each_round(count):
    for number in range(20):
        assert sorted(turn_order(count, number)) == list(range(count))


@pytest.mark.parametrize("count", range(2, 8))
def test_each_follows_each_other_equally_often(count):
    steps = Counter(
        s for number in range(2 * count) for s in itertools.pairwise(turn_order(count, number))
    )
    assert set(steps) == {(a, b) for a in range(count) for b in range(count) if a != b}
    assert len(set(steps.values())) == 1


def test_times_are_those_of_the_runs_alone():
    clock = Clock()
    times = in_turn({"slow": clock.work(3), "fast": clock.work(1)}, 100, clock, clock.sleep)
    assert times["slow"] == pytest.approx([3] * len(times["slow"]))
    assert times["fast"] == pytest.approx([1] * len(times["slow"]))
    assert len(times["slow"]) == 13  # 100 seconds; each round, twice 4 and what is slept


def test_what_is_slow_still_gets_its_rounds():
    clock = Clock()
    assert len(in_turn({"slow": clock.work(90)}, 1, clock, clock.sleep)["slow"]) == FEWEST_ROUNDS


def test_a_run_after_others_is_not_counted():
    clock = Clock()
    durations = itertools.cycle([5.0, 1.0])
    times = in_turn({"it": lambda: clock.sleep(next(durations))}, 1, clock, clock.sleep)
    assert times["it"] == pytest.approx([1] * FEWEST_ROUNDS)


def test_a_ratio_is_the_median_of_the_rounds():
    # between the second and the third round, the machine was five times as slow for both
    assert ratio([1, 10, 3], [1, 5, 1]) == 2


def test_useful_arithmetic_counted_by_hand():
    shape = Shape(layers=3, width=2, heads=1, wide=5)
    tokens = 3 * (4 * 2 * 2 + 2 * 2 * 5)  # 1 and 2 tokens: four projections, out and back
    pairs = (1 * 1 + 2 * 2) * 2 * 2  # scores and context
    pooler = 2 * 2 * 2
    assert useful_flops(shape, (1, 2)) == 2 * (3 * (tokens + pairs) + pooler)


def test_useful_arithmetic_of_bert_base():
    assert useful_flops(Shape(), (128,)) == pytest.approx(22.35e9, rel=1e-3)


def test_padding_is_of_no_use():
    alone = [useful_flops(Shape(), (length,)) for length in (5, 53)]
    assert useful_flops(Shape(), (5, 53)) == sum(alone)


def test_lengths_are_fixed_and_spread_over_their_range():
    by_name = {workload.name: workload.lengths for workload in FORWARD}
    sentences = by_name["64 sentences of 5 to 53, padded"]
    documents = by_name["8 documents of 90 to 357, padded"]
    assert (len(sentences), min(sentences), max(sentences)) == (64, 5, 53)
    assert (len(documents), min(documents), max(documents)) == (8, 90, 357)
    assert 24 < np.mean(sentences) < 34
    assert 190 < np.mean(documents) < 260
    assert spread(64, 5, 53, seed=1) == spread(64, 5, 53, seed=1)


def test_inputs_are_padded_to_the_longest():
    ids, mask = Workload("two", (2, 4)).inputs()
    assert mask.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert ((ids > 0) == (mask == 1)).all()
    assert ids.dtype == mask.dtype == np.int64
    assert (Workload("two", (2, 4)).inputs()[0] == ids).all()
    assert even(3, 7).inputs(vocabulary=50)[0].max() < 50


def fake_engines():
    hidden = np.zeros((2, 4, 3), np.float32)
    other = hidden.copy()
    other[0, 1] = 0.25
    other[0, 3] = np.nan  # at a padded place
    return [
        engines.Engine("minibert", lambda ids, mask: hidden),
        engines.Engine("other", lambda ids, mask: other),
    ]


@pytest.fixture
def compared(monkeypatch):
    times = {"minibert": [2.0, 4.0, 2.0], "other": [3.0, 6.0, 9.0], MATMUL: [0.5, 0.5, 9.0]}
    monkeypatch.setattr(forward, "in_turn", lambda calls, seconds: {k: times[k] for k in calls})
    return forward.compare(Workload("two", (2, 4)), Shape(), fake_engines(), 1)


def test_comparison_of_engines(compared):
    minibert, other = compared["engines"]["minibert"], compared["engines"]["other"]
    assert (minibert["median"], minibert["minimum"], minibert["ratio"]) == (2, 2, 1)
    assert (other["median"], other["minimum"], other["ratio"]) == (6, 3, 1.5)
    assert (minibert["largest_difference"], other["largest_difference"]) == (0, 0.25)


def test_share_of_the_matmul_rate(compared):
    assert compared["matmul_flops_per_second"] == MATMUL_FLOPS / 0.5
    possible = MATMUL_FLOPS / 0.5 * 6.0
    share = useful_flops(Shape(), (2, 4)) / possible
    assert compared["engines"]["other"]["share_of_matmul_rate"] == pytest.approx(share)


def test_table_of_a_comparison(compared):
    compared["useful_flops"] = 2.5e9
    for found, share in zip(compared["engines"].values(), (0.81, 0.27), strict=True):
        found["share_of_matmul_rate"] = share
    assert forward.render_workload(compared).splitlines() == [
        "two: 2.5 GFLOP of use, 3 rounds, NumPy matmul 10 GFLOP/s",
        "  engine      median     least  ratio  difference  of matmul",
        "  minibert  2,000 ms  2,000 ms   1.00           -        81%",
        "  other     6,000 ms  3,000 ms   1.50     2.5e-01        27%",
    ]


def test_absent_engines_are_listed():
    assert forward.render({"absent": {"a": "no b", "c": "no d"}}) == (
        "absent: a (no b)\nabsent: c (no d)"
    )


@pytest.mark.parametrize(("only", "shown"), [("x 128", 2), ("", 6), ("nothing", 0)])
def test_tables_are_shown_as_they_come(only, shown, monkeypatch, tmp_path):
    monkeypatch.setattr(forward, "draw", lambda folder, shape: tmp_path)
    monkeypatch.setattr(forward, "open_engines", lambda *_: ([], []))
    monkeypatch.setattr(forward, "compare", lambda workload, *_: workload.name)
    monkeypatch.setattr(forward, "render_workload", lambda name: f"table of {name}")
    tables = []
    measured = forward.measure(1, 1, only, tables.append)
    assert tables == [f"table of {name}" for name in measured["workloads"]]
    assert len(tables) == shown


def test_cells():
    assert [duration(s) for s in (0.001234, 0.01234, 0.1234, 1.234)] == [
        "1.23 ms",
        "12.3 ms",
        "123 ms",
        "1,234 ms",
    ]
    assert [megabytes(n) for n in (1_250_000, 123_456_789)] == ["1.2 MB", "123 MB"]
    assert table(("a", "b"), [("long", "1"), ("x", "234")]) == "a       b\nlong    1\nx     234"


def test_an_engine_that_is_not_installed_is_absent(tmp_path):
    def missing(folder, threads):
        raise ModuleNotFoundError("No module named 'torch'")

    openers = {"here": lambda folder, threads: (folder, threads), "away": missing}
    opened, absent = engines.open_engines(tmp_path, 3, openers)
    assert opened == [engines.Engine("here", (tmp_path, 3))]
    assert absent == [engines.Absent("away", "No module named 'torch'; pip install '.[bench]'")]


def test_a_fault_of_an_engine_is_not_taken_for_its_absence(tmp_path):
    with pytest.raises(ZeroDivisionError):
        engines.open_engines(tmp_path, 1, {"broken": lambda folder, threads: 1 / 0})


def test_a_graph_must_be_fused_in_every_layer():
    nodes = {"Attention": 12, "BiasGelu": 12, "SkipLayerNormalization": 24, "MatMul": 36}
    onnx_files.check_fused(nodes, 12)
    with pytest.raises(SystemExit, match="12 layers became 11 nodes Attention"):
        onnx_files.check_fused({**nodes, "Attention": 11}, 12)


def test_a_program_runs_until_its_end():
    text = "import sys; print('first', flush=True); sys.stderr.write('x' * 200_000); print('last')"
    seconds, lines = Program(text, 1).run()
    assert lines == ["first", "last"]
    assert seconds > 0


def test_a_program_is_timed_to_its_first_line():
    start = time.perf_counter()
    seconds, _ = Program("import time; print('first', flush=True); time.sleep(0.6)", 1).run()
    assert time.perf_counter() - start > seconds + 0.1


def test_a_program_that_fails_is_no_result():
    with pytest.raises(RuntimeError, match=r"(?s)1 / 0.*ZeroDivisionError"):
        Program("print('first')\n1 / 0", 1).run()


def test_a_program_has_its_threads_and_may_write_bytecode(monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    text = "import os, sys; print(os.environ['OPENBLAS_NUM_THREADS'], sys.dont_write_bytecode)"
    assert Program(text, 3).run()[1] == ["3 False"]


def test_what_was_not_measured_is_absent():
    assert absent(["minibert", "onnxruntime fused"]) == (
        "\nabsent: transformers sdpa (needs transformers, torch); pip install '.[bench]'"
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_that_of_the_program_and_not_of_its_parent():
    held = np.ones(60_000_000, np.uint8)
    small = memory._report(Program(memory.REPORT, 1))
    large = memory._report(Program(f"x = b'1' * {len(held) // 3}\n{memory.REPORT}", 1))
    assert small["peak"] < len(held)
    assert small["anonymous"] + small["file"] <= small["peak"]
    assert large["peak"] - small["peak"] == pytest.approx(2e7, rel=0.1)


def test_what_an_installation_needs():
    asked = ["a>=1", 'b; extra == "more"', 'c; python_version < "3"', 'd[x]; python_version >= "3"']
    assert list(sizes.required(asked)) == ["a", "d"]
    assert {"minibert-numpy", "numpy", "safetensors"} <= sizes.closure(["minibert_numpy"])
    assert "pytest" not in sizes.closure(["minibert-numpy"])


def test_sizes_are_those_of_the_files(tmp_path, monkeypatch):
    record = tmp_path / "made_up-1.dist-info" / "RECORD"
    record.parent.mkdir()
    record.write_text("made_up.py,,\nmade_up.pyc,,\nlost.py,,\n")
    (tmp_path / "made_up.py").write_bytes(b"#" * 1000)
    (tmp_path / "made_up.pyc").write_bytes(b"#" * 500)
    monkeypatch.syspath_prepend(tmp_path)
    assert sizes.size("made_up") == 1000
    assert 1e5 < sizes.size("minibert-numpy") < 1e8


def test_one_thing_grows_at_a_time():
    meeting = vars(growth.Point())
    for axis, value, point in growth.points():
        assert vars(point) == {**meeting, axis: value}
    assert all(meeting[axis] in values for axis, values in growth.AXES.items())


def test_power_that_time_grows_with():
    assert growth.exponent({"1": 7.0, "2": 1.0, "8": 16.0}) == pytest.approx(2)


def test_table_of_growth():
    least = {"layers": {"minibert": {"1": 0.001, "2": 0.002}, "other": {"1": 0.02, "2": 0.08}}}
    assert growth.render({"at": {"layers": 1, "width": 64}, "least": least}).splitlines()[2:] == [
        "Time by layers",
        "  engine          1        2  last power",
        "  minibert  1.00 ms  2.00 ms        1.00",
        "  other     20.0 ms  80.0 ms        2.00",
    ]
