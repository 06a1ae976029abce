"""Which precision a recording is in, told by its numbers."""

from dataclasses import dataclass

import numpy as np

from minibert.functions import Array


@dataclass(frozen=True)
class Precision:
    """A format of numbers, by how many binary digits it keeps."""

    name: str
    digits: int

    @property
    def half_ulp(self) -> float:
        """The largest relative error of rounding one number."""
        return 2.0**-self.digits

    @property
    def scale(self) -> float:
        """How much more than float32 it rounds."""
        return 2.0 ** (24 - self.digits)


BFLOAT16, FLOAT16 = Precision("bfloat16", 8), Precision("float16", 11)
FLOAT32, FLOAT64 = Precision("float32", 24), Precision("float64", 53)
FEW = 32  # so many numbers must be on a coarse grid before it is believed


def grid(values: Array) -> Precision:
    """Return the coarsest format that holds all these numbers exactly.

    A number of another origin is on the grid of float16 once in 8,192 times: a stage is not.
    """
    values = values[values != 0]
    if values.dtype == np.float64 and (values != values.astype(np.float32)).any():
        return FLOAT64
    single = values.astype(np.float32)
    if len(np.unique(single[:1000])) < FEW:
        return FLOAT32
    if not (np.ascontiguousarray(single).view(np.uint32) & 0xFFFF).any():
        return BFLOAT16
    if (single.astype(np.float16).astype(np.float32) == single).all():
        return FLOAT16
    return FLOAT32
