"""A BART verified: two stacks, whose sizes and tokens differ, and what is found where."""

import numpy as np
import pytest
from planted_bart import FAULTS, WAYS, PlantingBart, wide_bart

from minibert import Reference, compare_recordings, record_model, verify
from minibert.verification.parts import kind_of, part_of, stack_of
from minibert.verification.standard import standard_stages


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return wide_bart(tmp_path_factory.mktemp("bart"))


def inputs():
    """The decoder's tokens are fewer than the source's, and padding lies on either side."""
    random, found = np.random.default_rng(0), {}
    for prefix, shape in (("", (3, 9)), ("decoder_", (3, 7))):
        mask = np.ones(shape, int)
        mask[1, 4:] = mask[2, :2] = 0
        found[f"{prefix}input_ids"] = random.integers(4, 41, shape) * mask
        found[f"{prefix}attention_mask"] = mask
    return found


@pytest.fixture(scope="module")
def recorded(model):
    return record_model(model, inputs())


def few(recorded, *names):
    return Reference(recorded.inputs, {name: recorded.stages[name] for name in names})


STATES = ("encoder.embeddings", "encoder.layer.1", "decoder.embeddings", "decoder.layer.0")


@pytest.mark.parametrize("names", [None, STATES, ("decoder.layer.1",), ("logits",)])
def test_a_right_recording_agrees(model, recorded, names):
    found = verify(model, few(recorded, *names) if names else recorded)
    assert found.ok, found.verdict
    assert len(found.rows) == len(names or model.stage_axes())


def test_what_is_recorded_is_zero_at_padding_of_its_own_tokens(recorded):
    source, own = (recorded.inputs[f"{x}attention_mask"] == 0 for x in ("", "decoder_"))
    stages = recorded.stages
    assert not stages["encoder.layer.2"][source].any()
    assert not stages["decoder.layer.1"][own].any()
    scores = stages["decoder.layer.0.cross_attention.scores"]
    assert scores.shape == (3, 7, 7, 9)
    assert not scores[np.broadcast_to(own[:, None, :, None], scores.shape)].any()
    assert not scores[np.broadcast_to(source[:, None, None], scores.shape)].any()


def test_each_token_has_its_error_in_its_own_place(model, recorded):
    stages = dict(recorded.stages)
    for name, place in (("encoder.layer.2", (0, 8)), ("decoder.layer.1", (2, 3))):
        stages[name] = stages[name].copy()
        stages[name][place] += 1
    found = verify(model, Reference(recorded.inputs, stages))
    assert [row.stage for row in found.faults] == ["encoder.layer.2", "decoder.layer.1"]
    shapes = {name: x.shape for name, x in found.token_errors.items()}
    assert (shapes["encoder.layer.2"], shapes["decoder.layer.1"]) == ((3, 9), (3, 7))
    assert found.token_errors["encoder.layer.2"][0].argmax() == 8
    real = recorded.inputs["attention_mask"] == 1
    np.testing.assert_array_equal(~np.isnan(found.token_errors["encoder.layer.2"]), real)


def test_the_encoder_does_not_run_where_its_last_state_is_known(model, recorded):
    """Weights that are not finite are not read."""
    import copy
    from dataclasses import replace

    wrong, base = copy.copy(model), copy.copy(model.model)
    base.encoder = copy.copy(base.encoder)
    first, *others = base.encoder.layers
    norm = replace(first.norm, weight=np.full_like(first.norm.weight, np.nan))
    base.encoder.layers = (replace(first, norm=norm), *others)
    wrong.model = base
    names = "encoder.layer.2", "decoder.embeddings", "decoder.layer.0"
    last, *rest = few(recorded, *names).stages
    found = verify(wrong, few(recorded, *names))
    assert [row.stage for row in found.faults if row.stage in rest] == []
    assert last in [row.stage for row in found.faults]


def test_two_recordings_are_compared_without_a_model(recorded):
    assert compare_recordings(recorded, recorded).ok
    other = {name: x + (name == "encoder.layer.1") for name, x in recorded.stages.items()}
    found = compare_recordings(recorded, Reference(recorded.inputs, other))
    assert found.first_failure.stage == "encoder.layer.1"


