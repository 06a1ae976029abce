"""``minibert train`` and ``minibert pretrain``, from a file to a checkpoint that does the task."""

import json
import os
import re
import signal
import warnings
from xml.etree import ElementTree

import numpy as np
import pytest

from minibert import EMBEDDED_CHECKPOINT, AutoModelForMaskedLM, tasks
from minibert.cli import main
from minibert.training import loop

COLOURS = ("red", "blue", "green")
TEXTS = [f"the {thing} is {colour} ." for thing in ("ball", "box", "book") for colour in COLOURS]
FEW = ("--epochs", "2", "--batch-size", "3", "--learning-rate", "2e-3")


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "train.csv"
    rows = [f"{text},{text.split()[-2]}" for text in TEXTS * 4]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


def run(*arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return main([*map(str, arguments)])


def test_a_class_is_learnt(data, tmp_path, capsys):
    out = tmp_path / "out"
    given = EMBEDDED_CHECKPOINT, "--task", "classify", "--data", data, "--eval", data
    assert run("train", *given, "-o", out, *FEW) == 0
    assert "held-out accuracy 1" in capsys.readouterr().out
    assert tasks.classify("the book is green .", model=out / "best")[0]["label"] == "green"
    assert ElementTree.parse(out / "curve.svg").getroot().tag.endswith("svg")
    assert run("train", *given, "-o", out, *FEW) == 0  # there is nothing left to do
    assert run("train", *given, "-o", out) == 2
    assert "has epochs=2, not 3: go on with the same" in capsys.readouterr().err
    assert run("train", *given, "-o", out, *FEW, "--no-resume") == 0


def test_words_are_tagged(data, tmp_path):
    path, out = tmp_path / "tags.jsonl", tmp_path / "out"
    tags = [["C" if w in COLOURS else "O" for w in text.split()] for text in TEXTS]
    rows = [{"tokens": t.split(), "labels": x} for t, x in zip(TEXTS, tags, strict=True)]
    path.write_text("\n".join(map(json.dumps, rows * 4)))
    assert run("train", EMBEDDED_CHECKPOINT, "--task", "tag", "--data", path, "-o", out, *FEW) == 0
    found = tasks.tag("the box is blue .", model=out / "last")
    assert [unit["label"] for unit in found] == ["O", "O", "O", "C", "O"]


def test_from_nothing(tmp_path, capsys):
    texts, out = tmp_path / "texts.txt", tmp_path / "out"
    texts.write_text("\n".join(TEXTS * 4))
    given = "--tokenizer", EMBEDDED_CHECKPOINT, "--data", texts, "-o", out, "--epochs", "1"
    assert run("pretrain", *given) == 0
    assert "step 3: loss" in capsys.readouterr().out
    model = AutoModelForMaskedLM.from_pretrained(out / "last")
    assert model.config.hidden_size == 128


@pytest.mark.parametrize("name", ["sizes.json", "folder/config.json"])
def test_from_nothing_with_other_sizes(tmp_path, name, capsys):
    """Those that the file leaves out are small."""
    texts, out, file = tmp_path / "texts.txt", tmp_path / "out", tmp_path / name
    texts.write_text("\n".join(TEXTS))
    file.parent.mkdir(exist_ok=True)
    file.write_text('{"hidden_size": 36, "num_hidden_layers": 1}')
    given = file if name == "sizes.json" else file.parent
    options = "--tokenizer", EMBEDDED_CHECKPOINT, "--data", texts, "-o", out, "--config", given
    assert run("pretrain", *options, "--epochs", "1") == 0
    found = AutoModelForMaskedLM.from_pretrained(out / "last").config
    assert (found.hidden_size, found.num_hidden_layers, found.intermediate_size) == (36, 1, 512)
    file.write_text('{"hidden_size": 37}')
    assert run("pretrain", *options) == 2
    said = f"minibert pretrain: '{file}': config field 'num_attention_heads' is 4"
    assert capsys.readouterr().err.startswith(said)


def test_a_run_that_is_stopped_can_be_used(data, tmp_path, monkeypatch):
    step, out = loop.Run.one_step, tmp_path / "out"

    def one_step(run):
        os.kill(os.getpid(), signal.SIGINT)
        step(run)

    monkeypatch.setattr(loop.Run, "one_step", one_step)
    given = EMBEDDED_CHECKPOINT, "--task", "classify", "--data", data
    assert run("train", *given, "-o", out, *FEW) == 130
    assert tasks.classify("the book is green .", model=out / "last")[0]["label"] in COLOURS


def test_a_file_that_is_not_there(tmp_path, capsys):
    given = EMBEDDED_CHECKPOINT, "--task", "mask", "--data", tmp_path / "no.txt", "-o", tmp_path
    assert run("train", *given) == 2
    assert capsys.readouterr().err.startswith("minibert train: there is no file")


def test_a_loss_that_is_no_number(data, tmp_path, capsys):
    given = EMBEDDED_CHECKPOINT, "--task", "classify", "--data", data, "-o", tmp_path / "out"
    with np.errstate(all="ignore"):
        assert run("train", *given, "--learning-rate", 1e38, "--warmup", 0) == 2
    said = r"minibert train: the loss is \w+ at step \d: the first stage that is not finite is"
    assert re.match(said, capsys.readouterr().err)
