"""The directory of a zip archive, which zipfile reads whole, however long it is."""

import errno
import io
import zipfile
from pathlib import Path

from minibert.checkpoint.limits import MAX_DIRECTORY_BYTES


class _Directory(io.FileIO):
    """A file from which the directory of a zip archive is read, if it has a reasonable size."""

    def read(self, size: int | None = -1, /) -> bytes:
        if (size or 0) > MAX_DIRECTORY_BYTES:
            found = f"the directory of the archive has {size} bytes"
            raise ValueError(f"{found}; allowed: {MAX_DIRECTORY_BYTES}")
        return super().read(size) or b""


def zip_members(path: Path) -> list[zipfile.ZipInfo]:
    """Return the directory of a zip archive; ValueError if it is broken or too long."""
    try:
        with _Directory(path) as file, zipfile.ZipFile(file) as archive:
            return archive.infolist()
    except UnicodeDecodeError:
        raise ValueError("a name in the directory of the archive is not UTF-8") from None
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ValueError(f"it is no zip archive, or a broken one: {error}") from None
    except OSError as error:  # zipfile seeks wherever a broken directory sends it
        if error.errno != errno.EINVAL:
            raise
        raise ValueError("the directory of the archive is not where it should be") from None
