"""What is said of a function that is tried by itself."""

import sys

import numpy as np
import pytest
from students import attention, gelu, layer_norm, softmax

from minibert import functions, grade
from minibert.grading.cases import cases

UNNAMED = object()
SAID = {
    "stub": (lambda x: (_ for _ in ()).throw(NotImplementedError), "it is not written yet"),
    "error": (lambda x: 1 // 0, "it raises ZeroDivisionError: integer division or modulo by zero"),
    "mute": (lambda x: [].pop(0) if False else next(iter([])), "it raises StopIteration"),
    "exit": (lambda x: sys.exit(3), "it raises SystemExit: 3"),
    "arguments": (lambda: 1, r"it raises TypeError: <lambda>() takes 0 positional arguments but 1"),
    "nothing": (lambda x: None, "it returned nothing; is the return missing?"),
    "list": (lambda x: x.tolist(), "it returned a list; needed: a NumPy array"),
    "shape": (lambda x: x[0], "it returned an array of shape (7,); needed: (5, 7)"),
    "half": (lambda x: gelu(x).astype("f2"), "it returned float16; needed: float64, as it was giv"),
    "scalars": (lambda x: gelu(x) * np.ones(1), "on float32, it returned float64; needed: float32"),
    "random": (lambda x: np.random.default_rng().random(x.shape), "it returns another result each"),
    "nan": (lambda x: x * np.nan, "it returned 35 of 35 numbers that are NaN or infinite where"),
    "numpy": (lambda x: {}[np.float64(2.5)], "it raises KeyError: 2.5"),
    "address": (lambda x: {}[UNNAMED], "it raises KeyError: <object object>"),
    "long": (lambda x: {}["long " * 99], "it raises KeyError: 'long long"),
}


@pytest.mark.parametrize("case", SAID)
def test_what_is_said_of_it(case):
    student, said = SAID[case]
    result = grade(gelu=student)
    assert result.cause.startswith(said)
    assert len(result.cause) < 240
    assert "\n" not in repr(result)
    assert result.points == (0.92 if case == "scalars" else 0)


def test_an_exception_without_notes_is_told_alike():
    """As all exceptions are on Python 3.10."""

    class NotelessError(Exception):
        @property
        def add_note(self):
            raise AttributeError

    def student(x):
        raise NotelessError("no luck")

    result = grade(gelu=student)
    assert result.cause == "it raises NotelessError: no luck"
    assert result.stage == "layer.0.feed_forward"


def test_a_function_that_is_random_now_and_then():
    calls = []

    def dropout(x):
        calls.append(x)
        return gelu(x) * (1.0001 if len(calls) == len(cases("gelu")) + 1 else 1)

    result = grade(gelu=dropout)
    assert result.cause == "it returns another result each time it is called"
    assert result.wrong == ("the same input twice",)


def test_a_form_that_is_wrong_is_no_mistake_in_the_numbers():
    """In float32, a softmax whose exp may overflow is as good as any other."""
    result = grade(softmax=lambda x: softmax(x) * np.ones(1))
    assert result.cause.startswith("on float32, it returned float64")


def test_a_mistake_in_float32_alone():
    def student(x, weight, bias, eps):
        return layer_norm(x, weight, 0 * bias if x.dtype == np.float32 else bias, eps)

    assert grade(layer_norm=student).cause == "on float32, no bias of the norm"


@pytest.mark.parametrize("name", functions.ACTIVATIONS)
def test_activations_meet_large_numbers_and_a_single_row(name):
    assert {"large numbers", "a single row"} <= {
        case.name for case in cases(functions.ACTIVATIONS[name].__name__)
    }


def test_a_function_that_changes_its_inputs_is_told_so():
    def student(x, weight, bias, eps):
        x -= x.mean(-1, keepdims=True)
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight + bias

    result = grade(layer_norm=student)
    assert result.cause.startswith("it changes its input x in place")
    assert result.stage == "embeddings"
    assert result.wrong == ("inputs that stay as they were", "the whole model")


def test_what_only_edge_cases_show():
    softmax = grade(softmax=lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True))
    assert softmax.cause == (
        "on large numbers, exp that overflows: numbers go into it as large as they come"
    )
    assert softmax.wrong == ("large numbers",)
    norm = grade(layer_norm=lambda x, w, b, e: layer_norm(x, w, b, max(e, 1e-3)))
    assert norm.cause == "on a tiny eps, eps 0.001"
    one = grade(gelu=lambda x: gelu(x) if len(x) > 1 else x)
    assert one.cause == "on a single row, no activation"
    order = grade(gelu=lambda x: gelu(x.ravel("K").reshape(x.shape)))
    assert order.wrong == ("arrays that lie column by column",)
    fewer = grade(attention=lambda q, k, v: attention(q, k[:, -q.shape[1] :], v[:, -q.shape[1] :]))
    assert fewer.wrong == ("fewer queries than keys",)


def test_warnings_of_the_function_stay_silent():
    """They are errors in these tests, and exp of large numbers would warn."""
    assert not grade(softmax=lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True))
