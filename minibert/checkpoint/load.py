"""From a folder to its config and the arrays of a model, and a report of what went where."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import DTypeLike

from minibert.checkpoint.files import read_json, require_file, require_folder, sha256, visible
from minibert.checkpoint.layout import CONFIG_NAME, FORMS, weight_map, weights_in_force
from minibert.checkpoint.names import Match, Parameter, fields_of, match, standard_name
from minibert.checkpoint.safetensors import read_safetensors
from minibert.checkpoint.tensors import StoredTensor
from minibert.runtime.arrays import Array
from minibert.runtime.warn import warn

_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".gguf", ".onnx")
Read = TypeVar("Read")


# From a folder to a config and tensors


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config of the weights in force: config.json, unless a save was interrupted.

    Then the new config may still wait in the save's hidden folder, which its weights have left
    (see save.py). OSError or ValueError if it cannot be read.
    """
    name = weights_in_force(folder)
    for hidden in folder.glob(f".{name}.*.tmp"):
        config = hidden / CONFIG_NAME
        if config.exists() and not os.path.lexists(hidden / str(name)):
            with suppress(FileNotFoundError):  # it has followed its weights just now
                return read_json(config)
    return read_json(folder / CONFIG_NAME)


def of_one_save(folder: Path, read: Callable[[], Read]) -> Read:
    """Return what ``read`` returns; it is called again if a save changed the weights meanwhile."""
    while True:
        before = _identity(folder)
        try:
            value = read()
            if _identity(folder) == before:
                return value
        except (OSError, ValueError):
            if _identity(folder) == before:
                raise


def _identity(folder: Path) -> object:
    name = weights_in_force(folder)
    with suppress(OSError):
        status = (folder / str(name)).stat()
        return name, status.st_ino, status.st_mtime_ns
    return name


@dataclass(frozen=True)
class Weights:
    """The tensors of a checkpoint, and the files that they lie in."""

    files: tuple[Path, ...]
    tensors: dict[str, StoredTensor]


def open_weights(folder: str | os.PathLike[str]) -> Weights:
    """Find the weights of a checkpoint and check them; no number is read yet.

    OSError if the folder or a file is missing or is no regular file; ValueError if a file is not
    what its name says.
    """
    path = require_folder(folder)
    name = weights_in_force(path)
    if name is None:
        there = sorted(file.name for file in path.iterdir() if file.suffix in _WEIGHT_SUFFIXES)
        names = visible(", ".join(there[:5]), 200)
        found = f"; it has {names}, which cannot be read" if there else ""
        forms = ", ".join(FORMS)
        raise FileNotFoundError(f"no weights in {str(path)!r}: looked for {forms}{found}")
    if name.endswith(".json"):
        return _open_shards(path / name)
    return Weights((path / name,), _read(path / name))


def _read(path: Path, form: str = "") -> dict[str, StoredTensor]:
    if "safetensors" in (form or path.name):
        return read_safetensors(path)
    from minibert.checkpoint.torchfile import read_torch  # few need it, and all would wait

    return read_torch(path)


def _open_shards(index: Path) -> Weights:
    shard_of = weight_map(index)
    shards = {name: _read(_shard(index, name), index.name) for name in sorted({*shard_of.values()})}
    for name, shard in shard_of.items():
        if name not in shards[shard]:
            raise ValueError(
                f"{str(index)!r} puts tensor {name!r:.80} into {shard!r:.80}; it is not there"
            )
    tensors = {name: shards[shard][name] for name, shard in shard_of.items()}
    return Weights(tuple(index.parent / name for name in shards), tensors)


def _shard(index: Path, name: str) -> Path:
    """Return the path of a shard; a link there may lead elsewhere."""
    try:
        return require_file(index.parent / name)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"a shard of {str(index)!r} is missing: {error}") from None


# From tensors to arrays


