"""Saves that the disk or the permissions do not allow, and saves at the same time."""

import errno
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import minibert
from minibert.checkpoint.load import of_one_save, open_weights, read_config
from minibert.checkpoint.save import save_checkpoint
from minibert.checkpoint.writing import write_whole

CONFIG = b'{"is": "old"}'
UNCHANGED = r"What was there is unchanged\Z"


def drawn(seed, size=19):
    random = np.random.default_rng(seed)
    return {name: random.random((size, 3)).astype(np.float32) for name in "abc"}


OLD, NEW = drawn(0), drawn(1)
BIN = {"safe_serialization": False}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def is_found(folder, arrays):
    stored = open_weights(folder).tensors
    return all(np.array_equal(stored[name].read("float32"), arrays[name]) for name in arrays)


@pytest.fixture(params=["nothing", "safetensors", "bin"])
def folder(tmp_path, request):
    """A folder with an old checkpoint, or none."""
    path = tmp_path / "above" / "checkpoint"
    if request.param != "nothing":
        save_checkpoint(path, CONFIG, OLD, **(BIN if request.param == "bin" else {}))
    return path


def assert_unchanged(folder, before):
    if before is None:  # nor are there folders
        assert not folder.parent.exists()
    else:
        assert contents(folder) == before


@pytest.mark.parametrize("how", [{}, BIN])
@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full; free some space, or save elsewhere"),
        (errno.EDQUOT, "your share of the disk is used up; free"),
        (errno.EROFS, "it can only be read; save elsewhere"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_a_disk_that_takes_no_more(folder, monkeypatch, how, number, words):
    before = contents(folder) if folder.exists() else None
    calls = []

    def fail(handle):
        calls.append(handle)
        if len(calls) > 1 or not how:  # the second file, or the first
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=f"cannot be saved: {words}.*{UNCHANGED}") as caught:
        save_checkpoint(folder, CONFIG, NEW, **how)
    assert repr(str(folder)) in str(caught.value)
    assert caught.value.errno == number
    assert_unchanged(folder, before)


LIMITED = """
import resource, sys
import numpy as np
from minibert.checkpoint.save import save_checkpoint
tensors = {name: np.ones((50, 1000), np.float32) for name in "abc"}
resource.setrlimit(resource.RLIMIT_FSIZE, (450_000, 450_000))
try:
    save_checkpoint(sys.argv[1], b"{}", tensors, safe_serialization=sys.argv[2] == "safe")
except OSError as error:
    print(type(error).__name__, error)
"""


def run(script, *arguments):
    root = str(Path(minibert.__file__).parents[1])
    command = [sys.executable, "-W", "error", "-c", script, *arguments]
    environment = os.environ | {"PYTHONPATH": root}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("how", ["safe", "bin"])
def test_a_file_that_becomes_too_large_while_it_is_written(folder, how):
    """A true error of the system, after two of three tensors."""
    before = contents(folder) if folder.exists() else None
    said = run(LIMITED, str(folder), how)
    assert said.startswith(f"OSError [Errno {errno.EFBIG}] {str(folder)!r} cannot be saved: a file")
    assert "ulimit -f" in said
    assert said.rstrip().endswith("What was there is unchanged")
    assert_unchanged(folder, before)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a megabyte."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("only root may mount, and not everywhere")
    yield path
    subprocess.run(["umount", path], check=True)


def test_a_disk_that_is_full(small_disk):
    folder = small_disk / "checkpoint"
    large = drawn(2, 40_000)
    with pytest.raises(OSError, match=f"the disk is full.*{UNCHANGED}"):
        save_checkpoint(folder, CONFIG, large)
    assert list(small_disk.iterdir()) == []
    save_checkpoint(folder, CONFIG, OLD)
    before = contents(folder)
    for how in ({}, BIN):
        with pytest.raises(OSError, match=f"the disk is full.*{UNCHANGED}"):
            save_checkpoint(folder, CONFIG, large, **how)
        assert contents(folder) == before


