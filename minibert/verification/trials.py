"""What may have been done at a stage in place of this model's operation, ready to be run.

A trial is the engine with one thing exchanged: an operation (by ``swap``), a part, or the inputs.
It is read off the one table of mistakes, for the place in the network that a stage belongs to.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from minibert import functions
from minibert.mistakes import layers as parts
from minibert.mistakes import matrices
from minibert.mistakes.activations import ACTIVATIONS
from minibert.mistakes.inputs import Inputs
from minibert.mistakes.rounded import coarse
from minibert.mistakes.table import EMBEDDINGS, MISTAKES, ROLES
from minibert.trace import layer_of
from minibert.verification.cast import in_dtype
from minibert.verification.parts import (
    is_layer,
    kind_of,
    last_state,
    layer_named,
    layers_of,
    part_in,
    part_of,
    stack_of,
)
from minibert.verification.places import A, Change, L, X, at, inside, named, place_of

PRE_NORM = "the norm before the operation instead of after the residual (pre-norm)"
POST_NORM = "the norm after the residual instead of before the operation (post-norm)"
PARALLEL = "the layer's input, both halves in parallel"
OWN_NORM = "the norm of the attention in place of the layer's own"
THEIR_NORM = "the layer's last norm in place of the attention's"
TWICE = "a layer that runs twice"
#: Of layers: tried of a stage only if that is recorded.
WHOLE = {PRE_NORM, POST_NORM, PARALLEL, TWICE}


@dataclass(frozen=True)
class Trial:
    """Something else at some stages: operations swapped, parts and inputs changed; in words."""

    stages: tuple[str, ...]
    phrase: str
    swaps: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    parts: Mapping[str, Change] = field(default_factory=dict)  # "layer.3" or ALL -> change
    inputs: Callable[[Inputs], Inputs] | None = None

    def change(self, name: str, part: Any) -> Any:
        """Exchange a part of the model."""
        change = self.parts.get(name) or self.parts.get(ALL)
        return change(part) if change else part


ALL = "every part"


def at_stage(model: Any, stage: str) -> Iterator[Trial]:
    """Yield what may have been done at one stage."""
    place, part = place_of(model, stage), part_of(stage)
    for operation in place.operations:
        name = named(model, operation, part)
        for phrase, function in (*TABLE[operation], *coarse(name)):
            yield Trial((stage,), phrase, {name: function})
    yield from _of_attention(model, stage, part)
    for phrase, change in (*_of_joins(model, stage), *place.changes):
        path = "" if phrase in JOINED else place.path
        yield Trial((stage,), phrase, parts={place.part or part: inside(path, change)})
    if is_layer(stage):
        for phrase, change in _of_layers(model, stage, place.path):
            yield Trial((stage,), phrase, parts={part: change})
    if stage == "pooler":
        changed = {last_state(model): parts.skipped}
        yield Trial((stage,), "the layer before the last pooled", parts=changed)


def _of_attention(model: Any, stage: str, part: str) -> Iterator[Trial]:
    """Yield what may go wrong with what asks, with what it is found by, and with heads."""
    if not stage.endswith((".scores", ".probabilities", ".context")):
        return
    around = stage.rpartition(".")[0]
    path = around.rpartition(".")[2]
    own = getattr(part_in(model, part), path)
    if not stage.endswith(".probabilities"):
        for phrase, function in ROLES:
            yield Trial((f"{around}.scores",), phrase, {"attention": function})
    if stage.endswith(".scores"):
        for phrase, factor in _scales(layer_of(part) + 1):
            scaled = inside(path, partial(_with_scale, factor))
            yield Trial((stage,), phrase, parts={part: scaled})
    if not stage.endswith(".context") and own.causal:
        unseen = [parts.NO_MASK] if stage.endswith(".probabilities") else []
        for phrase, change, looking in (*parts.NOT_CAUSAL, *unseen):
            yield Trial((stage,), phrase, parts={part: inside(path, change)}, inputs=looking)
    if stage.endswith(".scores"):
        for count, change in _of_heads(len(own.query.bias), own.num_heads):
            yield Trial((stage,), f"{count} heads", parts={part: inside(path, change)})
    if stage.endswith(".context"):
        for head in range(own.num_heads):
            pruned = {"merge_heads": partial(_without, head)}
            yield Trial((stage,), f"head {head} left out, as if pruned", pruned)
        both = {
            "split_heads": MISTAKES["split_heads"][2],
            "merge_heads": MISTAKES["merge_heads"][1],
        }
        phrase = "heads split and put together as (B, T, D, H)"
        yield Trial((stage,), phrase, {name: function for name, (_, function) in both.items()})


def _scales(number: int) -> Iterator[tuple[str, float]]:
    """Yield what scores are multiplied by if layers that are counted from 1 divide them, or not."""
    if number > 1:
        yield "scores divided by the number of the layer", 1 / number
        yield "scores not divided by the number of the layer", number


def _with_scale(factor: float, attention: Any) -> Any:
    return replace(attention, scale=attention.scale * factor)


def _without(head: int, contexts: Any) -> Any:
    kept = np.arange(len(contexts)) != head
    return functions.merge_heads(contexts * kept[:, None, None].astype(contexts.dtype))


def _with_heads(count: int, attention: Any) -> Any:
    return replace(attention, num_heads=count)


def _of_heads(width: int, ours: int) -> Iterator[tuple[int, Change]]:
    """Yield other numbers of heads, up to 64."""
    for count in range(1, min(width, 64) + 1):
        if width % count == 0 and count != ours:
            yield count, partial(_with_heads, count)


TABLE = {**MISTAKES, "embeddings": EMBEDDINGS, "{activation}": ACTIVATIONS}
JOINED = {phrase for phrase, _ in (*parts.JOINS, *parts.JOINS_OF_PRE_NORM)}
HALVES = {A: "first", X: "across", L: "second"}


def _of_joins(model: Any, stage: str) -> Iterator[tuple[str, Change]]:
    """Yield other ways to join a part's input and output."""
    half = HALVES.get(kind_of(stage))
    if half is None:
        return
    is_pre_norm = part_in(model, part_of(stage)).pre_norm
    joins = parts.JOINS_OF_PRE_NORM if is_pre_norm else parts.JOINS
    plain = dict.fromkeys(HALVES.values(), parts.NO_NORM) if is_pre_norm else {}
    for phrase, join in joins[:-1] if half == "first" else joins:  # whose x is the layer's input
        yield phrase, parts.joined(**{**plain, half: join})


