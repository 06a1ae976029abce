"""Dropout: in training each number is left out by chance, and the others make up for it.

Srivastava et al., "Dropout", 2014; the places are those of transformers. Which numbers are left out
depends on a seed, the step and the place alone, so that the way back leaves out the same ones, and
a run that is resumed goes on with the same. It depends on how a batch is dealt to threads, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from minibert.runtime.arrays import Array
from minibert.trace import pattern_of

STEPS = 1 << 16  # in which chances are counted


@dataclass(frozen=True)
class Dropout:
    """Leaves numbers out. rates: how many of a stage's, by the stage's pattern."""

    rates: Mapping[str, float] = field(default_factory=dict)
    seed: tuple[int, ...] = (0,)  # and the step

    def __call__(self, stage: str, x: Array, *place: tuple[int, ...]) -> Array:
        """Return what is left of a stage, or of its gradient; ``place`` says which piece it is."""
        if not self.rates or not (rate := self.rates.get(pattern_of(stage), 0)):
            return x
        left: Array = x * self.mask(stage, x.shape, *place) / (1 - rate)
        return left

    def mask(
        self, stage: str, shape: tuple[int, ...], *place: tuple[int, ...]
    ) -> NDArray[np.bool_]:
        """Return which numbers of a piece of a stage are left."""
        where = [number for numbers in place for number in (len(numbers), *numbers)]
        random = np.random.default_rng([*self.seed, crc32(stage.encode()), *where])
        drawn = random.integers(0, STEPS, shape, np.uint16)
        left: NDArray[np.bool_] = drawn >= round(self.rates[pattern_of(stage)] * STEPS)
        return left


none = Dropout()
