"""How else the parts of a BERT may be put together: a phrase, and a change of the part.

Each change takes a part and returns another, which is called in the same way.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minibert.batch import Batch
from minibert.functions import tanh
from minibert.layers import Layer, LayerNorm, Linear
from minibert.mistakes.functions import LAYER_NORM, MATRICES
from minibert.mistakes.inputs import FROM_OWN, UP_TO_LAST, UP_TO_NEXT
from minibert.mistakes.rounded import coarse
from minibert.runtime.arrays import Array
from minibert.trace import Trace, silent

Change = Callable[[Any], Any]
Join = Callable[[LayerNorm, Array, Array, Array], Array]  # norm, x, its change, the layer's input

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

# a layer


def _post_norm(norm: LayerNorm, x: Array, change: Array, layer_input: Array) -> Array:
    return norm(x + change)


def _no_norm(norm: LayerNorm, x: Array, change: Array, layer_input: Array) -> Array:
    return x + change


NO_NORM: Join = _no_norm


@dataclass(frozen=True, eq=False)
class OtherLayer(Layer):
    """A layer that joins what its parts compute otherwise.

    pre_norm: they get a norm of x. parallel: both get the layer's input. states: what
    cross-attention looks at, of the layer's input, its batch, and what the encoder made.
    """

    first: Join = _post_norm
    across: Join = _post_norm
    second: Join = _post_norm
    parallel: bool = False
    states: Callable[[Array, Batch], Batch] | None = None

    def __call__(self, x: Array, trace: Trace, batch: Batch) -> Array:
        """(N, C) -> (N, C)."""
        inner = trace.within("attention")
        given = self.attention_norm(x) if self.pre_norm else x
        attended = inner("output", self.attention(given, inner, batch))
        y = trace("attention", self.first(self.attention_norm, x, attended, x))
        if self.cross_attention is not None and self.cross_attention_norm is not None:
            inner, norm = trace.within("cross_attention"), self.cross_attention_norm
            given = norm(y) if self.pre_norm else y
            seen = batch if self.states is None else self.states(y, batch)
            looked = inner("output", self.cross_attention(given, inner, seen.across))
            y = trace("cross_attention", self.across(norm, y, looked, x))
        given = self.norm(y) if self.pre_norm else x if self.parallel else y
        fed = trace("feed_forward", self.feed_forward(given, trace.within("feed_forward")))
        return self.second(self.norm, y, fed, x)


def joined(**others: Any) -> Change:
    """Return the change of a layer that joins otherwise: the fields of an OtherLayer."""
    return lambda layer: OtherLayer(**{**vars(layer), **others})


#: What is done in place of ``norm(x + change)``.
JOINS: tuple[tuple[str, Join], ...] = (
    ("the residual missing", lambda norm, x, change, _: norm(change)),
    ("the residual doubled", lambda norm, x, change, _: norm(2 * x + change)),
    ("the norm before the residual is added", lambda norm, x, change, _: norm(change) + x),
    ("nothing but the residual", lambda norm, x, change, _: norm(x)),
    ("nothing but the residual, and no norm", lambda norm, x, change, _: x),
    ("the residual taken from the layer's input", lambda norm, x, change, z: norm(z + change)),
)
_alone, _left_out = JOINS[0][1], JOINS[4][1]


def _change_alone(norm: LayerNorm, x: Array, change: Array, layer_input: Array) -> Array:
    return change


#: What is done in place of ``x + change``, where norms come before.
JOINS_OF_PRE_NORM: tuple[tuple[str, Join], ...] = (
    ("the residual missing", _change_alone),
    ("the residual doubled", lambda norm, x, change, _: 2 * x + change),
    ("nothing but the residual", lambda norm, x, change, _: x),
    ("the residual taken from after the norm", lambda norm, x, change, _: norm(x) + change),
    ("the residual added, then a norm", lambda norm, x, change, _: norm(x + change)),
    ("the residual taken from the layer's input", lambda norm, x, change, z: z + change),
)


def _not_causal(attention: Any) -> Any:
    return replace(attention, causal=False)


def left_out(part: Any) -> Any:
    """Return what changes nothing in place of a part of rows alone."""
    return lambda x: x


#: What a causal attention may be given up for: a phrase, its change, and who may look at whom.
NOT_CAUSAL: tuple[tuple[str, Change, Any], ...] = (
    ("no causal mask: tokens look at later ones, too", _not_causal, None),
    ("the causal mask one token too long: the next one is seen", _not_causal, UP_TO_NEXT),
    ("the causal mask one token short: no token sees itself", _not_causal, UP_TO_LAST),
    ("the causal mask turned round: tokens look at later ones alone", _not_causal, FROM_OWN),
)
POST_NORM: Change = lambda layer: replace(layer, pre_norm=False)  # noqa: E731
PRE_NORM = joined(first=NO_NORM, across=NO_NORM, second=NO_NORM, pre_norm=True)
PARALLEL = joined(first=NO_NORM, parallel=True)


def _looking_at(states: Callable[[Array, Batch], Batch]) -> Change:
    return joined(states=states)


def _at_own(x: Array, batch: Batch) -> Batch:
    """Let cross-attention look at the decoder's own states, all of them."""
    return replace(batch, source=replace(batch, source=None, states=x))


