"""What goes wrong in a derivative: a phrase that says it, and a function that does it.

As in functions.py, a phrase says what is wrong and not what would be right; a function takes what
the derivative takes (derivatives.py) and returns as many gradients.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minibert import derivatives as d
from minibert import functions as f
from minibert.mistakes import functions as single
from minibert.mistakes.functions import TOO_LARGE, TOO_SMALL, Mistake
from minibert.runtime.swap import OPERATIONS, several

_MATRICES = "the first matrix", "the first bias", "the second matrix", "the second bias"
#: Of what a derivative returns the gradients, if it returns several.
RESULTS: dict[str, tuple[str, ...]] = {
    "linear_backward": ("the input", "the matrix", "the bias"),
    "layer_norm_backward": ("the input", "the weight of the norm", "the bias of the norm"),
    "attention_scores_backward": ("the queries", "the keys"),
    "attention_context_backward": ("the probabilities", "the values"),
    "attention_backward": ("the queries", "the keys", "the values"),
    "embeddings_backward": (
        *("the words", "the token types", "the positions"),
        *("the weight of the norm", "the bias of the norm"),
    ),
    "feed_forward_backward": ("the input", *_MATRICES),
    "pooler_backward": ("the input", "the matrix", "the bias"),
}


def is_derivative(operation: str) -> bool:
    """Tell whether an operation is the derivative of another."""
    return operation.endswith("_backward")


def of_result(name: str, i: int, said: str) -> str:
    """Say in which of several gradients something is."""
    return f"in the gradient of {RESULTS[name][i]}, {said}" if name in RESULTS else said


def general(name: str) -> tuple[Mistake, ...]:
    """Return the mistakes that any derivative may make: in all of its gradients, or in one."""
    every: list[tuple[str, Callable[[Any], Any]]] = [
        ("zeros in place of a result", np.zeros_like),
        ("the wrong sign", np.negative),
        (TOO_SMALL, lambda x: x / 2),
        (TOO_LARGE, lambda x: 2 * x),
    ]
    found = [(phrase, _changed(name, change)) for phrase, change in every]
    for i, part in enumerate(RESULTS.get(name, ())):
        found.append((f"no gradient of {part}", _changed(name, np.zeros_like, i)))
        found.append((of_result(name, i, "the wrong sign"), _changed(name, np.negative, i)))
    if name not in RESULTS and name != "identity_backward":
        found.append(("what comes in from above returned unchanged", lambda grad, *_: grad))
    return *_of_curve(name), *found


def _changed(name: str, change: Callable[[Any], Any], only: int | None = None) -> Any:
    def wrong(*args: Any) -> Any:
        found = several(OPERATIONS[name](*args))
        found = [change(x) if only in (None, i) else x for i, x in enumerate(found)]
        return tuple(found) if len(found) > 1 else found[0]

    return wrong


def _of_curve(name: str) -> tuple[Mistake, ...]:
    """Return what goes wrong in the derivative of any activation."""
    ours, curve = OPERATIONS[name], OPERATIONS.get(name.removesuffix("_backward"))
    if curve is None or curve not in f.ACTIVATIONS.values():
        return ()
    return (
        ("what comes in from above left out", lambda grad, x: ours(np.ones_like(x), x)),
        ("the activation itself in place of its derivative", lambda grad, x, f=curve: grad * f(x)),
        ("the derivative added to what comes in", lambda grad, x: grad + ours(np.ones_like(x), x)),
        ("numbers taken at what comes in, not at the input", lambda grad, x: ours(x, grad)),
    )


# matrices


def _linear(
    of_input: Callable[..., Any] = lambda g, x, w: g @ w,
    of_matrix: Callable[[Any, Any], Any] = lambda g, x: g.T @ x,
    of_bias: Callable[[Any], Any] = lambda g: g.sum(0),
) -> Callable[..., Any]:
    """Return the derivative of a matrix with one or another of its gradients changed."""
    return lambda g, x, w: (of_input(g, x, w), of_matrix(g, x), of_bias(g))


def _mean_over_rows(g: Any, x: Any) -> Any:
    return g.T @ x / len(x)


LINEAR: tuple[Mistake, ...] = (
    ("the gradient of the matrix transposed", _linear(of_matrix=lambda g, x: x.T @ g)),
    ("the matrix transposed", _linear(lambda g, x, w: g @ w.T)),
    ("the input where the matrix belongs", _linear(lambda g, x, w: g * x)),
    ("the sum over the rows for each of them", _linear(lambda g, x, w: 0 * x + g.sum(0) @ w)),
    ("what comes in where the input belongs", _linear(of_matrix=lambda g, x: g.T @ g)),
    ("the bias summed over the wrong axis", _linear(of_bias=lambda g: g.sum(1))),
    ("the bias not summed over the rows", _linear(of_bias=lambda g: g)),
    ("the bias summed to a single number", _linear(of_bias=lambda g: 0 * g[0] + g.sum())),
    ("the bias averaged over the rows", _linear(of_bias=lambda g: g.mean(0))),
    ("the matrix averaged over the rows", _linear(of_matrix=_mean_over_rows)),
    (
        "matrix and bias averaged over the rows",
        _linear(of_matrix=_mean_over_rows, of_bias=lambda g: g.mean(0)),
    ),
    (
        "matrix and bias from the last row alone",
        _linear(of_matrix=lambda g, x: np.outer(g[-1], x[-1]), of_bias=lambda g: g[-1]),
    ),
)

# attention


def _over(of_query: Callable[[int], float], of_key: Callable[[int], float]) -> Callable[..., Any]:
    """Return the derivative of attention_scores with other divisors, made of D."""

    def wrong(grad: Any, query: Any, key: Any) -> Any:
        size, turned = query.shape[-1], grad.swapaxes(-1, -2)
        return grad @ key / of_query(size), turned @ query / of_key(size)

    return wrong


def _one(size: int) -> float:
    return 1


def _times_root(size: int) -> float:
    return 1 / math.sqrt(size)


def _exchanged(grad: Any, query: Any, key: Any) -> Any:
    return d.attention_scores_backward(grad, query, key)[::-1]


def _not_turned(grad: Any, query: Any, key: Any) -> Any:
    return tuple(x / math.sqrt(query.shape[-1]) for x in (grad @ key, grad @ query))


SCORES: tuple[Mistake, ...] = (
    ("scores that are not divided", _over(_one, _one)),
    ("scores divided by D, not by its root", _over(float, float)),
    ("scores multiplied by sqrt(D)", _over(_times_root, _times_root)),
    ("only the gradient of the queries divided", _over(math.sqrt, _one)),
    ("only the gradient of the keys divided", _over(_one, math.sqrt)),
    ("queries and keys exchanged", _exchanged),
    ("scores not transposed for the keys", _not_turned),
)
CONTEXT: tuple[Mistake, ...] = (
    ("the probabilities not transposed", lambda g, p, v: (g @ v.swapaxes(-1, -2), p @ g)),
    (
        "the gradient of the probabilities transposed",
        lambda g, p, v: (v @ g.swapaxes(-1, -2), p.swapaxes(-1, -2) @ g),
    ),
    (
        "the values averaged over the queries",
        lambda g, p, v: (g @ v.swapaxes(-1, -2), p.swapaxes(-1, -2) @ g / p.shape[-2]),
    ),
    ("the same weight for all tokens", lambda g, p, v: (g @ v.swapaxes(-1, -2), _shared(g, p))),
)


def _shared(grad: Any, p: Any) -> Any:
    return np.full_like(p, 1 / p.shape[-1]).swapaxes(-1, -2) @ grad


#: What cuts heads puts them together on the way back, and may go wrong in the same ways.
SPLIT, MERGE = single.MERGE, single.SPLIT

# tables


def _overwritten(grad: Any, rows: Any, count: int) -> Any:
    table = np.zeros((count, grad.shape[1]), grad.dtype)
    table[rows] = grad
    return table


def _first_kept(grad: Any, rows: Any, count: int) -> Any:
    return _overwritten(grad[::-1], rows[::-1], count)


def _averaged(grad: Any, rows: Any, count: int) -> Any:
    times = np.maximum(np.bincount(rows, minlength=count), 1)
    return d.lookup_backward(grad, rows, count) / times[:, None]


def _next(grad: Any, rows: Any, count: int) -> Any:
    return np.roll(d.lookup_backward(grad, rows, count), 1, 0)


def _counted(grad: Any, rows: Any, count: int) -> Any:
    return d.lookup_backward(np.ones_like(grad), rows, count)


LOOKUP: tuple[Mistake, ...] = (
    ("rows overwritten where one is looked up again", _overwritten),
    ("the first look-up alone counted", _first_kept),
    ("rows averaged over how often they are looked up", _averaged),
    ("rows counted from 1", _next),
    ("how often a row is looked up, not what comes in", _counted),
)


def _at_labels(labels: Any, p: Any) -> Any:
    return np.eye(p.shape[1], dtype=p.dtype)[labels]


def _of_labels(change: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda p, labels: change(p, _at_labels(labels, p))


CROSS_ENTROPY: tuple[Mistake, ...] = (
    ("a sum over the rows, not their mean", _of_labels(lambda p, y: p - y)),
    ("a mean over all numbers", _of_labels(lambda p, y: (p - y) / p.size)),
    ("a mean over the classes", _of_labels(lambda p, y: (p - y) / p.shape[1])),
    ("the labels left out", _of_labels(lambda p, y: p / len(p))),
    ("the labels added", _of_labels(lambda p, y: (p + y) / len(p))),
    ("one taken off everywhere", _of_labels(lambda p, y: (p - 1) / len(p))),
    ("the label's own number alone", _of_labels(lambda p, y: y * (p - 1) / len(p))),
    ("no number but the others'", _of_labels(lambda p, y: (p - y * p) / len(p))),
    ("through a softmax a second time", _of_labels(lambda p, y: (f.softmax(p) - y) / len(p))),
    ("through the softmax twice", _of_labels(lambda p, y: d.softmax_backward(p - y, p) / len(p))),
    ("the squared error's", _of_labels(lambda p, y: 2 * (p - y) / len(p) / p.shape[1])),
)
