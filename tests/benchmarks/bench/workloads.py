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


@dataclass(frozen=True)
class Writing:
    """Prompts of a kind of model, by their numbers of tokens, and how many are to follow."""

    kind: str
    name: str
    lengths: tuple[int, ...]
    count: int
    beams: int = 1

    def inputs(self) -> tuple[Integers, Integers]:
        """Return drawn ids and the mask, padded on the left, as transformers needs it."""
        ids, mask = Workload(self.name, self.lengths).inputs()
        order = np.argsort(mask, axis=1, kind="stable")  # padding first
        return np.take_along_axis(ids, order, 1), np.take_along_axis(mask, order, 1)

    def options(self) -> dict[str, int]:
        """Return the options of generate."""
        beams = {"num_beams": self.beams} if self.beams > 1 else {}
        return {"max_new_tokens": self.count, "pad_token_id": 0, **beams}


GENERATION = (
    Writing("GPT-2 small", "1 x 128 and 64 tokens", (128,), 64),
    Writing("GPT-2 small", "8 prompts of 20 to 120 and 32 tokens", spread(8, 20, 120, seed=3), 32),
    Writing("BART-base", "4 x 128 and 32 tokens with 4 beams", (128,) * 4, 32, beams=4),
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
