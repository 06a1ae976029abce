"""What a function is tried on by itself: small inputs, each with a name that says what is odd."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Draw = Callable[..., NDArray[np.float64]]

ORDINARY = "ordinary numbers"


@dataclass(frozen=True, eq=False)
class Case:
    """Arguments of an operation, and the name of what is special about them."""

    name: str
    args: tuple[Any, ...]
    tolerance: float = 1e-5  # of |found - ours|, over 1 + |ours|


def cases(operation: str) -> list[Case]:
    """Return what to try an operation on; ordinary numbers come first."""
    random = np.random.default_rng(0)

    def draw(*shape: int) -> NDArray[np.float64]:
        return random.standard_normal(shape)

    args = _ordinary(operation, draw)
    found = [
        Case(ORDINARY, args),
        Case("float32", _each_array(args, _single), 1e-4),
        Case("arrays that lie column by column", _each_array(args, np.asfortranarray)),
    ]
    first = args[0]
    if operation in _ROWS:
        found.append(Case("a single row", (first[:1], *args[1:])))
    if operation in _LARGE:
        found.append(Case("large numbers", (1e3 * first, *args[1:])))
    if operation in ("layer_norm", "softmax"):
        equal = np.concatenate([first[:1], np.full_like(first[1:], 3)])
        found.append(Case("a row of equal numbers", (equal, *args[1:])))
    if operation.startswith("attention"):
        found.append(Case("fewer queries than keys", (first[:, :3], *args[1:])))
    if operation.startswith(("attention", "merge")):
        found.append(Case("a single head", tuple(array[:1] for array in args)))
    return [*found, *_special(operation, args, draw)]


_CURVES = {"gelu", "gelu_new", "gelu_fast", "quick_gelu", "relu", "silu", "tanh"}
_ROWS = {*_CURVES, "linear", "layer_norm", "split_heads", "feed_forward", "pooler"}
_LARGE = {*_CURVES, "sigmoid", "erf", "softmax", "layer_norm", "attention", "attention_scores"}


def _ordinary(operation: str, draw: Draw) -> tuple[Any, ...]:
    """Return ordinary arguments. Matrices are square, so that a transposed one runs, too."""
    heads = (2, 5, 3)
    if operation == "embeddings":
        ids = np.array([[1, 4, 2, 1], [0, 1, 1, 0], [3, 0, 1, 5]])
        return (*ids, draw(6, 5), draw(2, 5), draw(7, 5), draw(5), draw(5), 0.1)
    if operation == "feed_forward":
        return draw(4, 6), draw(6, 6), draw(6), draw(6, 6), draw(6), "gelu"
    if operation == "attention_context":
        weights = np.exp(draw(2, 5, 5))
        return weights / weights.sum(axis=-1, keepdims=True), draw(*heads)
    simple: dict[str, Callable[[], tuple[Any, ...]]] = {
        "linear": lambda: (draw(5, 6), draw(6, 6), draw(6)),
        "pooler": lambda: (draw(5, 6), 0.5 * draw(6, 6), draw(6)),
        "layer_norm": lambda: (2 * draw(5, 6) + 1, draw(6), draw(6), 0.1),
        "softmax": lambda: (2 * draw(2, 5, 5),),
        "split_heads": lambda: (draw(5, 6), 3),
        "merge_heads": lambda: (draw(*heads),),
        "attention_scores": lambda: (draw(*heads), draw(*heads)),
        "attention": lambda: (draw(*heads), draw(*heads), draw(*heads)),
    }
    return simple.get(operation, lambda: (2 * draw(5, 7),))()


def _special(operation: str, args: tuple[Any, ...], draw: Draw) -> list[Case]:
    """Return the cases of one operation alone."""
    if operation == "linear":
        return [Case("fewer outputs than inputs", (args[0], draw(4, 6), draw(4)))]
    if operation == "layer_norm":
        return [Case("a tiny eps", (*args[:3], 1e-12))]
    if operation == "feed_forward":
        wide = (args[0], draw(8, 6), draw(8), draw(6, 8), draw(6), "gelu")
        return [Case("more columns within", wide), Case("another activation", (*args[:-1], "relu"))]
    return []


def _each_array(args: tuple[Any, ...], change: Callable[[Any], Any]) -> tuple[Any, ...]:
    return tuple(change(value) if isinstance(value, np.ndarray) else value for value in args)


def _single(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if array.dtype.kind == "f" else array
