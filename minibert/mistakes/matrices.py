"""What goes wrong with matrices, norms and tables: a phrase, and a change of the part."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np

from minibert.layers import Linear
from minibert.mistakes.functions import LAYER_NORM, MATRICES
from minibert.mistakes.rounded import coarse
from minibert.runtime.arrays import Array

Change = Callable[[Any], Any]

# a matrix, a norm


def _matrix(change: Callable[[Any, Any], Any]) -> Change:
    return lambda linear: Linear(*change(linear.weight, linear.bias))


def norm_by(function: Callable[..., Array]) -> Change:
    """Return the change of a norm that is computed by another function."""
    return lambda norm: lambda x: function(x, norm.weight, norm.bias, norm.eps)


LINEAR: tuple[tuple[str, Change], ...] = tuple((phrase, _matrix(f)) for phrase, f in MATRICES)
NORM: tuple[tuple[str, Change], ...] = tuple(
    (phrase, norm_by(f)) for phrase, f in (*LAYER_NORM, *coarse("layer_norm"))
)

NORM_THERE = tuple((phrase, change) for phrase, change in NORM if phrase != "no norm")

# what is read from one matrix


def _fused(split: Callable[[Array, int], Array]) -> Change:
    """Return the change of an attention whose query, key and value are cut out of one matrix.

    split: of its rows (3C, ...) and the number of heads -> (3, C, ...).
    """

    def change(attention: Any) -> Any:
        parts = attention.query, attention.key, attention.value
        weights, biases = (
            split(np.concatenate([getattr(x, array) for x in parts]), attention.num_heads)
            for array in ("weight", "bias")
        )
        made = (Linear(w, b) for w, b in zip(weights, biases, strict=True))
        return replace(attention, **dict(zip(("query", "key", "value"), made, strict=True)))

    return change


def _by_head(rows: Array, heads: int) -> Array:
    whole = rows.reshape(heads, 3, -1, *rows.shape[1:]).swapaxes(0, 1)
    return whole.reshape(3, -1, *rows.shape[1:])


def _by_column(rows: Array, heads: int) -> Array:
    return rows.reshape(-1, 3, *rows.shape[1:]).swapaxes(0, 1)


FUSED: tuple[tuple[str, Change], ...] = (
    ("the matrix of queries, keys and values cut head by head", _fused(_by_head)),
    ("the matrix of queries, keys and values cut column by column", _fused(_by_column)),
)

NAMES = ("query", "key", "value")


def _in_order(order: tuple[int, ...]) -> Change:
    def change(attention: Any) -> Any:
        parts = (getattr(attention, NAMES[i]) for i in order)
        return replace(attention, **dict(zip(NAMES, parts, strict=True)))

    return change


def _of_three(change: Callable[[Any], Any]) -> Change:
    return lambda attention: replace(
        attention, **{name: change(getattr(attention, name)) for name in NAMES}
    )


#: The same, which the queries, keys and values would tell if they were recorded.
FUSED_UNSEEN: tuple[tuple[str, Change], ...] = (
    *(
        (f"queries, keys and values cut in the order {', '.join(NAMES[i] for i in order)}", change)
        for order, change in ((x, _in_order(x)) for x in list(permutations(range(3)))[1:])
    ),
    *((f"{phrase}, in queries, keys and values", _of_three(change)) for phrase, change in LINEAR),
)

# embeddings that add rows of tables


def _table(name: str, change: Callable[[Array], Any]) -> Change:
    return lambda part: replace(part, **{name: change(getattr(part, name))})


TABLES: tuple[tuple[str, Change], ...] = (
    ("no positions added", _table("position", np.zeros_like)),
    ("no words added", _table("word", np.zeros_like)),
    ("the table of positions reversed", _table("position", lambda x: x[::-1])),
    ("positions that are all 0", _table("position", lambda x: np.broadcast_to(x[:1], x.shape))),
    ("positions from 1", _table("position", lambda x: np.roll(x, -1, axis=0))),
    ("positions from 2", _table("position", lambda x: np.roll(x, -2, axis=0))),
    ("positions one too low", _table("position", lambda x: np.roll(x, 1, axis=0))),
    (
        "positions without the offset of 2, the table's first rows for the first tokens",
        _table("position", lambda x: np.roll(x, 2, axis=0)),
    ),
    (
        "word embeddings multiplied by sqrt(C)",
        _table("word", lambda x: x * x.dtype.type(math.sqrt(x.shape[1]))),
    ),
    (
        "word embeddings not multiplied by sqrt(C)",
        _table("word", lambda x: x / x.dtype.type(math.sqrt(x.shape[1]))),
    ),
)
