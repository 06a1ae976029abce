"""How else the parts of a BERT may be put together: a phrase, and a change of the part.

Each change takes a part and returns another, which is called in the same way.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minibert import functions
from minibert.batch import Batch
from minibert.layers import Layer, LayerNorm, Linear, Pooler
from minibert.mistakes.functions import LAYER_NORM, MATRICES
from minibert.runtime.arrays import Array
from minibert.trace import Trace, silent

Change = Callable[[Any], Any]
Join = Callable[[LayerNorm, Array, Array, Array], Array]  # norm, x, its change, the layer's input

# a matrix, a norm


def _matrix(change: Callable[[Any, Any], Any]) -> Change:
    def changed(linear: Linear) -> Linear:
        weight, bias = change(linear.weight, linear.bias)
        return Linear(weight, bias)

    return changed


#: Other matrices in place of one.
LINEAR: tuple[tuple[str, Change], ...] = tuple((phrase, _matrix(f)) for phrase, f in MATRICES)


@dataclass(frozen=True, eq=False)
class OtherNorm(LayerNorm):
    """A norm that computes something else."""

    function: Callable[..., Array]

    def __call__(self, x: Array) -> Array:
        """(..., C) -> (..., C)."""
        return self.function(x, self.weight, self.bias, self.eps)


def _norm(function: Callable[..., Array]) -> Change:
    return lambda norm: OtherNorm(norm.weight, norm.bias, norm.eps, function)


NORM: tuple[tuple[str, Change], ...] = tuple((phrase, _norm(f)) for phrase, f in LAYER_NORM)

# a layer


@dataclass(frozen=True, eq=False)
class OtherLayer(Layer):
    """A layer that joins what its parts compute otherwise; ``pre_norm``: they get a norm of x."""

    first: Join
    second: Join
    pre_norm: bool = False

    def __call__(self, x: Array, trace: Trace, batch: Batch) -> Array:
        """(N, C) -> (N, C)."""
        inner = trace.within("attention")
        given = self.attention_norm(x) if self.pre_norm else x
        attended = inner("output", self.attention(given, inner, batch))
        y = trace("attention", self.first(self.attention_norm, x, attended, x))
        given = self.norm(y) if self.pre_norm else y
        fed = trace("feed_forward", self.feed_forward(given, trace.within("feed_forward")))
        return self.second(self.norm, y, fed, x)


def post_norm(norm: LayerNorm, x: Array, change: Array, layer_input: Array) -> Array:
    """Join as BERT does."""
    return norm(x + change)


def added(norm: LayerNorm, x: Array, change: Array, layer_input: Array) -> Array:
    """Join without a norm."""
    return x + change


def joined(first: Join = post_norm, second: Join = post_norm, pre_norm: bool = False) -> Change:
    """Return the change of a layer that joins otherwise after its first or its second part."""
    return lambda layer: OtherLayer(
        layer.attention, layer.attention_norm, layer.feed_forward, layer.norm, first, second,
        pre_norm,
    )  # fmt: skip


#: What is done in place of ``norm(x + change)``.
JOINS: tuple[tuple[str, Join], ...] = (
    ("the residual missing", lambda norm, x, change, _: norm(change)),
    ("the residual doubled", lambda norm, x, change, _: norm(2 * x + change)),
    ("the norm before the residual is added", lambda norm, x, change, _: norm(change) + x),
    ("nothing but the residual", lambda norm, x, change, _: x),
    ("the residual taken from the layer's input", lambda norm, x, change, z: norm(z + change)),
)
_alone = JOINS[0][1]
_left_out = JOINS[3][1]
PRE_NORM = joined(added, added, pre_norm=True)


@dataclass(frozen=True, eq=False)
class Twice:
    """A layer that runs twice."""

    layer: Layer

    def __call__(self, x: Array, trace: Trace, batch: Batch) -> Array:
        """(N, C) -> (N, C)."""
        return self.layer(self.layer(x, silent, batch), trace, batch)


def skipped(layer: Layer) -> Any:
    """Return what passes on what it is given."""
    return lambda x, trace, batch: x


#: A whole layer: what may be told only where nothing inside it is recorded.
LAYER: tuple[tuple[str, Change], ...] = (
    ("a layer that is skipped", skipped),
    ("a layer that runs twice", Twice),
    ("norms before each half instead of after (pre-norm)", PRE_NORM),
    ("both residuals missing", joined(_alone, _alone)),
    ("the feed-forward half left out", joined(second=_left_out)),
    ("the attention half left out", joined(first=_left_out)),
)

# the pooler


@dataclass(frozen=True, eq=False)
class OtherPooler(Pooler):
    """A pooler of other vectors than the first token's."""

    choose: Callable[[Array, Batch], Any]

    def __call__(self, x: Array, batch: Batch) -> Array:
        """(N, C) -> (n, C)."""
        return functions.pooler(self.choose(x, batch), self.dense.weight, self.dense.bias)


def _pooled(choose: Callable[[Array, Batch], Any]) -> Change:
    return lambda pooler: OtherPooler(pooler.dense, choose)


def _each(summary: Callable[[Array], Any]) -> Callable[[Array, Batch], Any]:
    return lambda x, batch: np.stack([summary(x[s.rows]) for s in batch.sequences])


POOLER: tuple[tuple[str, Change], ...] = (
    ("the last token pooled", _pooled(_each(lambda x: x[-1]))),
    ("the mean of the tokens pooled", _pooled(_each(lambda x: x.mean(axis=0)))),
    ("the largest of the tokens' numbers pooled", _pooled(_each(lambda x: x.max(axis=0)))),
)

# the batch


def _positions(change: Callable[[Any, Any], Any]) -> Change:
    """Let ``change`` make positions from the columns and the lengths of their sequences."""

    def changed(batch: Batch) -> Batch:
        lengths = [np.full(len(s.columns), len(s.columns)) for s in batch.sequences]
        return replace(batch, position_ids=change(batch.position_ids, np.concatenate(lengths)))

    return changed


def _counted(batch: Batch) -> Batch:
    counts = [np.arange(len(s.columns)) for s in batch.sequences]
    return replace(batch, position_ids=np.concatenate(counts))


def _reversed(batch: Batch) -> Batch:
    return replace(batch, position_ids=batch.mask.shape[1] - 1 - batch.position_ids)


BATCH: tuple[tuple[str, Change], ...] = (
    ("positions from 1", _positions(lambda p, n: p + 1)),
    ("positions from 2", _positions(lambda p, n: p + 2)),
    ("positions reversed", _reversed),
    ("positions reversed", _positions(lambda p, n: n - 1 - p)),
    ("positions counted over the real tokens only", _counted),
)
