"""The command that records, and what it records on."""

import json
import sys

import numpy as np
import pytest
from wide import WIDE

from minibert import EMBEDDED_CHECKPOINT, BertTokenizer, Reference
from minibert.cli import main


def recorded(path, *arguments):
    assert main(["record", *arguments, "-o", str(path)]) == 0
    return Reference.load(path)


def test_a_recording_is_a_reference(tmp_path, capsys):
    path = tmp_path / "r.safetensors"
    found = recorded(path)
    said = capsys.readouterr().out
    assert said.startswith(
        f"{path}: 51 stages, {found.real_tokens().sum()} real tokens, float64, by minibert "
    )
    assert main(["verify", "--reference", str(path)]) == 0
    out = capsys.readouterr().out
    assert "the same checkpoint" in " ".join(out.split())
    assert out.splitlines()[-1] == "OK: all 51 stages agree, to the rounding of float64"
    # what is recorded when nothing is said shows padding and two segments
    assert len(set(found.inputs["attention_mask"].sum(axis=1))) == 3
    assert found.inputs["token_type_ids"].any()


def test_texts_and_pairs_go_through_the_checkpoints_tokenizer(tmp_path):
    found = recorded(tmp_path / "r", "--inputs", "anna is here .", "is she ?\tshe is .")
    tokenizer = BertTokenizer.from_pretrained(EMBEDDED_CHECKPOINT)
    texts = ["anna is here .", ("is she ?", "she is .")]
    for name, array in tokenizer(texts, padding=True, return_tensors="np").items():
        np.testing.assert_array_equal(found.inputs[name], array)


def test_a_text_file_has_a_text_on_each_line(tmp_path):
    (tmp_path / "texts.txt").write_text("anna is here .\nis she ?\tshe is .\n")
    found = recorded(tmp_path / "r", "--inputs", str(tmp_path / "texts.txt"))
    other = recorded(tmp_path / "s", "--inputs", "anna is here .", "is she ?\tshe is .")
    np.testing.assert_array_equal(found.inputs["input_ids"], other.inputs["input_ids"])


IDS, MASK = [[5, 3, 8], [9, 1, 0]], [[1, 1, 1], [1, 1, 0]]


@pytest.mark.parametrize("form", ["json", "npz", "recording"])
def test_ids_in_a_file(tmp_path, form):
    inputs = {"input_ids": IDS, "attention_mask": MASK}
    path = tmp_path / f"ids.{form}"
    if form == "json":
        path.write_text(json.dumps(inputs))
    elif form == "npz":
        np.savez(path, **inputs)
    else:
        path = path.with_suffix(".safetensors")
        Reference.from_arrays({"layer.7": np.zeros((2, 3, 5))}, inputs).save(path)
    found = recorded(tmp_path / "r", str(WIDE), "--inputs", str(path), "--dtype", "float32")
    assert {name: array.tolist() for name, array in found.inputs.items()} == inputs
    assert len(found.stages) == 27
    assert found.stages["layer.0"].dtype == np.float32


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["nowhere"], "'nowhere'"),
        ([str(WIDE)], "no tokenizer of a BERT model is there. Without one, give a file with"),
        (["--inputs", "no.npz"], "there is no file 'no.npz'"),
        (["--inputs", "no.npz", "and a text"], "give one file, or texts"),
        (["--inputs", "a\tb\tc"], "has 2 tabs; allowed: 1"),
        (
            ["--inputs", "yes " * 100],
            "the sequences are 102 tokens long; this model has positions for 64",
        ),
        (["--from", "transformers"], "needs torch, which is not installed: pip install"),
    ],
)
def test_what_cannot_be_recorded_is_one_sentence(tmp_path, capsys, monkeypatch, arguments, says):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["record", *arguments, "-o", str(tmp_path / "r")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert says in err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize("content", ["{}", '{"labels": [[1]]}', "[]", '{"input_ids": "words"}'])
def test_a_file_without_ids_is_one_sentence(tmp_path, capsys, content):
    (tmp_path / "ids.json").write_text(content)
    files = ["--inputs", str(tmp_path / "ids.json"), "-o", str(tmp_path / "r")]
    assert main(["record", str(WIDE), *files]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_place_is_looked_at_before_the_work(capsys):
    assert main(["record", "--inputs", "no.npz", "-o", "nowhere/r"]) == 2
    assert "there is no folder 'nowhere'" in capsys.readouterr().err


def test_verify_knows_which_layer_is_the_last(tmp_path, capsys, reference):
    last = {"last_hidden_state": reference.stages["layer.1"]}
    np.savez(tmp_path / "r.npz", **reference.inputs, **last)
    assert main(["verify", str(WIDE), "--reference", str(tmp_path / "r.npz")]) == 0
    assert "layer.1 " in capsys.readouterr().out


def test_gradients_are_recorded_too(tmp_path, capsys):
    path = tmp_path / "r.safetensors"
    found = recorded(path, "--gradients")
    assert f"{path}: 56 stages and 134 gradients, " in capsys.readouterr().out
    labels, real = found.inputs["labels"], found.real_tokens()
    np.testing.assert_array_equal(labels, np.where(real, found.inputs["input_ids"], -100))
    assert found.inputs["next_sentence_label"].tolist() == [0, 1, 0]
    assert main(["verify", "--reference", str(path)]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("OK: all 190 stages agree")
    assert main(["compare", str(path), str(path), "--model", str(EMBEDDED_CHECKPOINT)]) == 0
    told = {"input_ids": IDS, "attention_mask": MASK, "labels": [[-100, 7, 8], [-100, 4, -100]]}
    (tmp_path / "told.json").write_text(json.dumps({**told, "next_sentence_label": [1, 1]}))
    again = recorded(tmp_path / "s", "--gradients", "--inputs", str(tmp_path / "told.json"))
    assert again.inputs["labels"].tolist() == told["labels"]
    plain = recorded(tmp_path / "p", "--inputs", str(tmp_path / "told.json"))
    assert "labels" not in plain.inputs


def test_without_a_head_no_gradients_are_recorded(tmp_path, capsys):
    (tmp_path / "ids.json").write_text(json.dumps({"input_ids": IDS}))
    given = ["--gradients", "--inputs", str(tmp_path / "ids.json"), "-o", str(tmp_path / "r")]
    assert main(["record", str(WIDE), *given]) == 2
    assert "gradients need a loss, and so a head: 'architectures' in" in capsys.readouterr().err
