"""Matrix products that keep few digits of what they multiply: TF32, told by doing the same."""

from dataclasses import replace
from typing import Any

import numpy as np

from minibert.runtime.arrays import Array
from minibert.verification.examine import Examination
from minibert.verification.graph import Place, Run
from minibert.verification.precision import SHORT, TF32, Precision

#: The last parts of the names of stages that are matrix products.
PRODUCTS = (
    *("query", "key", "value", "scores", "context", "output", "intermediate", "feed_forward"),
    *("pooler", "logits", "seq_relationship"),
)
EXPLAINED = 3  # so many times smaller is the error with the same digits left out; a fault's stays


def products_in(examined: Examination, stage: str, factor: float) -> Precision | None:
    """Return the precision of a float32 stage whose matrix products leave out digits.

    It is believed only if leaving the same digits out brings the same numbers: a fault does not.
    """
    measure, gap = examined.measures[stage], [*examined.exact.gap(stage), stage]
    products = [name for name in gap if name.split(".")[-1] in PRODUCTS]
    for precision in (TF32, SHORT):
        if measure.excess(precision) > factor:
            continue
        for cut in (np.rint, np.trunc):  # hardware rounds, or only cuts off
            operations = examined.graph.operations
            runs = {name: _short(operations[name][1], precision, cut) for name in products}
            error = examined.error(stage, examined.exact.varied(stage, runs))
            if error.mean * EXPLAINED <= measure.added.mean:
                return precision
    return None


def _short(run: Run, precision: Precision, cut: Any) -> Run:
    def shorten(x: Array) -> Array:
        return shortened(x, precision.arithmetic or precision.digits, cut)

    def short(at: Place, *inputs: Any) -> Any:
        kept = [[shorten(y) for y in x] if isinstance(x, list) else shorten(x) for x in inputs]
        return run(replace(at, shorten=shorten), *kept)

    return short


def shortened(x: Array, digits: int, cut: Any = np.rint) -> Array:
    """Keep so many binary digits of each number."""
    mantissa, exponent = np.frexp(x)
    kept: Array = np.ldexp(cut(mantissa * 2.0**digits) / 2.0**digits, exponent).astype(x.dtype)
    return kept
