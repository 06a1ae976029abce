"""Kill a save at each of its file operations, and tell what a reader finds. Run by a test.

    python save_and_kill.py FOLDER OLD NEW

NEW is a form of FORMS. OLD is "nothing", or one or several of FORMS and "shards", joined by "+":
the last is in force, and the others hold other weights; "killed" adds what a save leaves that is
killed before its weights are in force.

For each operation, FOLDER gets the old checkpoint, a fork saves the new one and is killed before
the operation, and a line goes out: the weights found, the config found, the names of files that are
left over; then, after the next save, the weights and the config found, and the names of all files.
"""

import json
import os
import shutil
import signal
import sys
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from minibert.checkpoint.load import open_weights, read_config
from minibert.checkpoint.save import save_checkpoint

OPERATIONS = {"open", "flush", "fsync", "mkdir", "rmdir", "link", "chmod", "serialize_file"}
OPERATIONS |= {"rename", "replace", "remove", "unlink"}
FORMS: dict[str, dict[str, Any]] = {"safetensors": {}, "bin": {"safe_serialization": False}}
SHAPES = {"a": (3, 7), "b": (19,), "c": (), "d": (2, 8)}
USUAL = ("config.json", "model.safetensors", "pytorch_model.bin", "vocab.txt")


def drawn(seed: int) -> dict[str, np.ndarray]:
    """Return random weights, always the same of a seed."""
    random = np.random.default_rng(seed)
    return {name: random.random(shape).astype(np.float32) for name, shape in SHAPES.items()}


TENSORS = {"old": drawn(0), "new": drawn(1), "stale": drawn(2)}


def config(word: str) -> bytes:
    """Return the config that belongs to old or to new weights."""
    return json.dumps({"is": word}).encode()


def write_shards(folder: Path, tensors: dict[str, np.ndarray]) -> None:
    """Write two shards and their index."""
    shard_of = {}
    for i, names in ((1, "ab"), (2, "cd")):
        shard = f"model-0000{i}-of-00002.safetensors"
        save_file({name: tensors[name] for name in names}, folder / shard)
        shard_of |= dict.fromkeys(names, shard)
    index = {"metadata": {"total_size": 1}, "weight_map": shard_of}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def save(folder: Path, form: str, word: str) -> None:
    """Save weights and the config that belongs to them."""
    save_checkpoint(folder, config(word), TENSORS[word], **FORMS[form])


def weights_found(folder: Path) -> str:
    """Say which weights a reader finds, or what it says."""
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
    """Say which config a reader finds."""
    try:
        return str(read_config(folder)["is"])
    except FileNotFoundError:
        return "nothing"


def dies_at(number: int, folder: Path, form: str) -> bool:
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
        save(folder, form, "new")
        os._exit(0)
    return os.waitpid(child, 0)[1] == signal.SIGKILL


def prepare(folder: Path, old: str) -> None:
    """Put the old checkpoint into the folder, and nothing else of a checkpoint."""
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "vocab.txt").touch()
    forms = [form for form in old.split("+") if form not in ("nothing", "killed")]
    for form in forms:
        word = "old" if form == forms[-1] else "stale"
        kept = {path: path.read_bytes() for path in folder.iterdir() if path.name != "config.json"}
        if form == "shards":
            write_shards(folder, TENSORS[word])
            (folder / "config.json").write_bytes(config(word))
        else:
            save(folder, form, word)
        for path, content in kept.items():  # which a save of another form removes
            path.write_bytes(content)
    if "killed" in old:
        hidden = folder / ".model.safetensors.0123456789abcdef.tmp"
        hidden.mkdir()
        for name in ("config.json", "model.safetensors"):  # some systems list the last one first
            (hidden / name).write_bytes(config("stale"))


def fsync(_: int) -> None:
    """Do nothing: who is killed loses nothing that was written. It takes most of the time."""


def main() -> None:
    """Kill one save after the other, each an operation later."""
    os.fsync = fsync
    folder, old, new = Path(sys.argv[1]), *sys.argv[2:]
    for number in count():
        prepare(folder, old)
        died = dies_at(number, folder, new)
        names = sorted(path.name for path in folder.iterdir())
        left = [name for name in names if name not in USUAL and not name.startswith("model")]
        print(weights_found(folder), config_found(folder), " ".join(left), sep="\t", end="\t")
        save(folder, new, "new")
        names = sorted(path.name for path in folder.iterdir())
        print(weights_found(folder), config_found(folder), " ".join(names), sep="\t")
        if not died:
            break


if __name__ == "__main__":
    main()
