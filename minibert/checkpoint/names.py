"""Names in a checkpoint <-> fields of the model: a literal table, checked as sets both ways.

A file may hold a matrix transposed, or several stacked in one tensor, as the table says:
``fields_of`` takes such tensors apart, and ``stored`` puts them together.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from minibert.checkpoint.files import first_of
from minibert.checkpoint.tensors import StoredTensor
from minibert.runtime.arrays import Array

UNKNOWN = "the model has no tensor of this name"
MAX_STEPS = 8  # of a prefix before the names, counted in dots
WRAPPERS = {"module", "_orig_mod", "model", ""}  # which may stand before some of the names alone
Strings = Mapping[str, str]
Found = dict[str, tuple[StoredTensor, list["Parameter"]]]  # by standard name


class Entry(NamedTuple):
    """A line of an architecture's table; ``{i}`` stands for the number of a layer."""

    name: str  # in the checkpoint
    field: str  # in the model
    shape: tuple[str | int, ...]  # of the field: the config's fields, "field + 2", or numbers
    transposed: bool = False  # the matrix lies as (in, out) in the checkpoint
    part: tuple[int, int] = (0, 1)  # (k, n): the k-th of n equal parts, stacked along the outputs


class Parameter(NamedTuple):
    """An array that a model needs: a line of the table for one layer of one config."""

    name: str
    field: str
    shape: tuple[int, ...]
    transposed: bool = False
    part: tuple[int, int] = (0, 1)
    sizes: tuple[str | int, ...] = ()  # the shape, by the config's fields

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

    def sizes_in(self, shape: tuple[int, ...]) -> Iterable[tuple[str | int, int, int]]:
        """Yield, for each axis, the config's field, the size that it makes and that of a tensor."""
        sizes = list(shape[::-1] if self.transposed else shape)
        sizes[:1] = [size // self.part[1] for size in sizes[:1]]
        for size, ours, theirs in zip(self.sizes, self.shape, sizes, strict=False):
            field, more = _field_and_more(size)
            yield field or ours, ours - more, theirs - more


class Match(NamedTuple):
    """What of a checkpoint goes where."""

    found: Found
    missing: list[Parameter]
    renamed: dict[str, str]  # found name -> standard name
    unused: dict[str, str]  # found name -> standard name
    shared: str  # what comes before the names


def size_of(config: Any, size: str | int) -> int:
    """Return the size of an axis: a number, or what a field of the config says, or more."""
    field, more = _field_and_more(size)
    return more if field is None else int(getattr(config, field)) + more


def _field_and_more(size: str | int) -> tuple[str | None, int]:
    if isinstance(size, int):
        return None, size
    field, _, more = size.partition(" + ")
    return field, int(more or 0)


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
                sizes = (size_of(config, size) for size in entry.shape)
                more = entry.transposed, entry.part, entry.shape
                parameters.append(Parameter(name, field, tuple(sizes), *more))
    return parameters


def _letter(name: str) -> str:
    found = re.search(r"\{(\w)\}", name)
    return found[1] if found else ""


def standard_name(name: str, prefix: str) -> str:
    """Undo the known aliases: the architecture's prefix, and gamma and beta of a LayerNorm."""
    return _with_new_ends(name.removeprefix(prefix))


def _with_new_ends(name: str) -> str:
    name = re.sub(r"(^|\.)LayerNorm\.gamma\Z", r"\1LayerNorm.weight", name)
    return re.sub(r"(^|\.)LayerNorm\.beta\Z", r"\1LayerNorm.bias", name)


def standard_names(
    names: Collection[str], wanted: Collection[str], prefix: str
) -> tuple[dict[str, str], str]:
    """Return the standard name of each name that is there, and the prefix of the model's.

    Programs put one before the names, as ``module.``, ``0.auto_model.`` or that of a field; beside
    the model there may be tensors of others without it. It is the one without which most of the
    wanted names are there. ValueError if another one leads to another such model.
    """
    found = _prefixes(names, {*wanted}, prefix)
    shared = max(found, key=lambda front: (len(found[front]), -len(front)), default="")
    for front in found if shared else ():
        if front != shared and 2 * len(found[front] & found[shared]) > len(found[shared]):
            raise ValueError(
                f"tensors of two models are there, under {shared[:80]!r} and under {front[:80]!r}: "
                "save the state_dict() of the one that you mean, alone"
            )
    fronts = {shared, *(front for front in found if {*front.split(".")} <= WRAPPERS)}
    standard = {}
    for name in names:
        front = max((f for f in fronts if name.startswith(f)), key=len, default="")
        standard[name] = standard_name(name[len(front) :], prefix)
    return standard, shared


def _prefixes(names: Iterable[str], wanted: set[str], prefix: str) -> dict[str, set[str]]:
    """Return what comes before wanted names, and which: the shortest that does for each name."""
    found: dict[str, set[str]] = {}
    for name in names:
        rest, front = _with_new_ends(name), ""
        for _ in range(MAX_STEPS):
            if (standard := rest.removeprefix(prefix)) in wanted:
                found.setdefault(front, set()).add(standard)
                break
            step, _, rest = rest.partition(".")
            front = f"{front}{step}."
    return found


def reason(
    standard: str, table: Collection[Entry], config: Any, counters: Strings, known: Strings
) -> str | None:
    """Say why a tensor of a checkpoint is not used; None if without it the results are others.

    That is so inside the modules of the model. known: beginnings of names, in which ``{i}`` is a
    number, and what such tensors are; one that ends with a dot is that of a module.
    """
    for letter, field in counters.items():
        count = getattr(config, field)
        layers = {e.name.split(f"{{{letter}}}.")[0] for e in table if _letter(e.name) == letter}
        found = (re.match(_pattern(f"{layer}{{i}}."), standard) for layer in layers)
        if any(number and int(number[1]) >= count for number in found):
            return f"the config has {count} layers, counted from 0"
    for start, why in known.items():
        if re.match(_pattern(start), standard):
            inside = start.endswith(".") and any(e.name.startswith(start) for e in table)
            return None if inside else why
    return UNKNOWN


def _pattern(name: str) -> str:
    return re.sub(r"\\\{\w\\\}", r"(\\d{1,9})", re.escape(name))


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
    required: tuple[str, ...] = ("",),
    ignore_mismatched_sizes: bool = False,
) -> Match:
    """Compare the names that are there with those that are needed.

    ValueError if two names mean the same tensor, or if a tensor has another shape than it needs;
    with ``ignore_mismatched_sizes`` only if its name begins with one of ``required``: others of
    another shape are left unused.
    """
    wanted = _by_name(parameters)
    found: Found = {}
    renamed, unused = {}, {}
    names, shared = standard_names(tensors, wanted, prefix)
    for name, standard in names.items():
        tensor, group = tensors[name], wanted.get(standard)
        left = ignore_mismatched_sizes and not standard.startswith(required)
        if not group or (left and tensor.shape != group[0].stored_shape):
            unused[name] = standard
            continue
        if standard in found:
            both = f"{found[standard][0].name!r:.80} and {name!r:.80}"
            raise ValueError(f"{both} both mean {standard!r:.80}: remove one of them")
        found[standard] = tensor, group
        if name != standard:
            renamed[name] = standard
    _refuse_shapes(found, required)
    missing = [p for name, group in wanted.items() if name not in found for p in group]
    return Match(found, missing, renamed, unused, shared)


