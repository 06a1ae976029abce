"""The layers of BERT: frozen, built from arrays, so that one with a missing weight cannot exist.

Rows go in and rows come out: (N, C), the real tokens of all sequences (see batch.py). Each layer
tells the trace what it computed, under its own name.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minibert import functions
from minibert.batch import Batch
from minibert.runtime.arrays import Array
from minibert.runtime.swap import tells_where
from minibert.runtime.threads import add_up, shares_of_work
from minibert.trace import Trace


@dataclass(frozen=True, eq=False)
class Linear:
    """A matrix and a bias. The matrix is (out, in), as PyTorch stores it."""

    weight: Array  # (out, in)
    bias: Array  # (out,)

    def __call__(self, x: Array) -> Array:
        """(..., in) -> (..., out)."""
        return functions.linear(x, self.weight, self.bias)

    def columns(self, part: slice) -> "Linear":
        """Return what computes a part of the outputs."""
        return Linear(self.weight[part], self.bias[part])

    def inputs(self, part: slice) -> "Linear":
        """Return what a part of the inputs adds to the outputs. The first part brings the bias."""
        bias = self.bias if part.start == 0 else np.zeros_like(self.bias)
        return Linear(self.weight[:, part], bias)


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

    @tells_where
    def __call__(self, batch: Batch, trace: Trace) -> Array:
        """-> (N, C)."""
        ids: Any = batch.words
        word = self.word
        if batch.words.ndim == 2:  # embeddings in place of ids: a table with a line for each token
            ids, word = np.arange(len(ids)), ids
        rows = functions.embeddings(
            ids,
            batch.token_type_ids,
            batch.position_ids,
            word,
            self.token_type,
            self.position,
            self.norm.weight,
            self.norm.bias,
            self.norm.eps,
            record=lambda stage, value: trace.rows(f"embeddings.{stage}", value),
        )
        trace.rows("embeddings", rows)
        return rows


@dataclass(frozen=True, eq=False)
class SelfAttention:
    """Every token looks at every real token of its own sequence, in several heads."""

    name: str
    query: Linear
    key: Linear
    value: Linear
    output: Linear
    norm: LayerNorm
    num_heads: int

    @tells_where
    def __call__(self, rows: Array, batch: Batch, trace: Trace) -> Array:
        """(N, C) -> (N, C), residual and norm included."""
        # no head knows of another, and what they add to the output adds up: each thread takes some
        parts = shares_of_work(self.num_heads, 4 * rows.size * rows.shape[1])
        output = add_up(lambda heads: self._attend(heads, rows, batch, trace), parts)
        trace.rows(f"{self.name}.output", output)
        output += rows
        normed = self.norm(output)  # the norm comes after the residual: post-norm
        trace.rows(self.name, normed)
        return normed

    def _attend(self, heads: slice, rows: Array, batch: Batch, trace: Trace) -> Array:
        """Return what some heads add to the output."""
        count, size = heads.stop - heads.start, rows.shape[1] // self.num_heads
        columns = slice(heads.start * size, heads.stop * size)

        def project(stage: str, whole: Linear) -> Array:
            part = whole.columns(columns)(rows)
            trace.columns(f"{self.name}.{stage}", part, columns, rows.shape[1])
            return functions.split_heads(part, count)

        query = project("query", self.query)
        key = project("key", self.key)
        value = project("value", self.value)
        record = trace.pairs(self.name, heads.start, self.num_heads, rows.dtype)
        context = np.empty((len(rows), count * size), rows.dtype)
        by_heads = context.reshape(len(rows), count, size).transpose(1, 0, 2)  # a view
        for block in batch.blocks(count):
            by_heads[block.queries] = functions.attention(
                query[block.queries],
                key[block.keys],
                value[block.keys],
                record=partial(record, block),
            )
        trace.columns(f"{self.name}.context", context, columns, rows.shape[1])
        return self.output.inputs(columns)(context)


@dataclass(frozen=True, eq=False)
class FeedForward:
    """Wide and back again, each token alone: C -> F -> C."""

    name: str
    intermediate: Linear
    output: Linear
    activation: str  # a key of functions.ACTIVATIONS

    @property
    def width(self) -> int:
        """F, the size of the intermediate."""
        return len(self.intermediate.bias)

    @tells_where
    def __call__(self, rows: Array, trace: Trace) -> Array:
        """(N, C) -> (N, C), residual and norm not included."""
        # no wide number knows of another, as no head does: each thread takes some
        parts = shares_of_work(self.width, 2 * rows.size * self.width)
        output = add_up(lambda wide: self._feed(wide, rows, trace), parts)
        trace.rows(self.name, output)
        return output

    def _feed(self, wide: slice, rows: Array, trace: Trace) -> Array:
        """Return what some of the wide numbers add to the output."""
        intermediate, output = self.intermediate.columns(wide), self.output.inputs(wide)

        def record(stage: str, value: Array) -> None:
            trace.columns(f"{self.name}.{stage}", value, wide, self.width)

        return functions.feed_forward(
            rows,
            intermediate.weight,
            intermediate.bias,
            output.weight,
            output.bias,
            self.activation,
            record=record,
        )


@dataclass(frozen=True, eq=False)
class Layer:
    """Self-attention, then feed-forward, each with its residual and norm."""

    name: str
    attention: SelfAttention
    feed_forward: FeedForward
    norm: LayerNorm

    @tells_where
    def __call__(self, rows: Array, batch: Batch, trace: Trace) -> Array:
        """(N, C) -> (N, C)."""
        attended = self.attention(rows, batch, trace)
        output = self.feed_forward(attended, trace)
        output += attended
        normed = self.norm(output)
        trace.rows(self.name, normed)
        return normed


@dataclass(frozen=True, eq=False)
class Pooler:
    """One vector a sequence: the first real token ([CLS], as a rule) through a matrix and tanh.

    Transformers takes column 0 even where the mask says that it is padding.
    """

    dense: Linear

    @tells_where
    def __call__(self, rows: Array, batch: Batch, trace: Trace) -> Array:
        """(N, C) -> (number of sequences with a real token, C)."""
        first = rows[batch.first_rows()]
        pooled = functions.pooler(first, self.dense.weight, self.dense.bias)
        trace.pooled("pooler", pooled)
        return pooled


@dataclass(frozen=True, eq=False)
class PredictionHead:
    """Each token through a matrix, the activation and a norm; then a score for each word."""

    name: str
    dense: Linear
    norm: LayerNorm
    decoder: Linear  # (V, C), as a rule the matrix of the word embeddings
    activation: str  # a key of functions.ACTIVATIONS

    @tells_where
    def __call__(self, rows: Array, trace: Trace) -> Array:
        """(N, C) -> (N, V)."""
        dense = self.dense(rows)
        trace.rows(f"{self.name}.intermediate", dense)
        active = functions.ACTIVATIONS[self.activation](dense)
        trace.rows(f"{self.name}.activation", active)
        normed = self.norm(active)
        trace.rows(self.name, normed)
        logits = self.decoder(normed)
        trace.rows("logits", logits)
        return logits
