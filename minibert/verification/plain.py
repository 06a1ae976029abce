"""Two recordings without a model: where they part, and no more."""

from collections.abc import Mapping
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from minibert.models.bert_heads import PREDICTION_STAGES
from minibert.runtime.arrays import Array
from minibert.trace import stage_axes
from minibert.verification.compare import Difference, Tolerance, real_places
from minibert.verification.diagnosis import StageResult
from minibert.verification.graph import layer_index
from minibert.verification.packing import per_token
from minibert.verification.precision import grids

Rows = tuple[StageResult, ...]


def plain_rows(
    a: Mapping[str, Array],
    b: Mapping[str, Array],
    real: NDArray[np.bool_],
    tolerance: Tolerance,
) -> tuple[Rows, dict[str, Array], str]:
    """Return the rows of the stages that both have, the tokens' errors, and b's precision."""
    count = 1 + max((layer_index(name) for name in chain(a, b)), default=-1)
    axes = stage_axes(count) | PREDICTION_STAGES
    names = [x for x in axes if x in a and x in b]
    names += [x for x in a if x in b and x not in axes]
    rows, tokens, numbers = [], {}, {}
    for name in names:
        letters = _letters(axes.get(name), b[name])
        if a[name].shape != b[name].shape:
            rows.append(StageResult(name, "SHAPE", detail=f"{a[name].shape} and {b[name].shape}"))
            continue
        places = np.broadcast_to(real_places(letters, real), b[name].shape)
        if places.any():
            found = Difference.of(a[name], b[name], places)
            rows.append(_row(name, found, a[name], b[name], places, tolerance))
            tokens[name] = per_token(letters, found.error, real)
            numbers[name] = b[name][places]
    precisions = {precision.name for precision in grids(numbers).values()}
    return tuple(rows), tokens, " and ".join(sorted(precisions)) or "unknown"


def _letters(axes: str | None, stage: Array) -> str:
    """Return the axes by name; of a stage that no model has, by the number of dimensions."""
    if axes is not None and len(axes) == stage.ndim:
        return axes
    return {2: "BC", 4: "BHTT"}.get(stage.ndim, "BTC")


def _row(
    name: str,
    found: Difference,
    a: Array,
    b: Array,
    places: NDArray[np.bool_],
    tolerance: Tolerance,
) -> StageResult:
    odd = int((places & ~(np.isfinite(a) & np.isfinite(b))).sum())
    outside = int((places & ~tolerance.allows(a, b)).sum())
    count = int(places.sum())
    status = "NONFINITE" if odd else "DIFF" if outside else "OK"
    detail = {
        "OK": "",
        "DIFF": f"{outside} of {count} numbers are beyond the tolerance",
        "NONFINITE": f"{odd} numbers are NaN or infinite",
    }[status]
    return StageResult(name, status, detail=detail, **found.fields())
