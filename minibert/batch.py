"""A batch as rows: the real tokens of all sequences, one after the other. Padding costs nothing.

Every layer but attention treats each token alone, so hidden states are (N, C), N the number of real
tokens. Which row is which token is known here alone: a trace asks where its pieces lie.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minibert import arguments
from minibert.cache import Cache, Past
from minibert.runtime.arrays import Array, Integers, Mask
from minibert.trace import Trace, silent

CHOSEN = "input_ids", "inputs_embeds", "attention_mask", "token_type_ids"  # among choices
Columns = tuple[slice, int] | None  # a slice of so many equal groups of columns; None: all
Place = tuple[Any, tuple[int, ...]]  # an index, and the shape of what it indexes


class Limits(Protocol):
    """What a batch is checked against: a config has it."""

    vocab_size: int
    type_vocab_size: int
    max_position_embeddings: int
    hidden_size: int

    @property
    def default_token_type(self) -> int:
        """The type of a token of which nothing is said; -1: none."""


@dataclass(frozen=True, eq=False)
class Block:
    """Some queries of a sequence, in some heads, and all its keys."""

    sequence: "Sequence"
    heads: slice
    queries: slice
    num_heads: int

    def place(self, x: Array, columns: Columns = None) -> Place:
        """Return where scores (h, q, k) lie in (B, H, T, K)."""
        part, num_heads = columns or (slice(0, None), self.num_heads)
        tokens = self.sequence
        heads = np.arange(part.start + self.heads.start, part.start + self.heads.stop)
        size, length, keys = tokens.shape
        index = tokens.index, *np.ix_(heads, tokens.columns[self.queries], tokens.keys)
        return index, (size, num_heads, length, keys)


@dataclass(frozen=True, eq=False)
class Sequence:
    """The real tokens of one sequence: attention happens among them."""

    index: int  # which sequence of the batch
    rows: slice  # where they lie among the rows
    columns: NDArray[np.intp]  # where they stood in the input
    key_rows: slice  # where what they may look at lies among its rows
    keys: NDArray[np.intp]  # the columns of that: of themselves, or more
    shape: tuple[int, int, int]  # (B, T, K), of the batch
    allowed: Mask = None  # which of the keys (axis 1) each of its tokens (axis 0) may look at

    @cached_property
    def not_ahead(self) -> Mask:
        """``allowed``, and of that what does not come after the token that looks."""
        queries, keys = len(self.columns), len(self.keys)
        if queries == 1:
            return self.allowed
        # with the axes in the order in which scores lie in memory, NumPy masks them twice as fast
        before = np.tri(queries, keys, keys - queries, dtype=bool).T.copy().T
        return before if self.allowed is None else before & self.allowed

    def block(self, heads: slice, queries: slice, num_heads: int) -> Block:
        """Return some queries in some of so many heads."""
        return Block(self, heads, queries, num_heads)


@dataclass(frozen=True, eq=False)
class Vectors:
    """One vector for each sequence that has a real token."""

    indices: list[int]
    size: int  # B

    def place(self, x: Array, columns: Columns = None) -> Place:
        """Return where vectors (n, ...) lie in (B, ...)."""
        return self.indices, (self.size, *x.shape[1:])

    def unpack(self, x: Array) -> Array:
        """Put vectors in their places: (n, ...) -> (B, ...), zeros elsewhere."""
        return _unpacked(x, *self.place(x))


@dataclass(frozen=True, eq=False)
class Batch:
    """A checked batch, packed: the k-th row is the k-th True of the mask, read line by line."""

    mask: NDArray[np.bool_]  # (B, T), True at the real tokens
    token_type_ids: Integers  # (N,)
    position_ids: Integers  # (N,)
    token_ids: Integers | None = None  # (N,)
    token_embeddings: Array | None = None  # (N, C), given in place of ids
    allowed: Mask = None  # (B, T, T): which keys each query may look at
    choices: int = 1  # how many sequences belong to one question
    cache: Cache | None = None  # of the tokens before these
    past: Past | None = None  # that of one layer
    states: Array | None = None  # (N, C), of these tokens, where a decoder looks at them
    source: "Batch | None" = None  # what the encoder read, at which a decoder looks besides
    seen: "Batch | None" = None  # what attention looks at; None: at the batch itself
    targets: Mapping[str, Any] | None = None  # what a head is to say of it
    chosen: "Batch | None" = None  # the tokens that a head scores; None: all

    @cached_property
    def sequences(self) -> tuple[Sequence, ...]:
        """Those that have a real token."""
        size, length = self.mask.shape
        before = self.cache.get_seq_length() if self.cache else 0
        ends = np.cumsum(self.mask.sum(axis=1)).tolist()
        found = []
        for i, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            if end > start:
                tokens = np.flatnonzero(self.mask[i])
                allowed = None if self.allowed is None else self.allowed[i][np.ix_(tokens, tokens)]
                shape, keys = (size, length, before + length), tokens
                if self.cache:
                    keys = np.concatenate([np.flatnonzero(self.cache.mask[i]), before + tokens])
                rows = slice(start, end)
                found.append(Sequence(i, rows, tokens, rows, keys, shape, allowed))
        return tuple(found)

    @cached_property
    def crossing(self) -> tuple[Sequence, ...]:
        """The sequences as they look at those of the source."""
        assert self.source is not None  # a decoder's batch has one
        there = {sequence.index: sequence for sequence in self.source.sequences}
        shape = *self.mask.shape, self.source.mask.shape[1]
        pairs = [(one, there[one.index]) for one in self.sequences]
        return tuple(
            Sequence(a.index, a.rows, a.columns, b.rows, b.columns, shape) for a, b in pairs
        )

    @property
    def across(self) -> "Batch":
        """The batch for cross-attention: its tokens look at those of the source."""
        past = self.source.past if self.source else None
        return self._with(sequences=self.crossing, seen=self.source, past=past)

    def looked_at(self, x: Array, trace: Trace) -> tuple[Array, Trace]:
        """Return the states at which a decoder's rows look, and their trace.

        There are none if their keys and values are kept from an earlier call.
        """
        return (x[:0], silent) if self.states is None else (self.states, trace.of(self))

    def of_layer(self, i: int) -> "Batch":
        """Return the batch with the keys and values that a layer keeps, if any are kept."""
        if not self.cache:
            return self
        changes: dict[str, Any] = {"past": self.cache.of_layer(i), "sequences": self.sequences}
        if self.source is not None:
            changes["source"] = self.source._with(past=self.cache.of_source(i))
            changes["crossing"] = self.crossing
        return self._with(**changes)

    def columns(self, heads: slice, count: int) -> "Batch":
        """Return the batch with the keys and values of some of a layer's heads."""
        return self._with(past=self.past.of_heads(heads)) if self.past else self

    def _with(self, **changes: Any) -> "Batch":
        batch = copy(self)  # and with it the sequences
        vars(batch).update(changes)
        return batch

    def words(self, table: Array) -> Array:
        """Return the vector of each token: its row of the table, or what was given in its place."""
        return table[self.token_ids] if self.token_embeddings is None else self.token_embeddings

    @property
    def vectors(self) -> Vectors:
        """The places of one vector for each of the sequences."""
        return Vectors([sequence.index for sequence in self.sequences], len(self.mask))

    def first_rows(self) -> list[int]:
        """Return the row of each sequence's first real token, [CLS] as a rule."""
        return [sequence.rows.start for sequence in self.sequences]

    def last_rows(self) -> list[int]:
        """Return the row of each sequence's last real token."""
        return [sequence.rows.stop - 1 for sequence in self.sequences]

    def rows_at(self, places: Any) -> Integers:
        """Return the rows of the real tokens at some places of (B, T)."""
        rows: Integers = (np.cumsum(self.mask) - 1).reshape(self.mask.shape)[places]
        return rows

    def only(self, indices: list[int]) -> "Batch":
        """Return the share of the batch that has these sequences, in the places where they are."""
        mask = np.zeros_like(self.mask)
        mask[indices] = self.mask[indices]
        source = None if self.source is None else self.source.only(indices)
        return replace(self._those(mask), source=source)

    def choosing(self, tokens: NDArray[np.bool_]) -> "Batch":
        """Return the batch of which a head scores some tokens alone: (B, T)."""
        return self._with(chosen=self._those(tokens & self.mask))

    @property
    def scored(self) -> "Batch":
        """The tokens that a head scores, in the places where they are."""
        return self if self.chosen is None else self.chosen

    def _those(self, mask: NDArray[np.bool_]) -> "Batch":
        rows = mask[self.mask]
        names = "token_type_ids", "position_ids", "token_ids", "token_embeddings", "states"
        packed = {name: getattr(self, name) for name in names}
        shares: dict[str, Any] = {k: x[rows] for k, x in packed.items() if x is not None and len(x)}
        return replace(self, mask=mask, **shares)

    def share(self, share: "Batch", rows: Array) -> Array:
        """Return the rows of a share: (N, C) -> (n, C)."""
        return rows if share is self else rows[share.mask[self.mask]]

    def gather(self, shares: "list[Batch]", rows: list[Array]) -> Array:
        """Put together what was computed of each share: -> (N, C)."""
        whole = np.zeros((np.count_nonzero(self.mask), *rows[0].shape[1:]), rows[0].dtype)
        for share, x in zip(shares, rows, strict=True):
            whole[share.mask[self.mask]] = x
        return whole

    def place(self, x: Array, columns: Columns = None) -> Place:
        """Return where rows (N, ...), or some columns of them, lie in (B, T, ...)."""
        if columns is None:
            return self.mask, (*self.mask.shape, *x.shape[1:])
        part, count = columns
        width = x.shape[1] // (part.stop - part.start)
        index = self.mask, slice(part.start * width, part.stop * width)
        return index, (*self.mask.shape, count * width)

    def unpack(self, x: Array) -> Array:
        """Put rows back where they stood: (N, ...) -> (B, T, ...), zeros elsewhere."""
        return _unpacked(x, *self.place(x))