def _of_layers(model: Any, stage: str, path: str) -> Iterator[tuple[str, Change]]:
    """Yield changes of a layer: weights of the first or of one beside it, and norms elsewhere."""
    around, _, word = stage.rpartition(".")
    siblings = ("query", "key", "value", "output")
    if word in siblings:
        block = path.partition(".")[0]
        for other in siblings:
            if other != word:
                yield f"the weights of the {other}", _moved(f"{block}.{other}", path)
        if word == "query" and f"{around}.norm" in model.stage_axes():
            for phrase, change in matrices.FUSED:
                yield phrase, inside(block, change)
    if word in (*siblings[:3], "intermediate"):
        is_pre_norm = part_in(model, part_of(stage)).pre_norm
        yield (POST_NORM, parts.POST_NORM) if is_pre_norm else (PRE_NORM, parts.PRE_NORM)
    if word == "intermediate":
        yield PARALLEL, parts.PARALLEL
    if kind_of(stage) in (A, *(f"{A}.{x}" for x in siblings[:3])):
        yield TWICE, parts.twice
    if path == "norm":
        yield OWN_NORM, _moved("attention_norm", path)
    if path == "attention_norm":
        yield THEIR_NORM, _moved("norm", path)
    if path:
        yield from _of_other_layers(model, stage, path)


def _of_other_layers(model: Any, stage: str, path: str) -> Iterator[tuple[str, Change]]:
    """Yield the weights of the layers beside a stage's own, of the first, and of its mirror."""
    i, layers = layer_of(stage), layers_of(model, stage)
    for j, other in enumerate(layers):
        if j != i and (abs(j - i) == 1 or j in (0, len(layers) - 1 - i)):
            phrase = weights_of(part_of(stage), layer_named(stage, j))
            yield phrase, inside(path, put(at(other, path)))


def _moved(source: str, path: str) -> Change:
    return lambda layer: inside(path, lambda _: at(layer, source))(layer)


def read_by(inputs: Inputs, stage: str) -> Inputs:
    """Return those of the inputs that a stage's stack reads."""
    return inputs.source if inputs.source and stack_of(stage) == "encoder." else inputs


def of_stack(stage: str, change: Callable[[Inputs], Inputs]) -> Callable[[Inputs], Inputs]:
    """Return the change of what a stage's stack reads."""

    def changed(inputs: Inputs) -> Inputs:
        own = read_by(inputs, stage)
        return change(inputs) if own is inputs else replace(inputs, source=change(own))

    return changed


def put(other: Any) -> Change:
    """Return the change that puts another part in place of one, in its dtype."""

    def change(part: Any) -> Any:
        matrix = part.attention.query if hasattr(part, "attention") else part
        return in_dtype(other, matrix.weight.dtype)

    return change


def weights_of(layer: str, other: str) -> str:
    """Say that a layer has the weights of another one, and what that may come from."""
    why = {1: f"{AS_IF}{layer} were skipped", -1: f"{AS_IF}{other} were repeated"}
    return f"the weights of {other}{why.get(layer_of(other) - layer_of(layer), '')}"


AS_IF = ", as if "
