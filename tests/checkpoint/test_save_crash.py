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

import numpy as np
import pytest

import minibert
from minibert import BertConfig, BertModel
from minibert.checkpoint.names import expand
from minibert.checkpoint.save import save_checkpoint
from minibert.checkpoint.source import open_weights
from minibert.models.bert import NAMES

ROOT = Path(minibert.__file__).parents[1]
SCRIPT = Path(__file__).parents[1] / "support" / "save_and_kill.py"
SINGLE = ["config.json", "model.safetensors"]
BIN = ["config.json", "pytorch_model.bin"]
THREE = ["config.json", *(f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3))]
THREE += ["model.safetensors.index.json"]
TWO = [name.replace("3.s", "2.s") for name in THREE if "00003-of" not in name]
TWO_BINS = [name.replace("model", "pytorch_model").replace("safetensors", "bin") for name in TWO]

#: What was there, what is saved, the files that a whole save leaves.
TRANSITIONS = [
    ("nothing", "single", SINGLE),
    ("single", "single", SINGLE),
    ("single", "three shards", THREE),
    ("single", "bin", BIN),
    ("single, broken index", "bin", BIN),
    ("three shards", "single", SINGLE),
    ("three shards", "three shards", THREE),
    ("three shards", "two shards", TWO),
    ("three shards", "two bins", TWO_BINS),
    ("hidden shards", "three shards", THREE),
    ("two bins", "two bins", TWO_BINS),
    ("bin", "single", SINGLE),
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
@pytest.mark.parametrize(("old", "new", "files"), TRANSITIONS)
def test_a_save_killed_at_any_operation(quick_path, old, new, files):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, SCRIPT, quick_path, old, new]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    lines = [line.split("\t") for line in run.stdout.splitlines()]
    word = "nothing" if old == "nothing" else "old"
    # weights before config, and never back; the new ones beside the old config for a moment only
    order = [(word, word), ("new", word), ("new", "new")]
    states = [order.index((weights, config)) for weights, config, *_ in lines]
    assert states == sorted(states)
    assert states.count(0) > 9
    assert 1 < states.count(1) < 8
    assert states.count(2) > 1
    # no reader looks for a left-over, but for the shards that an index names
    assert all(
        re.fullmatch(r"\..*\.[0-9a-f]{16}\.tmp|\.[0-9a-f]{16}\.(pytorch_)?model-.*", name)
        for _, _, left, *_ in lines
        for name in left.split()
    )
    assert any(left for _, _, left, *_ in lines)
    assert {tuple(after) for *_, after in ([line[3:]] for line in lines)} == {
        ("new", "new", " ".join([*files, "vocab.txt"]))
    }


SAVES = {
    "single": {},
    "three shards": {"max_shard_size": 100},
    "bin": {"safe_serialization": False},
}
SHAPES = {"a": (3, 7), "b": (19,), "c": (), "d": (2, 8)}
CONFIG = BertConfig()


def drawn(seed):
    random = np.random.default_rng(seed)
    return {name: random.random(shape).astype(np.float32) for name, shape in SHAPES.items()}


OLD, NEW = drawn(0), drawn(1)


def is_found(folder, arrays):
    stored = open_weights(folder).tensors
    assert stored.keys() == arrays.keys()
    return all(np.array_equal(stored[name].read("float32"), arrays[name]) for name in arrays)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def save_and_fail(folder, error, number, how):
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
        save_checkpoint(folder, CONFIG, NEW, **how)
    except (OSError, KeyboardInterrupt) as raised:
        return reached, raised
    finally:
        sys.setprofile(before)
    return reached, None


@pytest.fixture
def unsynced(monkeypatch):
    """Files are not waited for: what is tested here does not depend on it."""
    monkeypatch.setattr(os, "fsync", os.fstat)


WRITES = {"open", "write", "flush", "fstat", "link", "rename", "replace", "unlink", "remove"}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # files left open
@pytest.mark.parametrize(("old", "new"), [
    ("single", "single"), ("single", "three shards"), ("three shards", "three shards"),
    ("three shards", "bin"), ("bin", "single"),
])  # fmt: skip
@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "no space left")])
@pytest.mark.usefixtures("unsynced")
def test_a_save_that_fails_at_any_operation_leaves_no_stray_file(quick_path, old, new, error):
    ends = set()
    for number in count():
        folder = quick_path / str(number)
        save_checkpoint(folder, CONFIG, OLD, **SAVES[old])
        before = names(folder)
        reached, raised = save_and_fail(folder, error, number, SAVES[new])
        ends.add(is_found(folder, NEW))
        assert is_found(folder, NEW) or is_found(folder, OLD)
        if is_found(folder, NEW):
            save_checkpoint(quick_path / "whole", CONFIG, NEW, **SAVES[new])
            assert names(folder) == names(quick_path / "whole")
        else:
            assert names(folder) == before
        if not reached:
            break
        assert raised or reached == ["link"]  # then it is a copy
        if isinstance(raised, OSError):
            assert str(folder) in str(raised)
    assert ends == {False, True}
    assert number > 10


def test_a_failure_at_the_very_end_is_made_good(tmp_path, monkeypatch):
    """After the second of two indexes, which is in force then."""
    save_checkpoint(tmp_path, CONFIG, OLD, **SAVES["three shards"])
    before, unlink, refused = names(tmp_path), Path.unlink, []

    def refuse(self, missing_ok=False):
        if self.name == "pytorch_model.bin" and not refused:
            refused.append(self)
            raise OSError(errno.EIO, "Input/output error")
        unlink(self, missing_ok)

    (tmp_path / "pytorch_model.bin").touch()
    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(OSError, match=r"error. The new checkpoint is in place all the same\Z"):
        save_checkpoint(tmp_path, CONFIG, NEW, **SAVES["three shards"])
    assert names(tmp_path) == before
    assert is_found(tmp_path, NEW)


def test_new_weights_beside_the_old_config_are_refused_by_their_shapes(tmp_path):
    """What is there for a moment, until the config follows."""
    sizes = {"hidden_size": 15, "num_attention_heads": 3, "num_hidden_layers": 2}
    config = BertConfig(vocab_size=23, intermediate_size=29, **sizes)
    arrays = {p.name: np.ones(p.shape, np.float32) for p in expand(NAMES, config)}
    save_checkpoint(tmp_path, config, arrays)
    BertModel.from_pretrained(tmp_path)
    BertConfig(vocab_size=23, intermediate_size=31, **sizes).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"intermediate.dense.weight' is \(29, 15\), expected"):
        BertModel.from_pretrained(tmp_path)


@pytest.mark.skipif(os.name == "nt", reason="a folder cannot be synced there")
@pytest.mark.parametrize("old", ["single", "three shards", "bin"])
@pytest.mark.parametrize("new", SAVES)
def test_each_step_is_on_the_disk_before_the_next(tmp_path, monkeypatch, old, new):
    """A power failure may undo what was not synced, in any order."""
    save_checkpoint(tmp_path, CONFIG, OLD, **SAVES[old])
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
    save_checkpoint(tmp_path, CONFIG, NEW, **SAVES[new])
    assert steps[-1] == "sync"
    # what is removed at the end is not in force, in whatever order
    assert all("sync" in pair for pair in pairwise(steps) if not pair[1].startswith("remove"))
    removals = [i for i, step in enumerate(steps) if step.startswith("remove")]
    assert not removals or steps[removals[0] - 1] == "sync"
