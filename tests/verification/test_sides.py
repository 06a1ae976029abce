"""Both recordings are wrong, or one is shifted; and what a terminal shows meanwhile."""

import numpy as np
import pytest

from minibert import EMBEDDED_CHECKPOINT, BertModel, Reference, compare_recordings, swap, verify
from minibert.activations import ACTIVATIONS
from minibert.functions import layer_norm

MODEL = BertModel.from_pretrained(EMBEDDED_CHECKPOINT, dtype="float64")
IDS = np.array([[2, 5, 6, 7, 3], [2, 11, 3, 0, 0]])
INPUTS = {"input_ids": IDS, "attention_mask": (IDS != 0) * 1}
TANH = {"gelu": ACTIVATIONS["gelu_new"]}
RELU = {"gelu": lambda x: np.maximum(x, 0)}
EPS = {"layer_norm": lambda x, weight, bias, eps: layer_norm(x, weight, bias, 1e-5)}


def recorded(**functions):
    trace = {}
    with swap(**functions):
        MODEL(**INPUTS, trace=trace)
    return Reference.from_arrays(trace, INPUTS)


def test_the_same_fault_of_both_is_of_both():
    report = compare_recordings(recorded(**TANH), recorded(**TANH), MODEL)
    assert {row.side for row in report.faults} == {"recording A and recording B"}
    assert "recording A and recording B agree with gelu_new (tanh)" in report.verdict
    assert len(report.faults) == 4


def test_two_faults_at_one_stage_are_both_named():
    for pair in ((TANH, RELU), (RELU, TANH)):
        report = compare_recordings(*(recorded(**side) for side in pair), MODEL)
        words = ("gelu_new (tanh)", "relu") if pair[0] is TANH else ("relu", "gelu_new (tanh)")
        for side, cause in zip("AB", words, strict=True):
            assert f"recording {side} agrees with {cause}" in report.verdict


def test_faults_at_different_stages_are_each_sides_own():
    report = compare_recordings(recorded(**TANH), recorded(**EPS), MODEL)
    sides = {row.stage: row.side for row in report.faults}
    assert sides["layer.0.feed_forward.activation"] == "recording A"
    assert sides["embeddings"] == "recording B"


def states(first):
    found = MODEL(**INPUTS, output_hidden_states=True).hidden_states
    return Reference.from_arrays({"hidden_states": np.stack(found[first:])}, INPUTS)


@pytest.mark.parametrize("first", [0, 1])
def test_hidden_states_without_the_embeddings_are_the_layers(first):
    report = verify(MODEL, states(first))
    assert report.ok
    assert len(report.rows) == 5 - first
    assert ("as many as layers" in " ".join(str(report).split())) is bool(first)
    assert compare_recordings(states(first), states(1 - first), MODEL).ok


def test_too_few_hidden_states_are_refused():
    with pytest.raises(ValueError, match="hidden_states has 3 arrays; a model of 4 layers has 5"):
        verify(MODEL, states(2))


@pytest.mark.parametrize("name", ["verify", "compare"])
def test_a_terminal_shows_how_far_it_is(terminal, name):
    good = recorded()
    verify(MODEL, good) if name == "verify" else compare_recordings(good, good, MODEL)
    assert f"{name}: stage 40 of 51, layer.3" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")
