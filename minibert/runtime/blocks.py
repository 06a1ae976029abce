"""Keeping numbers near: functions of rows are applied to blocks of them that fit the cache."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeAlias

import numpy as np
from numpy.typing import NDArray

from minibert.runtime.threads import shares, spread

P = ParamSpec("P")
Numbers: TypeAlias = NDArray[np.floating[Any]]
RowWise: TypeAlias = Callable[Concatenate[Numbers, P], Numbers]

BLOCK = 130_000  # numbers that are worked on at a time: half a megabyte in float32

# The C library of Linux gives the memory of large arrays back to the system, which hands it out
# again page by page, cleared: a twentieth of a forward pass's time. Once an array of this size has
# been freed, the library keeps as much for what comes next. Its pages are never touched.
_large = np.empty(32_000_000, np.uint8)
del _large


def by_blocks(function: RowWise[P]) -> RowWise[P]:
    """Apply a function that treats each row alone to blocks of rows.

    So the function can be written as its formula: what it computes on the way is never far.
    """

    @wraps(function)
    def apply(x: Numbers, /, *args: P.args, **kwargs: P.kwargs) -> Numbers:
        if x.size <= BLOCK:
            return function(x, *args, **kwargs)
        out = np.empty_like(x)

        def block(rows: slice) -> None:
            out[rows] = function(x[rows], *args, **kwargs)

        spread(block, shares(len(x), math.ceil(x.size / BLOCK)))
        return out

    return apply
