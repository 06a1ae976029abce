"""Writing PyTorch's weight files without PyTorch: the zip form, as torch.save has it since 1.6.

A pickle describes each tensor as a window on a storage; the storages follow, not compressed. The
same tensors give the same bytes: the date in the file is fixed.
"""

import math
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from minibert.checkpoint.tensors import COMPUTED, raw

VERSION = b"3\n"  # of the zip form, as torch counts


def write_torch(path: Path, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Write a state dict of float32 and float64 arrays, in C order."""
    with zipfile.ZipFile(path, "w") as archive:

        def add(name: str, content: bytes | memoryview) -> None:
            member = zipfile.ZipInfo(f"archive/{name}")  # stored, and dated 1980-01-01
            member.file_size = len(content)  # tells zipfile whether the size needs 64 bits
            with archive.open(member, "w") as file:
                file.write(content)

        add("data.pkl", state_dict_pickle(tensors))
        add("byteorder", b"little")
        for key, array in enumerate(tensors.values()):
            add(f"data/{key}", raw(array))
        add("version", VERSION)


# The pickle: a program for a stack machine, written down opcode by opcode.


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def _number(value: int) -> bytes:
    if value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)  # LONG1, of 8 bytes


def _tuple(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t" if items else b")"


def _call(function: bytes, *arguments: bytes) -> bytes:
    return function + _tuple(*arguments) + b"R"


_EMPTY = _call(_global("collections", "OrderedDict"))


def state_dict_pickle(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the pickle of an OrderedDict from names to tensors; the keys count from 0."""
    items = (_text(name) + _tensor(str(key), tensors[name]) for key, name in enumerate(tensors))
    return b"".join([b"\x80\x02", _EMPTY, b"(", *items, b"u."])  # protocol 2, SETITEMS, STOP


def _tensor(key: str, array: NDArray[Any]) -> bytes:
    """Write what torch calls to rebuild a tensor: the whole of a storage, in C order."""
    kind = _global("torch", COMPUTED[array.dtype.name].storage or "")
    identity = _tuple(_text("storage"), kind, _text(key), _text("cpu"), _number(array.size))
    shape = _tuple(*map(_number, array.shape))
    steps = [math.prod(max(size, 1) for size in array.shape[i:]) for i in range(1, array.ndim + 1)]
    strides = _tuple(*map(_number, steps))
    rebuild = _global("torch._utils", "_rebuild_tensor_v2")
    # Q makes a persistent id of the tuple; offset 0, no gradient (FALSE), no hooks
    return _call(rebuild, identity + b"Q", _number(0), shape, strides, b"\x89", _EMPTY)
