"""Examples, and batches of them: what is read together, in which order."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.losses import IGNORED
from minibert.runtime.arrays import Integers

Fields = dict[str, Any]


class Example(NamedTuple):
    """What is read, and what is to be said of it: the arguments of a call, without the batch."""

    inputs: Mapping[str, Sequence[int]]
    labels: Mapping[str, Any]  # a number, or one for each token


def collate(examples: Sequence[Example]) -> tuple[Fields, Fields]:
    """Return a batch's inputs and labels, padded to the longest; padding is masked.

    Padding costs nothing, since a model reads real tokens alone.
    """
    inputs: Fields = {}
    for name in examples[0].inputs:
        inputs[name], mask = _padded([example.inputs[name] for example in examples], 0)
        inputs.setdefault("attention_mask", mask)
    labels = {
        name: _together([example.labels[name] for example in examples])
        for name in examples[0].labels
    }
    return inputs, labels


def _together(values: list[Any]) -> Any:
    """Return the labels of a batch: numbers, or a padded row for each."""
    is_row = not np.isscalar(values[0]) and len({len(value) for value in values}) > 1
    return _padded(values, IGNORED)[0] if is_row else np.array(values)


def _padded(rows: Sequence[Sequence[int]], value: int) -> tuple[Integers, Integers]:
    shape = len(rows), max(map(len, rows))
    whole, mask = np.full(shape, value, np.int64), np.zeros(shape, np.int64)
    for i, row in enumerate(rows):
        whole[i, : len(row)], mask[i, : len(row)] = row, 1
    return whole, mask


def order(count: int, size: int, seed: tuple[int, ...]) -> Iterator[list[int]]:
    """Yield the numbers of the examples of each batch, in an order drawn from a seed."""
    drawn = np.random.default_rng(seed).permutation(count).tolist()
    for start in range(0, count, size):
        yield drawn[start : start + size]
