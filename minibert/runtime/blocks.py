"""Functions in blocks, so that what a formula computes on its way stays in the cache.

A function of rows is applied to blocks of rows (``by_rows``), attention to blocks of heads and
queries (``by_heads``). While a user's function is swapped in, attention stays whole for it.
"""

import math
from collections.abc import Callable
from functools import reduce, wraps
from operator import add
from typing import Any, ParamSpec, TypeVar

import numpy as np

from minibert.runtime.arrays import Array, Mask
from minibert.runtime.swap import is_swapping
from minibert.runtime.threads import shares, spread
from minibert.trace import Back, Trace, onward, silent

P = ParamSpec("P")
R = TypeVar("R")

BLOCK = 130_000  # numbers of a block: half a megabyte in float32
MAX_QUERIES = 256  # of a block of scores


def by_rows(function: Callable[P, R]) -> Callable[P, R]:
    """Apply a function that treats each row alone to blocks of rows.

    Rows are the first argument, and others of its shape. Of several results the first are rows,
    and those of the blocks' others add up.
    """
    # NumPy computes in place on what has no name, as inside a formula, if it has 256 KB or more:
    # so formulas cost little more than code that reuses its arrays

    @wraps(function)
    def apply(*args: P.args, **kwargs: P.kwargs) -> R:
        x: Any = args[0] if args else next(iter(kwargs.values()), np.empty(0))
        if x.size <= BLOCK:
            return function(*args, **kwargs)
        out, parts = np.empty_like(x), shares(len(x), math.ceil(x.size / BLOCK))
        sums: list[Any] = [()] * len(parts)

        def block(i: int) -> None:
            some = [_some_rows(arg, x, parts[i]) for arg in args]
            more = {name: _some_rows(arg, x, parts[i]) for name, arg in kwargs.items()}
            found: Any = function(*some, **more)
            out[parts[i]], *sums[i] = found if isinstance(found, tuple) else (found,)

        spread(block, range(len(parts)))
        totals = (reduce(add, terms) for terms in zip(*sums, strict=True))
        return (out, *totals) if sums[0] else out  # type: ignore[return-value]

    return apply


def _some_rows(arg: Any, x: Array, rows: slice) -> Any:
    return arg[rows] if getattr(arg, "shape", None) == x.shape else arg


def by_heads(attention: Callable[..., Array]) -> Callable[..., Array]:
    """Apply attention to blocks of heads and queries whose scores stay in the cache."""

    @wraps(attention)
    def apply(
        query: Array, key: Array, value: Array, *, allowed: Mask = None, trace: Trace = silent
    ) -> Array:
        num_heads, length, size = query.shape
        parts = blocks(num_heads, length, key.shape[1])
        if len(parts) == 1:
            inner = trace.block(*parts[0], num_heads)
            return attention(query, key, value, allowed=allowed, trace=inner)
        # in memory the heads of a token lie side by side, as merge_heads will want them
        out = np.empty((length, num_heads, size), query.dtype).transpose(1, 0, 2)

        def block(part: tuple[slice, slice]) -> None:
            heads, inner = part[0], trace.block(*part, num_heads)
            some = None if allowed is None else allowed[part[1]]
            parts = query[part], key[heads], value[heads]
            out[part] = attention(*parts, allowed=some, trace=inner)

        spread(block, parts)
        return out

    return apply


def by_heads_backward(gradient: Callable[..., Any]) -> Callable[..., Any]:
    """Apply the derivative of attention to blocks as ``by_heads`` does; those of a head add up."""

    @wraps(gradient)
    def apply(
        grad: Array, *rows: Array, allowed: Mask = None, back: Back = onward
    ) -> tuple[Array, ...]:
        query, key, value = rows
        num_heads, length, _ = query.shape
        parts = blocks(num_heads, length, key.shape[1])
        found = np.zeros_like(query), np.zeros_like(key), np.zeros_like(value)

        def block(heads: slice) -> None:
            for part in (part for part in parts if part[0] == heads):
                inner = back.block(*part, num_heads)
                some = None if allowed is None else allowed[part[1]]
                given = grad[part], query[part], key[heads], value[heads]
                pieces = gradient(*given, allowed=some, back=inner)
                places: tuple[Any, ...] = (part, heads, heads)
                for whole, place, piece in zip(found, places, pieces, strict=True):
                    whole[place] += piece

        spread(block, {part[0].start: part[0] for part in parts}.values())
        return found

    return apply


def blocks(num_heads: int, queries: int, keys: int) -> list[tuple[slice, slice]]:
    """Return slices of the heads and of the queries with about BLOCK scores each."""
    rows = min(MAX_QUERIES, queries)
    count = math.ceil(num_heads * rows * keys / BLOCK)
    if (count < 2 and rows == queries) or is_swapping():
        return [(slice(0, num_heads), slice(0, queries))]
    heads = shares(num_heads, count) if count > 1 else [slice(0, num_heads)]
    starts = range(0, queries, rows)
    return [(h, slice(start, min(start + rows, queries))) for start in starts for h in heads]
