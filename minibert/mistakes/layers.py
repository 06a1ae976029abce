"""How else the parts of a BERT may be put together: a phrase, and a change of the part.

Each change takes a part and returns another, which is called in the same way.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minibert.batch import Batch
from minibert.functions import tanh
from minibert.layers import Layer, LayerNorm
from minibert.mistakes.inputs import EVERYTHING, FROM_OWN, UP_TO_LAST, UP_TO_NEXT
from minibert.mistakes.matrices import FUSED_UNSEEN, Change
from minibert.runtime.arrays import Array
from minibert.trace import Trace, silent

Join = Callable[[LayerNorm, Array, Array, Array], Array]  # norm, x, its change, the layer's input

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
#: The same, where the scores do not tell.
NO_MASK = "no mask: tokens look at later ones and at padding", _not_causal, EVERYTHING
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


def _without_norms(layer: Layer) -> Layer:
    return replace(layer, attention_norm=left_out(layer), norm=left_out(layer))


def _attention(change: Change) -> Change:
    return lambda layer: replace(layer, attention=change(layer.attention))


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
LAYER_OF_DECODER = (*LAYER, ("the cross-attention left out", joined(across=_left_out)))
LAYER_OF_PRE_NORM: tuple[tuple[str, Change], ...] = (
    *LAYER[:2],
    ("norms after each half instead of before (post-norm)", POST_NORM),
    ("both residuals missing", joined(first=_change_alone, second=_change_alone)),
    ("all norms left out", _without_norms),
    *((phrase, _attention(change)) for phrase, change in FUSED_UNSEEN),
    ("the feed-forward half left out", joined(first=NO_NORM, second=_left_out)),
    ("the attention half left out", joined(first=_left_out, second=NO_NORM)),
    LAYER[-1],
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
