"""From what a caller passes to rows: packing, unpacking, and shares for threads.

Only this file knows about padding. Every layer but attention treats each token alone, so the
real tokens of all sequences lie in one (N, C) array of rows; a padded position costs nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minibert import arguments
from minibert.runtime.arrays import Array, Integers

MIN_ROWS, MAX_ROWS = 200, 1024  # of a share of a batch
MAX_QUERIES, MAX_SCORES = 256, 130_000  # of a block of attention


class Limits(Protocol):
    """What a batch is checked against: a config has it."""

    vocab_size: int
    type_vocab_size: int
    max_position_embeddings: int
    hidden_size: int


@dataclass(frozen=True, eq=False)
class Sequence:
    """The real tokens of one sequence: attention happens among them."""

    index: int  # which sequence of the batch
    rows: slice  # where they lie among the rows
    columns: NDArray[np.intp]  # where they stood in the input


@dataclass(frozen=True, eq=False)
class Block:
    """Some heads of some tokens of a sequence, and the tokens that these look at: all of it."""

    sequence: Sequence
    heads: slice
    rows: slice  # of the tokens that look

    @property
    def queries(self) -> tuple[slice, slice]:
        """Where the queries lie in (H, N, D)."""
        return self.heads, self.rows

    @property
    def keys(self) -> tuple[slice, slice]:
        """Where the keys and the values lie in (H, N, D)."""
        return self.heads, self.sequence.rows

    @property
    def columns(self) -> NDArray[np.intp]:
        """Where the tokens that look stood in the input."""
        start = self.sequence.rows.start
        return self.sequence.columns[self.rows.start - start : self.rows.stop - start]


@dataclass(frozen=True, eq=False)
class Batch:
    """A checked batch, packed: the k-th row is the k-th True of the mask, read line by line."""

    mask: NDArray[np.bool_]  # (B, T), True at the real tokens
    words: Integers | Array  # (N,) token ids, or (N, C) embeddings given in their place
    token_type_ids: Integers  # (N,)
    position_ids: Integers  # (N,)
    sequences: tuple[Sequence, ...]  # those with at least one real token

    @property
    def shape(self) -> tuple[int, int]:
        """(B, T)."""
        size, length = self.mask.shape
        return size, length

    def split(self, count: int) -> "list[Batch]":
        """Deal the sequences out to so many batches of about as many rows: one for each thread.

        A batch larger than MAX_ROWS becomes more of them, so that what is computed on the way
        stays small. Where the shares would be too small (weights are read for many rows as fast as
        for few) or too unequal, the batch stays whole, and threads share the work within a layer.
        """
        if len(self.words) < count * MIN_ROWS:
            return [self]
        count *= max(1, round(len(self.words) / (count * MAX_ROWS)))
        dealt: list[list[Sequence]] = [[] for _ in range(count)]
        loads = [0] * count
        for sequence in sorted(self.sequences, key=lambda s: -len(s.columns)):
            least = loads.index(min(loads))
            dealt[least].append(sequence)
            loads[least] += len(sequence.columns)
        if count == 1 or max(loads) * count >= 1.1 * sum(loads):
            return [self]
        return [self._only(sequences) for sequences in dealt]

    def _only(self, sequences: "list[Sequence]") -> "Batch":
        """Return the batch with all other sequences masked."""
        chosen = np.zeros((len(self.mask), 1), bool)
        chosen[[sequence.index for sequence in sequences]] = True
        mask = self.mask & chosen
        rows = self.rows_of(mask)
        types, positions = self.token_type_ids[rows], self.position_ids[rows]
        return Batch(mask, self.words[rows], types, positions, _sequences(mask))

    def rows_of(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Tell of each row whether a mask (B, T) has its place."""
        return mask[self.mask]

    def blocks(self, num_heads: int) -> "Iterator[Block]":
        """Cut the attention among so many heads into blocks whose scores stay in the cache."""
        for sequence in self.sequences:
            start, stop = sequence.rows.start, sequence.rows.stop
            queries = min(stop - start, MAX_QUERIES)
            heads = max(1, MAX_SCORES // (queries * (stop - start)))
            for first_row in range(start, stop, queries):
                rows = slice(first_row, min(first_row + queries, stop))
                for first_head in range(0, num_heads, heads):
                    last = min(first_head + heads, num_heads)
                    yield Block(sequence, slice(first_head, last), rows)

    def unpack(self, rows: Array) -> Array:
        """Put rows back where they stood: (N, ...) -> (B, T, ...), zeros elsewhere."""
        if len(rows) == self.mask.size:
            return rows.reshape(*self.shape, *rows.shape[1:])
        unpacked = np.zeros((*self.shape, *rows.shape[1:]), rows.dtype)
        unpacked[self.mask] = rows
        return unpacked

    def unpack_sequences(self, vectors: Array) -> Array:
        """Put one vector for each of ``sequences`` in its place: -> (B, ...), zeros elsewhere."""
        unpacked = np.zeros((self.shape[0], *vectors.shape[1:]), vectors.dtype)
        unpacked[[sequence.index for sequence in self.sequences]] = vectors
        return unpacked

    def first_rows(self) -> list[int]:
        """Return the row of each sequence's first real token, [CLS] as a rule."""
        return [sequence.rows.start for sequence in self.sequences]


def make_batch(
    limits: Limits,
    dtype: DTypeLike,
    input_ids: Any = None,
    attention_mask: Any = None,
    token_type_ids: Any = None,
    position_ids: Any = None,
    inputs_embeds: Any = None,
) -> Batch:
    """Check what a caller passed, and pack it.

    TypeError or ValueError with the name of the argument, what was found and what is allowed.
    """
    if (input_ids is None) == (inputs_embeds is None):
        raise ValueError("pass either input_ids or inputs_embeds, and not both")
    words: Integers | Array
    if inputs_embeds is None:
        words = arguments.indices("input_ids", input_ids, limits.vocab_size, "vocab_size")
    else:
        words = arguments.embeddings(inputs_embeds, limits.hidden_size, dtype)
    shape = words.shape[:2]
    mask = arguments.mask(attention_mask, shape)
    types = arguments.token_types(token_type_ids, shape, limits.type_vocab_size)
    positions = arguments.positions(position_ids, shape, limits.max_position_embeddings)
    return Batch(mask, words[mask], types[mask], positions[mask], _sequences(mask))


def _sequences(mask: NDArray[np.bool_]) -> tuple[Sequence, ...]:
    ends = np.cumsum(mask.sum(axis=1)).tolist()
    starts = [0, *ends[:-1]]
    return tuple(
        Sequence(index, slice(start, end), np.flatnonzero(mask[index]))
        for index, (start, end) in enumerate(zip(starts, ends, strict=True))
        if end > start
    )
