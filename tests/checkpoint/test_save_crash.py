"""Saves that are killed, interrupted or refused at each of their operations."""

import errno
import os
import re
import stat
import subprocess
import sys
import tempfile
from itertools import count, pairwise
from pathlib import Path

import pytest
from save_and_kill import FORMS, TENSORS, config, config_found, prepare, weights_found

import minibert
from minibert.checkpoint.save import save_checkpoint

ROOT = Path(minibert.__file__).parents[1]
SCRIPT = Path(__file__).parents[1] / "support" / "save_and_kill.py"
FILES = {"safetensors": "model.safetensors", "bin": "pytorch_model.bin"}

#: What was there, and what is saved.
TRANSITIONS = [
    ("nothing", "safetensors"),
    ("nothing", "bin"),
    ("safetensors", "safetensors"),
    ("safetensors", "bin"),
    ("bin", "safetensors"),
    ("bin", "bin"),
    ("shards", "safetensors"),
    ("shards", "bin"),
    ("shards+safetensors", "safetensors"),
    ("bin+shards+safetensors", "bin"),
    ("safetensors+killed", "safetensors"),
]


@pytest.fixture
def quick_path(tmp_path):
    """A folder in memory where there is one: on a disk, each renaming takes its time."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")
@pytest.mark.parametrize(("old", "new"), TRANSITIONS)
def test_a_save_killed_at_any_operation(quick_path, old, new):
    """Who looks then finds the old weights and their config, or the new ones and theirs."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, SCRIPT, quick_path / "folder", old, new]
    (quick_path / "folder").mkdir()
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    lines = [line.split("\t") for line in run.stdout.splitlines()]
    before = "nothing" if old == "nothing" else "old"
    states = [(weights, config) for weights, config, *_ in lines]
    first = states.count((before, before))
    assert states == [(before, before)] * first + [("new", "new")] * (len(states) - first)
    assert first > 9
    assert len(states) - first > 5
    # no reader looks for a left-over
    left = [name for line in lines for name in line[2].split()]
    assert left
    assert all(
        re.fullmatch(r"\.(model\.safetensors|pytorch_model\.bin)\.[0-9a-f]{16}\.tmp", name)
        for name in left
    )
    after = ["new", "new", " ".join(["config.json", FILES[new], "vocab.txt"])]
    assert all(line[3:] == after for line in lines)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the script forks")
def test_saves_killed_at_any_moment_and_read_beside():
    """A thousand of the ones and five thousand of the others: by hand, with the script."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    script = Path(__file__).parents[1] / "tools" / "kill_saves.py"
    command = [sys.executable, script, "--kills", "30", "--reads", "100"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stdout + run.stderr
    killed, read = run.stdout.splitlines()
    assert re.fullmatch(r"kills: 30 in \d+ s: (\d+ new, )?\d+ old", killed)
    assert re.fullmatch(r"reads: 100 in \d+ s: (\d+ [AB](, )?)+", read)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def save_new(folder, form):
    save_checkpoint(folder, config("new"), TENSORS["new"], **FORMS[form])


def save_and_fail(folder, error, number, form):
    """Raise an error at one operation of a save; say if it came so far, and what came out."""
    passed, reached = count(), []
    events = ("c_call", "c_return") if isinstance(error, KeyboardInterrupt) else ("c_call",)

    def watch(frame, event, argument):
        name = getattr(argument, "__name__", "")
        if event in events and name in WRITES and next(passed) == number:
            reached.append(name)
            raise error

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        save_new(folder, form)
    except (OSError, KeyboardInterrupt) as raised:
        return reached, raised
    finally:
        sys.setprofile(before)
    return reached, None


@pytest.fixture
def unsynced(monkeypatch):
    """Files are not waited for: what is tested here does not depend on it."""
    monkeypatch.setattr(os, "fsync", os.fstat)


WRITES = {"open", "write", "flush", "fstat", "rename", "replace", "unlink", "remove", "mkdir"}
WRITES |= {"chmod", "serialize_file"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files left open
@pytest.mark.parametrize(("old", "new"), TRANSITIONS[2:8])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "no space left")])
@pytest.mark.usefixtures("unsynced")
def test_a_save_that_fails_at_any_operation_leaves_no_stray_file(quick_path, old, new, error):
    ends = set()
    for number in count():
        folder = quick_path / str(number)
        folder.mkdir()
        prepare(folder, old)
        before = names(folder)
        reached, raised = save_and_fail(folder, error, number, new)
        state = weights_found(folder)
        assert config_found(folder) == state
        ends.add(state)
        if state == "old":
            assert names(folder) == before
        elif not raised or "save again" not in str(raised):
            assert set(names(folder)) >= {"config.json", FILES[new], "vocab.txt"}
        if not reached:
            break
        if isinstance(raised, OSError):
            assert str(folder) in str(raised)
            assert ("is unchanged" in str(raised)) == (state == "old")
        save_new(folder, new)
        assert names(folder) == ["config.json", FILES[new], "vocab.txt"]
    assert ends == {"old", "new"}
    assert number > 10


@pytest.mark.skipif(os.name == "nt", reason="a folder cannot be synced there")
@pytest.mark.parametrize(("old", "new"), TRANSITIONS[2:])
def test_each_step_is_on_the_disk_before_the_next(tmp_path, monkeypatch, old, new):
    """A power failure may undo what was not synced, in any order."""
    prepare(tmp_path, old)
    synced, steps = set(), []
    replace, unlink, sync = Path.replace, Path.unlink, os.fsync

    def watched_sync(handle):
        status = os.fstat(handle)
        synced.add(status.st_ino)
        if stat.S_ISDIR(status.st_mode):
            steps.append("sync")
        sync(handle)

    def watched_replace(self, target):
        assert self.stat().st_ino in synced
        steps.append(f"to {target.name}")
        replace(self, target)

    def watched_unlink(self, missing_ok=False):
        if self.exists():
            steps.append(f"remove {self.name}")
        unlink(self, missing_ok)

    monkeypatch.setattr(os, "fsync", watched_sync)
    monkeypatch.setattr(Path, "replace", watched_replace)
    monkeypatch.setattr(Path, "unlink", watched_unlink)
    save_new(tmp_path, new)
    assert steps[-1] == "sync"
    # what is removed at the end is not in force, in whatever order
    assert all("sync" in pair for pair in pairwise(steps) if not pair[1].startswith("remove"))
    removals = [i for i, step in enumerate(steps) if step.startswith("remove")]
    assert not removals or steps[removals[0] - 1] == "sync"
