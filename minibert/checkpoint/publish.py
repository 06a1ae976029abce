"""Putting a checkpoint into a folder: a crash at any moment leaves the old one or the new one.

Readers take the first of FORMS that is there, the head: weights, or an index that names shards.
All new files are first written beside their places, under names that no reader looks for. Then:

1. Shards take their places.
2. The head takes its place, and heads that would be preferred to it are removed, the one in force
   last: it is one rename, or one removal, that brings the new weights into force.
3. config.json takes its place.
4. What is left of the old checkpoint is removed, and so is what killed saves have left.

Where the index in force names the same shards as the new one, the new shards come into force under
hidden names first, by an index of their own. Second links to them then take the places of the old
shards, and at last an index with the usual names takes the place of that with the hidden ones. At
each moment the index in force names shards of one save, all of them there.

Between 2 and 3 two renames follow each other, and no file system does two at once: who is killed
there leaves the new weights beside the old config. A reader refuses them by the shapes, where those
differ, and the next save mends it. A reader that opens one shard after the other while a save goes
on may meet shards of both.
"""

import errno
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from minibert.checkpoint.files import beside, new_file, read_json, why_not_saved
from minibert.checkpoint.source import FORMS
from minibert.models.config import CONFIG_NAME

Arrays = Mapping[str, NDArray[Any]]
Move = tuple[Path, Path]  # from beside, to its place

_SHARD = r"(?:model-\d{5,}-of-\d{5,}\.safetensors|pytorch_model-\d{5,}-of-\d{5,}\.bin)"
_WEIGHTS = "|".join([*map(re.escape, FORMS), _SHARD])
_LEFT_OVER = rf"\.(?:config\.json|{_WEIGHTS})\.[0-9a-f]{{16}}\.tmp|\.[0-9a-f]{{16}}\.{_SHARD}"


def publish(
    folder: Path,
    head: str,
    parts: Mapping[str, Arrays],
    write: Callable[[Path, Arrays], None],
    config: bytes,
) -> None:
    """Put weights and a config into a folder, in place of what is there.

    parts: by the name of a file, what is in it: the head alone, or shards that it will name.
    OSError if that cannot be done; it says what is there now.
    """
    save = _Save(folder, head)
    try:
        _refuse_folders(folder, (*FORMS, *parts, CONFIG_NAME))
        with _locked(folder) as save.sync:
            save.run(parts, write, config)
    except OSError as error:
        raise why_not_saved(folder, error, save.state) from error


