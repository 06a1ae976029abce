"""A model whose weights may change, and what stays frozen."""

import re
from collections.abc import Iterable
from copy import copy, deepcopy
from typing import TypeVar

from minibert.models.base import PreTrainedModel
from minibert.runtime.arrays import Array

Model = TypeVar("Model", bound=PreTrainedModel)


def trainable(model: Model) -> tuple[Model, dict[str, Array]]:
    """Return a copy of a model with arrays of its own, and these by field: change them in place."""
    fields = {p.field: model.array(p.field).copy() for p in model.parameters_of(model.config)}
    own = copy(model)
    own.config = deepcopy(model.config)
    own._assemble(fields)
    return own, fields


def learning(model: PreTrainedModel, frozen: Iterable[str]) -> list[str]:
    """Return the fields that are to change: all that training changes but the frozen.

    frozen: patterns, each found anywhere in a tensor's name in the checkpoint. ValueError for one
    that is found in none, and if nothing is left to learn.
    """
    names = {p.field: p.name for p in model.parameters_of(model.config)}
    patterns = [re.compile(pattern) for pattern in frozen]
    for pattern in patterns:
        if not any(pattern.search(name) for name in names.values()):
            known = ", ".join([*dict.fromkeys(names.values())][:3])
            raise ValueError(f"frozen={pattern.pattern!r} is in no name of a tensor ({known}, ...)")
    fields = [x for x in model.learnt() if not any(p.search(names[x]) for p in patterns)]
    if not fields:
        raise ValueError("all tensors are frozen: there is nothing to learn")
    return fields
