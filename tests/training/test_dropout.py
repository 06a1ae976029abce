"""Dropout: where transformers has it, as much, and what is left makes up for it."""

import numpy as np
import pytest
from learning import KINDS, read, told, wide

import minibert
from minibert.runtime.threads import in_turn
from minibert.trace import pattern_of
from minibert.training.dropout import Dropout
from minibert.training.kept import Kept
from minibert.training.learning import learn

#: As transformers' modeling files have it, of configs whose every rate is another one.
RATES = {
    "Bert": {"hidden_dropout_prob": 0.12, "attention_probs_dropout_prob": 0.23},
    "GPT2": {"embd_pdrop": 0.12, "attn_pdrop": 0.23, "resid_pdrop": 0.34},
    "Bart": {"dropout": 0.12, "attention_dropout": 0.23, "activation_dropout": 0.34},
}
HALVES = {"attention.output": 0.12, "attention.probabilities": 0.23, "feed_forward": 0.12}
STACK = {**HALVES, "feed_forward.activation": 0.34}
ACROSS = {"cross_attention.output": 0.12, "cross_attention.probabilities": 0.23}


def of_layers(rates, side=""):
    found = {f"{side}layer.{{i}}.{stage}": rate for stage, rate in rates.items()}
    return {f"{side}embeddings": 0.12, **found}


PLACES = {
    "Bert": of_layers(HALVES),
    "GPT2": of_layers({**HALVES, "attention.output": 0.34, "feed_forward": 0.34}),
    "Bart": {**of_layers(STACK, "encoder."), **of_layers(STACK | ACROSS, "decoder.")},
}
HEADS = {
    **dict.fromkeys((x for x in KINDS if x.endswith("TokenClassification")), ("head",)),
    "BertForSequenceClassification": ("head",),
    "BertForMultipleChoice": ("head",),
    "BartForSequenceClassification": ("head", "classifier.activation"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_places_and_rates_are_those_of_transformers(kind):
    model = wide(kind, **RATES[kind[:4]], classifier_dropout=0.45)
    assert model.dropouts() == PLACES[kind[:4]] | dict.fromkeys(HEADS.get(kind, ()), 0.45)


def test_a_head_has_the_rate_of_the_rest_if_none_is_given():
    assert wide("BertForTokenClassification", hidden_dropout_prob=0.2).dropouts()["head"] == 0.2
    assert wide("GPT2ForTokenClassification", embd_pdrop=0.2).dropouts()["head"] == 0.1
    assert wide("BartForSequenceClassification").dropouts()["head"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_place_drops_out_and_no_other(kind):
    """The share of zeros in the stages that are kept, each of a layer's in its last layer."""
    model, inputs = (
        wide(kind, **RATES[kind[:4]], classifier_dropout=0.45),
        read(kind, shape=(24, 29)),
    )
    batch = model.batch(**inputs, **told(kind, inputs))
    for place, rate in model.dropouts().items():
        kept = Kept(Dropout({place: rate}, (3,)))
        in_turn(lambda kept=kept: model.logits(*states(model, batch, kept), kept))
        shares = {pattern_of(stage): (x == 0).mean() for (_, stage), x in kept.stages.items()}
        if not place.endswith("probabilities"):  # which are not kept, but computed again
            assert shares.pop(place) == pytest.approx(rate, abs=4 * np.sqrt(rate / 24 / 45))
        assert max(shares.values()) < 0.05  # not quite 0, where a token looks at itself alone


def states(model, batch, kept):
    """Return the last state of a batch, and the batch as a head reads it."""
    batch = model.base_model.encoded(batch, kept)
    return model.base_model.states(batch, kept), batch


def test_what_is_left_makes_up_for_what_is_not():
    x = np.random.default_rng(0).standard_normal((300, 200))
    dropout = Dropout({"layer.{i}.feed_forward": 0.3}, (5, 1))
    left = dropout("layer.1.feed_forward", x)
    mask = dropout.mask("layer.1.feed_forward", x.shape)
    assert (left == 0).mean() == pytest.approx(0.3, abs=0.01)
    np.testing.assert_allclose(left, mask * x / 0.7, rtol=1e-14)
    assert dropout("layer.1.attention", x) is x
    assert dropout("layer.1.feed_forward", x.astype(np.float32)).dtype == np.float32
    assert not Dropout({"a": 1 - 2**-16}, (0,))("a", np.ones(1000)).all()


def test_chance_is_of_the_seed_the_step_the_stage_and_the_place():
    def drawn(seed=(5, 1), stage="layer.0.attention.output", *place):
        return Dropout({"layer.{i}.attention.output": 0.5}, seed).mask(stage, (64, 9), *place)

    first = drawn()
    assert np.array_equal(first, drawn())
    others = drawn((6, 1)), drawn((5, 2)), drawn((5, 1), "layer.1.attention.output")
    pieces = (drawn((5, 1), "layer.0.attention.output", *x) for x in (((1,), ()), ((), (1,))))
    for other in (*others, *pieces):
        assert 0.4 < (first == other).mean() < 0.6


def test_the_mean_of_many_is_the_pass_without():
    x = np.random.default_rng(0).standard_normal(40)
    many = [Dropout({"embeddings": 0.25}, (seed,))("embeddings", x) for seed in range(2000)]
    error = np.abs(np.mean(many, axis=0) - x) / np.abs(x)
    assert error.max() < 4 * np.sqrt(0.25 / 0.75 / 2000)


@pytest.mark.parametrize("kind", ["BertForTokenClassification", "GPT2LMHeadModel"])
def test_losses_with_dropout_lie_around_the_one_without(kind):
    model, inputs = wide(kind, **dict.fromkeys(RATES[kind[:4]], 0.01)), read(kind)
    labels = told(kind, inputs)
    losses = [minibert.gradients(model, inputs, labels, seed=seed)[0] for seed in range(60)]
    loss = minibert.gradients(model, inputs, labels)[0]
    assert len({*losses}) == 60
    assert np.mean(losses) == pytest.approx(loss, abs=4 * np.std(losses) / np.sqrt(60) + 0.01)
    assert min(losses) < loss < max(losses)


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_drops_nothing_and_a_seed_the_same_twice(kind):
    model, inputs = wide(kind, **RATES[kind[:4]]), read(kind)
    labels = told(kind, inputs)
    loss, found = minibert.gradients(model, inputs, labels, seed=4)
    again = minibert.gradients(model, inputs, labels, seed=4)
    assert loss == again[0]
    assert all(np.array_equal(found[name], grad) for name, grad in again[1].items())
    assert loss != minibert.gradients(model, inputs, labels, seed=5)[0]
    plain = learn(model, model.batch(**inputs, **labels))[0]
    assert model(**inputs, **labels).loss == plain == model(**inputs, **labels).loss != loss
