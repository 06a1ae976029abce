"""What a derivative is tried on by itself; what comes in from above is random, and never ones."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.functions import ACTIVATIONS, softmax

Args = tuple[Any, ...]

_CURVES = {f"{curve.__name__}_backward" for curve in ACTIVATIONS.values()}
#: Which arguments of a derivative are rows, as many as there are tokens.
_ROW_ARGS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(_CURVES | {"linear_backward", "layer_norm_backward"}, (0, 1)),
    **dict.fromkeys(("lookup_backward", "cross_entropy_backward"), (0, 1)),
    "merge_heads_backward": (0,),
    "pooler_backward": (0, 1, 3),
    "feed_forward_backward": (0, 1, 2, 3),
    "embeddings_backward": (0, 1, 2, 3, 4),
}


def ordinary(operation: str) -> Args:
    """Return ordinary arguments. Matrices are square, so that a transposed one runs, too."""
    random, heads = np.random.default_rng(0), (2, 5, 3)

    def draw(*shape: int) -> NDArray[np.float64]:
        return random.standard_normal(shape)

    def forward() -> Args:
        x, wide = draw(4, 6), 2 * draw(4, 6)
        return draw(4, 6), x, wide, ACTIVATIONS["gelu"](wide), draw(6, 6), draw(6, 6), "gelu"

    ids = np.array([1, 4, 2, 1]), np.array([0, 1, 1, 0]), np.array([3, 0, 1, 5])
    arguments: dict[str, Callable[[], Args]] = {
        "linear": lambda: (draw(5, 6), draw(5, 6), draw(6, 6)),
        "layer_norm": lambda: (draw(5, 6), 2 * draw(5, 6) + 1, 1 + draw(6), 0.1),
        "softmax": lambda: (draw(2, 5, 5), softmax(2 * draw(2, 5, 5))),
        "split_heads": lambda: (draw(*heads),),
        "merge_heads": lambda: (draw(5, 6), 3),
        "attention_scores": lambda: (draw(2, 5, 5), draw(*heads), draw(*heads)),
        "attention_context": lambda: (draw(*heads), softmax(draw(2, 5, 5)), draw(*heads)),
        "attention": lambda: tuple(draw(*heads) for _ in range(4)),
        "lookup": lambda: (draw(5, 4), np.array([4, 1, 4, 4, 0]), 6),
        "embeddings": lambda: (draw(4, 5), *ids, 2 * draw(4, 5), 1 + draw(5), 0.1, 6, 2, 7),
        "feed_forward": forward,
        "pooler": lambda: (draw(5, 6), draw(5, 6), draw(6, 6), np.tanh(draw(5, 6))),
        "cross_entropy": lambda: (softmax(draw(5, 7)), np.array([3, 0, 6, 3, 1])),
    }
    name = operation.removesuffix("_backward")
    return arguments.get(name, lambda: (draw(5, 7), 2 * draw(5, 7)))()


def odd(operation: str) -> list[tuple[Any, ...]]:
    """Return a name, the arguments, the tolerance, the hint and the options of each odd case."""
    args, found = ordinary(operation), []
    if operation in _ROW_ARGS:
        found += [("a single row", _rows(operation, args, [0]))]
        found += [("many rows", _rows(operation, args, [7 * i % len(args[0]) for i in range(40)]))]
    for name, some, change, *options in _ODD:
        if operation in some:
            found.append((name, change(*args), 1e-5, "", *options))
    return found


def _rows(operation: str, args: Args, rows: list[int]) -> Args:
    """Return other rows of all that has rows, the first array's none like another."""
    first, *rest = (x[rows] if i in _ROW_ARGS[operation] else x for i, x in enumerate(args))
    return first * np.linspace(1, 2, len(rows))[:, None], *rest


def _stacked(*args: Any) -> Args:
    return tuple(np.stack([x, x[::-1]]) for x in args)


def _tails(grad: Any, x: Any) -> Args:
    # at none of the corners, where there is no derivative
    return np.resize(grad, (7, 23)), np.linspace(-8.03, 8.01, 7 * 23).reshape(7, 23)


def _hardly_varying(grad: Any, x: Any, weight: Any, eps: float) -> Args:
    return grad, np.concatenate([x[:2], 3 + 1e-3 * x[2:]]), weight, 1e-5


def _certain(grad: Any, probabilities: Any) -> Args:
    largest = probabilities == probabilities.max(-1, keepdims=True)
    return grad, np.where([[[True], [False]] * 2 + [[True]]], largest, probabilities)


def _first_queries(grad: Any, query: Any, *rest: Any) -> Args:
    return grad[:, :3], query[:, :3], *rest


def _wider(grad: Any, x: Any, wide: Any, active: Any, w: Any, w2: Any, *rest: Any) -> Args:
    more = np.c_[wide, -wide[:, :2]], np.c_[active, ACTIVATIONS["gelu"](-wide[:, :2])]
    return grad, x, *more, np.r_[w, 2 * w[:2]], np.c_[w2, w2[:, :2]], *rest


def _relu(grad: Any, x: Any, wide: Any, active: Any, *rest: Any) -> Args:
    return grad, x, wide, ACTIVATIONS["relu"](wide), *rest[:-1], "relu"


def _alike(grad: Any, rows: Any, *rest: Any) -> Args:
    return grad, np.full_like(rows, 1), *rest


_SOFTMAX, _NORM = {"softmax_backward"}, {"layer_norm_backward"}
_PARTS = {"attention_scores_backward", "attention_context_backward"}
_ATTENTION = {"attention_backward"}
_HOLES = np.tile([True, False, True, True, False], (5, 1))
#: A name, the derivatives tried on it, what it makes of ordinary arguments (and options).
_ODD: tuple[tuple[Any, ...], ...] = (
    ("numbers from -8 to 8", _CURVES, _tails),
    ("large numbers", _CURVES | _NORM, lambda grad, x, *rest: (grad, 1e3 * x, *rest)),
    ("large numbers", _ATTENTION, lambda grad, q, *rest: (grad, 1e3 * q, *rest)),
    ("another number of axes", _CURVES | _SOFTMAX, _stacked),
    ("two axes", _SOFTMAX, lambda grad, p: (grad[0], p[0])),
    ("fewer rows than columns", _SOFTMAX, lambda grad, p: (grad[:, :3], p[:, :3])),
    ("probabilities of 0 and 1", _SOFTMAX, _certain),
    ("a row that hardly varies", _NORM, _hardly_varying),
    ("a tiny eps", _NORM, lambda *args: (*args[:3], 1e-12)),
    ("numbers far from 0", _NORM, lambda grad, x, *rest: (grad, x + 1e6, *rest)),
    ("fewer outputs than inputs", {"linear_backward"}, lambda g, x, w: (g[:, :4], x, w[:4])),
    ("fewer queries than keys", _ATTENTION | _PARTS, _first_queries),
    ("a single head", _ATTENTION | _PARTS, lambda *args: tuple(x[:1] for x in args)),
    ("a mask that leaves keys out", _ATTENTION, lambda *args: args, {"allowed": _HOLES}),
    ("a causal mask", _ATTENTION, lambda *args: args, {"allowed": np.tri(5, dtype=bool)}),
    ("a row that is looked up each time", {"lookup_backward"}, _alike),
    ("a large table", {"lookup_backward"}, lambda grad, rows, _: (grad, rows, 50)),
    ("tokens that are all alike", {"embeddings_backward"}, _alike),
    ("more columns within", {"feed_forward_backward"}, _wider),
    ("another activation", {"feed_forward_backward"}, _relu),
)
