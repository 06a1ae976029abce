"""Names in a checkpoint <-> fields of the model: a literal table, checked as sets both ways.

A file may hold a matrix transposed, or several stacked in one tensor, as the table says:
``fields_of`` takes such tensors apart, and ``stored`` puts them together.
"""

import re
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from minibert.checkpoint.tensors import StoredTensor
from minibert.runtime.arrays import Array

Strings = Mapping[str, str]
Found = dict[str, tuple[StoredTensor, list["Parameter"]]]  # by standard name


class Entry(NamedTuple):
    """A line of an architecture's table; ``{i}`` stands for the number of a layer."""

    name: str  # in the checkpoint
    field: str  # in the model
    shape: tuple[str | int, ...]  # of the field: names of the config's fields, or numbers
    transposed: bool = False  # the matrix lies as (in, out) in the checkpoint
    part: tuple[int, int] = (0, 1)  # (k, n): the k-th of n equal parts, stacked along the outputs


class Parameter(NamedTuple):
    """An array that a model needs: a line of the table for one layer of one config."""

    name: str
    field: str
    shape: tuple[int, ...]
    transposed: bool = False
    part: tuple[int, int] = (0, 1)

    @property
    def stored_shape(self) -> tuple[int, ...]:
        """The shape of the tensor in the checkpoint."""
        whole = (self.part[1] * self.shape[0], *self.shape[1:]) if self.shape else ()
        return whole[::-1] if self.transposed else whole

    def of(self, tensor: Array) -> Array:
        """Return this parameter, a view, out of the tensor in the checkpoint."""
        k, n = self.part
        whole = tensor.T if self.transposed else tensor
        return whole if n == 1 else whole[k * self.shape[0] : (k + 1) * self.shape[0]]


class Match(NamedTuple):
    """What of a checkpoint goes where."""

    found: Found
    missing: list[Parameter]
    renamed: dict[str, str]  # found name -> standard name
    unused: list[str]  # found names


def expand(table: Iterable[Entry], config: Any, counters: Strings) -> list[Parameter]:
    """Return the parameters of a model with this config, in network order.

    counters: letter in the table -> the config's field that says how many there are.
    """
    parameters = []
    for letter, group in groupby(table, lambda entry: _letter(entry.name)):
        entries, mark = list(group), f"{{{letter}}}"
        for i in map(str, range(getattr(config, counters[letter]))) if letter else "0":
            for entry in entries:
                name, field = (text.replace(mark, i) for text in entry[:2])
                sizes = (getattr(config, s) if isinstance(s, str) else s for s in entry.shape)
                more = entry.transposed, entry.part
                parameters.append(Parameter(name, field, tuple(sizes), *more))
    return parameters


def _letter(name: str) -> str:
    found = re.search(r"\{(\w)\}", name)
    return found[1] if found else ""


def standard_name(name: str, prefix: str) -> str:
    """Undo the known aliases: the architecture's prefix, and gamma and beta of a LayerNorm."""
    name = name.removeprefix(prefix)
    name = re.sub(r"(^|\.)LayerNorm\.gamma\Z", r"\1LayerNorm.weight", name)
    return re.sub(r"(^|\.)LayerNorm\.beta\Z", r"\1LayerNorm.bias", name)


def reason(
    standard: str, table: Iterable[Entry], config: Any, counters: Strings, known: Strings
) -> str | None:
    """Say why a tensor of a checkpoint is not used; None if that is not known.

    known: beginnings of names, in which ``{i}`` is a number, and what such tensors are.
    """
    for entry in table:
        letter, found = _letter(entry.name), re.fullmatch(_pattern(entry.name), standard)
        if letter and found and int(found[1]) >= (count := getattr(config, counters[letter])):
            return f"the config has {count} layers, counted from 0"
    return next((why for start, why in known.items() if re.match(_pattern(start), standard)), None)


def _pattern(name: str) -> str:
    return re.sub(r"\\\{\w\\\}", r"(\\d+)", re.escape(name))


def fields_of(parameters: Iterable[Parameter], tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays by field, views of the tensors of a checkpoint by standard name."""
    return {p.field: p.of(tensors[p.name]) for p in parameters}


def stored(parameters: Iterable[Parameter], fields: Mapping[str, Array]) -> dict[str, Array]:
    """Return the tensors by standard name, as a checkpoint has them, of the arrays by field."""
    tensors = {}
    for name, group in _by_name(parameters).items():
        parts = [fields[p.field] for p in sorted(group, key=lambda p: p.part)]
        whole = np.concatenate(parts) if len(parts) > 1 else parts[0]
        tensors[name] = whole.T if group[0].transposed else whole
    return tensors


def _by_name(parameters: Iterable[Parameter]) -> dict[str, list[Parameter]]:
    groups: dict[str, list[Parameter]] = {}
    for parameter in parameters:
        groups.setdefault(parameter.name, []).append(parameter)
    return groups


def match(
    tensors: Mapping[str, StoredTensor],
    parameters: Iterable[Parameter],
    prefix: str,
    fixed: tuple[str, ...] = ("",),
) -> Match:
    """Compare the names that are there with those that are needed.

    ValueError if two names mean the same tensor, or if a tensor has another shape than it needs
    and its name begins with one of ``fixed``; others of another shape are left unused.
    """
    wanted = _by_name(parameters)
    found: Found = {}
    renamed, unused = {}, []
    for name, tensor in tensors.items():
        standard = standard_name(name, prefix)
        group = wanted.get(standard)
        if not group or (tensor.shape != group[0].stored_shape and not standard.startswith(fixed)):
            unused.append(name)
            continue
        if standard in found:
            names = f"{found[standard][0].name!r:.80} and {name!r:.80}"
            raise ValueError(f"{names} both mean {standard!r}: remove one of them")
        found[standard] = tensor, group
        if name != standard:
            renamed[name] = standard
    _refuse_shapes(found, fixed)
    missing = [p for name, group in wanted.items() if name not in found for p in group]
    return Match(found, missing, renamed, unused)


def _refuse_shapes(found: Found, fixed: tuple[str, ...]) -> None:
    wrong = [
        f"{tensor.name!r:.80} is {tensor.shape}, expected {group[0].stored_shape}"
        for tensor, group in found.values()
        if tensor.shape != group[0].stored_shape
    ]
    if wrong:
        what = "tensors do not have the shapes that config.json gives them"
        hint = ["ignore_mismatched_sizes=True draws a head anew"] if fixed == ("",) else []
        raise ValueError(f"{what}: {'; '.join(wrong + hint)}")
