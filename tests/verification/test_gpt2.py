"""A GPT-2 that goes wrong where it differs from BERT, and what is said of it."""

from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from planted_gpt2 import FAULTS as CATALOGUE
from planted_gpt2 import WAYS, PlantingGpt2, wide_gpt2

from minibert import (
    GPT2LMHeadModel,
    GPT2Model,
    Reference,
    compare_recordings,
    functions,
    record_model,
    swap,
    verify,
)
from minibert.verification import comparison

FOLDER = Path(__file__).parents[1] / "data" / "gpt2"
HIDDEN = ("embeddings", "layer.0", "layer.1", "norm")


@pytest.fixture(scope="module")
def reference():
    return Reference.load(FOLDER / "reference.safetensors")


@pytest.fixture(scope="module")
def model():
    return GPT2Model.from_pretrained(FOLDER)


def every_layer(change):
    """Return the change of a model by the changes of its layers, each from a layer to another."""

    def changed(model):
        other = copy(model)
        other.layers = tuple(map(change, model.layers))
        return other

    return changed


def attention(change):
    """Return the change of a model by other fields of its attentions, each from a layer."""
    return every_layer(lambda x: replace(x, attention=replace(x.attention, **change(x))))


def without_last_norm(model):
    other = copy(model)
    other.norm = lambda x: x
    return other


def of_positions(change):
    def changed(model):
        other = copy(model)
        table = change(model.embeddings.position)
        other.embeddings = replace(model.embeddings, position=table)
        return other

    return changed


def exchanged(layer):
    return {"query": layer.attention.key, "key": layer.attention.query}


def untransposed(layer):
    query = layer.attention.query
    return {"query": replace(query, weight=np.ascontiguousarray(query.weight.T))}


