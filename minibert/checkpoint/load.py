"""From a folder to its config and the arrays of a model, and a report of what went where."""

import os
from collections.abc import Callable, Collection, Iterable
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
from minibert.checkpoint.foreign import refuse_other_models, what_is_there
from minibert.checkpoint.layout import CONFIG_NAME, FORMS, weight_map, weights_in_force
from minibert.checkpoint.names import UNKNOWN, Match, Parameter, fields_of, match
from minibert.checkpoint.safetensors import read_safetensors
from minibert.checkpoint.tensors import StoredTensor
from minibert.runtime.arrays import Array
from minibert.runtime.warn import warn

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
    path = folder / CONFIG_NAME
    if not os.path.lexists(path) and (there := what_is_there(require_folder(folder))):
        raise FileNotFoundError(f"there is no file {str(path)!r}{there}")
    return read_json(path)


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
        looked = f"no weights in {str(path)!r}: looked for {', '.join(FORMS)}"
        raise FileNotFoundError(looked + what_is_there(path))
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


@dataclass(frozen=True, repr=False)
class LoadingReport:
    """What a model was made of. Shows itself as a short table, in a notebook too."""

    files: tuple[Path, ...]
    loaded: dict[str, str]  # standard name -> field of the model, or several
    renamed: dict[str, str]  # name in the file -> standard name
    newly_initialized: tuple[str, ...]  # standard names
    unused: dict[str, str]  # name in the file -> why
    prefix: str = ""  # before the names in the files

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
            + (f"\nbefore the names   {visible(self.prefix, 200)}" if self.prefix else "")
        )

    __repr__ = __str__


def _some(items: Iterable[str]) -> str:
    return f"\n{'':19}".join(first_of([visible(item, 200) for item in items], 8)) or "none"


def load_arrays(
    weights: Weights,
    parameters: list[Parameter],
    prefix: str,
    required: tuple[str, ...],
    initialize: Callable[[Parameter], Array],
    reason: Callable[[str], str | None],
    dtype: DTypeLike,
    ignore_mismatched_sizes: bool = False,
) -> tuple[dict[str, Array], LoadingReport]:
    """Return the arrays by field. Float32 in a safetensors file is mapped, not copied.

    prefix: what names in the file may begin with besides. A missing parameter is a ValueError if
    its name begins with one of ``required``, else newly initialized, with one warning; so is one of
    another shape with ``ignore_mismatched_sizes``. ``reason``: why a standard name is not used;
    None if the results would be others, which is a ValueError too.
    """
    result = match(weights.tensors, parameters, prefix, required, ignore_mismatched_sizes)
    refuse_other_models(result.shared)
    missing = tuple(dict.fromkeys(p.name for p in result.missing))
    if needed := [name for name in missing if name.startswith(required)]:
        raise ValueError(_what_is_missing(weights, needed, result.unused))
    unused = _reasons(weights, result, prefix, reason)
    found = [p for _, group in result.found.values() for p in group]
    tensors = {name: tensor.read(dtype) for name, (tensor, _) in result.found.items()}
    arrays = fields_of(found, tensors) | {p.field: initialize(p) for p in result.missing}
    loaded = {name: ", ".join(p.field for p in group) for name, (_, group) in result.found.items()}
    if missing:
        drawn = f"newly initialized with random numbers: {', '.join(missing)}"
        warn(f"not in the checkpoint, {drawn}. Do not trust what comes out of them")
    report = LoadingReport(weights.files, loaded, result.renamed, missing, unused, result.shared)
    return arrays, report


def _what_is_missing(weights: Weights, missing: list[str], unused: Collection[str]) -> str:
    return (
        f"{len(missing)} tensors are missing in {str(weights.files[0].parent)!r}: "
        f"{', '.join(first_of(missing, 5))}. "
        f"Tensors with names that are not used: {_listed(unused) or 'none'}"
    )


def _reasons(
    weights: Weights, result: Match, prefix: str, reason: Callable[[str], str | None]
) -> dict[str, str]:
    """Say why tensors are not used; ValueError for those that would change the results."""
    shapes = {p.name: p.stored_shape for p in result.missing}
    unused, inside = {}, []
    for name, standard in result.unused.items():
        why = reason(standard)
        if standard in shapes:
            why = f"it is {weights.tensors[name].shape}, the config makes {shapes[standard]}"
        # behind the prefix of the base model there is no head
        if why is None or (
            why == UNKNOWN and f".{prefix}{standard.partition('.')[0]}." in f".{name}."
        ):
            inside.append(name)
        else:
            unused[name] = why
    if inside:
        raise ValueError(
            f"{str(weights.files[0].parent)!r} has tensors inside the model that this architecture "
            f"does not have: {_listed(inside)}. Without them the results would be others. If they "
            "are an adapter or low-rank matrices, merge them into the weights (merge_and_unload() "
            "of peft) and save again; if nothing uses them, remove them from the file"
        )
    if strangers := [name for name, why in unused.items() if why == UNKNOWN]:
        warn(
            f"not used: {_listed(strangers)}. The model here has no tensors of these names; what "
            "the one that they come from does with them is not done"
        )
    return unused


def _listed(names: Collection[str]) -> str:
    return ", ".join(visible(name, 80) for name in first_of(names, 3))
