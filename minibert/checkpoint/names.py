"""Names in a checkpoint <-> fields of the model: a literal table, checked as sets both ways."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from minibert.checkpoint.tensors import StoredTensor


class Entry(NamedTuple):
    """A line of an architecture's table; ``{i}`` stands for the number of a layer."""

    name: str  # in the checkpoint
    field: str  # in the model
    shape: tuple[str | int, ...]  # fields of the config, or numbers


class Parameter(NamedTuple):
    """An array that a model needs."""

    name: str
    field: str
    shape: tuple[int, ...]


class Match(NamedTuple):
    """What of a checkpoint goes where."""

    found: dict[str, tuple[Parameter, StoredTensor]]  # by standard name
    missing: list[Parameter]
    renamed: dict[str, str]  # found name -> standard name
    unused: list[str]  # found names


def expand(table: Iterable[Entry], config: Any) -> list[Parameter]:
    """Return the parameters of a model with this config, in network order."""
    parameters = []
    for _, entries in _by_layer(table):
        layers = range(config.num_hidden_layers) if "{i}" in entries[0].name else [None]
        for i in layers:
            for name, field, shape in entries:
                sizes = tuple(getattr(config, s) if isinstance(s, str) else s for s in shape)
                parameters.append(Parameter(name.format(i=i), field.format(i=i), sizes))
    return parameters


def _by_layer(table: Iterable[Entry]) -> list[tuple[bool, list[Entry]]]:
    """Group the lines: those before the layers, those of a layer, those after."""
    groups: list[tuple[bool, list[Entry]]] = []
    for entry in table:
        in_layer = "{i}" in entry.name
        if not groups or groups[-1][0] != in_layer:
            groups.append((in_layer, []))
        groups[-1][1].append(entry)
    return groups


def standard_name(name: str) -> str:
    """Undo the two aliases there are: a leading ``bert.``, and gamma and beta of a LayerNorm."""
    name = name.removeprefix("bert.")
    name = re.sub(r"(^|\.)LayerNorm\.gamma\Z", r"\1LayerNorm.weight", name)
    return re.sub(r"(^|\.)LayerNorm\.beta\Z", r"\1LayerNorm.bias", name)


def match(
    tensors: dict[str, StoredTensor],
    parameters: list[Parameter],
    fixed: tuple[str, ...] = ("",),
) -> Match:
    """Hold the names that are there against those that are needed.

    ValueError if two names mean the same parameter, or a tensor has another shape than it needs
    and its name begins with one of ``fixed``; one of another shape is else left unused.
    """
    wanted = {parameter.name: parameter for parameter in parameters}
    found: dict[str, tuple[Parameter, StoredTensor]] = {}
    renamed, unused, wrong = {}, [], []
    for name, tensor in tensors.items():
        standard = standard_name(name)
        if standard not in wanted or not _fits(tensor, wanted[standard], fixed):
            unused.append(name)
            continue
        if standard in found:
            other = found[standard][1].name
            raise ValueError(f"{other!r} and {name!r} both mean {standard!r}: remove one of them")
        parameter = wanted[standard]
        found[standard] = parameter, tensor
        if name != standard:
            renamed[name] = standard
        if tensor.shape != parameter.shape:
            wrong.append(f"{name!r} is {tensor.shape}, expected {parameter.shape}")
    if wrong:
        hint = "; ignore_mismatched_sizes=True draws a head anew" if fixed == ("",) else ""
        raise ValueError(
            f"tensors do not have the shapes that config.json gives them: {'; '.join(wrong)}{hint}"
        )
    return Match(found, [p for p in parameters if p.name not in found], renamed, unused)


def _fits(tensor: StoredTensor, parameter: Parameter, fixed: tuple[str, ...]) -> bool:
    return tensor.shape == parameter.shape or parameter.name.startswith(fixed)
