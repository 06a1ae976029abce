"""Files that other programs recorded: .npz, safetensors without our metadata, torch's dicts."""

import re
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from minibert import Reference, verify

TORCH = Path(__file__).parents[1] / "data" / "torch"


def as_arrays(reference):
    """The same recording with the plain names of a user, but for a few."""
    stages = dict(reference.stages)
    stages["hidden_states.1"], stages["pooler_output"] = stages.pop("layer.0"), stages.pop("pooler")
    stages["last_hidden_state"] = stages["layer.1"]
    return {**reference.inputs, **stages}


def prefixed(reference):
    inputs = {f"input.{name}": array for name, array in reference.inputs.items()}
    return {**inputs, **{f"stage.{name}": array for name, array in reference.stages.items()}}


WRITERS = {
    "npz": lambda path, arrays: np.savez(path, **arrays),
    "compressed": lambda path, arrays: np.savez_compressed(path, **arrays),
    "safetensors": lambda path, arrays: save_file(
        {name: np.ascontiguousarray(array) for name, array in arrays.items()}, path
    ),
}


@pytest.mark.parametrize("names", [as_arrays, prefixed])
@pytest.mark.parametrize("form", WRITERS)
def test_a_recording_of_any_form_is_verified(tmp_path, model, reference, form, names):
    path = tmp_path / "recording.npz"
    WRITERS[form](path, names(reference))
    found = Reference.load(path)
    assert verify(model, found).verdict.startswith(
        "OK: all 27 stages agree, to the rounding of float"
    )
    assert found.provenance == {"dtype": "float64"}
    assert set(found.inputs) == set(reference.inputs)


def test_what_transformers_returned_and_torch_saved_is_verified(model):
    found = Reference.load(TORCH / "recording.pt")
    assert list(found.stages) == ["embeddings", "layer.0", "layer.1", "pooler"]
    assert found.provenance == {"dtype": "float32"}
    assert verify(model, found).ok


def test_any_order_of_bytes_and_axes_is_read_as_what_it_shows(tmp_path, reference):
    stage = reference.stages["layer.0"]
    odd = {"layer.0": np.asfortranarray(stage).astype(">f8"), "layer.1": stage.T.copy().T}
    np.savez(tmp_path / "r.npz", **reference.inputs, **odd)
    for found in Reference.load(tmp_path / "r.npz").stages.values():
        assert found.dtype == np.dtype("float64")
        np.testing.assert_array_equal(found, stage)


@pytest.mark.parametrize("form", WRITERS)
def test_half_precision_is_widened_and_told(tmp_path, reference, form):
    half = {"layer.0": reference.stages["layer.0"].astype(np.float16)}
    WRITERS[form](tmp_path / "r.npz", {**reference.inputs, **half})
    found = Reference.load(tmp_path / "r.npz")
    assert found.stages["layer.0"].dtype == np.float32
    assert found.provenance == {"dtype": "float16"}


def test_metadata_are_the_provenance(tmp_path, reference):
    metadata = {"format": "pt", "tools": "an engine 3.1"}
    arrays = {"input_ids": reference.inputs["input_ids"], "layer.0": reference.stages["layer.0"]}
    save_file(arrays, tmp_path / "r", metadata)
    found = Reference.load(tmp_path / "r")
    assert found.provenance == {"tools": "an engine 3.1", "dtype": "float64"}


def test_the_number_of_layers_may_be_said(tmp_path, model, reference):
    last = {"last_hidden_state": reference.stages["layer.1"]}
    np.savez(tmp_path / "r.npz", **reference.inputs, **last)
    assert verify(model, Reference.load(tmp_path / "r.npz", num_hidden_layers=2)).ok
    with pytest.raises(ValueError, match="nothing here says how many layers"):
        Reference.load(tmp_path / "r.npz")


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"layer.0": np.zeros((1, 2, 3))}, "with input_ids or inputs_embeds among them"),
        ({"input_ids": np.ones((1, 2), int)}, "nothing to compare"),
        ({"input_ids": np.ones((1, 2), int), "input.x": np.ones(3)}, "['input_ids', 'x']"),
        ({"input_ids": np.ones((1, 2), int), "loss": np.ones(3)}, "there is no stage 'loss'"),
        ({"input_ids": np.ones((1, 2), int), "layer.0": np.ones((1, 3, 4))}, "needed: (B, T, C)"),
    ],
)
@pytest.mark.parametrize("form", WRITERS)
def test_what_is_no_recording_says_why_and_where(tmp_path, form, arrays, says):
    path = tmp_path / "r.npz"
    WRITERS[form](path, arrays)
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        Reference.load(path)
    assert str(path) in str(caught.value)


def test_a_single_array_says_what_is_needed(tmp_path):
    np.save(tmp_path / "r.npy", np.ones(3))
    with pytest.raises(ValueError, match=r"a single array; .* write them with numpy\.savez"):
        Reference.load(tmp_path / "r.npy")


def test_a_file_of_torch_that_holds_other_things_says_what_is_needed(tmp_path):
    (tmp_path / "r.pt").write_bytes((TORCH / "recording.pt").read_bytes()[:-100])
    with pytest.raises(ValueError, match="A recording is one dict from names to tensors"):
        Reference.load(tmp_path / "r.pt")
