"""Functions that are right on ordinary numbers alone: each is caught, by the input made for it."""

import numpy as np
import pytest
from students import attention, gelu, layer_norm, softmax

from minibert import functions, grade
from minibert.grading.alone import try_alone
from minibert.grading.cases import cases
from minibert.runtime.swap import OPERATIONS, several


def squares(x, weight, bias, eps):
    mean = x.mean(-1, keepdims=True)
    variance = np.square(x).mean(-1, keepdims=True) - mean**2
    return (x - mean) / np.sqrt(variance + eps) * weight + bias


def squares_by_sums(x, weight, bias, eps):
    """As above, and negative variances cut off."""
    n = x.shape[-1]
    mean = x.sum(-1, keepdims=True) / n
    variance = ((x * x).sum(-1, keepdims=True) - n * mean * mean) / n
    return (x - mean) / np.sqrt(np.maximum(variance, 0) + eps) * weight + bias


def square_softmax(x):
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / (powers @ np.ones(x.shape[-2:], x.dtype))


def square_softmax_with_a_loop(x):
    out = np.empty_like(x)
    for i in range(x.shape[-1]):
        out[..., i, :] = softmax(x[..., i, :])
    return out


def first_rows(count, function):
    def student(x, *args):
        out = function(x, *args).copy()
        out[..., count:, :] = 0
        return out

    return student


def two_axes(function):
    def student(x, *args):
        _, _ = x.shape
        return function(x, *args)

    return student


def remembered(function, key):
    memory = {}

    def student(*args):
        if key(args[0]) not in memory:
            memory[key(args[0])] = function(*args)
        return memory[key(args[0])]

    return student


def cut(low, high):
    def student(x):
        return np.where(x < low, 0, np.where(x > high, x, gelu(x))).astype(x.dtype)

    return student


def shape_and_type(x):
    return x.shape, x.dtype


MANY, AXES, SAME = "many rows", "another number of axes", "other numbers in the same shape"
CAUGHT = [
    ("layer_norm", squares, "numbers far from 0"),
    ("layer_norm", squares_by_sums, "numbers far from 0"),
    ("softmax", square_softmax, "fewer rows than columns"),
    ("softmax", square_softmax, "more rows than columns"),
    ("softmax", square_softmax_with_a_loop, "more rows than columns"),
    ("softmax", lambda x: softmax(x.transpose(0, 1, 2)), "two axes"),
    ("softmax", lambda x: softmax(np.einsum("hqk->hqk", x)), AXES),
    ("gelu", first_rows(16, gelu), MANY),
    ("gelu", first_rows(39, gelu), MANY),
    ("layer_norm", first_rows(16, layer_norm), MANY),
    ("linear", first_rows(8, lambda x, w, b: x @ w.T + b), MANY),
    ("softmax", first_rows(32, softmax), MANY),
    ("attention", first_rows(16, attention), MANY),
    ("split_heads", first_rows(16, functions.split_heads), MANY),
    ("gelu", two_axes(gelu), AXES),
    ("layer_norm", two_axes(layer_norm), AXES),
    ("linear", two_axes(lambda x, w, b: x @ w.T + b), AXES),
    ("linear", lambda x, w, b: np.dot(w, x.T).T + b, AXES),
    ("layer_norm", lambda x, w, b, e: layer_norm(x.T.T, *(w, b, e)) if x.ndim < 3 else x, AXES),
    ("gelu", remembered(gelu, shape_and_type), SAME),
    ("softmax", remembered(softmax, shape_and_type), SAME),
    ("softmax", remembered(softmax, lambda x: x.tobytes()[:0] + bytes(x.shape)), SAME),
    ("linear", remembered(lambda x, w, b: x @ w.T + b, shape_and_type), SAME),
    ("embeddings", remembered(functions.embeddings, shape_and_type), SAME),
    ("gelu", cut(-3, 9), "numbers from -8 to 8"),
    ("gelu", cut(-5, 9), "numbers from -8 to 8"),
    ("gelu", cut(-9, 4), "numbers from -8 to 8"),
    ("silu", lambda x: np.where(x < -7.5, 0, functions.silu(x)), "numbers from -8 to 8"),
    ("tanh", lambda x: np.where(abs(x) > 6, np.sign(x), np.tanh(x)), "numbers from -8 to 8"),
]


@pytest.mark.parametrize(("name", "student", "case"), CAUGHT)
def test_what_is_right_on_ordinary_numbers_alone_is_caught(name, student, case):
    found = {one.case: one.cause for one in try_alone(name, student)}
    assert found["ordinary numbers"] == ""
    assert found[case]


CAUSES = [
    ("layer_norm", squares, "on numbers far from 0, its numbers are wrong, as if large squares"),
    ("gelu", cut(-4.5, 9), "on numbers from -8 to 8, its numbers are wrong, as if a tail were cut"),
    ("gelu", first_rows(16, gelu), "on many rows, the first 16 rows alone are right"),
    ("softmax", remembered(softmax, shape_and_type), f"on {SAME}, the result of earlier numbers"),
]


@pytest.mark.parametrize(("name", "student", "cause"), CAUSES)
def test_the_cause_where_only_one_input_shows_it(name, student, cause):
    assert grade(**{name: student}).cause.startswith(cause)


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_ours_gives_finite_numbers_on_every_case(name):
    for case in cases(name):
        found = several(OPERATIONS[name](*case.args, **case.options))
        assert all(np.isfinite(x).all() for x in found), case.name


RIGHT = {
    "a loop over rows": lambda x: np.array([gelu(row) for row in x]),
    "float32 inside": lambda x: gelu(x.astype(np.float32)).astype(x.dtype),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_in_another_way_stays_right(name):
    assert grade(gelu=RIGHT[name])


def welford(x, weight, bias, eps):
    """The variance in one pass over the columns, as it should be done."""
    mean, total = np.zeros_like(x[..., :1]), np.zeros_like(x[..., :1])
    for i in range(x.shape[-1]):
        step = x[..., i : i + 1] - mean
        mean = mean + step / (i + 1)
        total = total + step * (x[..., i : i + 1] - mean)
    return (x - mean) / np.sqrt(total / x.shape[-1] + eps) * weight + bias


def shifted(x, weight, bias, eps):
    """E[x^2] - E[x]^2 of numbers that are shifted first."""
    return squares(x - x[..., :1], weight, bias, eps)


@pytest.mark.parametrize("student", [welford, shifted])
def test_a_variance_in_one_pass_may_be_right(student):
    assert grade(layer_norm=student)