class _Save:
    """A save under way: what it has written, and what is still to take its place."""

    def __init__(self, folder: Path, head: str) -> None:
        self.folder = folder
        self.head = head
        self.sync: Callable[[], None] = lambda: None
        self.state = "What was there is unchanged"
        self.made: list[Path] = []
        self.before: list[Move] = []  # up to the head
        self.after: list[Move] = []  # from config.json on
        self.identities: list[os.stat_result] = []  # of all that is staged

    def run(
        self, parts: Mapping[str, Arrays], write: Callable[[Path, Arrays], None], config: bytes
    ) -> None:
        try:
            _remove(self.folder, _LEFT_OVER)
            self.stage(parts, write, config)
            self.commit()
            self.finish()
        except BaseException:
            self.settle()
            raise

    def stage(
        self, parts: Mapping[str, Arrays], write: Callable[[Path, Arrays], None], config: bytes
    ) -> None:
        """Write all files beside their places."""
        written = {name: self.beside(name) for name in parts}
        for name, path in written.items():
            write(path, parts[name])
        usual = {name: self.folder / name for name in parts}
        places = usual
        after = [self.write(CONFIG_NAME, config)]
        if in_force(self.folder) & (set(parts) - {self.head}):
            places = {name: self.hidden(name) for name in parts}
            after += [(self.second(written[name], name), usual[name]) for name in parts]
            after += [self.write(self.head, _index(parts, usual))]
        before = [(written[name], places[name]) for name in parts]
        if self.head not in parts:
            before += [self.write(self.head, _index(parts, places))]
        self.identities = [path.stat() for path, _ in (*before, *after)]
        self.before, self.after = before, after

    def beside(self, name: str) -> Path:
        self.made.append(beside(self.folder / name))
        return self.made[-1]

    def hidden(self, name: str) -> Path:
        """Return a place that ends as the usual one does: readers go by that."""
        return self.folder / f".{os.urandom(8).hex()}.{name}"

    def write(self, name: str, content: bytes) -> Move:
        path = self.beside(name)
        with new_file(path) as file:
            file.write(content)
        return path, self.folder / name

    def second(self, path: Path, name: str) -> Path:
        """Link to a file; copy it where the file system knows no links."""
        link = self.beside(name)
        try:
            os.link(path, link)
        except OSError:
            with path.open("rb") as source, new_file(link) as target:
                shutil.copyfileobj(source, target, 2**20)
        return link

    def commit(self) -> None:
        """Bring the new weights into force."""
        self.move(self.before)
        for rival in reversed(FORMS[: FORMS.index(self.head)]):
            (self.folder / rival).unlink(missing_ok=True)
        self.sync()

    def finish(self) -> None:
        """Let the config follow, and remove what is old."""
        self.move(self.after)
        _remove(self.folder, f"{_LEFT_OVER}|{_WEIGHTS}")
        self.sync()

    def move(self, moves: list[Move]) -> None:
        for path, place in moves:
            path.replace(place)
            self.sync()  # or a power failure could undo this rename and keep a later one

    def settle(self) -> None:
        """After a failure: on to the end if the new weights are in force, back if they are not."""
        if self.committed():
            self.after = [(path, place) for path, place in self.after if os.path.lexists(path)]
            self.state = "The new checkpoint is in place all the same"
            try:
                self.finish()
            except OSError:
                self.state = (
                    "The new weights are in place, not all that belongs to them: save again"
                )
        arrived = [place for _, place in self.before if self.arrived(place)]
        with suppress(OSError):
            keep = in_force(self.folder)
            self.made += [place for place in arrived if place.name not in keep]
        for path in self.made:
            with suppress(OSError):
                path.unlink()

    def committed(self) -> bool:
        return _head(self.folder) == self.head and self.arrived(self.folder / self.head)

    def arrived(self, place: Path) -> bool:
        """Say if a file of ours is there: even who is interrupted right after a rename can tell."""
        with suppress(OSError):
            found = place.lstat()
            return any(os.path.samestat(found, ours) for ours in self.identities)
        return False


def _head(folder: Path) -> str | None:
    return next((name for name in FORMS if os.path.lexists(folder / name)), None)


def in_force(folder: Path) -> set[str]:
    """Return the names of the files that a reader takes; of a broken index, just its own.

    OSError if an index cannot be read: who does not know what is in force must not remove it.
    """
    head = _head(folder)
    shard_of: Any = None
    if head and head.endswith(".index.json"):
        with suppress(ValueError):
            shard_of = read_json(folder / head).get("weight_map")
    shards = shard_of.values() if isinstance(shard_of, dict) else ()
    return {name for name in (head, *shards) if isinstance(name, str)}


def _remove(folder: Path, pattern: str) -> None:
    """Remove files of a pattern that are not in force."""
    keep = in_force(folder)
    for path in sorted(folder.iterdir()):
        if re.fullmatch(pattern, path.name) and path.name not in keep and not path.is_dir():
            path.unlink()


def _index(parts: Mapping[str, Arrays], places: Mapping[str, Path]) -> bytes:
    shard_of = {name: places[part].name for part in parts for name in parts[part]}
    size = sum(array.nbytes for part in parts.values() for array in part.values())
    index = {"metadata": {"total_size": size}, "weight_map": shard_of}
    return (json.dumps(index, indent=2, sort_keys=True) + "\n").encode()


def _refuse_folders(folder: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if (folder / name).is_dir():
            text = f"{name!r} is a folder, where a checkpoint has a file; move it away"
            raise IsADirectoryError(errno.EISDIR, text)


@contextmanager
def _locked(folder: Path) -> Iterator[Callable[[], None]]:
    """Let one save after the other have the folder; yield what sees its names to the disk."""
    if os.name == "nt":  # there, a folder cannot be opened
        yield lambda: None
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield lambda: _sync(handle)
    finally:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)  # a forked child has this handle too
        os.close(handle)


def _sync(handle: int) -> None:
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that does not sync folders
            raise
