"""A checkpoint laid open, as data; tests/whole/test_cli.py has what is printed of it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from wide import WIDE

from minibert import BertModel, GPT2Config, GPT2LMHeadModel
from minibert.models.inspect import inspect

SMALL = {"vocab_size": 7, "n_embd": 6, "n_head": 2, "n_layer": 1, "n_positions": 5}


@pytest.fixture
def changed(tmp_path):
    """Return what changes the tensors of a checkpoint, and lays it open."""
    folder = shutil.copytree(WIDE, tmp_path / "copy")

    def changed(change):
        tensors = load_file(folder / "model.safetensors")
        change(tensors)
        save_file(tensors, folder / "model.safetensors")
        return inspect(folder)

    return changed


def test_every_tensor_lands_in_a_field_of_the_model():
    found, model = inspect(WIDE), BertModel.from_pretrained(WIDE)
    assert (found.problems, found.notes) == ((), ())
    assert found.num_parameters == model.num_parameters()
    for tensor, place in found.places:
        array = model.array(place.removeprefix("-> "))
        np.testing.assert_array_equal(tensor.read("float32"), array)


def test_what_would_be_drawn_is_a_note_and_what_is_unused_comes_last(changed):
    def change(tensors):
        del tensors["pooler.dense.bias"]
        tensors["a.stranger"] = np.ones(3)

    found = changed(change)
    assert found.problems == ()
    assert found.notes == ("'pooler.dense.bias' is missing: it would be drawn at random",)
    assert found.places[-1][0].name == "a.stranger"
    assert found.places[-1][1] == "unused: the model has no tensor of this name"


def test_what_loading_would_refuse_is_a_problem(changed):
    def change(tensors):
        del tensors["encoder.layer.1.output.dense.bias"]
        tensors["pooler.dense.bias"] = np.ones(4, np.float32)
        tensors["encoder.layer.0.adapter.weight"] = np.ones(4, np.float32)

    assert changed(change).problems == (
        "'encoder.layer.1.output.dense.bias' is missing",
        "'pooler.dense.bias' is (4,), expected (21,)",
        "'encoder.layer.0.adapter.weight' is inside the model, and unknown",
    )


def test_a_prefix_before_the_names_is_a_note(changed):
    def change(tensors):
        for name in [*tensors]:
            tensors[f"module.{name}"] = tensors.pop(name)

    found = changed(change)
    assert (found.problems, found.notes) == ((), ("the names of the tensors begin with 'module.'",))


def test_gpt2_is_laid_open_too():
    found = inspect(Path(__file__).parents[1] / "data" / "gpt2")
    assert not found.problems
    places = {tensor.name: place for tensor, place in found.places}
    assert places["ln_f.weight"] == "-> norm.weight"
    parts = (f"layer.0.attention.{name}.weight" for name in ("query", "key", "value"))
    assert places["h.0.attn.c_attn.weight"] == f"-> {', '.join(parts)}"


def test_ids_beyond_the_vocabulary_are_noted(tmp_path):
    GPT2LMHeadModel(GPT2Config(**SMALL, eos_token_id=[6, 7, 8])).save_pretrained(tmp_path)
    ends = "and the vocabulary ends at 6: no such token is written"
    assert inspect(tmp_path).notes == (
        f"bos_token_id is 50256, {ends}",
        f"eos_token_id is 7, {ends}",
        f"eos_token_id is 8, {ends}",
    )
