"""The types of numbers in files, and a tensor of which only name, type and shape are known yet."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minibert.runtime.arrays import Array, dtype_name


class NumberType(NamedTuple):
    """A type of numbers, by the names that the formats give it."""

    code: str  # in a safetensors file
    name: str  # in NumPy, PyTorch and configs
    dtype: np.dtype[Any]  # in which NumPy holds it: for bfloat16, which it lacks, the bits
    storage: str | None  # the class in a pickle of torch.save; None if no such file is read


#: Every type that is read, by its code in safetensors files.
TYPES: dict[str, NumberType] = {
    code: NumberType(code, name, np.dtype(dtype), storage)
    for code, name, dtype, storage in (
        ("F64", "float64", "<f8", "DoubleStorage"),
        ("F32", "float32", "<f4", "FloatStorage"),
        ("F16", "float16", "<f2", "HalfStorage"),
        ("BF16", "bfloat16", "<u2", "BFloat16Storage"),
        ("I64", "int64", "<i8", "LongStorage"),
        ("I32", "int32", "<i4", "IntStorage"),
        ("I16", "int16", "<i2", "ShortStorage"),
        ("I8", "int8", "i1", "CharStorage"),
        ("U64", "uint64", "<u8", None),
        ("U32", "uint32", "<u4", None),
        ("U16", "uint16", "<u2", None),
        ("U8", "uint8", "u1", "ByteStorage"),
        ("BOOL", "bool", "?", "BoolStorage"),
        ("C64", "complex64", "<c8", "ComplexFloatStorage"),
        ("C128", "complex128", "<c16", "ComplexDoubleStorage"),
    )
}
FLOATS = ("F64", "F32", "F16", "BF16")
#: The types that models compute in and that are saved, by name: BLAS multiplies no others.
COMPUTED = {TYPES[code].name: TYPES[code] for code in ("F32", "F64")}


def float_dtype(dtype: Any, stored: str | None = None) -> "np.dtype[np.floating[Any]]":
    """Return float32 or float64, however it is written; ValueError for any other.

    "auto" is what is ``stored``, or float32 if that is none of the two.
    """
    name = stored if isinstance(dtype, str) and dtype == "auto" else dtype_name(dtype)
    if name in COMPUTED:
        return np.dtype(name)
    if isinstance(dtype, str) and dtype == "auto":
        return np.dtype("float32")
    half = "; files in it are read, and widened" if name else ""
    raise ValueError(f"dtype is {dtype!r:.80}; allowed: 'float32', 'float64', 'auto'{half}")


def in_order(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array little-endian and in C order, as files hold it; a copy if need be."""
    return np.asarray(array, array.dtype.newbyteorder("<"), order="C")


def raw(array: NDArray[Any]) -> memoryview:
    """Return the array's bytes, little-endian and in C order; a copy if need be."""
    return in_order(array).reshape(-1).view(np.uint8).data


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that has been checked to lie whole in a file.

    dtype is a code of TYPES; ``raw`` gives the numbers as they lie there, read-only, not copied.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    raw: Callable[[], NDArray[Any]]

    def __str__(self) -> str:
        return f"tensor {self.name!r:.80} in {str(self.file)!r}"

    @property
    def size(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)

    def read(self, dtype: DTypeLike) -> Array:
        """Return floating-point numbers, read-only, in C order; a view if the dtype is the file's.

        ValueError if the tensor is not of a floating type, or its numbers are too large for dtype.
        """
        if self.dtype not in FLOATS:
            allowed = ", ".join(FLOATS)
            raise ValueError(
                f"{self} holds {self.dtype}; a weight is of a floating type: {allowed}"
            )
        array = self.raw()
        if self.dtype == "BF16":  # the upper half of a float32
            array = np.left_shift(array, 16, dtype=np.uint32).view(np.float32)
        try:
            with np.errstate(over="raise", invalid="ignore"):  # invalid: a NaN that signals
                # NumPy copies an unaligned array at each use: better once, here
                array = np.require(array, dtype=dtype, requirements=["C", "ALIGNED"])
        except FloatingPointError:
            raise ValueError(f"{self} holds numbers too large for {dtype}") from None
        array.setflags(write=False)
        return array
