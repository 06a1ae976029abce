"""What is run: batches of BERT-base's shape, and the arithmetic that they need."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

FIRST_ID, LAST_ID = 999, 30521  # of words in the vocabulary of bert-base-uncased


@dataclass(frozen=True)
class Shape:
    """The sizes of a model; as they stand, those of BERT-base."""

    layers: int = 12
    width: int = 768
    heads: int = 12
    wide: int = 3072  # the feed-forward's
    vocabulary: int = LAST_ID + 1
    positions: int = 512


@dataclass(frozen=True)
class Workload:
    """A batch, by the numbers of tokens in its sequences."""

    name: str
    lengths: tuple[int, ...]

    def inputs(self, vocabulary: int = LAST_ID + 1) -> tuple[Integers, Integers]:
        """Return drawn ids and the mask, padded to the longest as a tokenizer pads."""
        mask = np.arange(max(self.lengths)) < np.array(self.lengths)[:, np.newaxis]
        first = min(FIRST_ID, vocabulary // 2)
        ids = np.random.default_rng(0).integers(first, vocabulary, mask.shape)
        return np.where(mask, ids, 0), mask.astype(np.int64)


def even(batch: int, tokens: int) -> Workload:
    """Return a batch without padding."""
    return Workload(f"{batch} x {tokens}", (tokens,) * batch)


def spread(count: int, shortest: int, longest: int, seed: int) -> tuple[int, ...]:
    """Draw lengths over a range; both its ends are among them."""
    drawn = np.random.default_rng(seed).integers(shortest, longest + 1, count - 2)
    return (shortest, *drawn.tolist(), longest)


FORWARD = (
    even(1, 16),
    even(1, 128),
    even(8, 128),
    even(4, 512),
    Workload("64 sentences of 5 to 53, padded", spread(64, 5, 53, seed=1)),
    Workload("8 documents of 90 to 357, padded", spread(8, 90, 357, seed=2)),
)


def useful_flops(shape: Shape, lengths: Sequence[int]) -> int:
    """Count the multiplications and additions of matrix products that real tokens need.

    What an engine computes for padding is not useful. Norms, softmax and GELU are not counted.
    """
    tokens, pairs = sum(lengths), sum(length**2 for length in lengths)
    projections = 4 * shape.width**2 + 2 * shape.width * shape.wide
    attention = 2 * shape.width  # for a pair of tokens: a score, and a share of the average
    pooler = len(lengths) * shape.width**2
    return 2 * (shape.layers * (tokens * projections + pairs * attention) + pooler)
