"""Steps on scores: padding is no word. What they do beside transformers: test_generation.py."""

import numpy as np

from minibert.models.processors import (
    at_first,
    likeliest,
    near_the_best,
    no_ngram_twice,
    repeated_less,
)

SEEN = np.array([[-1, -1, 3], [1, 2, 3]])
SCORES = np.ones((2, 5), np.float32)


def forbidden(scores):
    return [np.flatnonzero(np.isneginf(row)).tolist() for row in scores]


def test_padding_is_no_word():
    assert forbidden(no_ngram_twice(SEEN, SCORES, 1)) == [[3], [1, 2, 3]]
    assert repeated_less(SEEN, SCORES, 2.0).tolist() == [[1, 1, 1, 0.5, 1], [1, 0.5, 0.5, 0.5, 1]]
    assert (SCORES == 1).all()


def test_words_that_are_as_likely_are_kept_alike():
    assert forbidden(likeliest(SEEN, SCORES, 2)) == [[], []]
    assert forbidden(near_the_best(SEEN, SCORES * np.arange(5), 1.0)) == [[0, 1, 2, 3]] * 2
    assert forbidden(at_first(SEEN, SCORES, [4], 2)) == [[], []]
