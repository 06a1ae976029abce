"""How else parts may be put together: each change is another network, called in the same way."""

import numpy as np
import pytest
from inputs import padded
from wide import WIDE

from minibert import BertModel
from minibert.mistakes import layers, matrices
from minibert.trace import Recording, silent

MODEL = BertModel.from_pretrained(WIDE, "float64")
FIRST = MODEL.layers[0]
BATCH = padded([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]])
X = np.random.default_rng(0).standard_normal((6, 21))
EXPECTED = FIRST(X, silent, BATCH)

LAYERS = [
    *layers.LAYER,
    *((f"{words} (first)", layers.joined(first=join)) for words, join in layers.JOINS),
    *((f"{words} (second)", layers.joined(second=join)) for words, join in layers.JOINS),
]


@pytest.mark.parametrize(("phrase", "change"), LAYERS)
def test_another_layer_is_called_as_a_layer_and_computes_something_else(phrase, change):
    trace, before = Recording(BATCH), X.copy()
    found = change(FIRST)(X, trace, BATCH)
    np.testing.assert_array_equal(X, before)
    assert (found.shape, found.dtype) == (X.shape, X.dtype)
    if phrase != "the residual taken from the layer's input (first)":  # it is the input there
        assert not np.allclose(found, EXPECTED)
    if phrase not in ("a layer that is skipped",):
        plain = Recording(BATCH)
        FIRST(X, plain, BATCH)
        assert list(trace) == list(plain)


def test_a_layer_that_joins_as_bert_does_is_a_layer_of_bert():
    np.testing.assert_array_equal(layers.joined()(FIRST)(X, silent, BATCH), EXPECTED)


def test_a_layer_that_runs_twice_shows_its_second_run():
    trace, second = Recording(BATCH), Recording(BATCH)
    layers.twice(FIRST)(X, trace, BATCH)
    FIRST(EXPECTED, second, BATCH)
    for stage in second:
        np.testing.assert_array_equal(trace[stage], second[stage])


@pytest.mark.parametrize("table", ["LINEAR", "NORM"])
def test_other_matrices_and_norms(table):
    part = {"LINEAR": FIRST.attention.query, "NORM": FIRST.norm}[table]
    expected = part(X)
    for phrase, change in getattr(matrices, table):
        if phrase == "eps 1e-12":  # it is that here
            assert part.eps == 1e-12
            continue
        found = change(part)(X)
        assert found.shape == expected.shape
        assert np.abs(found - expected).max() > 1e-13, phrase


def test_other_poolers():
    expected = MODEL.pooler(X, BATCH)
    assert len(layers.POOLER) == 4
    for _, change in layers.POOLER:
        found = change(MODEL.pooler)(X, BATCH)
        assert found.shape == expected.shape
        assert not np.allclose(found, expected)


def test_the_last_token_pooled():
    change = dict(layers.POOLER)["the last token pooled"]
    expected = np.tanh(MODEL.pooler.dense(X[[3, 5]]))
    np.testing.assert_allclose(change(MODEL.pooler)(X, BATCH), expected)
