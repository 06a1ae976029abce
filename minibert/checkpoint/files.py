"""Files from strangers: opened only if regular, told for what they are, written whole or not."""

import errno
import json
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

MAX_JSON_BYTES = 64 * 2**20
MAX_JSON_DEPTH = 64

# what describe() says of the forms that hold weights
SAFETENSORS = "a safetensors file"
ZIP = "a zip archive, as torch.save writes it"
PICKLE = "a Python pickle, as old versions of torch.save wrote it"


def require_folder(folder: str | os.PathLike[str]) -> Path:
    """Return the folder as a Path; OSError if it is not there or is something else."""
    path = Path(folder)
    mode = _mode(path)
    if mode is None:
        raise FileNotFoundError(f"there is no folder {str(path)!r}")
    if not stat.S_ISDIR(mode):
        raise NotADirectoryError(f"{str(path)!r} is {_kind(mode)}; a checkpoint is a folder")
    return path


def require_file(path: Path) -> Path:
    """Return the path if a regular file is there; OSError with a sentence otherwise.

    A FIFO or a device would block whoever opens it, so it is never opened.
    """
    mode = _mode(path)
    if mode is None:
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    if not stat.S_ISREG(mode):
        raise OSError(f"{str(path)!r} is {_kind(mode)}; a regular file is needed")
    return path


def _mode(path: Path) -> int | None:
    """Return what is at the path, links followed; None if nothing is."""
    try:
        return path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            target = str(path.readlink())
            raise FileNotFoundError(
                f"{str(path)!r} is a link to {target!r}, which is not there"
            ) from None
        return None
    except (OSError, ValueError) as error:  # a loop of links, no permission, a NUL in the name
        raise OSError(f"{str(path)!r} cannot be opened: {error}") from None


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFREG: "a file",
        stat.S_IFDIR: "a folder",
        stat.S_IFIFO: "a FIFO",
        stat.S_IFSOCK: "a socket",
        stat.S_IFCHR: "a device",
        stat.S_IFBLK: "a device",
    }
    return kinds.get(stat.S_IFMT(mode), "not a regular file")


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; ValueError with a sentence if it holds anything else."""
    value = _load_json(path)
    if not isinstance(value, dict):
        raise ValueError(f"{str(path)!r} holds a JSON {type(value).__name__}, not an object")
    return value


def read_json_list(path: Path) -> list[Any]:
    """Return the list in a JSON file; ValueError with a sentence if it holds anything else."""
    value = _load_json(path)
    if not isinstance(value, list):
        raise ValueError(f"{str(path)!r} holds a JSON {type(value).__name__}, not a list")
    return value


def _load_json(path: Path) -> Any:
    require_file(path)
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{str(path)!r} is larger than {MAX_JSON_BYTES} bytes: no JSON of a model")
    try:
        value = json.loads(path.read_text(encoding="utf-8-sig"))
        _limit_depth(value)
    except RecursionError:
        raise ValueError(f"{str(path)!r} is nested more than {MAX_JSON_DEPTH} deep") from None
    except ValueError as error:  # bad JSON, bad UTF-8, a number of thousands of digits
        found = describe(path)
        hint = f"it looks like {found}" if found else str(error)
        raise ValueError(f"{str(path)!r} is not JSON: {hint}") from None
    return value


def _limit_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH):
        level = [
            item
            for inner in level
            if isinstance(inner, dict | list)
            for item in (inner.values() if isinstance(inner, dict) else inner)
        ]
        if not level:
            return
    raise RecursionError


def describe(path: Path) -> str | None:
    """Say what a file is by its first bytes; None if they are not telling."""
    with path.open("rb") as file:
        head = file.read(512)
    text = head.lstrip().lower()
    if not head:
        return "an empty file"
    # before all others: it begins with a length, and the bytes of a number may spell "PK"
    if head[5:9] == b"\0\0\0{":
        return SAFETENSORS
    if head.startswith(b"version https://git-lfs"):
        return "a git-lfs pointer, not the file itself: fetch it with `git lfs pull`"
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        return "an HTML page, perhaps an error page saved by a download"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return ZIP
    if b"\x80\x02" <= head[:2] <= b"\x80\x05":
        return PICKLE
    known = {b"GGUF": "a GGUF file", b"\x89HDF": "an HDF5 file", b"\x93NUM": "a NumPy file"}
    return known.get(head[:4])


def lines_of(content: bytes, name: str) -> list[str]:
    """Return the lines of a text; ValueError, which tells the line, if it is not UTF-8."""
    try:
        return content.decode("utf-8-sig").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{name} is not UTF-8: see line {line}") from None


def make_folder(folder: Path) -> None:
    """Make a folder if it is not there; OSError with a sentence if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        require_folder(folder)  # which says what is there instead
        raise
    except OSError as error:
        raise why_not_saved(folder, error, "Nothing was written") from error


def sha256(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of files, one after the other, in hexadecimal digits."""
    import hashlib  # few need it, and all would wait for it

    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(2**20):
                digest.update(block)
    return digest.hexdigest()


def write_whole(path: Path, content: bytes) -> None:
    """Write beside the place and rename, so that the old file or the new one is there.

    OSError with a sentence if that cannot be done.
    """
    temporary = beside(path)
    try:
        with new_file(temporary) as file:
            file.write(content)
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):  # there is none if it could not be made
            temporary.unlink()
        if isinstance(error, OSError):
            raise why_not_saved(path, error, "What was there is unchanged") from error
        raise


def beside(path: Path) -> Path:
    """Return a hidden name in the same folder, for a file that will be renamed to the path."""
    return path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that is not there yet; what was written is on the disk at the end."""
    with path.open("xb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


_REASONS = {
    errno.ENOSPC: "the disk is full; free some space, or save elsewhere",
    errno.EDQUOT: "your share of the disk is used up; free some space, or save elsewhere",
    errno.EFBIG: "a file would be larger than is allowed here (ulimit -f, or the file system); "
    "save in smaller shards, or elsewhere",
    errno.EACCES: "you have no permission to write there; change it, or save elsewhere",
    errno.EPERM: "you have no permission to write there; change it, or save elsewhere",
    errno.EROFS: "it can only be read; save elsewhere",
}


def why_not_saved(path: Path, error: OSError, state: str) -> OSError:
    """Return an error of the same kind that says where, why, what to do and what is there now."""
    found = error.strerror or str(error)
    why = f"{_REASONS[error.errno]} ({found})" if error.errno in _REASONS else found
    text = f"{str(path)!r} cannot be saved: {why}. {state}"
    return OSError(error.errno, text) if error.errno else OSError(text)