@pytest.mark.parametrize(
    ("operation", "how"),
    [
        ("mkdir", {}),
        ("touch", {}),
        ("replace", {}),
        ("replace", BIN),
        ("unlink", BIN),
    ],
)
def test_no_permission(tmp_path, monkeypatch, operation, how):
    """Root may do anything, so the system's refusal is played."""
    save_checkpoint(tmp_path, CONFIG, OLD)
    before, original = contents(tmp_path), getattr(Path, operation)

    def refuse(self, *arguments, **more):
        on_its_way = ".tmp" in str(self.relative_to(tmp_path)) and operation != "unlink"
        if on_its_way or self.name == "model.safetensors":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return original(self, *arguments, **more)

    monkeypatch.setattr(Path, operation, refuse)
    with pytest.raises(PermissionError, match=f"you have no permission.*{UNCHANGED}"):
        save_checkpoint(tmp_path, CONFIG, NEW, **how)
    monkeypatch.undo()
    assert contents(tmp_path) == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may do anything")
def test_no_permission_at_all(tmp_path):
    tmp_path.chmod(0o500)
    for folder in (tmp_path, tmp_path / "new" / "checkpoint"):
        with pytest.raises(PermissionError, match="you have no permission"):
            save_checkpoint(folder, CONFIG, NEW)
    assert list(tmp_path.iterdir()) == []
    tmp_path.chmod(0o700)


def test_a_config_that_cannot_follow(tmp_path, monkeypatch):
    """It waits where a reader finds it, and the next save moves it."""
    save_checkpoint(tmp_path, CONFIG, OLD)
    replace = Path.replace

    def refuse(self, target):
        if target.name == "config.json":
            raise PermissionError(errno.EPERM, "Operation not permitted", str(self))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(PermissionError, match=r"new checkpoint is in force.*save again\Z"):
        save_checkpoint(tmp_path, b'{"is": "new"}', NEW)
    monkeypatch.undo()
    assert is_found(tmp_path, NEW)
    assert (tmp_path / "config.json").read_bytes() == CONFIG
    assert read_config(tmp_path) == {"is": "new"}
    save_checkpoint(tmp_path, b'{"is": "newer"}', NEW)
    assert read_config(tmp_path) == {"is": "newer"}
    assert sorted(contents(tmp_path)) == ["config.json", "model.safetensors"]


def test_what_a_killed_save_has_left_makes_room_for_the_next(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, CONFIG, OLD)
    before = contents(tmp_path)
    prepared = tmp_path / ".model.safetensors.0123456789abcdef.tmp"
    prepared.mkdir()
    (prepared / "model.safetensors").write_bytes(bytes(1000))

    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="the disk is full"):
        save_checkpoint(tmp_path, CONFIG, NEW)
    assert contents(tmp_path) == before


def test_a_file_system_without_locks_and_without_synced_folders(tmp_path, monkeypatch):
    import fcntl

    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    def sync(handle):
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(os, "fsync", sync)
    save_checkpoint(tmp_path, CONFIG, NEW)
    assert is_found(tmp_path, NEW)


def test_saves_at_the_same_time_come_one_after_the_other(tmp_path):
    """As when every process of a training saves: the folder holds what the last one saved."""
    tensors = [drawn(seed, 200) for seed in range(6)]
    hows = [{}, BIN] * 3
    errors = []

    def save(arrays, how):
        try:
            for _ in range(4):
                save_checkpoint(tmp_path, CONFIG, arrays, **how)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=save, args=pair) for pair in zip(tensors, hows, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert sum(is_found(tmp_path, arrays) for arrays in tensors) == 1
    assert not [name for name in contents(tmp_path) if name.startswith(".")]


def test_who_reads_while_others_save_finds_one_save_whole(tmp_path):
    tensors = {word: {"a": np.full(1000, i, np.float32)} for i, word in enumerate(("no", "yes"))}
    done = threading.Event()

    def save():
        for i in range(60):
            word = ("no", "yes")[i % 2]
            how = BIN if i % 3 == 0 else {}
            save_checkpoint(tmp_path, b'{"is": "%s"}' % word.encode(), tensors[word], **how)
        done.set()

    def read():
        weights = open_weights(tmp_path).tensors["a"].read("float32")
        return read_config(tmp_path)["is"], weights

    save_checkpoint(tmp_path, b'{"is": "no"}', tensors["no"])
    thread = threading.Thread(target=save)
    thread.start()
    seen = []
    while not done.is_set():
        word, array = of_one_save(tmp_path, read)
        np.testing.assert_array_equal(array, tensors[word]["a"])
        seen.append(word)
    thread.join()
    assert {*seen} == {"no", "yes"}


def test_a_config_that_cannot_be_written_says_where_and_why(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "config.json"
    write_whole(path, b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=rf"config.json' cannot be saved: the disk.*{UNCHANGED}"):
        write_whole(path, b"new")
    assert contents(tmp_path) == {"config.json": b"old"}
