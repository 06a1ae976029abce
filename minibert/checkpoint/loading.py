"""From a folder to the arrays of a model, and a report of what went where."""

import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from minibert.checkpoint.files import sha256
from minibert.checkpoint.names import Match, Parameter, match, standard_name
from minibert.checkpoint.source import open_weights
from minibert.checkpoint.tensors import StoredTensor
from minibert.runtime.arrays import Array


@dataclass(frozen=True)
class LoadingReport:
    """What a model was made of. Prints as a short table."""

    files: tuple[Path, ...]
    loaded: dict[str, str]  # standard name -> field of the model
    renamed: dict[str, str]  # name in the file -> standard name
    newly_initialized: tuple[str, ...]  # standard names
    unused: dict[str, str]  # name in the file -> why

    def sha256(self) -> str:
        """Return the SHA-256 of the files, one after the other: what a reference records."""
        return sha256(self.files)

    def __str__(self) -> str:
        lines = [
            f"loaded             {len(self.loaded)} tensors from "
            + ", ".join(str(path) for path in self.files),
            f"renamed            {_some(f'{old} -> {new}' for old, new in self.renamed.items())}",
            f"newly initialized  {_some(self.newly_initialized)}",
            f"unused             {_some(f'{name}: {why}' for name, why in self.unused.items())}",
        ]
        return "\n".join(lines)


def _some(items: Iterable[str], limit: int = 8) -> str:
    # a name comes from a stranger: no control characters on the terminal
    lines = [item if item.isprintable() else repr(item) for item in items]
    more = [f"and {len(lines) - limit} more"] if len(lines) > limit else []
    return f"\n{'':19}".join([*lines[:limit], *more]) or "none"


def float_dtype(dtype: DTypeLike) -> "np.dtype[np.floating[Any]]":
    """Return float32 or float64; ValueError for any other, which BLAS does not multiply."""
    known: tuple[np.dtype[np.floating[Any]], ...] = (np.dtype("float32"), np.dtype("float64"))
    for candidate in known:
        # NumPy takes None for float64
        if dtype is not None and dtype in (candidate, candidate.name, candidate.type):
            return candidate
    raise ValueError(f"dtype is {dtype!r}; allowed: 'float32', 'float64'")


def load_arrays(
    folder: str | os.PathLike[str],
    parameters: list[Parameter],
    required: tuple[str, ...],
    initialize: Callable[[Parameter], Array],
    reason: Callable[[str], str],
    dtype: DTypeLike,
    ignore_mismatched_sizes: bool = False,
) -> tuple[dict[str, Array], LoadingReport]:
    """Return the arrays by field. Float32 in a safetensors file is mapped, not copied.

    A missing parameter is an error if its name begins with one of ``required``; else it is newly
    initialized, with one warning; so is one of another shape with ``ignore_mismatched_sizes``.
    ``reason`` says why a tensor is not used. OSError and ValueError for what is missing or wrong.
    """
    weights = open_weights(folder)
    result = match(weights.tensors, parameters, required if ignore_mismatched_sizes else ("",))
    _refuse_missing(folder, result, required)
    arrays = {p.field: tensor.read(dtype) for p, tensor in result.found.values()}
    arrays |= {p.field: initialize(p) for p in result.missing}
    mismatched = _mismatched(weights.tensors, result)
    report = LoadingReport(
        weights.files,
        {name: p.field for name, (p, _) in result.found.items()},
        result.renamed,
        tuple(p.name for p in result.missing),
        {name: mismatched.get(name) or reason(name) for name in result.unused},
    )
    if result.missing:
        warnings.warn(
            f"not in the checkpoint, newly initialized with random numbers: "
            f"{', '.join(report.newly_initialized)}. Do not trust what comes out of them",
            stacklevel=3,
        )
    return arrays, report


def _mismatched(tensors: dict[str, StoredTensor], result: Match) -> dict[str, str]:
    """Say of each tensor that is drawn anew for its shape what the shapes are."""
    drawn = {p.name: p.shape for p in result.missing}
    return {
        name: f"it is {tensors[name].shape}, the config makes {drawn[standard_name(name)]}"
        for name in result.unused
        if standard_name(name) in drawn
    }


def _refuse_missing(
    folder: str | os.PathLike[str], result: Match, required: tuple[str, ...]
) -> None:
    missing = [p.name for p in result.missing if p.name.startswith(required)]
    if missing:
        more = [f"and {len(missing) - 5} more"] if len(missing) > 5 else []
        names = ", ".join([*missing[:5], *more])
        others = ", ".join(result.unused[:3]) or "none"
        raise ValueError(
            f"{len(missing)} tensors are missing in {str(folder)!r}: {names}. "
            f"Tensors with names that are not used: {others}"
        )
