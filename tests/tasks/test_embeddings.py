import io
import sys

import numpy as np
import pytest

from minibert import BertModel
from minibert.tasks import embed

TEXTS = [
    "the cat sat .",
    "the dog lay on the red mat , in the blue house .",
    "it .",
    "the cat sat .",
]


@pytest.fixture
def pair(config, tokenizer):
    return BertModel(config, seed=1), tokenizer


def states(pair, text):
    model, tokenizer = pair
    return model(**tokenizer(text, return_tensors="np")).last_hidden_state[0]


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [
        ("mean", lambda x: x.mean(axis=0)),
        ("cls", lambda x: x[0]),
        ("max", lambda x: x.max(axis=0)),
    ],
)
def test_real_tokens_are_pooled(pair, pooling, pool):
    found = embed(TEXTS, pooling, normalize=False, model=pair)
    assert found.shape == (4, 21)
    for text, vector in zip(TEXTS, found, strict=True):
        np.testing.assert_allclose(vector, pool(states(pair, text)), rtol=0, atol=2e-6)


def test_vectors_are_of_length_1_unless_that_is_not_wanted(pair):
    np.testing.assert_allclose(np.linalg.norm(embed(TEXTS, model=pair), axis=1), 1, rtol=1e-6)
    plain = embed(TEXTS, normalize=False, model=pair)
    assert np.linalg.norm(plain, axis=1).std() > 0.01


@pytest.mark.parametrize("batch_size", [1, 2, 3, 32])
def test_a_text_alone_and_among_others_is_the_same(pair, batch_size):
    together = embed(TEXTS, batch_size=batch_size, model=pair)
    for text, vector in zip(TEXTS, together, strict=True):
        np.testing.assert_allclose(vector, embed(text, model=pair), rtol=0, atol=2e-6)
    np.testing.assert_allclose(together[0], together[3], rtol=0, atol=2e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
def test_padding_may_be_on_the_left(pair, pooling):
    expected = embed(TEXTS, pooling, model=pair)
    pair[1].padding_side = "left"
    # position ids count padding, as in transformers, so only the longest text is not shifted
    found = embed(TEXTS, pooling, model=pair)
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"texts": TEXTS, "pooling": "sum"}, ValueError, "allowed: mean, cls, max"),
        ({"texts": TEXTS, "batch_size": 0}, ValueError, "batch_size is 0"),
        ({"texts": TEXTS, "batch_size": True}, ValueError, "batch_size is True"),
        ({"texts": ["the cat", 7]}, TypeError, "a text is an int; needed: a text"),
        ({"texts": None}, TypeError, "texts is None; needed: a text, or a list of texts"),
    ],
)
def test_what_cannot_be_embedded_is_told(pair, options, error, says):
    with pytest.raises(error, match=says):
        embed(**options, model=pair)


def test_a_count_may_be_of_numpy(pair):
    sizes = np.array([2])
    np.testing.assert_array_equal(
        embed(TEXTS, batch_size=sizes[0], model=pair), embed(TEXTS, batch_size=2, model=pair)
    )


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize(
    ("stream", "count", "shown"),
    [(Terminal, 10, True), (Terminal, 9, False), (io.StringIO, 10, False)],
)
def test_a_long_list_shows_a_bar_on_a_terminal(pair, monkeypatch, stream, count, shown):
    monkeypatch.setattr(sys, "stderr", stream())
    embed(["the cat sat ."] * count, batch_size=1, model=pair)
    assert (f"{count}/{count}" in sys.stderr.getvalue()) == shown
    assert bool(sys.stderr.getvalue()) == shown


def test_no_texts_give_no_vectors(pair):
    assert embed([], model=pair).shape == (0, 21)


def test_like_sentences_are_near(minilm_folder):
    texts = [
        "A man is playing a guitar.",
        "Someone plays an instrument.",
        "Bread is made of flour.",
    ]
    first, second, third = embed(texts, model=minilm_folder)
    near, far = first @ second, first @ third
    assert near > 0.4 > 0.2 > far
