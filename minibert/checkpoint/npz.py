"""Reading .npz files of strangers: no pickles, and no more memory than the file is worth.

NumPy's own reader takes the shape in a member's header at its word and asks for that much memory;
here the header must agree with the member's size before anything is unfolded.
"""

import errno
import io
import math
import tokenize
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from minibert.checkpoint.files import require_file

MAX_UNFOLDED = 2**30  # bytes; a file that is larger may unfold to MAX_EXPANSION times its own size
MAX_EXPANSION = 64
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_BROKEN = (
    *(ValueError, SyntaxError, TypeError, KeyError, IndexError, OverflowError, tokenize.TokenError),
    # an encrypted member is a RuntimeError, and so is a header that is nested too deeply
    *(zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, MemoryError),
)


def is_npz(path: Path) -> bool:
    """Tell whether a zip archive holds NumPy's arrays; False if it is none, or a broken one."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (*_BROKEN, OSError):
        return False


def read_npz(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file by name, all of them numbers.

    OSError if no regular file is there; ValueError with a sentence if it is no such file, is cut
    short, contradicts itself, or would unfold to an absurd size.
    """
    require_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            _check_sizes(members, path.stat().st_size)
            return {m.filename.removesuffix(".npy"): _array(archive, m) for m in members}
    except (*_BROKEN, OSError) as error:
        # zipfile seeks wherever a broken directory sends it
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise
        raise ValueError(f"{str(path)!r} is not a readable .npz file: {error}") from None


def _check_sizes(members: list[zipfile.ZipInfo], size: int) -> None:
    names = [member.filename for member in members]
    for name in names:
        if not name.endswith(".npy"):
            raise ValueError(f"its member {name[:80]!r} is no .npy file")
        if names.count(name) > 1:
            raise ValueError(f"two members are named {name[:80]!r}")
    unfolded = sum(member.file_size for member in members)
    if unfolded > max(MAX_UNFOLDED, MAX_EXPANSION * size):
        raise ValueError(f"it has {size} bytes and unfolds to {unfolded}: absurdly compressed")


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    """Return one array, read-only; its header must ask for just the bytes that the member has."""
    name = member.filename.removesuffix(".npy")[:80]
    with archive.open(member) as file:
        content = file.read(member.file_size)
    stream = io.BytesIO(content)
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"array {name!r} is in version {version} of the .npy format")
    with warnings.catch_warnings():  # of a header that Python 2 wrote
        warnings.simplefilter("ignore")
        shape, by_column, dtype = _HEADERS[version](stream)
    if dtype.kind not in "iufb":
        found = "Python objects, which are pickled" if dtype.hasobject else dtype
        raise ValueError(f"array {name!r} holds {found}; allowed: numbers")
    begin = stream.tell()
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(content) - begin:
        raise ValueError(f"array {name!r} of shape {shape!s:.80} does not fill its {dtype} numbers")
    array = np.frombuffer(content, dtype, offset=begin).reshape(shape[::-1] if by_column else shape)
    native: NDArray[Any] = array.astype(dtype.newbyteorder("="), copy=False)
    return native.T if by_column else native
