"""How two arrays differ, where tokens are real; and how much they may."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.runtime.arrays import Array, Mask

#: The real tokens, (B, T), and those of what an encoder read for a decoder, (B, S).
Masks = tuple[NDArray[np.bool_], Mask]
ATOL, RTOL = 1e-5, 1e-3  # the bar of the courses that have students write a BERT


@dataclass(frozen=True)
class Tolerance:
    """What may differ: ``|ours - theirs| <= atol + rtol * |theirs|``."""

    atol: float = ATOL
    rtol: float = RTOL

    def __post_init__(self) -> None:
        if not (self.atol >= 0 and self.rtol >= 0):
            raise ValueError(f"atol is {self.atol}, rtol is {self.rtol}; both must be 0 or above")

    def __str__(self) -> str:
        return f"|ours - theirs| <= {self.atol:g} + {self.rtol:g} * |theirs|"

    def allows(self, ours: Array, theirs: Array) -> NDArray[np.bool_]:
        """Tell of each number whether it is close enough; NaN and infinities never are."""
        a, b = ours.astype(np.float64), theirs.astype(np.float64)
        with np.errstate(invalid="ignore"):
            close: NDArray[np.bool_] = np.abs(a - b) <= self.atol + self.rtol * np.abs(b)
        return close & np.isfinite(a) & np.isfinite(b)


@dataclass(frozen=True, eq=False)
class Difference:
    """|ours - theirs| in float64, NaN where tokens are not real; and where it is largest."""

    error: Array
    largest: float
    worst: tuple[int, ...]
    ours: float
    theirs: float

    @classmethod
    def of(cls, ours: Array, theirs: Array, real: NDArray[np.bool_]) -> "Difference":
        """Compare where ``real``, of the same shape, is True; what is not finite is worst."""
        a, b = ours.astype(np.float64, copy=False), theirs.astype(np.float64, copy=False)
        with np.errstate(invalid="ignore"):
            error = np.abs(a - b)
        size = error
        if not (real.all() and np.isfinite(error.max())):
            error = np.where(real, error, np.nan)
            size = np.where(np.isfinite(error), error, np.where(real, np.inf, -1))
        place = tuple(int(i) for i in np.unravel_index(size.argmax(), size.shape))
        return cls(error, float(error[place]), place, float(a[place]), float(b[place]))

    def fields(self) -> dict[str, Any]:
        """Return what a StageResult takes of it."""
        return {
            "accumulated": self.largest,
            "worst": self.worst,
            "ours": self.ours,
            "theirs": self.theirs,
        }


def real_places(axes: str, real: NDArray[np.bool_], source: Mask = None) -> NDArray[np.bool_]:
    """Return where a stage with these axes holds real tokens, broadcastable to its shape.

    real is (B, T); source, of what an encoder read for a decoder, (B, S). The pooler reads column 0
    in the reference, so it counts where that is real; of a weight, without a B, all counts.
    """
    if "B" not in axes:
        return np.ones((1,) * len(axes), bool)
    masks = [(k, real if axis == "T" else source) for k, axis in enumerate(axes) if axis in "TS"]
    places = np.ones((1,) * len(axes), bool)
    for k, mask in masks or [(1, real[:, :1])]:
        assert mask is not None  # where there is an S, there is an encoder
        shape = [1] * len(axes)
        shape[0], shape[k] = mask.shape
        places = places & mask.reshape(shape)
    return places


def per_token(axes: str, error: Array, real: NDArray[np.bool_], source: Mask = None) -> Array:
    """Return the largest error of each token, (B, T) or (B, S), NaN at padding.

    A sequence's one vector counts as its column 0; what is not finite counts as infinite.
    """
    size = np.where(np.isfinite(error), error, np.inf)
    if len(axes) == 2:
        largest = np.full(real.shape, np.nan)
        largest[:, 0] = size.max(axis=1)
        return np.where(real, largest, np.nan)
    places = real_places(axes, real, source)
    token = 2 if axes[1] == "H" else 1  # queries, where there are keys, too
    others = tuple(k for k in range(1, len(axes)) if k != token)
    largest = size.max(axis=others, where=np.broadcast_to(places, size.shape), initial=-1)
    return np.where(largest < 0, np.nan, largest)
