"""Examples, and batches of them: what is read together, in which order."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from minibert.losses import IGNORED
from minibert.runtime.arrays import Integers

Fields = dict[str, Any]

NEAR = 16  # batches among whose examples lengths are sorted


class Example(NamedTuple):
    """What is read, and what is to be said of it: the arguments of a call, without the batch."""

    inputs: Mapping[str, Sequence[int]]
    labels: Mapping[str, Any]  # a number, or one for each token


def collate(examples: Sequence[Example]) -> Fields:
    """Return the arguments of a call on a batch, padded to the longest; padding is masked.

    Padding costs nothing, since a model reads real tokens alone.
    """
    inputs: Fields = {}
    _refuse_other_names(examples)
    for name in examples[0].inputs:
        inputs[name], mask = _padded([example.inputs[name] for example in examples], 0)
        inputs.setdefault("attention_mask", mask)
    labels = {
        name: _together([example.labels[name] for example in examples])
        for name in examples[0].labels
    }
    return {**inputs, **labels}


def _refuse_other_names(examples: Sequence[Example]) -> None:
    first = examples[0]
    for example in examples:
        for names, others in zip(first, example, strict=True):
            if names.keys() != others.keys():
                found = f"one has {', '.join(names)}, another {', '.join(others) or 'none'}"
                raise ValueError(f"examples have not all the same fields: {found}")


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


def batches(examples: Sequence[Example], size: int, seed: tuple[int, ...]) -> list[list[Example]]:
    """Return all examples as batches, in an order drawn from a seed.

    Those of a batch are of about the same length, so that threads have equal shares.
    """
    random = np.random.default_rng(seed)
    drawn = random.permutation(len(examples)).tolist()
    found: list[list[Example]] = []
    for start in range(0, len(drawn), NEAR * size):
        some = sorted((examples[i] for i in drawn[start : start + NEAR * size]), key=_length)
        parts = [some[k : k + size] for k in range(0, len(some), size)]
        short = [part for part in parts if len(part) < size]  # comes last, as the only one
        whole = [part for part in parts if len(part) == size]
        found += [whole[k] for k in random.permutation(len(whole))] + short
    return found


def _length(example: Example) -> int:
    return len(next(iter(example.inputs.values())))