def _refuse_shapes(found: Found, required: tuple[str, ...]) -> None:
    wrong = {
        name: f"{tensor.name!r:.80} is {tensor.shape!s:.80}, expected {p.stored_shape}"
        for name, (tensor, (p, *_)) in found.items()
        if tensor.shape != p.stored_shape
    }
    if wrong:
        hints = _fitting(found)
        if not any(name.startswith(required) for name in wrong):
            hints.append("ignore_mismatched_sizes=True draws the head anew, at random")
        what = "tensors do not have the shapes that config.json gives them"
        listed = first_of([*wrong.values()], 3)
        raise ValueError(f"{what}: {'; '.join([*listed, *hints])}")


def _fitting(found: Found) -> list[str]:
    """Say which fields of the config would make the shapes that are there."""
    sizes: dict[str, dict[int, int]] = {}  # field -> size in the file -> size by the config
    for tensor, group in found.values():
        for field, ours, theirs in group[0].sizes_in(tensor.shape):
            if isinstance(field, str):
                sizes.setdefault(field, {})[theirs] = ours
    wrong = {f: pairs for f, pairs in sizes.items() if any(k != pairs[k] for k in pairs)}
    if wrong and all(len(pairs) == 1 for pairs in wrong.values()):
        fields = ", ".join(f"{field}={size}" for field, (size,) in wrong.items())
        return [f"they fit {fields}: put that into config.json or pass it to from_pretrained"]
    if wrong and all(theirs <= ours for pairs in wrong.values() for theirs, ours in pairs.items()):
        return [
            f"other tensors have the {', '.join(wrong)} of the config, so rows or columns of these "
            "were cut, as when attention heads are pruned. That is not computed here: take the "
            "model from before the pruning"
        ]
    return []
