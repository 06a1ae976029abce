"""What a function is tried on by itself: small inputs, each with a name that says what is odd."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.functions import softmax

Args = tuple[Any, ...]

ORDINARY = "ordinary numbers"


@dataclass(frozen=True, eq=False)
class Case:
    """Arguments of an operation, and the name of what is special about them."""

    name: str
    args: Args
    tolerance: float = 1e-5  # of |found - ours|, over 1 + |ours|


def cases(operation: str) -> list[Case]:
    """Return what to try an operation on; ordinary numbers come first."""
    args = _ordinary(operation)
    return [
        Case(ORDINARY, args),
        Case("float32", _each_array(args, _single), 1e-4),
        Case("arrays that lie column by column", _each_array(args, np.asfortranarray)),
        *(Case(name, change(*args)) for name, some, change in _ODD if operation in some),
    ]


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


_CURVES = {"gelu", "gelu_new", "gelu_fast", "quick_gelu", "relu", "silu", "tanh"}
_ROWS = {*_CURVES, "linear", "layer_norm", "split_heads", "feed_forward", "pooler"}
_ATTENTION = {"attention", "attention_scores", "attention_context"}
_LARGE = {*_CURVES, "sigmoid", "erf", "softmax", "layer_norm", "attention", "attention_scores"}
#: A name, the operations that are tried on it, and what it makes of ordinary arguments.
_ODD: tuple[tuple[str, set[str], Callable[..., Args]], ...] = (
    ("a single row", _ROWS, lambda x, *rest: (x[:1], *rest)),
    ("large numbers", _LARGE, lambda x, *rest: (1e3 * x, *rest)),
    ("a row of equal numbers", {"layer_norm", "softmax"}, _equal_rows),
    ("fewer queries than keys", _ATTENTION, lambda x, *rest: (x[:, :3], *rest)),
    ("a single head", _ATTENTION | {"merge_heads"}, lambda *args: tuple(x[:1] for x in args)),
    ("fewer outputs than inputs", {"linear"}, lambda x, w, b: (x, w[:4], b[:4])),
    ("a tiny eps", {"layer_norm"}, lambda *args: (*args[:3], 1e-12)),
    ("more columns within", {"feed_forward"}, _wider),
    ("another activation", {"feed_forward"}, lambda *args: (*args[:-1], "relu")),
)