FAULTS = {
    "activation": (
        every_layer(lambda x: replace(x, feed_forward=replace(x.feed_forward, activation="gelu"))),
        "layer.0.feed_forward.activation",
        "gelu (erf), this model uses gelu_new (tanh)",
    ),
    "no causal mask": (
        attention(lambda _: {"causal": False}),
        "layer.0.attention.scores",
        "no causal mask: tokens look at later ones, too",
    ),
    "not scaled by layer": (
        attention(lambda _: {"scale": 1.0}),
        "layer.1.attention.scores",
        "scores not divided by the number of the layer",
    ),
    "the eps of a norm": (
        every_layer(lambda x: replace(x, norm=replace(x.norm, eps=1e-3))),
        "layer.0.feed_forward.norm",
        "eps 0.001, this model uses eps 1e-05",
    ),
    "query and key exchanged": (
        attention(exchanged),
        "layer.0.attention.query",
        "the weights of the key",
    ),
    "a matrix untransposed": (
        attention(untransposed),
        "layer.0.attention.query",
        "the weight matrix transposed",
    ),
    "no last norm": (without_last_norm, "norm", "no last norm"),
    "positions from 1": (
        of_positions(lambda table: np.roll(table, -1, axis=0)),
        "embeddings",
        "positions from 1",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_cause_of_a_fault_is_named(model, reference, fault):
    change, stage, cause = FAULTS[fault]
    wrong = record_model(change(model), reference.inputs)
    found = verify(model, wrong)
    first = next(row for row in found.rows if row.status == "FAULT")
    assert first.stage == stage
    assert cause in found.verdict


@pytest.mark.parametrize("fault", ["activation", "no causal mask", "the eps of a norm"])
def test_it_is_found_between_hidden_states(model, reference, fault):
    change, stage, cause = FAULTS[fault]
    wrong = record_model(change(model), reference.inputs)
    few = {name: x for name, x in wrong.stages.items() if name in HIDDEN}
    found = verify(model, Reference(wrong.inputs, few, wrong.provenance))
    assert not found.ok
    assert stage in found.verdict
    assert cause in found.verdict


def test_norms_after_the_residual_are_told(model, reference):
    change = every_layer(lambda layer: replace(layer, pre_norm=False))
    wrong = record_model(change(model), reference.inputs)
    assert "post-norm" in verify(model, wrong).verdict
    few = {name: x for name, x in wrong.stages.items() if name in HIDDEN}
    found = verify(model, Reference(wrong.inputs, few, wrong.provenance))
    assert "norms after each half instead of before (post-norm)" in found.verdict
    assert "this model uses the residual added (" in found.verdict  # and no norm


@pytest.mark.parametrize("name", ["query", "intermediate"])
def test_a_matrix_behind_a_norm_is_fitted_to_what_that_gave(model, reference, name):
    part = "attention" if name == "query" else "feed_forward"

    def change(layer):
        linear = getattr(getattr(layer, part), name)
        weight = linear.weight.copy()
        weight[:, 4] += 1
        other = replace(getattr(layer, part), **{name: replace(linear, weight=weight)})
        return replace(layer, **{part: other})

    wrong = record_model(every_layer(change)(model), reference.inputs)
    assert "column 4 of the weight matrix another one" in verify(model, wrong).verdict


@pytest.mark.parametrize("off", [-1, 1])
def test_a_causal_mask_that_is_off_by_one(model, reference, off):
    def looking(q, k, v, allowed=None, trace=None):
        other = np.tri(q.shape[1], k=off, dtype=bool)
        return functions.attention(q, k, v, allowed=other, trace=trace)

    with swap(attention=looking):
        wrong = record_model(model, reference.inputs)
    said = "one token too long" if off > 0 else "one token short"
    assert said in verify(model, wrong).verdict


@pytest.mark.parametrize("name", ["gelu_new", "softmax", "layer_norm", "attention_scores"])
def test_an_operation_of_ours_that_is_off_is_found(model, reference, name):
    own = getattr(functions, name)
    with swap(**{name: lambda *args: 1.01 * own(*args)}):
        found = verify(model, reference)
    assert found.verdict.startswith("FAULT: layer.0")
    stages = {"gelu_new": "activation", "softmax": "probabilities", "layer_norm": "norm"}
    assert stages.get(name, "scores") in found.verdict.split(":")[1]


def test_the_head_is_looked_at_too(reference):
    model = GPT2LMHeadModel.from_pretrained(FOLDER)
    found = record_model(model, reference.inputs)
    assert verify(model, found).ok
    found.stages["logits"] = found.stages["logits"] * 1.01
    assert "the weight matrix multiplied by 1.01" in verify(model, found).verdict


def test_other_words_are_read_off_the_embeddings(model, reference):
    table = model.embeddings.word.copy()
    table[-1] *= 50  # that of a type, if -1 were one
    model = copy(model)
    model.embeddings = replace(model.embeddings, word=table, token_type=table)
    ids = reference.inputs["input_ids"].copy()
    ids[0, 3:7] = (ids[0, 3:7] + 5) % 80
    wrong = record_model(model, {**reference.inputs, "input_ids": ids})
    found = verify(model, Reference(reference.inputs, wrong.stages, wrong.provenance))
    places = "[0, 3], [0, 4], [0, 5], [0, 6]"
    said = f"other words: at {places} those of ids {', '.join(map(str, ids[0, 3:7]))}"
    assert said in found.verdict


def test_token_types_are_verified(model, reference):
    inputs = {**reference.inputs, "token_type_ids": reference.inputs["input_ids"][:, ::-1]}
    for dtype in ("float32", "float64"):
        ours = GPT2Model.from_pretrained(FOLDER, dtype)
        assert verify(model, record_model(ours, inputs)).ok


def test_two_recordings_are_compared(model, reference):
    wrong = record_model(FAULTS["activation"][0](model), reference.inputs)
    found = compare_recordings(wrong, reference, model)
    assert "recording A agrees with gelu (erf), this model uses gelu_new" in found.verdict
    assert compare_recordings(reference, reference, model).ok


# the catalogue: all of it with tests/tools/measure_causes.py --model gpt2


@pytest.fixture(scope="module")
def planting(tmp_path_factory):
    return PlantingGpt2(wide_gpt2(tmp_path_factory.mktemp("gpt2")))


def test_there_are_enough_faults(planting):
    assert len({(fault.kind, fault.name) for fault in CATALOGUE}) == len(CATALOGUE) >= 100
    assert {*planting.order} == {*planting.model.stage_axes()}


@pytest.mark.parametrize("start", range(3))
def test_faults_are_found_and_named(planting, start):
    found = [planting.outcome(fault, "all") for fault in CATALOGUE[start::6]]
    assert [one for one in found if one.state not in ("named", "among", "nothing")] == []


@pytest.mark.parametrize("way", [way for way in WAYS if way != "all"])
def test_every_fault_is_found_in_partial_recordings(planting, way, monkeypatch):
    monkeypatch.setattr(comparison, "likely_cause", lambda *_: "any")  # slow, and not looked at
    found = [planting.outcome(fault, way) for fault in CATALOGUE[::2]]
    assert [one for one in found if one.state == "missed"] == []


def test_what_transformers_returns_is_read_as_what_it_is(model, reference):
    """The last hidden state, and the last of hidden_states, come after the last norm."""
    seen = model(**reference.inputs, output_hidden_states=True)
    kept = {"hidden_states": np.stack(seen.hidden_states), "last_hidden_state": seen[0]}
    for given in (kept, {"last_hidden_state": seen[0]}):
        found = Reference.from_arrays(given, reference.inputs, num_hidden_layers=2)
        report = verify(model, found)
        assert report.ok, report.verdict
        assert report.rows[-1].stage == "norm"


def test_a_swap_without_effect_is_refused(model, reference):
    with swap(embeddings=lambda *_: 0), pytest.raises(ValueError, match="GPT-2 does not call it"):
        model(**reference.inputs)
