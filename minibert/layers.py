"""The layers: frozen, built from arrays, so that one with a missing weight cannot exist.

Rows go in and rows come out: (N, C), the real tokens of all sequences (see batch.py). A layer has
no name of its own and never changes an array. What it computes it shows to the trace, and goes on
with what the trace returns: the caller names what a part returns, the part names what lies inside.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from minibert import derivatives, functions
from minibert.batch import Batch, Sequence
from minibert.cache import Past
from minibert.runtime.arrays import Array
from minibert.runtime.parallel import adds_up, some_heads, some_width
from minibert.trace import Back, Trace


@dataclass(frozen=True, eq=False)
class Linear:
    """A matrix and a bias. The matrix is (out, in), as PyTorch stores it."""

    weight: Array  # (out, in)
    bias: Array  # (out,)

    def __call__(self, x: Array) -> Array:
        """(..., in) -> (..., out)."""
        return functions.linear(x, self.weight, self.bias)

    def backward(self, grad: Array, x: Array, back: Back) -> Array:
        """Return the gradient of x; those of the matrix and the bias are added up in ``back``."""
        grad, weight, bias = derivatives.linear_backward(grad, x, self.weight)
        back.add("weight", weight)
        back.add("bias", bias)
        return grad


@dataclass(frozen=True, eq=False)
class LayerNorm:
    """Layer normalisation with its scale and shift."""

    weight: Array  # (C,)
    bias: Array  # (C,)
    eps: float

    def __call__(self, x: Array) -> Array:
        """(..., C) -> (..., C)."""
        return functions.layer_norm(x, self.weight, self.bias, self.eps)

    def backward(self, grad: Array, x: Array, back: Back) -> Array:
        """Return the gradient of x; those of the scale and the shift are added up."""
        grad, scale, shift = derivatives.layer_norm_backward(grad, x, self.weight, self.eps)
        back.add("weight", scale)
        back.add("bias", shift)
        return grad


EMBEDDINGS = "word", "token_type", "position", "norm.weight", "norm.bias"


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Words + token types + positions, then a norm."""

    word: Array  # (V, C)
    position: Array  # (max_position_embeddings, C)
    token_type: Array  # (type_vocab_size, C)
    norm: LayerNorm
    blank: int | None = None  # the id of padding: its vector is not trained

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

    def backward(self, grad: Array, batch: Batch, back: Back) -> None:
        """Add up the gradients of the tables and the norm."""
        ids = batch.token_ids
        blank: int | slice | None = self.blank
        if ids is None:  # vectors were given in place of words: no word is trained
            ids, blank = np.zeros_like(batch.position_ids), slice(None)
        rows: Any = ids, batch.token_type_ids, batch.position_ids
        counts: Any = map(len, (self.word, self.token_type, self.position))
        given = back.kept("sum"), self.norm.weight, self.norm.eps, *counts
        found = derivatives.embeddings_backward(grad, *rows, *given, back=back)
        if blank is not None:
            found[0][blank] = 0
        for field, one in zip(EMBEDDINGS, found, strict=True):
            back.add(field, one)


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

    def backward(self, grad: Array, x: Array, back: Back, batch: Batch) -> tuple[Array, Array]:
        """Return the gradients of the rows that look, and of those that are looked at."""
        grad = self.output.backward(grad, back.kept("context"), back.within("output"))
        grad, there, seen = back("context", grad), back, x
        if batch.seen is not None:
            there, seen = back.of(batch.seen), np.asarray(batch.seen.states)
        query, key, value = back.kept("query"), there.kept("key"), there.kept("value")
        query = query if self.scale == 1 else query * self.scale
        found = np.zeros_like(query), np.zeros_like(key), np.zeros_like(value)
        for one in batch.sequences:
            rows, keys = one.rows, one.key_rows
            pieces = query[rows], key[keys], value[keys]
            heads = [functions.split_heads(x, self.num_heads) for x in pieces]
            inner = derivatives.merge_heads_backward(grad[rows], self.num_heads)
            allowed = one.not_ahead if self.causal else one.allowed
            more: Any = {"allowed": allowed, "back": back.of(one)}
            parts = derivatives.attention_backward(inner, *heads, **more)
            for whole, place, part in zip(found, (rows, keys, keys), parts, strict=True):
                whole[place] = derivatives.split_heads_backward(part)
        of_query = back("query", found[0] if self.scale == 1 else found[0] * self.scale)
        of_key, of_value = there("key", found[1]), there("value", found[2])
        return self.query.backward(of_query, x, back.within("query")), (
            self.key.backward(of_key, seen, back.within("key"))
            + self.value.backward(of_value, seen, back.within("value"))
        )

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


FEED_FORWARD = "intermediate.weight", "intermediate.bias", "output.weight", "output.bias"


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

    def backward(self, grad: Array, x: Array, back: Back) -> Array:
        """(N, C) -> (N, C)."""
        kept = back.kept("intermediate"), back.kept("activation")
        given = x, *kept, self.intermediate.weight, self.output.weight, self.activation
        grad, *found = derivatives.feed_forward_backward(grad, *given, back=back)
        for field, one in zip(FEED_FORWARD, found, strict=True):
            back.add(field, one)
        return grad


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

    def backward(
        self, grad: Array, x: Array, back: Back, batch: Batch
    ) -> tuple[Array, Array | None]:
        """Return the gradients of x and, in a decoder, of what the encoder read."""
        attended, source = back.kept("attention"), None
        is_decoder = self.cross_attention is not None
        fed = back.kept("cross_attention") if is_decoder else attended
        grad = self._fed_backward(grad, fed, back)
        if self.cross_attention is not None and self.cross_attention_norm is not None:
            inner, outer = back.within("cross_attention"), back.within("cross_attention_norm")
            total = attended + inner.kept("output")
            grad = self.cross_attention_norm.backward(back("cross_attention", grad), total, outer)
            given = inner("output", grad), attended, inner, batch.across
            looked, source = self.cross_attention.backward(*given)
            grad = grad + looked
        return self._attended_backward(back("attention", grad), x, back, batch), source

    def _fed_backward(self, grad: Array, x: Array, back: Back) -> Array:
        inner, outer, norm = back.within("feed_forward"), back.within("norm"), self.norm
        if self.pre_norm:
            given = back("feed_forward", grad), inner.kept("norm"), inner
            fed = inner("norm", self.feed_forward.backward(*given))
            return grad + norm.backward(fed, x, outer)
        grad = norm.backward(grad, x + back.kept("feed_forward"), outer)
        return grad + self.feed_forward.backward(back("feed_forward", grad), x, inner)

    def _attended_backward(self, grad: Array, x: Array, back: Back, batch: Batch) -> Array:
        inner, outer = back.within("attention"), back.within("attention_norm")
        norm = self.attention_norm
        if self.pre_norm:
            given = inner("output", grad), inner.kept("norm"), inner, batch
            looked, seen = self.attention.backward(*given)
            return grad + norm.backward(inner("norm", looked + seen), x, outer)
        grad = norm.backward(grad, x + inner.kept("output"), outer)
        looked, seen = self.attention.backward(inner("output", grad), x, inner, batch)
        return grad + looked + seen
