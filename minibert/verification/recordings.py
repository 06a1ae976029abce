"""Reading what other programs recorded: .npz, safetensors, and dicts that torch.save wrote.

All of them hold arrays by name (naming.py); nothing is unpickled, and torch is not needed.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.files import PICKLE, ZIP, describe, require_file
from minibert.checkpoint.npz import is_npz, read_npz
from minibert.checkpoint.safetensors import read_metadata, read_safetensors
from minibert.checkpoint.tensors import FLOATS, StoredTensor

_NAMES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}

Arrays = dict[str, NDArray[Any]]


def read_recording(path: Path) -> tuple[Arrays, dict[str, str], dict[str, str]]:
    """Return the arrays of a file by name, their dtypes in the file, and the file's metadata.

    16-bit floating-point numbers are widened to float32. OSError if no file is there, ValueError
    with a sentence if it is none of the three.
    """
    kind = describe(require_file(path))
    if kind == ZIP and is_npz(path):
        arrays = read_npz(path)
        dtypes = {name: str(array.dtype) for name, array in arrays.items()}
        return {name: _widened(array) for name, array in arrays.items()}, dtypes, {}
    if kind in (ZIP, PICKLE):
        return *_tensors(_read_torch(path)), {}
    if kind == "a NumPy file":
        raise ValueError(
            f"{str(path)!r} is a NumPy file with a single array; a recording has inputs and "
            "stages: write them with numpy.savez"
        )
    metadata = read_metadata(path)
    return *_tensors(read_safetensors(path)), metadata


def _read_torch(path: Path) -> dict[str, StoredTensor]:
    from minibert.checkpoint.torchfile import read_torch

    try:
        return read_torch(path)
    except ValueError as error:
        raise ValueError(f"{error}. A recording is one dict from names to tensors") from None


def _tensors(tensors: Mapping[str, StoredTensor]) -> tuple[Arrays, dict[str, str]]:
    arrays: Arrays = {}
    for name, tensor in tensors.items():
        wide = "float64" if tensor.dtype == "F64" else "float32"
        arrays[name] = tensor.read(wide) if tensor.dtype in FLOATS else tensor.stored()
    return arrays, {name: _NAMES.get(t.dtype, t.dtype) for name, t in tensors.items()}


def _widened(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(np.float32) if array.dtype == np.float16 else array