@dataclass(frozen=True)
class LoadingReport:
    """What a model was made of. Prints as a short table."""

    files: tuple[Path, ...]
    loaded: dict[str, str]  # standard name -> field of the model, or several
    renamed: dict[str, str]  # name in the file -> standard name
    newly_initialized: tuple[str, ...]  # standard names
    unused: dict[str, str]  # name in the file -> why

    def sha256(self) -> str:
        """Return the SHA-256 of the files, one after the other: what a reference records."""
        return self._sha256

    @cached_property
    def _sha256(self) -> str:  # of 90 MB it takes as long as all the rest of a small verification
        return sha256(self.files)

    def __str__(self) -> str:
        lines = [
            f"loaded             {len(self.loaded)} tensors from "
            + ", ".join(visible(path) for path in self.files),
            f"renamed            {_some(f'{old} -> {new}' for old, new in self.renamed.items())}",
            f"newly initialized  {_some(self.newly_initialized)}",
            f"unused             {_some(f'{name}: {why}' for name, why in self.unused.items())}",
        ]
        return "\n".join(lines)


def _some(items: Iterable[str], limit: int = 8) -> str:
    lines = [visible(item, 200) for item in items]
    more = [f"and {len(lines) - limit} more"] if len(lines) > limit else []
    return f"\n{'':19}".join([*lines[:limit], *more]) or "none"


def load_arrays(
    weights: Weights,
    parameters: list[Parameter],
    prefix: str,
    required: tuple[str, ...],
    initialize: Callable[[Parameter], Array],
    reason: Callable[[str], str],
    dtype: DTypeLike,
    ignore_mismatched_sizes: bool = False,
) -> tuple[dict[str, Array], LoadingReport]:
    """Return the arrays by field. Float32 in a safetensors file is mapped, not copied.

    prefix: what names in the file may begin with besides. A missing parameter is an error if its
    name begins with one of ``required``; else it is newly initialized, with one warning; so is one
    of another shape with ``ignore_mismatched_sizes``. ``reason`` says of a standard name why its
    tensor is not used. ValueError for what is missing or wrong.
    """
    fixed = required if ignore_mismatched_sizes else ("",)
    result = match(weights.tensors, parameters, prefix, fixed)
    _refuse_missing(weights, result, required)
    found = [p for _, group in result.found.values() for p in group]
    tensors = {name: tensor.read(dtype) for name, (tensor, _) in result.found.items()}
    arrays = fields_of(found, tensors) | {p.field: initialize(p) for p in result.missing}
    loaded = {name: ", ".join(p.field for p in group) for name, (_, group) in result.found.items()}
    missing = tuple(dict.fromkeys(p.name for p in result.missing))
    if missing:
        warn(
            f"not in the checkpoint, newly initialized with random numbers: {', '.join(missing)}. "
            "Do not trust what comes out of them"
        )
    unused = _why_unused(weights, result, prefix, reason)
    return arrays, LoadingReport(weights.files, loaded, result.renamed, missing, unused)


def _why_unused(
    weights: Weights, result: Match, prefix: str, reason: Callable[[str], str]
) -> dict[str, str]:
    drawn = {p.name: p.stored_shape for p in result.missing}
    why = {}
    for name in result.unused:
        standard = standard_name(name, prefix)
        shape = weights.tensors[name].shape
        made = f"it is {shape}, the config makes {drawn.get(standard)}"
        why[name] = made if standard in drawn else reason(standard)
    return why


def _refuse_missing(weights: Weights, result: Match, required: tuple[str, ...]) -> None:
    missing = [p.name for p in result.missing if p.name.startswith(required)]
    if missing:
        more = [f"and {len(missing) - 5} more"] if len(missing) > 5 else []
        others = visible(", ".join(result.unused[:3]), 200) or "none"
        raise ValueError(
            f"{len(missing)} tensors are missing in {str(weights.files[0].parent)!r}: "
            f"{', '.join([*missing[:5], *more])}. Tensors with names that are not used: {others}"
        )
