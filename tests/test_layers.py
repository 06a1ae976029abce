"""Layers by themselves: what they compute, by hand, and what they show to a trace."""

import dataclasses

import numpy as np
import pytest
from inputs import batch, padded

from minibert import functions
from minibert.layers import Attention, Embeddings, FeedForward, Layer, LayerNorm, Linear
from minibert.models.head_layers import Pooler, PredictionHead
from minibert.trace import Recording, silent

RANDOM = np.random.default_rng(0)
SIZE, WIDE, HEADS = 15, 19, 5
BATCH = padded([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 0]])
X = RANDOM.standard_normal((5, SIZE))


def linear(outputs, inputs=SIZE):
    return Linear(RANDOM.standard_normal((outputs, inputs)), RANDOM.standard_normal(outputs))


def norm():
    return LayerNorm(*RANDOM.standard_normal((2, SIZE)), eps=0.1)


ATTENTION = Attention(*(linear(SIZE) for _ in range(4)), num_heads=HEADS)
FEED_FORWARD = FeedForward(linear(WIDE), linear(SIZE, WIDE), "relu")
LAYER = Layer(ATTENTION, norm(), FEED_FORWARD, norm())


def test_embeddings_of_ids_and_of_what_is_given_in_their_place():
    tables = RANDOM.standard_normal((3, 11, SIZE))
    part = Embeddings(*tables, norm())
    ids = [[4, 1, 10], [0, 3, 9]]
    inputs = {"token_type_ids": [[0, 1, 6], [2, 0, 5]], "attention_mask": [[1, 0, 1], [1, 1, 0]]}
    packed = batch(input_ids=ids, **inputs)
    trace = Recording(packed)
    found = part(packed, trace)
    rows = [(4, 0, 0), (10, 2, 6), (0, 0, 2), (3, 1, 0)]  # word, position, token type
    total = [sum(table[i] for table, i in zip(tables, row, strict=True)) for row in rows]
    np.testing.assert_allclose(trace["sum"][packed.mask], total)
    np.testing.assert_allclose(found, part.norm(np.array(total)))
    given = batch(np.float64, inputs_embeds=part.word[np.array(ids)], **inputs)
    np.testing.assert_array_equal(part(given, silent), found)


def test_attention_of_each_sequence_is_its_own():
    def by_hand(x):
        q, k, v = (
            functions.split_heads(part(x), HEADS)
            for part in (ATTENTION.query, ATTENTION.key, ATTENTION.value)
        )
        weights = functions.softmax(np.einsum("hqd,hkd->hqk", q, k) / np.sqrt(SIZE // HEADS))
        return ATTENTION.output(np.einsum("hqk,hkd->qhd", weights, v).reshape(len(x), SIZE))

    expected = np.concatenate([by_hand(X[:3]), by_hand(X[3:])])
    np.testing.assert_allclose(ATTENTION(X, silent, BATCH), expected, rtol=1e-12, atol=1e-12)


def test_feed_forward_by_hand():
    wide = np.maximum(X @ FEED_FORWARD.intermediate.weight.T + FEED_FORWARD.intermediate.bias, 0)
    expected = wide @ FEED_FORWARD.output.weight.T + FEED_FORWARD.output.bias
    np.testing.assert_allclose(FEED_FORWARD(X, silent), expected, rtol=1e-12, atol=1e-12)


def test_a_layer_adds_each_part_to_its_input_and_then_comes_the_norm():
    y = LAYER.attention_norm(X + ATTENTION(X, silent, BATCH))
    expected = LAYER.norm(y + FEED_FORWARD(y, silent))
    np.testing.assert_array_equal(LAYER(X, silent, BATCH), expected)


INSIDE = "query", "key", "value", "scores", "probabilities", "context", "output"
STAGES = [
    *(f"attention.{name}" for name in INSIDE),
    "attention",
    *("feed_forward.intermediate", "feed_forward.activation", "feed_forward"),
]


def test_a_layer_has_no_name_and_may_run_twice():
    trace, x = Recording(BATCH), X
    for name in ("first", "second"):
        x = trace(name, LAYER(x, trace.within(name), BATCH))
    names = [f"{name}.{stage}" for name in ("first", "second") for stage in STAGES]
    assert list(trace) == [*names[: len(STAGES)], "first", *names[len(STAGES) :], "second"]
    assert not np.allclose(trace["first"], trace["second"])


class Doubling(Recording):
    """Puts twice of one stage in its place."""

    def __init__(self, where, name):
        super().__init__(where)
        self.name = name

    def __call__(self, name, x):
        super().__call__(name, x)
        return 2 * x if self.prefix + name == self.name else x


@pytest.mark.parametrize("stage", STAGES)
def test_a_layer_goes_on_with_what_the_trace_returns(stage):
    plain, doubled = Recording(BATCH), Doubling(BATCH, stage)
    outputs = [LAYER(X, trace, BATCH) for trace in (plain, doubled)]
    for before in STAGES[: STAGES.index(stage) + 1]:
        np.testing.assert_array_equal(plain[before], doubled[before])
    assert not np.allclose(*outputs)


def test_the_pooler_takes_the_first_real_token():
    part = Pooler(linear(SIZE))
    expected = np.tanh(X[[0, 3]] @ part.dense.weight.T + part.dense.bias)
    np.testing.assert_allclose(part(X, BATCH), expected, rtol=1e-12)


def test_the_head_of_a_masked_language_model():
    part, trace = PredictionHead(linear(SIZE), norm(), "gelu_new"), Recording(BATCH)
    found = part(X, trace)
    dense = part.dense(X)
    np.testing.assert_array_equal(found, part.norm(functions.gelu_new(dense)))
    assert list(trace) == ["intermediate", "activation"]
    np.testing.assert_array_equal(trace["intermediate"][BATCH.mask], dense)


@pytest.mark.parametrize("part", [LAYER, ATTENTION, FEED_FORWARD, norm(), linear(3)])
def test_layers_are_frozen(part):
    name = dataclasses.fields(part)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(part, name, None)


def test_rows_of_no_token_at_all():
    nothing = padded([[0, 0]])
    assert LAYER(X[:0], silent, nothing).shape == (0, SIZE)
    assert Pooler(linear(SIZE))(X[:0], nothing).shape == (0, SIZE)
