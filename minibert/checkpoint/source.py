"""From a folder to its tensors: which files hold the weights, and what is in them."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minibert.checkpoint.files import read_json, require_file, require_folder
from minibert.checkpoint.safetensors import read_safetensors
from minibert.checkpoint.tensors import StoredTensor

#: The first of these that is there is taken: safetensors before pickles, single before sharded.
FORMS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".gguf", ".onnx")


@dataclass(frozen=True)
class Weights:
    """The tensors of a checkpoint, and the files that they lie in."""

    files: tuple[Path, ...]
    tensors: dict[str, StoredTensor]


def find_folder(
    name: str | os.PathLike[str], wants: Collection[str], options: Mapping[str, Any]
) -> tuple[Path, dict[str, Any]]:
    """Return the folder of that name, or of that Hub id in the cache, and the other options.

    Options of the Hub are revision, token, cache_dir, local_files_only and force_download. Errors
    are those of hub.local_folder.
    """
    from minibert.checkpoint.hub import HubOptions, local_folder  # few need it, and all would wait

    fields = HubOptions.__dataclass_fields__
    hub = {key: value for key, value in options.items() if key in fields}
    others = {key: value for key, value in options.items() if key not in fields}
    return local_folder(name, wants, HubOptions(**hub)), others


def open_weights(folder: str | os.PathLike[str]) -> Weights:
    """Find the weights of a checkpoint and check them; no number is read yet.

    OSError if the folder or a file is missing or is no regular file; ValueError if a file is not
    what its name says.
    """
    path = require_folder(folder)
    for name in FORMS:
        if os.path.lexists(path / name):
            if name.endswith(".index.json"):
                return _open_shards(path / name)
            return Weights((path / name,), _read(path / name, name))
    there = sorted(file.name for file in path.iterdir() if file.suffix in _WEIGHT_SUFFIXES)
    found = f"; it has {', '.join(there[:5])}, which cannot be read" if there else ""
    raise FileNotFoundError(f"no weights in {str(path)!r}: looked for {', '.join(FORMS)}{found}")


def _read(path: Path, form: str) -> dict[str, StoredTensor]:
    if "safetensors" in form:
        return read_safetensors(path)
    from minibert.checkpoint.torchfile import read_torch  # few need it, and all would wait

    return read_torch(path)


def _open_shards(index: Path) -> Weights:
    shard_of = weight_map(index)
    names = sorted(set(shard_of.values()))
    shards = {name: _read(_shard(index, name), index.name) for name in names}
    for name, shard in shard_of.items():
        if name not in shards[shard]:
            raise ValueError(f"{str(index)!r} puts tensor {name!r} into {shard!r}; it is not there")
    tensors = {name: shards[shard][name] for name, shard in shard_of.items()}
    return Weights(tuple(index.parent / name for name in shards), tensors)


def weight_map(index: Path) -> dict[str, str]:
    """Return the shard of each tensor, as an index gives it; ValueError if it gives none."""
    shard_of = read_json(index).get("weight_map")
    if not isinstance(shard_of, dict) or not shard_of:
        raise ValueError(f"{str(index)!r} has no weight_map from tensor names to shards")
    for name, shard in shard_of.items():
        if not isinstance(shard, str):
            raise ValueError(f"{str(index)!r} names no file for tensor {name!r}: {shard!r:.80}")
    return shard_of


def _shard(index: Path, name: str) -> Path:
    """Return the path of a shard; a link there may lead elsewhere, a name may not."""
    if name in ("", ".", "..") or any(character in name for character in "/\\:\0"):
        raise ValueError(
            f"{str(index)!r} names the shard {name!r:.200}; "
            "allowed: the name of a file in the same folder"
        )
    try:
        return require_file(index.parent / name)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"a shard of {str(index)!r} is missing: {error}") from None
