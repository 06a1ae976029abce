"""From what a caller passes to rows: input checks, packing, unpacking.

Only this file knows about padding. Every layer but attention treats each token alone, so the
real tokens of all sequences lie in one (N, C) array of rows; a padded position costs nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minibert.functions import Array

Integers = NDArray[np.int64]

MAX_ROWS = 1024  # of a share of a batch
MAX_QUERIES, MAX_SCORES = 128, 50_000  # of a block of attention


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
        stays small. Where the shares would be too unequal, the batch stays whole.
        """
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
        words = _indices("input_ids", input_ids, limits.vocab_size, "vocab_size")
    else:
        words = _embeddings(inputs_embeds, limits.hidden_size, dtype)
    shape = words.shape[:2]
    mask = _mask(attention_mask, shape)
    types = _token_types(token_type_ids, shape, limits.type_vocab_size)
    positions = _positions(position_ids, shape, limits.max_position_embeddings)
    return Batch(mask, words[mask], types[mask], positions[mask], _sequences(mask))


def _sequences(mask: NDArray[np.bool_]) -> tuple[Sequence, ...]:
    ends = np.cumsum(mask.sum(axis=1)).tolist()
    starts = [0, *ends[:-1]]
    return tuple(
        Sequence(index, slice(start, end), np.flatnonzero(mask[index]))
        for index, (start, end) in enumerate(zip(starts, ends, strict=True))
        if end > start
    )


def _mask(values: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    if values is None:
        return np.ones(shape, bool)
    mask = _array("attention_mask", values)
    _same_shape("attention_mask", mask, shape)
    wrong = _first((mask != 0) & (mask != 1))
    if wrong:
        raise ValueError(
            f"attention_mask{wrong} is {mask[tuple(wrong)]}; allowed: 1 (a real token), 0 (padding)"
        )
    real: NDArray[np.bool_] = mask != 0
    return real


def _token_types(values: Any, shape: tuple[int, ...], count: int) -> Integers:
    if values is None:
        return np.zeros(shape, np.int64)
    types = _indices("token_type_ids", values, count, "type_vocab_size")
    _same_shape("token_type_ids", types, shape)
    return types


def _positions(values: Any, shape: tuple[int, ...], count: int) -> Integers:
    if values is None:
        if shape[1] > count:
            raise ValueError(
                f"the sequences are {shape[1]} tokens long; this model has positions for {count} "
                "(max_position_embeddings): cut them or split them"
            )
        return np.broadcast_to(np.arange(shape[1]), shape)
    array = _array("position_ids", values)
    lines = array[np.newaxis] if array.ndim == 1 else array
    positions = _indices("position_ids", lines, count, "max_position_embeddings")
    if positions.shape != (1, shape[1]):
        _same_shape("position_ids", array, shape)
    return np.broadcast_to(positions, shape)


def _embeddings(values: Any, hidden_size: int, dtype: DTypeLike) -> Array:
    array = _array("inputs_embeds", values)
    if array.ndim != 3 or array.shape[2] != hidden_size or array.size == 0:
        raise ValueError(
            f"inputs_embeds has the shape {array.shape}; needed: (batch, tokens, {hidden_size})"
        )
    if array.dtype.kind != "f":
        raise TypeError(f"inputs_embeds holds {array.dtype}; needed: floating-point numbers")
    return array.astype(dtype, copy=False)


def _indices(name: str, values: Any, count: int, field: str) -> Integers:
    """Return a (batch, tokens) array of whole numbers from 0 to count - 1."""
    array = _array(name, values)
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {array.shape}")
    if array.ndim != 2:
        hint = f"; for one sequence, write {name}=[[...]]" if array.ndim == 1 else ""
        raise ValueError(
            f"{name} has {array.ndim} dimension(s), shape {array.shape}; "
            f"needed: 2, (batch, tokens){hint}"
        )
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} holds {array.dtype}; needed: whole numbers")
    wrong = _first((array < 0) | (array >= count))
    if wrong:  # NumPy would read a negative index from the end, without a word
        raise ValueError(
            f"{name}{wrong} is {array[tuple(wrong)]}; "
            f"allowed: 0 to {count - 1} ({field} is {count})"
        )
    return array.astype(np.int64, copy=False)


def _array(name: str, values: Any) -> NDArray[Any]:
    if isinstance(values, Mapping):  # what a tokenizer returns, passed whole
        raise TypeError(f"{name} is a {type(values).__name__}; to pass all it holds, put ** before")
    if isinstance(values, list | tuple):
        _refuse_ragged(name, values)
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} is not an array: {error}") from None
    if array.dtype.kind in "US":
        _refuse_text(name)
    if array.dtype.kind not in "iufb":
        kinds = sorted({type(item).__name__ for item in array.flat})
        found = f"objects ({', '.join(kinds)})" if array.dtype.kind == "O" else array.dtype
        raise TypeError(f"{name} holds {found}; needed: numbers, in lists or an array")
    return array


def _refuse_text(name: str) -> NoReturn:
    raise TypeError(f"{name} holds text; needed: the numbers that a tokenizer makes of it")


def _refuse_ragged(name: str, rows: Any) -> None:
    lengths = [_length(row) for row in rows]
    longest = max(lengths, default=-1)
    if all(length == longest for length in lengths):
        return
    if any(isinstance(x, str) for row in rows for x in (row if _length(row) > 0 else [row])):
        _refuse_text(name)
    others = [f"row {i} {_entries(n)}" for i, n in enumerate(lengths) if n != longest]
    more = f" and {len(others) - 5} more" if len(others) > 5 else ""
    raise ValueError(
        f"{name} is ragged: row {lengths.index(longest)} {_entries(longest)}, "
        f"{', '.join(others[:5])}{more}. Pad the shorter rows to one length, "
        "and set attention_mask to 0 there"
    )


def _length(row: Any) -> int:
    """Return the length of a row; -1 if it is no row but a single number, say."""
    try:
        return len(row)
    except TypeError:
        return -1


def _entries(length: int) -> str:
    return "is not a list" if length < 0 else f"has {length} entries"


def _same_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} has the shape {array.shape}; the input has {shape}")


def _first(wrong: NDArray[np.bool_]) -> list[int]:
    """Return the place of the first True; empty if there is none."""
    return np.argwhere(wrong)[0].tolist() if wrong.any() else []