#: What cross-attention may look at in place of the encoder's last state.
LOOKED_AT: tuple[tuple[str, Change], ...] = (
    ("cross-attention on the decoder's own states", _looking_at(_at_own)),
)


def skipped(layer: Layer) -> Any:
    """Return what passes on what it is given."""
    return lambda x, trace, batch: x


def twice(layer: Layer) -> Any:
    """Return a layer that runs twice, and shows its second run."""
    return lambda x, trace, batch: layer(layer(x, silent, batch), trace, batch)


def norms_exchanged(layer: Layer) -> Layer:
    """Return a layer with the norm of each half in the other."""
    return replace(layer, attention_norm=layer.norm, norm=layer.attention_norm)


#: A whole layer: what may be told only where nothing inside it is recorded.
LAYER: tuple[tuple[str, Change], ...] = (
    ("a layer that is skipped", skipped),
    ("a layer that runs twice", twice),
    ("norms before each half instead of after (pre-norm)", PRE_NORM),
    ("both halves in parallel, given the layer's input, and one norm", PARALLEL),
    ("both residuals missing", joined(first=_alone, second=_alone)),
    ("the feed-forward half left out", joined(second=_left_out)),
    ("the attention half left out", joined(first=_left_out)),
    ("its two norms exchanged", norms_exchanged),
)
LAYER_OF_PRE_NORM: tuple[tuple[str, Change], ...] = (
    *LAYER[:2],
    ("norms after each half instead of before (post-norm)", POST_NORM),
    ("both residuals missing", joined(first=_change_alone, second=_change_alone)),
    ("the feed-forward half left out", joined(first=NO_NORM, second=_left_out)),
    ("the attention half left out", joined(first=_left_out, second=NO_NORM)),
    LAYER[-1],
)

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

# the pooler


def _each(change: Callable[[Array], Any], x: Array, batch: Batch) -> list[Any]:
    return [change(x[sequence.rows]) for sequence in batch.sequences]


def _pooled(summary: Callable[[Array], Any]) -> Change:
    return lambda pooler: lambda x, batch: tanh(pooler.dense(np.stack(_each(summary, x, batch))))


POOLER: tuple[tuple[str, Change], ...] = (
    ("the second token pooled", _pooled(lambda x: x[min(1, len(x) - 1)])),
    ("the last token pooled", _pooled(lambda x: x[-1])),
    ("the mean of the tokens pooled", _pooled(lambda x: x.mean(axis=0))),
    ("the largest of the tokens' numbers pooled", _pooled(lambda x: x.max(axis=0))),
)
