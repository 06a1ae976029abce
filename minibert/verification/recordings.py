"""Reading what other programs recorded: .npz, safetensors, and dicts that torch.save wrote.

All of them hold arrays by name (names.py); nothing is unpickled, and torch is not needed.
"""

import errno
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.archives import zip_members
from minibert.checkpoint.files import PICKLE, ZIP, describe, require_file, visible
from minibert.checkpoint.limits import (
    MAX_ARRAYS,
    MAX_NPY_HEADER_BYTES,
    MAX_NPZ_BYTES,
    MAX_NPZ_EXPANSION,
)
from minibert.checkpoint.safetensors import read_metadata, read_safetensors
from minibert.checkpoint.tensors import FLOATS, TYPES, StoredTensor
from minibert.verification.names import INPUTS, Arrays


def read_recording(path: Path) -> tuple[Arrays, dict[str, str]]:
    """Return the arrays of a file by name, and its metadata.

    16-bit floating-point numbers are widened to float32; "dtype" in the metadata is what the stages
    have in the file, if they have one. OSError if no file is there, ValueError with a sentence if
    it is none of the three.
    """
    kind, metadata = describe(require_file(path)), {}
    if kind == "a NumPy file":
        raise ValueError(
            f"{str(path)!r} is a NumPy file with a single array; a recording has inputs and "
            "stages: write them with numpy.savez"
        )
    if kind == ZIP and is_npz(path):
        arrays: Arrays = read_npz(path)
        half = {name for name, array in arrays.items() if is_bfloat16(array)}
        dtypes = {x: "bfloat16" if x in half else str(array.dtype) for x, array in arrays.items()}
        for name in half:
            arrays[name] = widened(arrays[name])
        for name in [name for name, dtype in dtypes.items() if dtype == "float16"]:
            arrays[name] = arrays[name].astype(np.float32)
    else:
        if kind in (ZIP, PICKLE):
            tensors = _read_torch(path)
        else:
            tensors, metadata = read_safetensors(path), read_metadata(path)
        arrays = {name: _widened(tensor) for name, tensor in tensors.items()}
        dtypes = {name: TYPES[tensor.dtype].name for name, tensor in tensors.items()}
    stages = {dtype for name, dtype in dtypes.items() if name.removeprefix("input.") not in INPUTS}
    return arrays, {"dtype": stages.pop(), **metadata} if len(stages) == 1 else metadata


def is_npz(path: Path) -> bool:
    """Tell whether a zip archive holds NumPy's arrays; ValueError if it cannot be read."""
    try:
        return any(member.filename.endswith(".npy") for member in zip_members(path))
    except ValueError as error:
        what = "can be read neither as .npz nor as what torch.save writes"
        raise ValueError(f"{str(path)!r} {what}: {visible(error, 300)}") from None


def read_npz(path: Path) -> Arrays:
    """Return the arrays of a file by name, all of them numbers, or bfloat16 as NumPy reads it.

    OSError if no regular file is there; ValueError with a sentence if it is no such file, is cut
    short, holds pickled objects, or would unfold to an absurd size.
    """
    require_file(path)
    try:
        _check_members(path)
        with warnings.catch_warnings(), np.load(path, allow_pickle=False) as file:
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            return {name: _numbers(name, file[name]) for name in file.files}
    except Exception as error:  # of zipfile, zlib or tokenize, or of NumPy's reader of headers
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        # others than these speak of Python: of its syntax, its objects, a place that is sought
        told = isinstance(error, ValueError | RuntimeError | zipfile.BadZipFile)
        is_clear = told and " object at " not in str(error)
        why = visible(error, 300) if is_clear else "an array in it is damaged"
        raise ValueError(f"{str(path)!r} is not a readable .npz file: {why}") from None


def _check_members(path: Path) -> None:
    """Bound what reading can take, before anything is unfolded."""
    members = zip_members(path)
    size, unfolded = path.stat().st_size, sum(member.file_size for member in members)
    if len(members) > MAX_ARRAYS:
        raise ValueError(f"it has {len(members)} members; allowed: {MAX_ARRAYS}")
    if len({member.filename for member in members}) < len(members):
        raise ValueError("two of its members have one name")
    if unfolded > max(MAX_NPZ_BYTES, MAX_NPZ_EXPANSION * size):
        raise ValueError(f"it has {size} bytes and unfolds to {unfolded}: absurdly compressed")
    with zipfile.ZipFile(path) as archive:
        for member in members:
            with archive.open(member) as file:
                head = file.read(12)  # NumPy's magic, version (1: two bytes follow), and length
            length = int.from_bytes(head[8:12], "little")
            if head[:6] == b"\x93NUMPY" and head[6] in (2, 3) and length > MAX_NPY_HEADER_BYTES:
                found = f"the header of {member.filename!r:.80} has {length} bytes"
                raise ValueError(f"{found}; allowed: {MAX_NPY_HEADER_BYTES}")


def _numbers(name: str, array: object) -> NDArray[Any]:
    if isinstance(array, np.ndarray) and is_bfloat16(array):
        return array
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iufb":
        found = getattr(array, "dtype", "something else than an array")
        eight = " (8-bit floats, perhaps: which ones is not stored)" if found == "V1" else ""
        raise ValueError(f"array {name!r:.80} holds {found}; allowed: numbers{eight}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def is_bfloat16(array: NDArray[Any]) -> bool:
    """Tell whether an array is of ml_dtypes' bfloat16, or what NumPy reads of it: two bytes."""
    kind = array.dtype
    return kind.name == "bfloat16" or (kind.kind == "V" and kind.itemsize == 2 and not kind.fields)


def widened(array: NDArray[Any]) -> NDArray[Any]:
    """Return bfloat16 as float32, with the same numbers: it is the upper half of one."""
    bits = np.ascontiguousarray(array).view(np.uint16).reshape(array.shape)
    return (bits.astype(np.uint32) << 16).view(np.float32)


def _read_torch(path: Path) -> dict[str, StoredTensor]:
    from minibert.checkpoint.torchfile import read_torch

    try:
        return read_torch(path)
    except ValueError as error:
        raise ValueError(f"{error}. A recording is one dict from names to tensors") from None


def _widened(tensor: StoredTensor) -> NDArray[Any]:
    if tensor.dtype not in FLOATS:
        return tensor.raw()
    return tensor.read("float64" if tensor.dtype == "F64" else "float32")
