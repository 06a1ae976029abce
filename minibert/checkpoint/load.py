"""From a folder to its config and the arrays of a model, and a report of what went where."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from numpy.typing import DTypeLike

from minibert.checkpoint.files import (
    first_of,
    read_json,
    require_file,
    require_folder,
    sha256,
    visible,
)
from minibert.checkpoint.layout import CONFIG_NAME, FORMS, weight_map, weights_in_force
from minibert.checkpoint.names import Parameter, fields_of, match, standard_name
from minibert.checkpoint.safetensors import read_safetensors
from minibert.checkpoint.tensors import StoredTensor
from minibert.runtime.arrays import Array
from minibert.runtime.warn import warn

_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".gguf", ".onnx")
Read = TypeVar("Read")


# From a folder to a config and tensors


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config of the weights in force; OSError or ValueError if it cannot be read.

    After a killed save it may still wait in the hidden folder that the weights left (see save.py).
    """
    name = weights_in_force(folder)
    for hidden in folder.glob(f".{name}.*.tmp"):
        if not os.path.lexists(hidden / str(name)):
            with suppress(FileNotFoundError):  # there is none, or it has followed just now
                return read_json(hidden / CONFIG_NAME)
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


class Weights(NamedTuple):
    """The tensors of a checkpoint, and the files that they lie in."""

    files: tuple[Path, ...]
    tensors: dict[str, StoredTensor]


def open_weights(folder: str | os.PathLike[str]) -> Weights:
    """Find and check the weights of a checkpoint; no number is read yet.

    OSError for a folder or file that is missing or no regular one; ValueError for a bad file.
    """
    path = require_folder(folder)
    name = weights_in_force(path)
    if name is None:
        there = sorted(file.name for file in path.iterdir() if file.suffix in _WEIGHT_SUFFIXES)
        names = visible(", ".join(there[:5]), 200)
        found = f"; it has {names}, which cannot be read" if there else ""
        raise FileNotFoundError(
            f"no weights in {str(path)!r}: looked for {', '.join(FORMS)}{found}"
        )
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
    files = {name: index.parent / name for name in sorted({*shard_of.values()})}
    try:
        shards = {name: _read(require_file(file), index.name) for name, file in files.items()}
    except FileNotFoundError as error:
        raise FileNotFoundError(f"a shard of {str(index)!r} is missing: {error}") from None
    try:
        tensors = {name: shards[shard][name] for name, shard in shard_of.items()}
    except KeyError as error:
        name = error.args[0]
        what = f"puts tensor {name!r:.80} into {shard_of[name]!r:.80}; it is not there"
        raise ValueError(f"{str(index)!r} {what}") from None
    return Weights((*files.values(),), tensors)


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
        files = ", ".join(map(visible, self.files))
        return (
            f"loaded             {len(self.loaded)} tensors from {files}\n"
            f"renamed            {_some(map(' -> '.join, self.renamed.items()))}\n"
            f"newly initialized  {_some(self.newly_initialized)}\n"
            f"unused             {_some(map(': '.join, self.unused.items()))}"
        )


def _some(items: Iterable[str]) -> str:
    return f"\n{'':19}".join(first_of([visible(item, 200) for item in items], 8)) or "none"


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

    prefix: what names in the file may begin with besides. A missing parameter is a ValueError if
    its name begins with one of ``required``, else newly initialized, with one warning; so is one of
    another shape with ``ignore_mismatched_sizes``. ``reason``: why a standard name is not used.
    """
    fixed = required if ignore_mismatched_sizes else ("",)
    result = match(weights.tensors, parameters, prefix, fixed)
    shapes = {p.name: p.stored_shape for p in result.missing}
    if needed := [name for name in shapes if name.startswith(required)]:
        raise ValueError(_what_is_missing(weights, needed, result.unused))
    found = [p for _, group in result.found.values() for p in group]
    tensors = {name: tensor.read(dtype) for name, (tensor, _) in result.found.items()}
    arrays = fields_of(found, tensors) | {p.field: initialize(p) for p in result.missing}
    loaded = {name: ", ".join(p.field for p in group) for name, (_, group) in result.found.items()}
    if shapes:
        drawn = f"newly initialized with random numbers: {', '.join(shapes)}"
        warn(f"not in the checkpoint, {drawn}. Do not trust what comes out of them")

    def why(name: str) -> str:
        standard, shape = standard_name(name, prefix), weights.tensors[name].shape
        other = f"it is {shape}, the config makes {shapes.get(standard)}"
        return other if standard in shapes else reason(standard)

    unused = {name: why(name) for name in result.unused}
    return arrays, LoadingReport(weights.files, loaded, result.renamed, tuple(shapes), unused)


def _what_is_missing(weights: Weights, missing: list[str], unused: list[str]) -> str:
    others = visible(", ".join(unused[:3]), 200) or "none"
    return (
        f"{len(missing)} tensors are missing in {str(weights.files[0].parent)!r}: "
        f"{', '.join(first_of(missing, 5))}. Tensors with names that are not used: {others}"
    )
