"""Reading PyTorch's weight files without PyTorch: the zip form, and the legacy form before 1.6.

Both hold a pickle, which describes tensors as windows on storages (pickles.py), and the numbers of
the storages. Sizes, offsets and strides are checked before a view is made.
"""

import errno
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from minibert.checkpoint.files import PICKLE, ZIP, describe, require_file
from minibert.checkpoint.pickles import MAX_PICKLE_BYTES, Storage, View, read_pickle
from minibert.checkpoint.tensors import TYPES, StoredTensor

MAX_EXPANSION = 64  # how many times the size of its file tensors may take: strides can be 0
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

Bytes = NDArray[np.uint8]
BytesOf = Callable[[Storage], Bytes]
_ZIP_ERRORS = (zipfile.BadZipFile, NotImplementedError, EOFError)


def read_torch(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a state dict by name, none of them read yet.

    OSError if no regular file is there; ValueError if the file is not such a file, is cut short,
    contradicts itself, or holds a pickle that names anything but tensors.
    """
    kind = describe(require_file(path))
    try:
        if kind == ZIP:
            views, bytes_of = _open_zip(path)
        elif kind == PICKLE:
            views, bytes_of = _open_legacy(path)
        else:
            raise ValueError(f"it looks like {kind}" if kind else "its first bytes are unknown")
        _check_expansion(path, views)
        return {name: _tensor(path, name, view, bytes_of) for name, view in views.items()}
    except (ValueError, OSError, *_ZIP_ERRORS) as error:
        # zipfile seeks wherever a broken directory sends it
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise ValueError(f"{str(path)!r} is not a file of PyTorch weights: {error}") from None


def _views(state: Any) -> dict[str, View]:
    """Return what a pickle held, if it is a state dict."""
    if not isinstance(state, dict):
        raise ValueError(f"it holds a {type(state).__name__}, not a dict of tensors")
    for name, view in state.items():
        if not isinstance(name, str):
            raise ValueError(f"a key is the {type(name).__name__} {name!r:.80}; names are text")
        if not isinstance(view, View):
            what = f"the value of {name!r:.80} is a {type(view).__name__}, not a tensor"
            raise ValueError(f"{what}: save the model's state_dict() alone")
        _check_window(f"tensor {name!r:.80}", view)
    return state


def _check_window(tensor: str, view: View) -> None:
    if math.prod(size or 1 for size in view.shape) >= 2**48:
        raise ValueError(f"{tensor} has the shape {view.shape!s:.200}, too large to hold")
    steps = zip(view.shape, view.strides, strict=True)
    last = view.offset + sum((size - 1) * stride for size, stride in steps)
    if math.prod(view.shape) and last >= view.storage.size:
        holds = f"storage {view.storage.key!r:.80}, which holds {view.storage.size}"
        raise ValueError(f"{tensor} reaches to number {last} of {holds}")


def _check_expansion(path: Path, views: dict[str, View]) -> None:
    """Bound what reading can take: a stride of 0 makes a large tensor of a single number."""
    size, unfolded = path.stat().st_size, 0
    for name, view in views.items():
        unfolded += math.prod(view.shape) * TYPES[view.storage.dtype].dtype.itemsize
        if unfolded > MAX_EXPANSION * size:
            found = f"unfold to {unfolded} with {name!r:.80} of shape {view.shape}"
            raise ValueError(f"its {size} bytes {found}: allowed is {MAX_EXPANSION} times as much")


def _tensor(path: Path, name: str, view: View, bytes_of: BytesOf) -> StoredTensor:
    storage, dtype = view.storage, TYPES[view.storage.dtype].dtype
    content, expected = bytes_of(storage), storage.size * dtype.itemsize
    if len(content) != expected:
        needed = f"should hold {storage.size} {storage.dtype}, {expected} bytes"
        raise ValueError(f"storage {storage.key[:80]!r} {needed}; the file has {len(content)}")

    def stored() -> NDArray[Any]:
        numbers = content.view(dtype)[view.offset :]
        strides = [
            stride * dtype.itemsize if size > 1 and numbers.size else 0
            for size, stride in zip(view.shape, view.strides, strict=True)
        ]
        return as_strided(numbers, view.shape, strides, writeable=False)

    return StoredTensor(name, storage.dtype, view.shape, path, stored)


def _open_zip(path: Path) -> tuple[dict[str, View], BytesOf]:
    with zipfile.ZipFile(path) as archive:
        members = _members(archive)
    content = np.asarray(np.memmap(path, np.uint8, mode="r"))
    pickles = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError(f"it is a zip archive with {len(pickles)} members named data.pkl")
    root = pickles[0].removesuffix("data.pkl")
    order = members.get(f"{root}byteorder")
    if order and _member_bytes(content, order).tobytes() != b"little":
        raise ValueError("it was written on a big-endian machine")
    if members[pickles[0]].file_size > MAX_PICKLE_BYTES:
        raise ValueError(f"its pickle is larger than {MAX_PICKLE_BYTES} bytes")
    state, _ = read_pickle(_member_bytes(content, members[pickles[0]]).tobytes())

    def bytes_of(storage: Storage) -> Bytes:
        member = members.get(f"{root}data/{storage.key}")
        if member is None:
            raise ValueError(f"there is no storage {storage.key[:80]!r} in it")
        return _member_bytes(content, member)

    return _views(state), bytes_of


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for member in archive.infolist():
        name = repr(member.filename[:80])
        if member.flag_bits & 0x1:
            raise ValueError(f"member {name} is encrypted")
        if member.compress_type != zipfile.ZIP_STORED:
            hint = "unpack the archive and pack it again without compression"
            raise ValueError(f"member {name} is compressed, which torch.save never does: {hint}")
        if member.filename in members:
            raise ValueError(f"two members are named {name}")
        members[member.filename] = member
    return members


def _member_bytes(content: Bytes, member: zipfile.ZipInfo) -> Bytes:
    """Return a member's bytes, a view of the mapped file: zipfile would read and copy them."""
    name = repr(member.filename[:80])
    if member.header_offset < 0:  # as zipfile counts it: a slice would begin at the end
        raise ValueError(f"member {name} lies before the file")
    # the local header: 30 bytes, of which the last four give the lengths of a name and of extras
    header = content[member.header_offset :][:30].tobytes()
    begin = member.header_offset + 30 + sum(np.frombuffer(header[26:], "<u2").tolist())
    end = begin + member.file_size
    if header[:4] != b"PK\x03\x04" or end > len(content):
        raise ValueError(f"member {name} lies outside the file")
    return content[begin:end]


def _open_legacy(path: Path) -> tuple[dict[str, View], BytesOf]:
    content = np.asarray(np.memmap(path, np.uint8, mode="r"))
    position, values = 0, []
    for _ in range(5):
        value, length = read_pickle(content[position:][:MAX_PICKLE_BYTES].tobytes())
        values.append(value)
        position += length
        if values[0] != LEGACY_MAGIC:
            raise ValueError("it is a pickle, and not one that torch.save wrote")
    _, protocol, system, state, keys = values
    if protocol != LEGACY_PROTOCOL or not isinstance(system, dict) or not isinstance(keys, list):
        raise ValueError("its preamble is not the one that torch.save wrote before 1.6")
    if system.get("little_endian") is not True:
        raise ValueError("it was written on a big-endian machine")
    views = _views(state)
    storages = {view.storage.key: view.storage for view in views.values()}
    places = _legacy_places(content, position, keys, storages)

    return views, lambda storage: places[storage.key]


def _legacy_places(
    content: Bytes, position: int, keys: list[Any], storages: dict[str, Storage]
) -> dict[str, Bytes]:
    """Return the bytes of each storage; 8 bytes with its size lie before them."""
    places = {}
    for key in keys:
        if not isinstance(key, str) or key not in storages:
            raise ValueError(f"it lists a storage {str(key)[:80]!r} that no tensor uses")
        size = int.from_bytes(content[position : position + 8].tobytes(), "little")
        length = size * TYPES[storages[key].dtype].dtype.itemsize
        if position + 8 + length > len(content):
            raise ValueError(f"it is cut short: storage {key[:80]!r} needs {length} bytes")
        position += 8 + length
        places[key] = content[position - length : position]
    if missing := sorted(set(storages) - set(places)):
        raise ValueError(f"it does not list the storage {missing[0][:80]!r}")
    return places
