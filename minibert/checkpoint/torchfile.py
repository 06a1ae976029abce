"""Reading PyTorch's weight files without PyTorch: the zip form, and the legacy form before 1.6.

Both hold a pickle, which describes tensors as windows on storages (pickles.py), and the numbers of
the storages. Sizes, offsets and strides are checked before a view is made.
"""

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from minibert.checkpoint.archives import zip_members
from minibert.checkpoint.files import PICKLE, ZIP, describe, first_of, require_file, visible
from minibert.checkpoint.inert import Inert
from minibert.checkpoint.limits import MAX_EXPANSION, MAX_PICKLE_BYTES
from minibert.checkpoint.pickles import Storage, Unread, View, read_pickle
from minibert.checkpoint.tensors import TYPES, StoredTensor
from minibert.runtime.spelling import a_kind

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001

Bytes = NDArray[np.uint8]
Tensors = dict[str, View | Unread]
#: The tensors that a file describes, and what finds the bytes of a storage by its key.
Opened = tuple[Tensors, Callable[[str], Bytes]]
MAX_KEY = 80  # characters of a key under which a state dict lies: they come before each name


def read_torch(path: Path) -> dict[str, StoredTensor]:
    """Return the tensors of a state dict by name, none of them read yet.

    Of a training's checkpoint it is the one dict of tensors; its key comes before each name, as in
    ``state_dict.pooler.dense.bias``. OSError if no regular file is there; ValueError if the file is
    not such a file, is cut short, contradicts itself, or names anything but tensors.
    """
    kind = describe(require_file(path))
    try:
        if kind not in (ZIP, PICKLE):
            raise ValueError(f"it looks like {kind}" if kind else "its first bytes are unknown")
        content = np.asarray(np.memmap(path, np.uint8, mode="r"))
        tensors, bytes_of = _open_zip(path, content) if kind == ZIP else _open_legacy(content)
        _check_expansion(len(content), tensors)
        return {name: _tensor(path, name, view, bytes_of) for name, view in tensors.items()}
    except ValueError as error:
        why = visible(error, 600)
        raise ValueError(f"{str(path)!r} is not a file of PyTorch weights: {why}") from None


def _tensors(state: Any) -> Tensors:
    """Return the tensors of what a pickle held: a state dict, or a dict of which one is a part."""
    if not isinstance(state, dict):
        kind = state.name if isinstance(state, Inert) else a_kind(state)
        raise ValueError(f"it holds {kind}, not a dict of tensors")
    tensors: dict[Any, Any] = state
    inside = _inside(state)
    if len(inside) > 1:
        keys = ", ".join(repr(path.removesuffix(".")) for path in first_of(inside, 5))
        raise ValueError(f"it holds several dicts of tensors, {keys}: save the one you mean alone")
    for path, found in inside.items():  # beside it may be a tensor or two, as of the loss
        if len(found) > sum(isinstance(value, View | Unread) for value in state.values()):
            tensors = {f"{path}{name}": view for name, view in found.items()}
    for name, view in tensors.items():
        if not isinstance(name, str):
            raise ValueError(f"a key is the {type(name).__name__} {name!r:.80}; names are text")
        if not isinstance(view, View | Unread):
            kind = view.name if isinstance(view, Inert) else a_kind(view)
            what = f"{kind}, not a tensor: save the model's state_dict() alone"
            raise ValueError(f"the value of {name!r:.80} is {what}")
        if isinstance(view, View):
            _check_window(name, view)
    return tensors


def _inside(state: dict[Any, Any]) -> dict[str, Tensors]:
    """Return the dicts of tensors in one that a training has saved, at most two steps down."""
    found: dict[str, Tensors] = {}
    level, seen = {"": state}, set()
    for _ in range(2):
        above, level = level, {}
        for path, holder in above.items():
            for key, value in holder.items():
                named = isinstance(key, str) and len(key) <= MAX_KEY
                if named and isinstance(value, dict) and value and id(value) not in seen:
                    seen.add(id(value))  # a pickle may name one dict ever again
                    names = all(isinstance(name, str) for name in value)
                    whole = all(isinstance(view, View | Unread) for view in value.values())
                    (found if names and whole else level)[f"{path}{key}."] = value
    return found


def _check_window(name: str, view: View) -> None:
    tensor, storage = f"tensor {name!r:.80}", view.storage
    if math.prod(size or 1 for size in view.shape) >= 2**48:
        raise ValueError(f"{tensor} has the shape {view.shape!s:.200}, too large to hold")
    steps = zip(view.shape, view.strides, strict=True)
    last = view.offset + sum((size - 1) * step for size, step in steps)
    if math.prod(view.shape) and last >= storage.size:
        found = f"number {last} of storage {storage.key!r:.80}, which holds {storage.size}"
        raise ValueError(f"{tensor} reaches to {found}")


