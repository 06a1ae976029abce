import numpy as np
import pytest
from safetensors.numpy import save_file

from minibert import EMBEDDED_CHECKPOINT, Reference
from minibert.data import shipped_references

IDS = np.array([[5, 3, 8], [9, 1, 0]])
INPUTS = {"input_ids": IDS, "attention_mask": np.array([[1, 1, 1], [1, 1, 0]])}
STAGE = {"embeddings": np.zeros((2, 3, 5), np.float32)}


def test_what_is_saved_is_read(tmp_path):
    stages = {"layer.0": np.random.default_rng(0).normal(size=(2, 3, 5)), **STAGE}
    Reference(INPUTS, stages, {"tools": "none", "dtype": "float64"}).save(tmp_path / "r")
    found = Reference.load(tmp_path / "r")
    assert found.provenance == {"tools": "none", "dtype": "float64"}
    assert set(found.inputs) == set(INPUTS)
    assert {name: stage.dtype for name, stage in found.stages.items()} == {
        "layer.0": np.float64,
        "embeddings": np.float32,
    }
    np.testing.assert_array_equal(found.stages["layer.0"], stages["layer.0"])
    np.testing.assert_array_equal(found.inputs["input_ids"], IDS)


def test_an_array_in_another_order_is_saved_as_what_it_shows(tmp_path):
    stages = {"layer.0": np.arange(30.0).reshape(5, 3, 2).T}
    Reference(INPUTS, stages).save(tmp_path / "r")
    np.testing.assert_array_equal(
        Reference.load(tmp_path / "r").stages["layer.0"], stages["layer.0"]
    )


@pytest.mark.parametrize(
    ("inputs", "stages", "says"),
    [
        ({"attention_mask": IDS}, STAGE, "input_ids or inputs_embeds"),
        ({**INPUTS, "targets": IDS}, STAGE, "targets"),
        (INPUTS, {}, "nothing to compare"),
        ({**INPUTS, "attention_mask": IDS * 0}, STAGE, "no real token"),
    ],
)
def test_a_reference_must_be_of_use(inputs, stages, says):
    with pytest.raises(ValueError, match=says):
        Reference(inputs, stages)


def test_without_a_mask_every_token_is_real():
    assert Reference({"input_ids": IDS}, STAGE).real_tokens().all()


@pytest.mark.parametrize(
    ("metadata", "tensors", "says"),
    [
        ({}, {"input.input_ids": IDS, "stage.x": IDS * 1.0}, "there is no stage .x"),
        (None, {"input.input_ids": IDS, "stage.x": IDS * 1.0}, "there is no stage .x"),
        ({"format": "minibert-reference", "version": "2"}, {"input.input_ids": IDS}, "version 2"),
        ({"format": "minibert-reference", "version": "1"}, {"x": IDS}, "neither input"),
        ({"format": "minibert-reference", "version": "1"}, {"x" * 3000: IDS}, r"'x{500,}\.\.\.$"),
        ({"format": "minibert-reference", "version": "\x1b"}, {"x": IDS}, r"version \\x1b;"),
        ({"format": "minibert-reference", "version": "1"}, {"stage.x": IDS * 1.0}, "input_ids"),
        ({"format": "minibert-reference", "version": "1"}, {"stage.x": IDS}, "floating type"),
    ],
)
def test_a_file_that_is_no_reference_says_so(tmp_path, metadata, tensors, says):
    path = tmp_path / "file.safetensors"
    save_file(tensors, path, metadata)
    with pytest.raises(ValueError, match=says) as caught:
        Reference.load(path)
    assert str(path) in str(caught.value)


def test_a_file_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"no file .*nowhere"):
        Reference.load("nowhere")


def test_the_embedded_reference_says_where_it_is_from(reference):
    provenance = reference.provenance
    assert provenance["tools"].startswith("transformers 5")
    assert provenance["dtype"] == "float64"
    assert provenance["attention"] == "eager"
    assert len(provenance["checkpoint_sha256"]) == 64
    assert {stage.dtype for stage in reference.stages.values()} == {np.dtype(np.float64)}


def test_the_reference_of_the_course_is_shipped():
    reference = Reference.load(shipped_references()["bert-base-uncased-cmu"])
    assert reference.inputs["input_ids"].tolist()[0] == [101, 7592, 2088, 102, 0, 0, 0, 0]
    assert reference.stages["layer.11"].shape == (2, 8, 768)
    assert reference.stages["pooler"].shape == (2, 768)
    assert reference.stages["layer.11"].dtype == np.float32
    assert reference.stages["layer.11"][0, 0, :2] == pytest.approx([-0.1689, 0.1361], abs=1e-4)


def test_the_embedded_checkpoint_comes_with_its_reference():
    assert (EMBEDDED_CHECKPOINT / "reference.safetensors").is_file()


def test_the_files_own_keys_are_not_a_recordings(tmp_path, reference):
    for name in ("format", "version"):
        with pytest.raises(ValueError, match=f"provenance\\['{name}'\\] is the file's own"):
            Reference.from_arrays(reference.stages, reference.inputs, {name: "0.3"})
    other = Reference(reference.inputs, reference.stages, {"version": "0.3", "tools": "mine"})
    other.save(tmp_path / "r.safetensors")
    assert Reference.load(tmp_path / "r.safetensors").provenance["tools"] == "mine"
