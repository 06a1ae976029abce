"""What is told by two results alone: how one differs from the other."""

import numpy as np
import pytest

from minibert.mistakes.functions import error_of

X = 3 * np.random.default_rng(1).standard_normal((2, 30, 7))


def first(count):
    out = np.zeros_like(X)
    out[:, :count] = X[:, :count]
    return out


ERRORS = {
    "the same number everywhere": [0 * X, 0 * X + 0.3],
    "a result that is too small, by one factor": [X / 3, 0.999 * X],
    "a result that is too large, by one factor": [1.7 * X, 1.001 * X],
    "the wrong sign, and another factor": [-2 * X, -0.1 * X],
    "one number added to all of the result": [X + 1, X - 0.001],
    "numbers rounded to 0 decimals": [X.round()],
    "numbers rounded to 3 decimals": [X.round(3)],
    "numbers cut off at a largest or a smallest one": [
        np.clip(X, -1, 1),
        np.maximum(X, 0),
        np.minimum(X, 2.5),
    ],
    "the first row alone is right": [first(1), np.broadcast_to(X[:, :1], X.shape)],
    "the first 16 rows alone are right": [first(16)],
    "no more digits than half precision (float16) has": [
        X.astype(np.float16),
        X * (1 + np.finfo(np.float16).eps * np.sin(100 * X)),
    ],
    "": [X[::-1], X[:, ::-1], np.where(X < 3, X, 0), np.full_like(X, np.nan), np.square(X)],
}


@pytest.mark.parametrize(
    ("phrase", "found"), [(phrase, found) for phrase, all_ in ERRORS.items() for found in all_]
)
def test_an_error_is_told_by_the_result(phrase, found):
    assert error_of(found, X) == phrase


def test_results_without_rows_or_numbers():
    assert error_of(np.array([1.0, 2.0]), np.array([1.0, 3.0])) != "the first row alone is right"
    assert error_of(np.zeros((0, 2)), np.zeros((0, 2))) == ""
    assert error_of(np.array([[1, 2]]), np.array([[1.0, 3.0]])) == ""
