"""A tensor in a file: known by name, dtype and shape before any of its numbers is read."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minibert.runtime.arrays import Array

#: The dtypes of the safetensors format that NumPy can hold. BF16 is read as its bits.
NUMPY_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that lies in a file and has been checked to lie there whole.

    dtype is the format's word for it: F32, BF16, I64, ... ; ``stored`` gives the numbers as they
    lie in the file, read-only, without a copy where the file allows it.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    stored: Callable[[], NDArray[Any]]

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    def read(self, dtype: DTypeLike) -> Array:
        """Return floating-point numbers, read-only, in C order; a view if the dtype is the file's.

        ValueError if the tensor is not of a floating type, or its numbers are too large for dtype.
        """
        if self.dtype not in FLOATS:
            raise ValueError(
                f"tensor {self.name!r} in {str(self.file)!r} holds {self.dtype}; "
                f"a weight is of a floating type: {', '.join(FLOATS)}"
            )
        array = self.stored()
        if self.dtype == "BF16":  # the upper half of a float32
            array = np.left_shift(array, 16, dtype=np.uint32).view(np.float32)
        try:
            with np.errstate(over="raise", invalid="ignore"):  # invalid: a NaN that signals
                # NumPy copies an unaligned array at each use: better once, here
                array = np.require(array, dtype=dtype, requirements=["C", "ALIGNED"])
        except FloatingPointError:
            raise ValueError(
                f"tensor {self.name!r} in {str(self.file)!r} holds numbers too large for {dtype}"
            ) from None
        array.setflags(write=False)
        return array