def _check_expansion(size: int, tensors: Tensors) -> None:
    """Bound what reading can take: a stride of 0 makes a large tensor of a single number."""
    unfolded = 0
    views = {name: view for name, view in tensors.items() if isinstance(view, View)}
    for name, view in views.items():
        unfolded += math.prod(view.shape) * _width(view.storage)
        if unfolded > MAX_EXPANSION * size:
            found = f"unfold to {unfolded} with {name!r:.80} of shape {view.shape}"
            allowed = f"allowed is {MAX_EXPANSION} times as much"
            raise ValueError(f"it has {size} bytes, and its tensors {found}: {allowed}")


def _width(storage: Storage) -> int:
    return TYPES[storage.dtype].dtype.itemsize


def _tensor(
    path: Path, name: str, view: View | Unread, bytes_of: Callable[[str], Bytes]
) -> StoredTensor:
    if isinstance(view, Unread):
        return StoredTensor(name, view.kind, view.shape, path, _no_numbers)
    storage, dtype = view.storage, TYPES[view.storage.dtype].dtype
    content, expected = bytes_of(storage.key), storage.size * dtype.itemsize
    if len(content) != expected:
        said = f"should hold {storage.size} {storage.dtype}, {expected} bytes"
        raise ValueError(f"storage {storage.key!r:.80} {said}; the file has {len(content)}")

    def numbers() -> NDArray[Any]:
        array = content.view(dtype)[view.offset :]
        steps = zip(view.shape, view.strides, strict=True)
        strides = [step * dtype.itemsize if size > 1 and array.size else 0 for size, step in steps]
        return as_strided(array, view.shape, strides, writeable=False)

    return StoredTensor(name, storage.dtype, view.shape, path, numbers)


def _no_numbers() -> NoReturn:
    raise ValueError("the numbers of such a tensor are not read")


# The zip form


def _open_zip(path: Path, content: Bytes) -> Opened:
    members = _members(zip_members(path))
    pickles = [name for name in members if name == "data.pkl" or name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError(f"it is a zip archive with {len(pickles)} members named data.pkl")
    root = pickles[0].removesuffix("data.pkl")
    order = members.get(f"{root}byteorder")
    if order and _member_bytes(content, order)[:8].tobytes() != b"little":
        raise ValueError("it was written on a big-endian machine")
    if members[pickles[0]].file_size > MAX_PICKLE_BYTES:
        raise ValueError(f"its pickle is larger than {MAX_PICKLE_BYTES} bytes")
    state, _ = read_pickle(_member_bytes(content, members[pickles[0]]).tobytes())

    def bytes_of(key: str) -> Bytes:
        if f"{root}data/{key}" not in members:
            raise ValueError(f"there is no storage {key!r:.80} in it")
        return _member_bytes(content, members[f"{root}data/{key}"])

    return _tensors(state), bytes_of


def _members(directory: list[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for member in directory:
        name = f"{member.filename!r:.80}"
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
    """Return a member's bytes, a view of the mapped file; zipfile would copy them."""
    name, start = f"{member.filename!r:.80}", member.header_offset
    if start < 0:  # as zipfile counts it: a slice would begin at the end
        raise ValueError(f"member {name} lies before the file")
    # the local header: 30 bytes, of which the last four give the lengths of a name and of extras
    header = content[start:][:30].tobytes()
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    begin = start + 30 + lengths
    if header[:4] != b"PK\x03\x04" or begin + member.file_size > len(content):
        raise ValueError(f"member {name} lies outside the file")
    return content[begin : begin + member.file_size]


# The legacy form: five pickles, then each storage: its size in 8 bytes, and its numbers


def _read_first(
    start: Bytes, position: int, size: int, storages: dict[str, Storage]
) -> tuple[Any, int]:
    try:
        return read_pickle(start[position:].tobytes(), storages)
    except ValueError as error:
        if size == len(start) or str(error).startswith("refused"):
            raise
        raise ValueError(f"{error} (its pickles may have {len(start)} bytes in all)") from None


def _open_legacy(content: Bytes) -> Opened:
    position, values, storages = 0, list[Any](), dict[str, Storage]()
    for _ in range(5):
        first = content[:MAX_PICKLE_BYTES]
        value, length = _read_first(first, position, len(content), storages)
        values.append(value)
        position += length
        if values[0] != LEGACY_MAGIC:
            raise ValueError("it is a pickle, and not one that torch.save wrote")
    _, protocol, system, state, keys = values
    if protocol != LEGACY_PROTOCOL or not isinstance(system, dict) or not isinstance(keys, list):
        raise ValueError("its preamble is not the one that torch.save wrote before 1.6")
    if system.get("little_endian") is not True:
        raise ValueError("it was written on a big-endian machine")
    tensors = _tensors(state)
    widths, places = {key: _width(storage) for key, storage in storages.items()}, {}
    for key in keys:
        if not isinstance(key, str) or key not in widths:
            raise ValueError(f"it lists a storage {str(key)[:80]!r} that no tensor uses")
        begin = position + 8
        size = int.from_bytes(content[position:begin].tobytes(), "little") * widths[key]
        position = begin + size
        if position > len(content):
            raise ValueError(f"it is cut short: storage {key!r:.80} needs {size} bytes")
        places[key] = content[begin:position]
    if missing := sorted(set(widths) - set(places)):
        raise ValueError(f"it does not list the storage {missing[0]!r:.80}")
    return tensors, places.__getitem__
