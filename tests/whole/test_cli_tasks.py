"""The tasks on the command line, with the embedded checkpoint: no network, no folder."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest

from minibert import (
    EMBEDDED_CHECKPOINT,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertTokenizer,
)
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
    give(monkeypatch, "\n".join(lines).encode())
    assert main(["embed", "-o", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), expected)


def give(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


def test_embed_gives_a_vector_for_each_line_and_no_other(tmp_path, monkeypatch):
    content = "\ufeffanna is tall .\r\n\nthe dogs\u2028are \x0cred .\n"
    give(monkeypatch, content.encode())
    assert main(["embed", "-o", str(tmp_path / "out.npy")]) == 0
    expected = embed(["anna is tall .", "", "the dogs are red ."])
    np.testing.assert_allclose(np.load(tmp_path / "out.npy"), expected, rtol=0, atol=2e-6)


def test_embed_takes_the_options_of_the_function(tmp_path, monkeypatch):
    lines, out = ["anna is tall .", "the dogs are red and tall ."], tmp_path / "out.npy"
    for options, words in (
        ({"pooling": "max"}, ["--pooling", "max"]),
        ({"normalize": False}, ["--no-normalize"]),
        ({"batch_size": 1}, ["--batch-size", "1"]),
    ):
        give(monkeypatch, "\n".join(lines).encode())
        assert main(["embed", "-o", str(out), *words]) == 0
        np.testing.assert_array_equal(np.load(out), embed(lines, **options))


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "standard input has no line"), (b"anna\ncaf\xe9\n", "is not UTF-8: see line 2")],
)
def test_lines_that_cannot_be_embedded_are_told(tmp_path, monkeypatch, capsys, content, says):
    give(monkeypatch, content)
    assert main(["embed", "-o", str(tmp_path / "out.npy")]) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_not_there_is_told_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("minibert.tasks.embed", lambda *_: pytest.fail("worked in vain"))
    give(monkeypatch, b"anna is tall .")
    assert main(["embed", "-o", str(tmp_path / "nowhere" / "out.npy")]) == 2
    assert "there is no folder" in capsys.readouterr().err


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


def with_head(kind, folder):
    """Save the embedded checkpoint with a head drawn at random; return the folder."""
    kind.from_pretrained(EMBEDDED_CHECKPOINT).save_pretrained(folder)
    BertTokenizer.from_pretrained(EMBEDDED_CHECKPOINT).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("command", ["classify", "tag"])
@pytest.mark.filterwarnings("ignore:not in the checkpoint, newly initialized")
def test_labels_are_printed(command, capsys, tmp_path):
    kind = {"classify": BertForSequenceClassification, "tag": BertForTokenClassification}[command]
    assert main([command, "anna is tall .", "--model", with_head(kind, tmp_path)]) == 0
    assert "LABEL_" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:not in the checkpoint, newly initialized")
def test_an_answer_is_printed(capsys, tmp_path):
    words = "where is anna ?", "anna is in the garden ."
    assert main(["answer", *words, "--model", with_head(BertForQuestionAnswering, tmp_path)]) == 0
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("command", "words", "arguments"),
    [
        ("classify", ["a", "b", "--model", "/"], ("a", "b", Path("/"))),
        ("classify", ["a"], ("a", None, None)),
        ("tag", ["a", "--aggregation", "max", "--model", "/"], ("a", "max", Path("/"), False)),
        ("tag", ["a", "--entities"], ("a", "first", None, True)),
        ("answer", ["a", "b", "--no-answer"], ("a", "b", True)),
        ("answer", ["a", "b"], ("a", "b", False)),
    ],
)
def test_options_are_those_of_the_function(monkeypatch, capsys, command, words, arguments):
    given = []
    row = {"score": 0.75, "label": "glad", "word": "anna", "answer": ""}

    def record(*values, model=None):
        given.append((values, model))
        found = row | {"entity_group": "PER"} if "--entities" in words else row
        return row if command == "answer" else [found]

    monkeypatch.setattr(f"minibert.tasks.{command}", record)
    assert main([command, *words]) == 0
    assert given == [(arguments, None)]
    shown = {"classify": "glad", "tag": "anna", "answer": "(no answer)"}[command]
    printed = capsys.readouterr().out
    assert printed.startswith("0.750  ")
    assert ("PER" in printed) == ("--entities" in words)
    assert printed.rstrip().endswith(shown)


@pytest.mark.parametrize(
    "words", [["classify", "a"], ["tag", "a"], ["answer", "a", "b"]], ids=lambda words: words[0]
)
@pytest.mark.filterwarnings("ignore:not in the checkpoint, newly initialized")
def test_a_checkpoint_without_the_head_gives_no_answer(words, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "the checkpoint has no such head" in err
