"""Safetensors files: validated and written by the safetensors library, and memory-mapped here.

The format: 8 bytes with the length of the header, the header (JSON: name -> dtype, shape,
data_offsets), then the numbers of all tensors, without holes.
"""

import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.files import SAFETENSORS, describe, require_file, visible
from minibert.checkpoint.limits import MAX_DIMENSIONS, MAX_HEADER_BYTES
from minibert.checkpoint.tensors import TYPES, StoredTensor, in_order


def read_safetensors(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a file by name, none of them read yet.

    OSError if no regular file is there, ValueError with a sentence if it breaks the format's rules.
    """
    header, start = _read_header(path)
    header.pop("__metadata__", None)
    data = np.asarray(np.memmap(path, np.uint8, mode="r"))[start:]
    return {name: _tensor(name, entry, path, data) for name, entry in header.items()}


def read_metadata(path: Path) -> dict[str, str]:
    """Return the ``__metadata__`` of a file, a map from text to text; errors as above."""
    metadata: dict[str, str] | None = _read_header(path)[0].get("__metadata__")
    return metadata or {}


def write_safetensors(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write a file as transformers asks for it; OSError if the disk does not take it."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    # the library writes an array as it lies in memory: garbage, if that is not C order
    arrays = {name: in_order(array) for name, array in tensors.items()}
    try:
        save_file(arrays, path, metadata={"format": "pt"})
    except SafetensorError as error:
        if found := re.search(r"(?:os error|code:) (\d+)", str(error)):
            raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from None
        raise


def _read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header of a valid file and the byte at which the data starts."""
    from safetensors import SafetensorError, safe_open

    try:
        with require_file(path).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if MAX_HEADER_BYTES < length < path.stat().st_size:
                raise ValueError(f"its header has {length} bytes; allowed: {MAX_HEADER_BYTES}")
            with safe_open(path, framework="numpy"):
                return json.loads(file.read(length), object_pairs_hook=_distinct), 8 + length
    except (SafetensorError, ValueError) as error:
        found = describe(path)
        why = visible(error, 300) if found in (None, SAFETENSORS) else f"it looks like {found}"
        raise ValueError(f"{str(path)!r} is not a valid safetensors file: {why}") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; the format forbids two tensors of one name, the library lets them pass."""
    names = Counter(name for name, _ in pairs)
    if twice := [name for name, count in names.items() if count > 1]:
        raise ValueError(f"it names {twice[0]!r:.80} twice")
    return dict(pairs)


def _tensor(name: str, entry: dict[str, Any], path: Path, data: NDArray[np.uint8]) -> StoredTensor:
    shape, (begin, end) = tuple(entry["shape"]), entry["data_offsets"]
    if len(shape) > MAX_DIMENSIONS or math.prod(size or 1 for size in shape) >= 2**60:
        found = f"tensor {name!r:.80} has the shape {shape!s:.200}, which no machine can hold"
        raise ValueError(f"{str(path)!r} is not a valid safetensors file: {found}")

    def numbers() -> NDArray[Any]:
        if entry["dtype"] not in TYPES:
            raise ValueError(f"{tensor} is {entry['dtype']}: NumPy has none")
        array: NDArray[Any] = data[begin:end].view(TYPES[entry["dtype"]].dtype).reshape(shape)
        return array

    tensor = StoredTensor(name, entry["dtype"], shape, path, numbers)
    return tensor
