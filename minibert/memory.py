"""Keeping numbers near: arrays used again, and functions applied to blocks that fit the cache.

A new array costs more than it seems: the system hands its pages out one by one, cleared, and no
cache has seen them. What one layer is done with, the next layer takes.
"""

import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minibert.threads import spread

P = ParamSpec("P")
Numbers: TypeAlias = NDArray[np.floating[Any]]
RowWise: TypeAlias = Callable[Concatenate[Numbers, P], Numbers]

BLOCK = 130_000  # numbers of an array that are worked on at a time: half a megabyte in float32


class _ThisThread(threading.local):
    arrays: "defaultdict[Any, list[NDArray[Any]]] | None" = None  # by shape and dtype


_this_thread = _ThisThread()


@contextmanager
def reused_arrays() -> Iterator[None]:
    """Let ``empty`` give out arrays again in the block, in this thread, once nobody has them."""
    before, _this_thread.arrays = _this_thread.arrays, defaultdict(list)
    try:
        yield
    finally:
        _this_thread.arrays = before


def empty(shape: tuple[int, ...], dtype: "np.dtype[Any]") -> NDArray[Any]:
    """Return an array that holds anything, as np.empty does."""
    if _this_thread.arrays is None:
        return np.empty(shape, dtype)
    arrays = _this_thread.arrays[shape, dtype]
    for array in arrays:
        if sys.getrefcount(array) == 3:  # the list, this variable, and the call that counts
            return array
    arrays.append(np.empty(shape, dtype))
    return arrays[-1]


def by_blocks(function: RowWise[P]) -> RowWise[P]:
    """Apply a function that treats each row alone to blocks of rows that fit the cache.

    So the function can be written as its formula: what it computes on the way is never far.
    """

    @wraps(function)
    def apply(x: Numbers, /, *args: P.args, **kwargs: P.kwargs) -> Numbers:
        if x.size <= BLOCK:
            return function(x, *args, **kwargs)
        out = empty(x.shape, x.dtype)
        step = max(1, BLOCK * len(x) // x.size)

        def block(start: int) -> None:
            rows = slice(start, start + step)
            out[rows] = function(x[rows], *args, **kwargs)

        spread(block, range(0, len(x), step))
        return out

    return apply
