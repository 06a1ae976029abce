"""The layers: frozen, built from arrays, so that one with a missing weight cannot exist.

Rows go in and rows come out: (N, C), the real tokens of all sequences (see batch.py). A layer has
no name of its own and never changes an array. What it computes it shows to the trace, and goes on
with what the trace returns: the caller names what a part returns, the part names what lies inside.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert import functions
from minibert.batch import Batch, Sequence
from minibert.cache import Past
from minibert.runtime.arrays import Array
from minibert.runtime.parallel import adds_up, some_heads, some_width
from minibert.trace import Trace


@dataclass(frozen=True, eq=False)
class Linear:
    """A matrix and a bias. The matrix is (out, in), as PyTorch stores it."""

    weight: Array  # (out, in)
    bias: Array  # (out,)

    def __call__(self, x: Array) -> Array:
        """(..., in) -> (..., out)."""
        return functions.linear(x, self.weight, self.bias)


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """Layer normalisation with its scale and shift."""

    weight: Array  # (C,)
    bias: Array  # (C,)
    eps: float

    def __call__(self, x: Array) -> Array:
        """(..., C) -> (..., C)."""
        return functions.layer_norm(x, self.weight, self.bias, self.eps)


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Words + token types + positions, then a norm."""

    word: Array  # (V, C)
    position: Array  # (max_position_embeddings, C)
    token_type: Array  # (type_vocab_size, C)
    norm: LayerNorm

    def __call__(self, batch: Batch, trace: Trace) -> Array:
        """Return the tokens of a batch: -> (N, C)."""
        ids: Any = batch.token_ids
        word, norm = self.word, self.norm
        if batch.token_embeddings is not None:  # given in place of ids: a table of their own
            word = batch.token_embeddings
            ids = np.arange(len(word))
        rows = ids, batch.token_type_ids, batch.position_ids
        tables = word, self.token_type, self.position
        return functions.embeddings(*rows, *tables, norm.weight, norm.bias, norm.eps, trace=trace)


@dataclass(frozen=True, eq=False)
class Attention:
    """Each token looks at all real tokens of its own sequence, in several heads.

    causal: at none that comes after it. scale: of the scores, besides that by ``sqrt(D)``. In
    cross-attention a batch says of what other rows the keys and values are.
    """

    query: Linear
    key: Linear
    value: Linear
    output: Linear
    num_heads: int
    causal: bool = False
    scale: float = 1.0

    @adds_up(lambda self: self.num_heads, some_heads)
    def __call__(self, x: Array, trace: Trace, batch: Batch) -> Array:
        """(N, C) -> (N, C)."""
        query = trace("query", self.query(x))
        seen, there = (x, trace) if batch.seen is None else batch.seen.looked_at(x, trace)
        key = there("key", self.key(seen))
        value = there("value", self.value(seen))
        query = query if self.scale == 1 else query * self.scale
        contexts = [
            self.attend(query, key, value, batch.past, sequence, trace.of(sequence))
            for sequence in batch.sequences
        ]
        context = np.concatenate(contexts or [query])  # there may be no row at all
        return self.output(trace("context", context))

    def attend(
        self,
        query: Array,
        key: Array,
        value: Array,
        past: Past | None,
        sequence: Sequence,
        trace: Trace,
    ) -> Array:
        """Let the T tokens of one sequence look at its keys: (N, C) each -> (T, C)."""
        rows, keys, split = sequence.rows, sequence.key_rows, functions.split_heads
        parts = query[rows], key[keys], value[keys]
        q, k, v = (split(x, self.num_heads) for x in parts)
        if past is not None:  # and at those before them
            k, v = past.extended(sequence.index, k, v)
        allowed = sequence.not_ahead if self.causal else sequence.allowed
        return functions.merge_heads(functions.attention(q, k, v, allowed=allowed, trace=trace))


@dataclass(frozen=True, eq=False)
class FeedForward:
    """Wide and back again, each token alone: C -> F -> C."""

    intermediate: Linear
    output: Linear
    activation: str  # a key of functions.ACTIVATIONS

    @adds_up(lambda self: len(self.intermediate.bias), some_width)
    def __call__(self, x: Array, trace: Trace) -> Array:
        """(N, C) -> (N, C)."""
        wide, narrow = self.intermediate, self.output
        matrices = wide.weight, wide.bias, narrow.weight, narrow.bias
        return functions.feed_forward(x, *matrices, self.activation, trace=trace)


@dataclass(frozen=True, eq=False)
class Layer:
    """Attention, then feed-forward, each with a residual and a norm.

    The norm comes after the residual (BERT) or, if ``pre_norm``, before the part (GPT-2). Between
    the two, a decoder (BART's) looks at what the encoder read, with the norm after it.
    """

    attention: Attention
    attention_norm: LayerNorm
    feed_forward: FeedForward
    norm: LayerNorm
    pre_norm: bool = False
    cross_attention: Attention | None = None
    cross_attention_norm: LayerNorm | None = None

    def __call__(self, x: Array, trace: Trace, batch: Batch) -> Array:
        """(N, C) -> (N, C)."""
        inner, norm = trace.within("attention"), self.attention_norm
        given = inner("norm", norm(x)) if self.pre_norm else x
        x = x + inner("output", self.attention(given, inner, batch))
        x = trace("attention", x if self.pre_norm else norm(x))
        if self.cross_attention is not None and self.cross_attention_norm is not None:
            inner = trace.within("cross_attention")
            x = x + inner("output", self.cross_attention(x, inner, batch.across))
            x = trace("cross_attention", self.cross_attention_norm(x))
        inner, norm = trace.within("feed_forward"), self.norm
        given = inner("norm", norm(x)) if self.pre_norm else x
        x = x + trace("feed_forward", self.feed_forward(given, inner))
        return x if self.pre_norm else norm(x)


class Stack:
    """Embeddings, then layers: BERT and GPT-2 are one, BART is two."""

    embeddings: Any
    layers: tuple[Layer, ...]

    def encode(self, batch: Batch, trace: Trace) -> Array:
        """Run the embeddings and the layers: the tokens of a batch -> (N, C)."""
        x = trace("embeddings", self.embeddings(batch, trace.within("embeddings")))
        for i, layer in enumerate(self.layers):
            x = trace(f"layer.{i}", layer(x, trace.within(f"layer.{i}"), batch.of_layer(i)))
        return x


@dataclass(frozen=True, eq=False)
class Pooler:
    """One vector a sequence: the first real token ([CLS], as a rule) through a matrix and tanh.

    Transformers takes column 0 even where the mask says that it is padding.
    """

    dense: Linear

    def __call__(self, x: Array, batch: Batch) -> Array:
        """(N, C) -> (number of sequences with a real token, C)."""
        return functions.pooler(x[batch.first_rows()], self.dense.weight, self.dense.bias)


@dataclass(frozen=True, eq=False)
class PredictionHead:
    """Each token through a matrix, the activation and a norm: what the decoder scores words by."""

    dense: Linear
    norm: LayerNorm
    activation: str  # a key of functions.ACTIVATIONS

    def __call__(self, x: Array, trace: Trace) -> Array:
        """(N, C) -> (N, C)."""
        dense = trace("intermediate", self.dense(x))
        active = trace("activation", functions.ACTIVATIONS[self.activation](dense))
        return self.norm(active)
