"""Files: opened only if regular, and described by their first bytes."""

import json
import os
import stat
from collections.abc import Collection, Iterable
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

from minibert.checkpoint.limits import MAX_JSON_BYTES, MAX_JSON_DEPTH, MAX_TOKENS
from minibert.runtime.spelling import nearest

Json = TypeVar("Json", dict[str, Any], list[Any])
#: The types that JSON knows, in its own words.
_JSON = {
    **{NoneType: "null", bool: "true or false", str: "a string", dict: "an object"},
    **{int: "a number", float: "a number", list: "an array"},
}

# what describe() says of the forms that hold weights
SAFETENSORS = "a safetensors file"
ZIP = "a zip archive, as torch.save writes it"
PICKLE = "a Python pickle, as old versions of torch.save wrote it"
_HTML = "an HTML page, perhaps an error page saved by a download"
_FIRST_BYTES = {
    **dict.fromkeys((b"PK\x03\x04", b"PK\x05\x06"), ZIP),
    **dict.fromkeys((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"), PICKLE),
    **dict.fromkeys((b"<!doctype", b"<html", b"<head", b"<?xml"), _HTML),
    b"version https://git-lfs": "a git-lfs pointer: fetch the file with `git lfs pull`",
    **{b"GGUF": "a GGUF file", b"\x89HDF": "an HDF5 file", b"\x93NUM": "a NumPy file"},
}

_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    **dict.fromkeys((stat.S_IFCHR, stat.S_IFBLK), "a device"),
}


def visible(text: object, limit: int | None = None) -> str:
    r"""Write what does not print as ``\x1b`` or ``\u202e``, and cut what is shown at a limit.

    Names come from strangers' files: a terminal would obey some characters of theirs.
    """
    whole = str(text)
    cut = whole[:limit]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)
    return shown if cut == whole and shown[:limit] == shown else f"{shown[:limit]}..."


def first_of(items: Collection[str], limit: int) -> list[str]:
    """Return the first items; if there are more of them, "and 3 more" comes last."""
    more = [f"and {len(items) - limit} more"] if len(items) > limit else []
    return [*list(items)[:limit], *more]


def require_folder(folder: str | os.PathLike[str]) -> Path:
    """Return the folder as a Path; OSError if it is not there or is something else."""
    path = Path(folder)
    try:
        return _require(path, "a folder", NotADirectoryError, "a checkpoint is a folder")
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}{alike(path)}") from None


def alike(path: Path) -> str:
    """Return ``; did you mean 'x'?`` with a folder beside the path that has nearly its name."""
    try:
        names = [entry.name for entry in os.scandir(path.parent) if entry.is_dir()][:1000]
    except OSError:
        return ""
    return visible(nearest(path.name, names, {}), 200)


def require_file(path: Path) -> Path:
    """Return the path if a regular file is there; OSError with a sentence otherwise."""
    # a FIFO or a device is never opened: it would block who opens it
    return _require(path, "a file", OSError, "a regular file is needed")


def _require(path: Path, kind: str, refusal: type[OSError], why: str) -> Path:
    try:
        found = file_kind(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        text = f"there is no {kind.split()[1]} {str(path)!r}"
        if path.is_symlink():
            text = f"{str(path)!r} is a link to {str(path.readlink())!r}, which is not there"
        raise FileNotFoundError(text) from None
    except (OSError, ValueError) as error:  # a loop of links, no permission, a NUL in the name
        raise OSError(f"{str(path)!r} cannot be opened: {error}") from None
    if found != kind:
        raise refusal(f"{str(path)!r} is {found}; {why}")
    return path


def file_kind(mode: int) -> str:
    """Say what has such a mode: a file, a folder, a FIFO, ..."""
    return _KINDS.get(stat.S_IFMT(mode), "not a regular file")


def read_json(path: Path, limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Return the object in a JSON file; ValueError with a sentence if it holds anything else.

    So it is if the file has more bytes than the limit.
    """
    return _load_json(path, dict, limit)


def read_json_list(path: Path) -> list[Any]:
    """Return the array in a JSON file; ValueError with a sentence if it holds anything else."""
    return _load_json(path, list, MAX_JSON_BYTES)


def read_limited(path: Path, limit: int, separators: bytes) -> bytes:
    """Return a file's bytes; ValueError if there are too many of them, or of the separators."""
    if (size := require_file(path).stat().st_size) > limit:
        raise ValueError(f"{str(path)!r} has {size} bytes; allowed: {limit}")
    content = path.read_bytes()
    if (count := sum(map(content.count, separators))) > MAX_TOKENS:
        raise ValueError(f"{str(path)!r} has about {count} entries; allowed: {MAX_TOKENS}")
    return content


def _load_json(path: Path, kind: type[Json], limit: int) -> Json:
    content = read_limited(path, limit, b",[{")
    try:
        value = json.loads(_decoded(content, "the text"))
        _limit_depth([value])
    except RecursionError:
        raise ValueError(f"{str(path)!r} is nested more than {MAX_JSON_DEPTH} deep") from None
    except ValueError as error:
        # Python reads no number of more than 4300 digits, and names its own settings
        why = "a number has thousands of digits" if "sys.set_" in str(error) else error
        why = f"it looks like {found}" if (found := describe(path)) else why
        raise ValueError(f"{str(path)!r} is not JSON: {why}") from None
    if not isinstance(value, kind):
        raise ValueError(f"{str(path)!r} holds {_JSON[type(value)]}, not {_JSON[kind]}")
    return value


def _limit_depth(value: dict[str, Any] | list[Any]) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        inner = [x.values() if isinstance(x, dict) else x for x in level]
        level = [x for items in inner for x in items if isinstance(x, dict | list)]
    if level:
        raise RecursionError


def describe(path: Path) -> str | None:
    """Say what a file is, by its first bytes; None if they do not tell."""
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        return "an empty file"
    if head[5:9] == b"\0\0\0{":  # first: the length that it begins with may spell "PK"
        return SAFETENSORS
    text = head.lstrip().lower()
    start = text if text.startswith(b"<") else head
    return next((what for first, what in _FIRST_BYTES.items() if start.startswith(first)), None)


def lines_of(content: bytes, name: str) -> list[str]:
    """Return the lines of a text; ValueError, which tells the line, if it is not UTF-8."""
    return _decoded(content, name).removesuffix("\n").split("\n")


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name} is not UTF-8: see line {line}") from None


def sha256(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of files, one after the other, in hexadecimal digits."""
    import hashlib  # few need it, and all would wait for it

    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()
