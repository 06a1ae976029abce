"""The one comparer: for tests, notebooks, exercises and the command line."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.functions import Array

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


@dataclass(frozen=True)
class Row:
    """How one stage compares. Errors are None where there is nothing to subtract.

    status: OK, DIFF (beyond the tolerance), SHAPE (another shape), MISSING (the model has no such
    stage), NONFINITE (NaN or infinity on either side).
    """

    stage: str
    status: str
    max_abs: float | None = None
    max_rel: float | None = None  # where the reference is not 0
    mean_abs: float | None = None
    worst: tuple[int, ...] | None = None  # where max_abs is
    ours: float | None = None  # there
    theirs: float | None = None  # there
    outside: int | None = None  # how many numbers are beyond the tolerance
    compared: int = 0  # how many numbers were compared
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Whether the stage agrees."""
        return self.status == "OK"


def compare(
    stage: str,
    ours: Array | None,
    theirs: Array,
    real: NDArray[np.bool_],
    tolerance: Tolerance,
) -> Row:
    """Compare one stage where ``real``, which broadcasts to its shape, is True."""
    if ours is None:
        return Row(stage, "MISSING", detail="the model has no stage of this name")
    if ours.shape != theirs.shape:
        return Row(stage, "SHAPE", detail=f"ours is {ours.shape}, theirs {theirs.shape}")
    real = np.broadcast_to(real, theirs.shape)
    a, b = ours.astype(np.float64), theirs.astype(np.float64)
    finite = np.isfinite(a) & np.isfinite(b)
    if not finite[real].all():
        place = tuple(np.argwhere(real & ~finite)[0].tolist())
        count = int((real & ~finite).sum())
        return Row(
            stage,
            "NONFINITE",
            worst=place,
            ours=float(a[place]),
            theirs=float(b[place]),
            outside=count,
            compared=int(real.sum()),
            detail=f"{count} numbers are NaN or infinite",
        )
    return _measure(stage, a, b, real, tolerance)


def _measure(stage: str, a: Any, b: Any, real: NDArray[np.bool_], tolerance: Tolerance) -> Row:
    error = np.where(real, np.abs(a - b), 0)
    size = np.abs(b)
    within = error <= tolerance.atol + tolerance.rtol * size
    relative = error[real & (size > 0)] / size[real & (size > 0)]
    worst = tuple(int(i) for i in np.unravel_index(error.argmax(), error.shape))
    return Row(
        stage,
        "OK" if within[real].all() else "DIFF",
        max_abs=float(error[worst]),
        max_rel=float(relative.max(initial=0)),
        mean_abs=float(error[real].mean()),
        worst=worst,
        ours=float(a[worst]),
        theirs=float(b[worst]),
        outside=int((real & ~within).sum()),
        compared=int(real.sum()),
    )


def real_places(axes: str, real: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return where a stage with these axes holds real tokens, broadcastable to its shape.

    real is (B, T). The pooler reads column 0 in the reference, so it counts where that is real.
    """
    if axes == "BHTT":
        return real[:, None, :, None] & real[:, None, None, :]
    if len(axes) == 2:  # one vector for each sequence
        return real[:, :1]
    return real[:, :, None]
