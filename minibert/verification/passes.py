"""Passes of the engine that know some stages: one of them unknown, or known in part."""

from collections.abc import Mapping

import numpy as np

from minibert.batch import Batch
from minibert.runtime.arrays import Array
from minibert.trace import Replacing


class Poisoned(Replacing):
    """A pass with NaN in place of one stage: what it reaches is computed from that stage."""

    def __init__(self, batch: Batch, known: Mapping[str, Array], source: str, target: str) -> None:
        super().__init__(batch, known, only={target})
        self.source = source

    def __call__(self, name: str, x: Array) -> Array:
        """Return NaN at the stage in question."""
        known = super().__call__(name, x)
        return np.full_like(x, np.nan) if self.prefix + name == self.source else known


class Partly(Replacing):
    """A pass that goes on from what is known of a stage: NaN is not, and is computed."""

    def __call__(self, name: str, x: Array) -> Array:
        """Return what is known in the place of what was computed."""
        known = super().__call__(name, x)
        return np.where(np.isnan(known), x, known)
