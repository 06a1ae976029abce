"""Files written whole or not at all, and what is said where that cannot be."""

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from minibert.checkpoint.files import file_kind, require_folder, visible


def make_folder(folder: Path) -> None:
    """Make a folder if it is not there; OSError with a sentence if that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        require_folder(folder)  # which says what is there instead
        raise
    except OSError as error:
        raise why_not_saved(folder, error, "Nothing was written") from error


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file, links followed, whole or not at all; write to a terminal or a FIFO.

    OSError with a sentence if it cannot be written.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    except OSError as error:  # a loop of links, say
        raise why_not_saved(path, error, "Nothing was written") from error
    if stat.S_ISREG(mode):
        replace_file(Path(os.path.realpath(path)), content)
    elif stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        with path.open("wb") as file:
            file.write(content)
    else:
        raise OSError(f"{str(path)!r} is {file_kind(mode)}; give the name of a file to write")


def replace_file(path: Path, content: bytes) -> None:
    """Replace a file's content, as ``replace_with`` does."""
    replace_with(path, lambda file: file.write_bytes(content))


def replace_with(path: Path, write: Callable[[Path], object]) -> None:
    """Replace a file by what ``write`` writes, whole or not at all.

    OSError with a sentence if it cannot be written, or is a link.
    """
    temporary = beside(path)
    try:
        refuse_link(path)
        write_new(temporary, path, write)
        temporary.replace(path)
    except OSError as error:
        raise why_not_saved(path, error, "What was there is unchanged") from error
    finally:
        with suppress(OSError):  # it was renamed, or could not be made
            temporary.unlink()


def refuse_link(path: Path) -> None:
    """OSError if a link is at the path: in the cache of the Hub, others share what it leads to."""
    if path.is_symlink():
        found = f"{path.name!r} is a link to {visible(path.readlink(), 200)!r}"
        raise OSError(errno.EEXIST, f"{found}; save into another folder, or remove the link first")


def beside(path: Path) -> Path:
    """Return a hidden name in the same folder, for what will be renamed to the path."""
    return path.with_name(f".{path.name}.{os.urandom(8).hex()}.tmp")


def write_new(path: Path, old: Path, write: Callable[[Path], object]) -> None:
    """Make a file with the old one's permissions, let ``write`` fill it, and sync it."""
    kept = old.stat().st_mode if old.is_file() else None
    path.touch(0o666 if kept is None else stat.S_IMODE(kept) | stat.S_IWUSR, exist_ok=False)
    mode = stat.S_IMODE(kept or path.stat().st_mode)
    write(path)
    path.chmod(mode)
    sync(path)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    windows = os.name == "nt"
    if windows and path.is_dir():  # a folder cannot be opened there
        return
    handle = os.open(path, os.O_RDWR if windows else os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():  # some systems sync no folders
            raise
    finally:
        os.close(handle)


_REASONS = {
    errno.ENOSPC: "the disk is full; free some space, or save elsewhere",
    errno.EDQUOT: "your share of the disk is used up; free some space, or save elsewhere",
    errno.EFBIG: "a file would be too large for here (ulimit -f, the file system); save elsewhere",
    errno.EROFS: "it can only be read; save elsewhere",
    errno.EACCES: "you have no permission to write there; change it, or save elsewhere",
}
_REASONS[errno.EPERM] = _REASONS[errno.EACCES]


def why_not_saved(path: Path, error: OSError, state: str) -> OSError:
    """Return an error of the same kind that says where, why, what to do and what is there now."""
    found = error.strerror or str(error)
    why = f"{_REASONS[error.errno]} ({found})" if error.errno in _REASONS else found
    text = f"{str(path)!r} cannot be saved: {why}. {state}"
    return OSError(error.errno, text) if error.errno else OSError(text)
