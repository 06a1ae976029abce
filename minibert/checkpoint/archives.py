"""The directory of a zip archive, which zipfile reads whole, however long it is."""

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
    """Return the directory of a zip archive; zipfile's errors, or ValueError if it is too long."""
    with _Directory(path) as file, zipfile.ZipFile(file) as archive:
        return archive.infolist()
