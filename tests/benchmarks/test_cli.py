import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench import cli, tokenizer, versus
from bench.machine import KERNEL_CHOICES, blas

from minibert import EMBEDDED_CHECKPOINT

PROGRAM = str(Path(__file__).parent)


def test_parts_of_the_command():
    assert cli.options([]).parts == ["forward"]
    assert cli.options(["size", "start"]).parts == ["size", "start"]
    assert cli.options(["all"]).parts == [
        "forward",
        "generation",
        "training",
        "start",
        "memory",
        "size",
        "growth",
        "tokenizer",
    ]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["speed"], "no such part: speed"), (["start", "--plot", "x.svg"], "ask for it, too")],
)
def test_what_the_command_refuses(arguments, said, capsys):
    with pytest.raises(SystemExit):
        cli.options(arguments)
    assert said in capsys.readouterr().err


def test_versus_is_a_command_of_its_own(monkeypatch):
    asked = []
    monkeypatch.setattr(versus, "main", asked.append)
    cli.main(["versus", "there", "--rounds", "3"])
    assert asked == [["there", "--rounds", "3"]]


def test_a_chosen_kernel_is_unset_and_told():
    chosen = dict(zip(KERNEL_CHOICES, ("Nehalem", "65536"), strict=True))
    environment = {**os.environ, **chosen}
    run = [sys.executable, PROGRAM, "size"]
    said = subprocess.run(run, env=environment, capture_output=True, text=True, check=True).stdout
    first, rest = said.split("\n", 1)
    assert first == "unset: OPENBLAS_CORETYPE=Nehalem OPENBLAS_L2_SIZE=65536"
    assert "unset" not in rest
    assert "OPENBLAS_CORETYPE" not in rest
    assert " kernel\n" in rest
    if not chosen.keys() & os.environ.keys():
        assert f"NumPy's BLAS: {blas()}\n" in rest


def test_only_one_name_is_exposed():
    exposed = {p.stem for p in Path(PROGRAM).iterdir() if not p.stem.startswith(("test_", "_"))}
    assert exposed == {"bench"}


def test_speed_of_the_tokenizer(monkeypatch):
    lines = ["the dog walks", "she walks"]
    monkeypatch.setattr(tokenizer, "texts", lambda: {"prose": lines, "manual": lines})
    monkeypatch.setattr(tokenizer, "minilm", lambda: EMBEDDED_CHECKPOINT)
    clock = iter(range(1000))
    monkeypatch.setattr(tokenizer.time, "process_time", lambda: next(clock) / 2)
    measured = tokenizer.measure("pro")
    assert [(row["text"], row["words"], row["offsets"]) for row in measured] == [
        ("prose", 5, False),
        ("prose", 5, True),
    ]
    assert measured[0]["speeds"] == [10.0] * tokenizer.RUNS
    assert tokenizer.render(measured).splitlines()[1:] == [
        "  text   words  offsets  median  first  best",
        "  prose      5       no      10     10    10",
        "  prose      5      yes      10     10    10",
    ]


def test_prose_is_what_is_long_and_of_letters():
    assert tokenizer.is_prose("word " * 41)
    assert not tokenizer.is_prose("word " * 40)
    assert not tokenizer.is_prose("wo() " * 100)
    assert all(tokenizer.count(lines) > 1000 for lines in tokenizer.texts().values())
