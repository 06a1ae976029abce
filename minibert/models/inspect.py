"""What is in a checkpoint: its config, every tensor, and the layer that each lands in."""

import math
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minibert.checkpoint.files import visible
from minibert.checkpoint.hub import find_folder
from minibert.checkpoint.load import open_weights
from minibert.checkpoint.names import Parameter, standard_names
from minibert.checkpoint.tensors import StoredTensor
from minibert.models.auto import CLASSES, model_type
from minibert.models.config import PretrainedConfig
from minibert.runtime.spelling import spelled


@dataclass(frozen=True)
class Inspection:
    """A checkpoint laid open; none of its numbers is read. Prints as a table."""

    config: PretrainedConfig
    files: tuple[Path, ...]
    places: tuple[tuple[StoredTensor, str], ...]  # in network order, what is unused last
    problems: tuple[str, ...]  # what from_pretrained would refuse
    notes: tuple[str, ...]  # what it would warn of
    num_parameters: int  # of the model, without what is unused

    def __str__(self) -> str:
        lines = [(visible(t.name, 200), t.dtype, str(t.shape), place) for t, place in self.places]
        name, dtype, shape, _ = (max(map(len, column)) for column in zip(*lines, strict=True))
        table = [f"{a:{name}}  {b:{dtype}}  {c:{shape}}  {d}" for a, b, c, d in lines]
        numbers = sum(tensor.size for tensor, _ in self.places)
        foot = [
            f"files       {', '.join(map(visible, self.files))}",
            f"tensors     {len(lines)}, {numbers:,} numbers",
            f"parameters  {self.num_parameters:,} in the model",
            *(f"note        {note}" for note in self.notes),
            *(f"PROBLEM     {problem}" for problem in self.problems),
        ]
        return "\n".join([str(self.config), *table, "", *foot])


@spelled
def inspect(name: str | os.PathLike[str], **options: Any) -> Inspection:
    """Lay open a checkpoint; arguments as of BertModel.from_pretrained.

    OSError or ValueError if its files cannot be read; what is wrong with single tensors stands
    in ``problems``.
    """
    folder, overrides = find_folder(name, ("config", "weights"), options)
    kind = CLASSES[model_type(folder)]["model"]
    config = kind.config_class.from_pretrained(folder, **overrides)
    weights = open_weights(folder)
    tensors = defaultdict(list)
    places, problems, notes = [], [], [*_beyond(config.to_dict())]
    parameters = kind.fitted(config, weights, np.dtype(np.float32))
    wanted = {parameter.name for parameter in parameters}
    standard_of, shared = standard_names(weights.tensors, wanted, kind.prefix)
    for name, standard in standard_of.items():
        tensors[standard].append(weights.tensors[name])
    if shared:
        notes.append(f"the names of the tensors begin with {visible(shared, 80)!r}")
    for parameter, fields in _by_tensor(parameters):
        found = tensors.pop(parameter.name, [])
        places += [(tensor, f"-> {', '.join(fields)}") for tensor in found]
        problem = _problem(parameter, found)
        if problem and not found and not parameter.name.startswith(kind.required):
            notes.append(f"{problem}: it would be drawn at random")
        elif problem:
            problems.append(problem)
    for standard, found in tensors.items():
        why = kind.why_unused(standard, config)
        places += [(t, f"unused: {why or 'inside the model, and unknown'}") for t in found]
        problems += [f"{standard!r:.80} is inside the model, and unknown"] if not why else []
    count = sum(math.prod(parameter.shape) for parameter in parameters)
    return Inspection(config, weights.files, tuple(places), tuple(problems), tuple(notes), count)


def _beyond(config: dict[str, Any]) -> Iterator[str]:
    """Say which tokens a config names that its vocabulary does not have."""
    last = config["vocab_size"] - 1
    for name, value in config.items():
        for token in value if isinstance(value, list) else [value]:
            if name.endswith("_token_id") and isinstance(token, int) and token > last:
                why = f"and the vocabulary ends at {last}: no such token is written"
                yield f"{visible(name, 80)} is {token}, {why}"


def _by_tensor(parameters: list[Parameter]) -> Iterator[tuple[Parameter, list[str]]]:
    """Yield a parameter of each tensor, and the fields of all that the tensor holds."""
    fields = defaultdict(list)
    for parameter in parameters:
        fields[parameter.name].append(parameter.field)
    for parameter in {p.name: p for p in parameters}.values():
        yield parameter, fields[parameter.name]


def _problem(parameter: Parameter, found: list[StoredTensor]) -> str | None:
    if not found:
        return f"{parameter.name!r} is missing"
    if len(found) > 1:
        return f"{' and '.join(repr(t.name) for t in found)} both mean {parameter.name!r}"
    if found[0].shape != parameter.stored_shape:
        return f"{found[0].name!r} is {found[0].shape}, expected {parameter.stored_shape}"
    return None
