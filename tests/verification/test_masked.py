"""Scores of what a model masks: a recording may have there whatever its program adds or leaves."""

from pathlib import Path

import numpy as np
import pytest

from minibert import (
    BartConfig,
    BartModel,
    GPT2Model,
    Reference,
    compare_recordings,
    record_model,
    verify,
)

FOLDER = Path(__file__).parents[1] / "data" / "gpt2"
SIZES = {f"{side}_layers": 1 for side in ("encoder", "decoder")}
SIZES |= {f"{side}_attention_heads": 3 for side in ("encoder", "decoder")}
MODELS = {
    "gpt2": (lambda: GPT2Model.from_pretrained(FOLDER), "layer.0.attention"),
    "bart": (
        lambda: BartModel(BartConfig(vocab_size=41, d_model=21, init_std=0.4, **SIZES), seed=3),
        "decoder.layer.0.attention",
    ),
}
#: What a program writes in place of a score, or adds to it, so that nobody looks there.
WAYS = {
    "-inf": lambda scores: np.full_like(scores, -np.inf),
    "the lowest number": lambda scores: np.full_like(scores, np.finfo(scores.dtype).min),
    "-1e4": lambda scores: np.full_like(scores, -1e4),
    "-1e9 added": lambda scores: scores - 1e9,
    "before the mask": lambda scores: scores + 3,
}


@pytest.fixture(scope="module", params=MODELS)
def recorded(request):
    """A model, the attention that is causal in it, and a recording, padded at the right."""
    make, place = MODELS[request.param]
    mask = np.ones((2, 5), int)
    mask[1, 3:] = 0
    inputs = {"input_ids": np.arange(5, 15).reshape(2, 5) * mask, "attention_mask": mask}
    if request.param == "bart":
        inputs |= {f"decoder_{name}": x[:, ::-1][:, :4].copy() for name, x in inputs.items()}
    model = make()
    return model, place, record_model(model, inputs)


def shown(recorded, way, drop=(), keys=lambda length: ~np.tri(length, dtype=bool)):
    """Return the recording with other scores of the future, and without some stages."""
    model, place, made = recorded
    name = f"{place}.scores"
    scores = made.stages[name]
    changed = {name: np.where(keys(scores.shape[-1]), WAYS[way](scores), scores)}
    stages = {x: y for x, y in {**made.stages, **changed}.items() if x not in drop}
    return model, name, Reference(made.inputs, stages)


@pytest.mark.parametrize("way", WAYS)
def test_what_nobody_looks_at_may_be_anything(recorded, way):
    model, _, found = shown(recorded, way)
    assert verify(model, found).ok
    assert compare_recordings(found, recorded[2], model).ok
    assert compare_recordings(recorded[2], found, model).ok


@pytest.mark.parametrize("way", ["-inf", "the lowest number", "-1e9 added"])
def test_two_recordings_without_a_model_are_compared_elsewhere(recorded, way):
    _, name, found = shown(recorded, way)
    assert compare_recordings(found, found).ok
    assert compare_recordings(found, recorded[2]).ok
    _, _, other = shown(recorded, way, keys=lambda n: ~np.tri(n, k=-1, dtype=bool))
    assert compare_recordings(found, other).first_failure.stage == name


@pytest.mark.parametrize("way", list(WAYS)[:4])
def test_the_score_alone_tells_that_it_is_masked(recorded, way):
    model, _, found = shown(recorded, way, drop=[f"{recorded[1]}.probabilities"])
    assert verify(model, found).ok


def test_scores_that_are_not_masked_are_told_by_their_probabilities(recorded):
    """Without these, nothing tells whether a mask comes later."""
    model, name, found = shown(recorded, "before the mask", [f"{recorded[1]}.probabilities"])
    assert verify(model, found).first_failure.stage == name


@pytest.mark.parametrize("way", ["-inf", "-1e9 added"])
def test_a_key_that_should_be_seen_is_no_masked_one(recorded, way):
    model, name, found = shown(recorded, way, keys=lambda n: ~np.tri(n, k=-1, dtype=bool))
    assert verify(model, found).first_failure.stage == name
