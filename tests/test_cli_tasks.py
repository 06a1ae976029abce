"""The tasks on the command line, with the embedded checkpoint: no network, no folder."""

import io
import sys

import numpy as np
import pytest

from minibert.cli import main
from minibert.tasks import embed


def test_fill_mask(capsys):
    assert main(["fill-mask", "the capital of france is [MASK] .", "--top-k", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].split()[1] == "paris"
    targets = ["fill-mask", "the capital of italy is [MASK] .", "--targets", "paris", "rome"]
    assert main(targets) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["rome", "paris"]


def test_next_sentence(capsys):
    assert main(["next-sentence", "anna is in the garden .", "she is tall ."]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [name for _, name in lines] == ["is_next", "random"]
    assert sum(float(score) for score, _ in lines) == pytest.approx(1, abs=0.002)


def test_embed_reads_a_file_and_standard_input(tmp_path, capsys, monkeypatch):
    lines = ["anna is tall .", "the dogs are red ."]
    (tmp_path / "lines.txt").write_text("\n".join(lines) + "\n")
    out = tmp_path / "out.npy"
    assert main(["embed", str(tmp_path / "lines.txt"), "-o", str(out)]) == 0
    assert "2 vectors of 96, float32" in capsys.readouterr().out
    expected = embed(lines)
    np.testing.assert_array_equal(np.load(out), expected)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    assert main(["embed", "-o", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), expected)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fill-mask", "no mask here"], "no [MASK]"),
        (["fill-mask", "[MASK]", "--model", "./nowhere"], "there is no folder"),
        (["embed", "nowhere.txt", "-o", "x.npy"], "nowhere.txt"),
    ],
)
def test_what_cannot_run_is_one_sentence_and_status_2(arguments, says, capsys):
    assert main(arguments) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("command", ["classify", "tag"])
@pytest.mark.filterwarnings("ignore:not in the checkpoint, newly initialized")
def test_labels_are_printed(command, capsys):
    assert main([command, "anna is tall ."]) == 0
    assert "LABEL_" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:not in the checkpoint, newly initialized")
def test_an_answer_is_printed(capsys):
    assert main(["answer", "where is anna ?", "anna is in the garden ."]) == 0
    assert capsys.readouterr().out.strip()