def _unpacked(x: Array, place: Any, shape: tuple[int, ...]) -> Array:
    whole = np.zeros(shape, x.dtype)
    whole[place] = x
    return whole


def make_batch(
    limits: Limits,
    dtype: DTypeLike,
    input_ids: Any = None,
    attention_mask: Any = None,
    token_type_ids: Any = None,
    position_ids: Any = None,
    inputs_embeds: Any = None,
    *,
    with_choices: bool = False,
    cache: Cache | None = None,
) -> Batch:
    """Check what a caller passed, and pack it.

    with_choices: the inputs have an axis more, (batch, choices, tokens).
    TypeError or ValueError with the name of the argument, what was found and what is allowed.
    """
    if (input_ids is None) == (inputs_embeds is None):
        raise ValueError("pass either input_ids or inputs_embeds, and not both")
    choices = 1
    if with_choices:
        given = input_ids, inputs_embeds, attention_mask, token_type_ids
        counts, given = zip(*map(arguments.merge_choices, CHOSEN, given), strict=True)
        input_ids, inputs_embeds, attention_mask, token_type_ids = given
        choices = counts[0] * counts[1]  # one of the two is not there
    words = _words(limits, dtype, input_ids, inputs_embeds)
    shape = words.shape[:2]
    past, before = (None, 0) if cache is None else (cache.mask, cache.get_seq_length())
    mask, allowed = arguments.mask(attention_mask, shape, past)
    kinds = limits.type_vocab_size, limits.default_token_type
    types = arguments.token_types(token_type_ids, shape, *kinds)
    positions = arguments.positions(position_ids, shape, limits.max_position_embeddings, before)
    rows: Any = {"token_ids" if inputs_embeds is None else "token_embeddings": words[mask]}
    packed = Batch(mask, types[mask], positions[mask], **rows)
    return replace(packed, allowed=allowed, choices=choices, cache=cache)


def _words(limits: Limits, dtype: DTypeLike, input_ids: Any, inputs_embeds: Any) -> NDArray[Any]:
    """Return ids (B, T), or what is given in their place, (B, T, C)."""
    if inputs_embeds is None:
        return arguments.indices("input_ids", input_ids, limits.vocab_size, "vocab_size")
    return arguments.embeddings(inputs_embeds, limits.hidden_size, dtype)
