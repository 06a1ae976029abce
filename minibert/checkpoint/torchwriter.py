"""Writing PyTorch's weight files without PyTorch: the zip form, as torch.save has it since 1.6.

A pickle describes each tensor as a window on a storage; the storages follow, not compressed, each
at a multiple of 64 bytes. The same tensors give the same bytes: there is no date in the file.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from minibert.checkpoint.save import raw

ALIGNMENT = 64
VERSION = b"3\n"  # of the zip form, as torch counts
STORAGES = {"float32": "FloatStorage", "float64": "DoubleStorage"}
LARGE = 2**32 - 1  # a number that the zip format's 32 bits do not hold, from here on
MANY = 2**16 - 1  # the same of 16 bits

Block = bytes | memoryview


def torch_blocks(tensors: Mapping[str, NDArray[Any]]) -> Iterator[Block]:
    """Yield the file piece by piece. The arrays are float32 or float64, in C order."""
    yield from _zip_blocks(_members(tensors))


def _members(tensors: Mapping[str, NDArray[Any]]) -> Iterator[tuple[str, Block]]:
    yield "archive/data.pkl", state_dict_pickle(tensors)
    yield "archive/byteorder", b"little"
    for key, name in enumerate(tensors):
        yield f"archive/data/{key}", raw(tensors[name])
    yield "archive/version", VERSION


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
_FALSE = b"\x89"


def state_dict_pickle(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the pickle of an OrderedDict from names to tensors; the keys count from 0."""
    items = (_text(name) + _tensor(str(key), tensors[name]) for key, name in enumerate(tensors))
    return b"".join([b"\x80\x02", _EMPTY, b"(", *items, b"u."])  # protocol 2, SETITEMS, STOP


def _tensor(key: str, array: NDArray[Any]) -> bytes:
    """Write what torch calls to rebuild a tensor: the whole of a storage, in C order."""
    kind = _global("torch", STORAGES[array.dtype.name])
    identity = _tuple(_text("storage"), kind, _text(key), _text("cpu"), _number(array.size))
    shape = _tuple(*map(_number, array.shape))
    strides = _tuple(*map(_number, _strides(array.shape)))
    rebuild = _global("torch._utils", "_rebuild_tensor_v2")
    # Q makes a persistent id of the tuple; offset 0, no gradient, no hooks
    return _call(rebuild, identity + b"Q", _number(0), shape, strides, _FALSE, _EMPTY)


def _strides(shape: tuple[int, ...]) -> list[int]:
    """Return how many numbers lie between neighbours along each axis."""
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= max(size, 1)
    return strides[::-1]


# The zip file: each member after a header of its own, then a directory of them all.


def _zip_blocks(members: Iterator[tuple[str, Block]]) -> Iterator[Block]:
    offset, directory = 0, []
    for text, content in members:
        name, size, crc = text.encode(), len(content), zlib.crc32(content)
        header = _local_header(name, size, crc, offset)
        directory.append(_entry(name, size, crc, offset))
        yield header
        yield content
        offset += len(header) + size
    yield b"".join([*directory, _end(len(directory), sum(map(len, directory)), offset)])


def _common(size: int, crc: int) -> tuple[int, ...]:
    """Return what both headers say: version, flags, stored, midnight of 1980-01-01, crc, sizes."""
    return 45, 0, 0, 0, 0x21, crc, _in_32_bits(size), _in_32_bits(size)


def _in_32_bits(number: int) -> int:
    """Return the number, or what says that it is found elsewhere, in 64 bits."""
    return 0xFFFFFFFF if number >= LARGE else number


def _local_header(name: bytes, size: int, crc: int, offset: int) -> bytes:
    large = struct.pack("<HHQQ", 1, 16, size, size) if size >= LARGE else b""
    taken = offset + 30 + len(name) + len(large) + 4
    padding = b"Z" * (-taken % ALIGNMENT)  # torch pads in this way too
    extra = large + b"FB" + struct.pack("<H", len(padding)) + padding
    sizes = len(name), len(extra)
    return struct.pack("<4s5H3I2H", b"PK\x03\x04", *_common(size, crc), *sizes) + name + extra


def _entry(name: bytes, size: int, crc: int, offset: int) -> bytes:
    """Return a line of the directory."""
    numbers = [size, size] if size >= LARGE else []
    numbers += [offset] if offset >= LARGE else []
    extra = struct.pack(f"<HH{len(numbers)}Q", 1, 8 * len(numbers), *numbers) if numbers else b""
    rest = len(name), len(extra), 0, 0, 0, 0, _in_32_bits(offset)
    start = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 45, *_common(size, crc), *rest)
    return start + name + extra


def _end(count: int, length: int, offset: int) -> bytes:
    """Return what follows the directory: where it is, in 64 bits and then in 32 as they allow."""
    large = struct.pack(
        "<4sQ2H2I4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, length, offset
    ) + struct.pack("<4sIQI", b"PK\x06\x07", 0, offset + length, 1)
    counts = [0xFFFF if count >= MANY else count] * 2
    places = _in_32_bits(length), _in_32_bits(offset)
    return large + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, *counts, *places, 0)
