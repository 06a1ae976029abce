"""What goes wrong with token types, positions, words and their order: a phrase, other inputs."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.mistakes.inputs import TYPES_AS_MASK, Change, Changes, Inputs, other_orders

# token types and positions


def _types(change: Callable[[Inputs], Any]) -> Change:
    return lambda inputs: replace(inputs, types=change(inputs))


def _positions(change: Callable[[Inputs], Any]) -> Change:
    def changed(inputs: Inputs) -> Inputs:
        whole = np.broadcast_to(change(inputs), inputs.mask.shape)
        return replace(inputs, positions=whole)

    return changed


def _restarted(inputs: Inputs) -> Any:
    """Count from 0 again where the token type changes."""
    columns = np.arange(inputs.types.shape[1])
    starts = np.diff(inputs.types, axis=1, prepend=inputs.types[:, :1]) != 0
    return columns - np.maximum.accumulate(np.where(starts, columns, 0), axis=1)


def _counted(inputs: Inputs) -> Any:
    return np.maximum(np.cumsum(inputs.mask, axis=1) - 1, 0)


PLACED: Changes = (
    (
        TYPES_AS_MASK,
        _types(lambda x: np.ones_like(x.types)),
    ),
    ("token types that are all 0", _types(lambda x: np.zeros_like(x.types))),
    ("token types 0 and 1 swapped", _types(lambda x: np.where(x.types < 2, 1 - x.types, x.types))),
    ("positions from 1", _positions(lambda x: x.positions + 1)),
    ("positions from 2", _positions(lambda x: x.positions + 2)),
    ("positions that start again in the second segment", _positions(_restarted)),
    ("positions reversed", _positions(lambda x: x.mask.shape[1] - 1 - x.positions)),
    (
        "positions reversed",
        _positions(lambda x: np.maximum(x.mask.sum(axis=1, keepdims=True) - 1 - _counted(x), 0)),
    ),
    ("positions counted over the real tokens only", _positions(_counted)),
    (
        "positions counted over the real tokens from 2, as RoBERTa has them",
        _positions(lambda x: _counted(x) + 2),
    ),
    (
        "positions that are counted over padding too, whatever is given",
        _positions(lambda x: np.arange(x.mask.shape[1])),
    ),
    ("positions that are all 0", _positions(lambda x: 0 * x.positions)),
)

# words, and the order of everything


def _moved(by: int) -> Change:
    def change(inputs: Inputs) -> Inputs:
        if inputs.words.ndim > 2:
            raise IndexError
        return replace(inputs, words=inputs.words + by)

    return change


def _reordered(order: Callable[[Inputs, int], Any]) -> Change:
    """Put the real tokens of each sequence in another order; ``order(inputs, b)`` says which."""

    def change(inputs: Inputs) -> Inputs:
        words = inputs.words.copy()
        for b, real in enumerate(inputs.mask):
            words[b, real] = words[b, real][order(inputs, b)]
        return replace(inputs, words=words)

    return change


def _pair_turned(inputs: Inputs) -> Inputs:
    """Put the second text of each pair before the first: [CLS] B [SEP] A [SEP]."""
    words, types = inputs.words.copy(), inputs.types.copy()
    for b, real in enumerate(inputs.mask):
        segment = inputs.types[b, real]
        second = np.flatnonzero(segment == 1)
        order = np.concatenate([[0], second, np.flatnonzero(segment != 1)[1:]])
        words[b, real] = words[b, real][order]
        types[b, real] = np.arange(len(segment)) > len(second)
    types = np.where(inputs.types.any(axis=1, keepdims=True), types, inputs.types)
    return replace(inputs, words=words, types=types)


WORDS: Changes = (
    ("the table of words shifted by one row: each word is the next one", _moved(1)),
    ("the table of words shifted by one row: each word is the one before", _moved(-1)),
    ("the two texts of each pair in the other order", _pair_turned),
    ("the tokens of each sequence in reverse", _reordered(lambda x, b: slice(None, None, -1))),
)


def orders(size: int, lengths: NDArray[Any]) -> Iterator[tuple[str, Change]]:
    """Yield the sequences of the batch in other orders."""
    for order in other_orders(size, lengths):
        yield f"the sequences in another order, {[*order]}", _in_order([*order])


def _in_order(order: list[int]) -> Change:
    def change(inputs: Inputs) -> Inputs:
        arrays: dict[str, Any] = {
            name: x if x is None or x is inputs.source else x[order]
            for name, x in vars(inputs).items()
        }
        return Inputs(**arrays)

    return change
