"""The parts of a network, by the names of its stages.

A stage belongs to a part, whose name is a path: ``layer.3``, ``encoder.layer.3``,
``decoder.embeddings``, ``pooler``. A part belongs to a stack, by what its name begins with:
``encoder.``, ``decoder.``, or nothing, where there is but one.
"""

import re
from collections.abc import Container
from typing import Any, NamedTuple

from minibert.trace import layer_of, pattern_of

#: What the names of gradients begin with: of stages, and of weights by their checkpoint's names.
GRAD, WEIGHT = "grad.", "grad.weight."

_PART = re.compile(r"(?:grad\.)?((?:encoder|decoder)\.)?(?:layer\.\d+|\w+)")


def part_of(stage: str) -> str:
    """Return the part that a stage belongs to: ``layer.3.attention`` -> ``layer.3``."""
    found = _PART.match(stage)
    return found[0] if found else stage


def stack_of(stage: str) -> str:
    """Return what the names of a stage's stack begin with."""
    found = _PART.match(stage)
    return (found[1] or "") if found else ""


def kind_of(stage: str) -> str:
    """Return the pattern of a stage within its stack: ``layer.{i}.attention``."""
    return pattern_of(stage.removeprefix(stack_of(stage)))


def is_layer(stage: str) -> bool:
    """Tell whether a stage belongs to a layer; no gradient does."""
    return layer_of(stage) >= 0 and not is_gradient(stage)


def is_gradient(stage: str) -> bool:
    """Tell whether a stage is a gradient, of a stage or of a weight."""
    return stage.startswith(GRAD)


def is_embeddings(stage: str) -> bool:
    """Tell whether a stage belongs to embeddings."""
    return part_of(stage) == f"{stack_of(stage)}embeddings"


def is_inside(stage: str) -> bool:
    """Tell whether a stage belongs to a stack: to its embeddings or its layers."""
    return is_layer(stage) or is_embeddings(stage)


def is_of_decoder(model: Any, stage: str) -> bool:
    """Tell whether a stage belongs to a layer that looks at what an encoder read."""
    return is_layer(stage) and part_in(model, part_of(stage)).cross_attention is not None


def layers_of(model: Any, stage: str) -> Any:
    """Return the layers of a stage's stack; of the last stack, if it belongs to none."""
    return model.stacks[_own_stack(model, stage)].layers


def layer_named(stage: str, i: int) -> str:
    """Return the name of a layer of a stage's stack."""
    return f"{stack_of(stage)}layer.{i}"


def last_state(model: Any, stack: str | None = None) -> str:
    """Return the state that the last layer of a stack leaves; by default, of the last stack."""
    stack = [*model.stacks][-1] if stack is None else stack
    return f"{stack}layer.{len(model.stacks[stack].layers) - 1}"


def state_before(model: Any, stage: str) -> str:
    """Return the hidden state that goes into a stage's layer, or into what follows all layers."""
    stack, i = _own_stack(model, stage), layer_of(stage)
    if i < 0:
        return last_state(model, stack)
    return f"{stack}layer.{i - 1}" if i else f"{stack}embeddings"


def _own_stack(model: Any, stage: str) -> str:
    return stack_of(stage) if stack_of(stage) in model.stacks else [*model.stacks][-1]


def part_in(model: Any, part: str) -> Any:
    """Return a part of a model, or of the model that its head reads; None if it has none."""
    stack, i = stack_of(part), layer_of(part)
    if i >= 0:
        return model.stacks[stack].layers[i]
    owner = model.stacks[stack] if stack in model.stacks and stack else model.base_model
    name = part.removeprefix(stack)
    return getattr(model, name, None) or getattr(owner, name, None)


class Span(NamedTuple):
    """Which layers of a stack are run: from ``first`` (-1: the embeddings) to ``last``."""

    first: int
    last: int


def spans(model: Any, stage: str, known: Container[str]) -> dict[str, Span]:
    """Return what must be run of each stack for a stage, from its last known hidden state on."""
    found: dict[str, Span] = {}
    for stack, parts in model.stacks.items():
        end = len(parts.layers)
        if is_inside(stage) and stack_of(stage) in found:  # its own is done
            found[stack] = Span(0, -1)
            continue
        if is_inside(stage) and stack == stack_of(stage):
            end = layer_of(stage)
        start = 0 if f"{stack}embeddings" in known and end >= 0 else -1
        states = (i for i in range(end, 0, -1) if f"{stack}layer.{i - 1}" in known)
        found[stack] = Span(next(states, start), min(end, len(parts.layers) - 1))
    return found


def states_at(found: dict[str, Span]) -> dict[str, str]:
    """Return the known hidden state with which each stack begins, where there is one."""
    return {
        stack: f"{stack}layer.{span.first - 1}" if span.first else f"{stack}embeddings"
        for stack, span in found.items()
        if span.first >= 0
    }
