"""Reading safetensors files: validated by the safetensors library, then memory-mapped.

The format: 8 bytes with the length of the header, the header (JSON: name -> dtype, shape,
data_offsets), then the numbers of all tensors, without holes.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.files import SAFETENSORS, describe, require_file
from minibert.checkpoint.tensors import NUMPY_DTYPES, StoredTensor

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
MAX_DIMENSIONS = 32  # what NumPy knows, from 1.26 on


def read_safetensors(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a file by name, none of them read yet.

    OSError if no regular file is there, ValueError with a sentence if it breaks the format's rules.
    """
    header, start = read_header(path)
    header.pop("__metadata__", None)
    data = np.asarray(np.memmap(path, np.uint8, mode="r"))[start:]
    return {name: _tensor(name, entry, path, data) for name, entry in header.items()}


def read_metadata(path: Path) -> dict[str, str]:
    """Return the ``__metadata__`` of a file, a map from text to text."""
    metadata: dict[str, str] | None = read_header(path)[0].get("__metadata__")
    return metadata or {}


def read_header(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header of a valid file and the byte at which the data starts."""
    require_file(path)
    error = _refusal(path)
    length, text = _header_text(path)
    rule = _broken_rule(path, length, text)
    if error or rule:
        why = rule or _unknown_dtype(text) or error
        raise ValueError(f"{str(path)!r} is not a valid safetensors file: {why}")
    return json.loads(text), 8 + length


def _refusal(path: Path) -> str | None:
    """Return what the safetensors library has against the file, if anything."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            return None
    except (SafetensorError, OSError, ValueError) as error:
        return str(error)


def _header_text(path: Path) -> tuple[int, bytes]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        return length, file.read(min(length, MAX_HEADER_BYTES))


def _broken_rule(path: Path, length: int, text: bytes) -> str | None:
    """Say in a sentence which rule of the format is broken; None if no rule is."""
    size = path.stat().st_size
    if size < 8 or length > min(size - 8, MAX_HEADER_BYTES) or not text.startswith(b"{"):
        return _no_header(path, size, length)
    try:
        header = json.loads(text.decode(), object_pairs_hook=_distinct)
        _check_metadata(header.pop("__metadata__", None))
        return _broken_span(header, size - 8 - length)
    except RecursionError:
        return "the header is nested too deeply"
    except ValueError as error:
        return f"the header is wrong: {error}"


def _no_header(path: Path, size: int, length: int) -> str:
    found = describe(path)
    if found and found != SAFETENSORS:
        return f"it looks like {found}"
    if size < 8:
        return f"it has {size} bytes, and the length of the header alone takes 8"
    if length > size - 8:
        return (
            f"the header should be {length} bytes long, and {size - 8} follow: "
            "the file is cut short, or it is something else"
        )
    if length > MAX_HEADER_BYTES:
        return f"the header is {length} bytes long; allowed: {MAX_HEADER_BYTES}"
    return "the header does not begin with '{'"


def _check_metadata(metadata: Any) -> None:
    if not isinstance(metadata, dict | None):
        raise ValueError(f"its __metadata__ is a {type(metadata).__name__}, not an object")
    for name, value in (metadata or {}).items():
        if not isinstance(value, str):
            raise ValueError(f"{name!r} in its __metadata__ is {value!r:.80}; allowed: text")


def _unknown_dtype(text: bytes) -> str | None:
    """Say what the library means with an 'unknown variant', and name the tensor."""
    header = json.loads(text)
    header.pop("__metadata__", None)
    for name, entry in header.items():
        if entry["dtype"] not in NUMPY_DTYPES:
            return f"tensor {name!r} is of the unknown dtype {entry['dtype']!r:.80}"
    return None


def _broken_span(header: dict[str, Any], size: int) -> str | None:
    """Check that the tensors fill the data in turn, each with just the bytes of its shape."""
    spans = sorted((_span(name, entry), name) for name, entry in header.items())
    filled = 0
    for (begin, end), name in spans:
        if begin != filled:
            word = "a hole before" if begin > filled else "an overlap at"
            return f"there is {word} tensor {name!r}: it begins at {begin}, not at {filled}"
        filled = end
    if filled != size:
        return f"the tensors take {filled} bytes, and the file has {size} for them"
    return None


def _span(name: str, entry: Any) -> tuple[int, int]:
    try:
        shape, (begin, end) = entry["shape"], entry["data_offsets"]
        dtype = NUMPY_DTYPES.get(entry["dtype"])
        whole = all(type(n) is int and n >= 0 for n in (*shape, begin, end))
    except (TypeError, ValueError, KeyError):
        raise ValueError(f"tensor {name!r} lacks a dtype, a shape or two data_offsets") from None
    if not whole or end < begin:
        raise ValueError(
            f"tensor {name!r} has the shape {shape!r:.200} and the offsets {begin!r:.40}, "
            f"{end!r:.40}; allowed: whole numbers from 0 on, the second offset not below the first"
        )
    if len(shape) > MAX_DIMENSIONS or math.prod(size or 1 for size in shape) >= 2**60:
        raise ValueError(f"tensor {name!r} has the shape {shape!s:.200}, which no machine can hold")
    if dtype is not None and math.prod(shape) * dtype.itemsize != end - begin:
        raise ValueError(
            f"tensor {name!r} is {entry['dtype']} of shape {shape}, "
            f"which does not take the {end - begin} bytes that its offsets give it"
        )
    return begin, end


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object; the format forbids two tensors of one name, the library lets them pass."""
    built: dict[str, Any] = {}
    for name, value in pairs:
        if name in built:
            raise ValueError(f"it names {name!r} twice")
        built[name] = value
    return built


def _tensor(name: str, entry: dict[str, Any], path: Path, data: NDArray[np.uint8]) -> StoredTensor:
    shape = tuple(entry["shape"])
    begin, end = entry["data_offsets"]

    def stored() -> NDArray[Any]:
        dtype = NUMPY_DTYPES.get(entry["dtype"])
        if dtype is None:
            raise ValueError(
                f"tensor {name!r} in {str(path)!r} is {entry['dtype']}: NumPy has none"
            )
        array: NDArray[Any] = data[begin:end].view(dtype).reshape(shape)
        return array

    return StoredTensor(name, entry["dtype"], shape, path, stored)