def test_a_recording_without_the_decoders_words_is_refused(recorded):
    given = {name: recorded.inputs[name] for name in ("input_ids", "attention_mask")}
    with pytest.raises(ValueError, match="no decoder_input_ids among the inputs"):
        Reference.from_arrays(recorded.stages, given)


def test_inputs_of_other_batches_are_refused(recorded):
    given = {**recorded.inputs, "decoder_input_ids": [[2, 5]]}
    with pytest.raises(ValueError, match="decoder"):
        Reference.from_arrays(recorded.stages, given)


def test_the_outputs_of_transformers_keep_their_names():
    states, x = np.zeros((3, 2, 4, 5)), np.ones((2, 3, 5))
    given = {
        "encoder_hidden_states": states,
        "decoder_hidden_states.0": x,
        "decoder_hidden_states.1": x + 1,
        "last_hidden_state": x + 1,
        "encoder_last_hidden_state": states[2],
        "cross_attentions": np.zeros((1, 2, 5, 3, 4)),
        "decoder.layers.0.encoder_attn.k_proj": np.zeros((2, 4, 5)),
    }
    found = standard_stages(given)
    layers = [f"encoder.layer.{i}" for i in range(2)]
    decoder = ["decoder.embeddings", "decoder.layer.0"]
    across = [f"decoder.layer.0.cross_attention.{x}" for x in ("probabilities", "key")]
    assert [*found.stages] == ["encoder.embeddings", *layers, *decoder, *across]
    assert "encoder_attn.k_proj as decoder.layer.{i}.cross_attention.key" in found.read_as


@pytest.mark.parametrize(
    ("stage", "part", "stack", "kind"),
    [
        ("layer.3.attention.query", "layer.3", "", "layer.{i}.attention.query"),
        ("encoder.layer.12", "encoder.layer.12", "encoder.", "layer.{i}"),
        ("decoder.embeddings.sum", "decoder.embeddings", "decoder.", "embeddings.sum"),
        ("predictions.activation", "predictions", "", "predictions.activation"),
        ("decoder", "decoder", "", "decoder"),
        ("", "", "", ""),
    ],
)
def test_a_stage_belongs_to_a_part(stage, part, stack, kind):
    assert (part_of(stage), stack_of(stage), kind_of(stage)) == (part, stack, kind)


# the catalogue: all of it with tests/tools/measure_causes.py --model bart


@pytest.fixture(scope="module")
def planting(model):
    return PlantingBart(model)


def test_there_are_enough_faults(planting):
    assert len({(fault.kind, fault.name) for fault in FAULTS}) == len(FAULTS) >= 100
    assert {*planting.order} == {*planting.model.stage_axes()}


@pytest.mark.parametrize("start", range(3))
def test_faults_are_found_and_named(planting, start):
    found = [planting.outcome(fault, "all") for fault in FAULTS[start::9]]
    assert [one for one in found if one.state not in ("named", "among")] == []


@pytest.mark.parametrize("way", [way for way in WAYS if way != "all"])
def test_every_fault_is_found_in_partial_recordings(planting, way, monkeypatch):
    from minibert.verification import comparison

    monkeypatch.setattr(comparison, "likely_cause", lambda *_: "any")  # slow, and not looked at
    found = [planting.outcome(fault, way) for fault in FAULTS[::3]]
    assert [one for one in found if one.state == "missed"] == []


@pytest.mark.parametrize("stack", ["encoder", "decoder"])
def test_layers_are_exchanged_within_a_stack_alone(model, recorded, stack):
    import copy

    wrong, base = copy.copy(model), copy.copy(model.model)
    own = copy.copy(getattr(base, stack))
    own.layers = (own.layers[1], own.layers[0], *own.layers[2:])
    setattr(base, stack, own)
    wrong.model = base
    made = record_model(wrong, recorded.inputs)
    last = Reference(made.inputs, {"decoder.layer.1": made.stages["decoder.layer.1"]})
    verdict = verify(model, last).verdict
    assert f"{stack}.layer.0 and {stack}.layer.1 exchanged" in verdict
