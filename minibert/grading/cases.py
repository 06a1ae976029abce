"""What a function is tried on by itself: small inputs, each with a name that says what is odd."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.functions import ACTIVATIONS, softmax
from minibert.grading import cases_backward
from minibert.mistakes.gradients import is_derivative

Args = tuple[Any, ...]

ORDINARY = "ordinary numbers"


@dataclass(frozen=True, eq=False)
class Case:
    """Arguments of an operation, and the name of what is special about them."""

    name: str
    args: Args
    tolerance: float = 1e-5  # of |found - ours|, over 1 + |ours|
    hint: str = ""  # what is probably wrong with a function that fails here alone
    options: dict[str, Any] = field(default_factory=dict)  # keywords: which keys are allowed


def cases(operation: str) -> list[Case]:
    """Return what to try an operation on; ordinary numbers come first."""
    backward = is_derivative(operation)
    args = (cases_backward.ordinary if backward else _ordinary)(operation)
    odd = cases_backward.odd(operation) if backward else _odd(operation, args)
    return [
        Case(ORDINARY, args),
        Case(
            "other numbers in the same shape", _each_array(args, lambda array: array[::-1].copy())
        ),
        Case("float32", _each_array(args, _single), 1e-4),
        Case("arrays that lie column by column", _each_array(args, np.asfortranarray)),
        *(Case(*one) for one in odd),
    ]


def _odd(operation: str, args: Args) -> list[tuple[Any, ...]]:
    chosen = (line for line in _ODD if operation in line[1])
    return [(name, change(*args), *more) for name, _, change, *more in chosen]


def _each_array(args: Args, change: Callable[[Any], Any]) -> Args:
    return tuple(change(value) if isinstance(value, np.ndarray) else value for value in args)


def _single(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if array.dtype.kind == "f" else array


def _ordinary(operation: str) -> Args:
    """Return ordinary arguments. Matrices are square, so that a transposed one runs, too."""
    random, heads = np.random.default_rng(0), (2, 5, 3)

    def draw(*shape: int) -> NDArray[np.float64]:
        return random.standard_normal(shape)

    ids = np.array([[1, 4, 2, 1], [0, 1, 1, 0], [3, 0, 1, 5]])
    tables = (6, 5), (2, 5), (7, 5), (5,), (5,)
    arguments: dict[str, Callable[[], Args]] = {
        "linear": lambda: (draw(5, 6), draw(6, 6), draw(6)),
        "pooler": lambda: (draw(5, 6), 0.5 * draw(6, 6), draw(6)),
        "layer_norm": lambda: (2 * draw(5, 6) + 1, draw(6), draw(6), 0.1),
        "softmax": lambda: (2 * draw(2, 5, 5),),
        "split_heads": lambda: (draw(5, 6), 3),
        "merge_heads": lambda: (draw(*heads),),
        "attention_scores": lambda: (draw(*heads), draw(*heads)),
        "attention_context": lambda: (softmax(draw(2, 5, 5)), draw(*heads)),
        "attention": lambda: (draw(*heads), draw(*heads), draw(*heads)),
        "embeddings": lambda: (*ids, *(draw(*shape) for shape in tables), 0.1),
        "feed_forward": lambda: (draw(4, 6), draw(6, 6), draw(6), draw(6, 6), draw(6), "gelu"),
    }
    return arguments.get(operation, lambda: (2 * draw(5, 7),))()


def _equal_rows(x: Any, *rest: Any) -> Args:
    return np.concatenate([x[:1], np.full_like(x[1:], 3)]), *rest


def _wider(x: Any, w: Any, b: Any, w2: Any, *rest: Any) -> Args:
    return x, np.r_[w, 2 * w[:2]], np.r_[b, b[:2]], np.c_[w2, w2[:, :2]], *rest


def _many(*args: Any) -> Args:
    """Repeat the rows of each array to 40, none like another."""
    return tuple(map(_repeated, args))


def _repeated(x: NDArray[Any]) -> NDArray[Any]:
    rows = np.concatenate([x] * (40 // x.shape[-2] + 1), axis=-2)[..., :40, :]
    return rows * np.linspace(1, 2, 40)[:, None]


def _first_of_many(x: Any, *rest: Any) -> Args:
    return _repeated(x), *rest


def _stacked(x: Any, *rest: Any) -> Args:
    return np.stack([x, 2 * x]), *rest


def _two_rows_of_ids(ids: Any, types: Any, positions: Any, *rest: Any) -> Args:
    return *(np.stack([x, x[::-1]]) for x in (ids, types, positions)), *rest


def _tails(x: Any) -> Args:
    return (np.linspace(-8, 8, 7 * 23).reshape(7, 23),)


_CURVES = {"erf"} | {curve.__name__ for curve in ACTIVATIONS.values()}
_ROWS = {*_CURVES, "linear", "layer_norm", "split_heads", "feed_forward", "pooler"}
_ATTENTION = {"attention", "attention_scores", "attention_context"}
_LARGE = {*_CURVES, "softmax", "layer_norm", "attention", "attention_scores"}
_ANY_AXES = {*_CURVES, "linear", "layer_norm", "softmax", "feed_forward"}
_TAIL = "as if a tail were cut off"
_OFFSET = "as if large squares were taken from each other, which leaves only their rounding"
#: A name, the operations tried on it, what it makes of ordinary arguments (tolerance, hint).
_ODD: tuple[tuple[Any, ...], ...] = (
    ("numbers from -8 to 8", _CURVES, _tails, 5e-7, _TAIL),
    ("a single row", _ROWS, lambda x, *rest: (x[:1], *rest)),
    ("many rows", _ROWS | {"attention_context", "softmax"}, _first_of_many),
    ("many rows", {"attention", "attention_scores", "merge_heads"}, _many),
    ("another number of axes", _ANY_AXES, _stacked),
    ("another number of axes", {"embeddings"}, _two_rows_of_ids),
    ("two axes", {"softmax"}, lambda x: (x[0],)),
    ("large numbers", _LARGE, lambda x, *rest: (1e3 * x, *rest)),
    ("numbers far from 0", {"layer_norm"}, lambda x, *rest: (x + 1e7, *rest), 1e-5, _OFFSET),
    ("a row of equal numbers", {"layer_norm", "softmax"}, _equal_rows),
    ("fewer queries than keys", _ATTENTION, lambda x, *rest: (x[:, :3], *rest)),
    ("fewer rows than columns", {"softmax"}, lambda x: (x[:, :3],)),
    ("more rows than columns", {"softmax"}, lambda x: (x[..., :3],)),
    ("a single head", _ATTENTION | {"merge_heads"}, lambda *args: tuple(x[:1] for x in args)),
    ("fewer outputs than inputs", {"linear"}, lambda x, w, b: (x, w[:4], b[:4])),
    ("a tiny eps", {"layer_norm"}, lambda *args: (*args[:3], 1e-12)),
    ("more columns within", {"feed_forward"}, _wider),
    ("another activation", {"feed_forward"}, lambda *args: (*args[:-1], "relu")),
)
