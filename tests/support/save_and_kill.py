"""Kill a save at each of its file operations, and tell what a reader finds. Run by a test.

    python save_and_kill.py FOLDER OLD NEW

OLD and NEW are names of SAVES, or OLD is "nothing", "hidden shards" or "single, broken index". For
each operation, FOLDER gets the old checkpoint, a fork saves the new one and is killed before the
operation, and a line goes out: the weights found, the config found, names of files that are left
over; then, after the next save, the weights and the config found, and the names of all files.
"""

import json
import os
import re
import signal
import sys
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from minibert import BertConfig
from minibert.checkpoint.save import save_checkpoint
from minibert.checkpoint.source import open_weights

OPERATIONS = {"open", "flush", "fsync", "mkdir", "rmdir", "link"}
OPERATIONS |= {"rename", "replace", "remove", "unlink"}
SAVES: dict[str, dict[str, Any]] = {
    "single": {},
    "three shards": {"max_shard_size": 100},
    "two shards": {"max_shard_size": 160},
    "bin": {"safe_serialization": False},
    "two bins": {"safe_serialization": False, "max_shard_size": 160},
}
SHAPES = {"a": (3, 7), "b": (19,), "c": (), "d": (2, 8)}
CONFIGS = {"old": BertConfig(vocab_size=23), "new": BertConfig(vocab_size=29)}


def drawn(seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {name: random.random(shape).astype(np.float32) for name, shape in SHAPES.items()}


TENSORS = {"old": drawn(0), "new": drawn(1)}


def save(folder: Path, name: str, word: str) -> None:
    save_checkpoint(folder, CONFIGS[word], TENSORS[word], **SAVES[name])


def hide_shards(folder: Path) -> None:
    """Leave what a save leaves that is killed while its shards have hidden names."""
    index = folder / "model.safetensors.index.json"
    text = index.read_text()
    for name in set(json.loads(text)["weight_map"].values()):
        (folder / name).rename(folder / f".0123456789abcdef.{name}")
        text = text.replace(name, f".0123456789abcdef.{name}")
    index.write_text(text)


def weights_found(folder: Path) -> str:
    try:
        stored = open_weights(folder).tensors
    except FileNotFoundError as error:
        return "nothing" if str(error).startswith("no weights") else str(error)
    except (OSError, ValueError) as error:
        return str(error)
    arrays = {name: tensor.read("float32") for name, tensor in stored.items()}
    for word, expected in TENSORS.items():
        if arrays.keys() == SHAPES.keys() and all(
            np.array_equal(arrays[name], expected[name]) for name in arrays
        ):
            return word
    return "a mixture"


def config_found(folder: Path) -> str:
    if not (folder / "config.json").exists():
        return "nothing"
    config = BertConfig.from_pretrained(folder)
    return next(word for word, one in CONFIGS.items() if config == one)


def left_over(folder: Path) -> str:
    """Name the files that neither a checkpoint has nor somebody else has put there."""
    usual = (
        r"config\.json|(model|pytorch_model)(-\d{5}-of-\d{5})?\.(safetensors|bin)(\.index\.json)?"
    )
    names = sorted(path.name for path in folder.iterdir())
    return " ".join(name for name in names if not re.fullmatch(usual, name) and name != "vocab.txt")


def files_of(folder: Path) -> str:
    return " ".join(sorted(path.name for path in folder.iterdir()))


def dies_at(number: int, folder: Path, name: str) -> bool:
    """Save in a fork that is killed before an operation; False if it has fewer of them."""
    child = os.fork()
    if not child:
        passed = count()

        def watch(frame: FrameType, event: str, argument: Any) -> None:
            of_c = event == "c_call" and argument.__name__ in OPERATIONS
            of_ours = event == "call" and frame.f_code.co_name == "fsync"
            if (of_c or of_ours) and next(passed) == number:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(watch)
        save(folder, name, "new")
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def prepare(folder: Path, old: str) -> None:
    for path in folder.iterdir():
        path.unlink()
    (folder / "vocab.txt").touch()
    if old == "hidden shards":
        save(folder, "three shards", "old")
        hide_shards(folder)
    elif old == "single, broken index":  # of no matter, as long as the weights are there
        save(folder, "single", "old")
        (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "gone"}}')
    elif old != "nothing":
        save(folder, old, "old")


def fsync(_: int) -> None:
    """Do nothing: who is killed loses nothing that was written. It takes most of the time."""


def main() -> None:
    os.fsync = fsync
    folder, old, new = Path(sys.argv[1]), *sys.argv[2:]
    for number in count():
        prepare(folder, old)
        died = dies_at(number, folder, new)
        first = weights_found(folder), config_found(folder), left_over(folder)
        save(folder, new, "new")
        print(*first, weights_found(folder), config_found(folder), files_of(folder), sep="\t")
        if not died:
            break


if __name__ == "__main__":
    main()
