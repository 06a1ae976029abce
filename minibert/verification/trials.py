"""What may have been done at a stage in place of this model's operation, ready to be run.

A trial is the engine with one thing exchanged: an operation (by ``swap``), a part, or the inputs.
It is read off the one table of mistakes, for the place in the network that a stage belongs to.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from typing import Any

import numpy as np

from minibert import functions
from minibert.mistakes import layers as parts
from minibert.mistakes.activations import ACTIVATIONS
from minibert.mistakes.inputs import Inputs
from minibert.mistakes.rounded import coarse
from minibert.mistakes.table import EMBEDDINGS, MISTAKES, ROLES
from minibert.trace import layer_of, pattern_of
from minibert.verification.cast import in_dtype

Change = Callable[[Any], Any]  # of a part
Changes = tuple[tuple[str, Change], ...]


@dataclass(frozen=True)
class Place:
    """Where a stage is computed: what this model does there, and what is done in its place."""

    ours: str = "x @ weight.T + bias"
    operations: tuple[str, ...] = ()  # that may be swapped
    part: str = "layer.{i}"  # of the model, and what in it
    path: str = ""
    changes: Changes = ()


A, F, L = "layer.{i}.attention", "layer.{i}.feed_forward", "layer.{i}"
NORM = "eps {eps:g} and the variance divided by n"
MATRIX, NORMED = parts.LINEAR, f"the residual added, then {NORM}"
PLACES = {
    "embeddings.sum": Place("words + token types + positions from 0", ("embeddings",)),
    "embeddings": Place(NORM, ("layer_norm",)),
    f"{A}.query": Place(path="attention.query", changes=MATRIX),
    f"{A}.key": Place(path="attention.key", changes=MATRIX),
    f"{A}.value": Place(path="attention.value", changes=MATRIX),
    f"{A}.scores": Place(
        "query @ key.T / sqrt(D), heads split as (B, T, H, D)", ("attention_scores", "split_heads")
    ),
    f"{A}.probabilities": Place("softmax over the real keys", ("softmax",)),
    f"{A}.context": Place(
        "probabilities @ value, heads as (B, T, H, D)",
        ("attention_context", "split_heads", "merge_heads"),
    ),
    f"{A}.output": Place(path="attention.output", changes=MATRIX),
    A: Place(NORMED, path="attention_norm", changes=parts.NORM),
    f"{F}.intermediate": Place(path="feed_forward.intermediate", changes=MATRIX),
    f"{F}.activation": Place("{activation}", ("{activation}",)),
    F: Place(path="feed_forward.output", changes=MATRIX),
    f"{A}.norm": Place(NORM, path="attention_norm", changes=parts.NORM),  # of a pre-norm layer
    f"{F}.norm": Place(NORM, path="norm", changes=parts.NORM),
    "norm": Place(NORM, part="norm", changes=(("no last norm", parts.left_out), *parts.NORM)),
    L: Place(NORMED, path="norm", changes=parts.NORM),
    "pooler": Place(
        "tanh(x @ weight.T + bias) of the first real token", ("pooler",), "pooler", "", parts.POOLER
    ),
    "predictions.intermediate": Place(part="predictions", path="dense", changes=MATRIX),
    "predictions.activation": Place("{activation}", ("{activation}",)),
    "predictions": Place(NORM, part="predictions", path="norm", changes=parts.NORM),
}
RESIDUAL = Place("the residual added")  # of a pre-norm layer
EMBEDDED = Place("words + positions from 0", ("embeddings",))  # without a norm
HEADS = ("decoder", "seq_relationship", "classifier", "qa_outputs", "lm_head", "score")  # matrices
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
    i = layer_of(stage)
    place = place_of(model, stage)
    for operation in place.operations:
        name = _named(model, operation, i)
        for phrase, function in (*TABLE[operation], *coarse(name)):
            yield Trial((stage,), phrase, {name: function})
    yield from _of_attention(model, stage, i)
    for phrase, change in (*_of_joins(stage), *place.changes):
        path = "" if phrase in JOINED else place.path
        yield Trial((stage,), phrase, parts={place.part.format(i=i): inside(path, change)})
    for phrase, change in _of_layers(model, stage, place.path):
        yield Trial((stage,), phrase, parts={f"layer.{i}": change})
    if stage == "pooler":
        last = f"layer.{len(model.base_model.layers) - 1}"
        yield Trial((stage,), "the layer before the last pooled", parts={last: parts.skipped})


def _of_attention(model: Any, stage: str, i: int) -> Iterator[Trial]:
    """Yield what may go wrong with what asks, with what it is found by, and with heads."""
    if stage.endswith((".scores", ".context")):
        for phrase, function in ROLES:
            yield Trial((f"layer.{i}.attention.scores",), phrase, {"attention": function})
    if (
        stage.endswith((".scores", ".probabilities"))
        and model.base_model.layers[i].attention.causal
    ):
        for phrase, change, looking in parts.NOT_CAUSAL:
            changed = {f"layer.{i}": inside("attention", change)}
            yield Trial((stage,), phrase, parts=changed, inputs=looking)
    if stage.endswith(".scores"):
        for count, change in _of_heads(model.config.hidden_size, model.config.num_attention_heads):
            yield Trial((stage,), f"{count} heads", parts={f"layer.{i}": change})
    if stage.endswith(".context"):
        for head in range(model.config.num_attention_heads):
            pruned = {"merge_heads": partial(_without, head)}
            yield Trial((stage,), f"head {head} left out, as if pruned", pruned)
        both = {
            "split_heads": MISTAKES["split_heads"][2],
            "merge_heads": MISTAKES["merge_heads"][1],
        }
        phrase = "heads split and put together as (B, T, D, H)"
        yield Trial((stage,), phrase, {name: function for name, (_, function) in both.items()})


def _without(head: int, contexts: Any) -> Any:
    kept = np.arange(len(contexts)) != head
    return functions.merge_heads(contexts * kept[:, None, None].astype(contexts.dtype))


def _with_heads(count: int, attention: Any) -> Any:
    return replace(attention, num_heads=count)


def _of_heads(width: int, ours: int) -> Iterator[tuple[int, Change]]:
    """Yield other numbers of heads, up to 64."""
    for count in range(1, min(width, 64) + 1):
        if width % count == 0 and count != ours:
            yield count, inside("attention", partial(_with_heads, count))


def weights_at(model: Any, stage: str) -> Any:
    """Return the matrix or the norm whose result a stage is, if it is that of one alone."""
    if stage == "embeddings":
        return getattr(model.base_model.embeddings, "norm", None)
    place, i = place_of(model, stage), layer_of(stage)
    if not (place.path or place.changes):
        return None
    around = model if hasattr(model, place.part) else model.base_model
    owner = model.base_model.layers[i] if i >= 0 else getattr(around, place.part)
    return _at(owner, place.path) if place.path else owner


def place_of(model: Any, stage: str) -> Place:
    """Return where in a model a stage is computed."""
    if stage == "embeddings" and weights_at(model, stage) is None:
        return EMBEDDED
    if pattern_of(stage) in (A, L) and model.base_model.layers[0].pre_norm:
        return RESIDUAL
    if pattern_of(stage) in PLACES:
        return PLACES[pattern_of(stage)]
    name = stage if hasattr(model, stage) else next(x for x in HEADS if hasattr(model, x))
    tied = _of_decoder(model) if name == "decoder" else ()
    return Place(part=name, changes=(*MATRIX, *tied))


def _named(model: Any, operation: str, i: int) -> str:
    """Return the name of an operation; that of an activation is in the model."""
    if operation != "{activation}":
        return operation
    owner = model.predictions if i < 0 else model.base_model.layers[i].feed_forward
    return functions.ACTIVATIONS[owner.activation].__name__


TABLE = {**MISTAKES, "embeddings": EMBEDDINGS, "{activation}": ACTIVATIONS}
JOINED = {phrase for phrase, _ in parts.JOINS}


def _of_joins(stage: str) -> Iterator[tuple[str, Change]]:
    """Yield other ways to join a part's input and output."""
    if pattern_of(stage) == A:
        for phrase, join in parts.JOINS[:-1]:
            yield phrase, parts.joined(first=join)
    elif pattern_of(stage) == L:
        for phrase, join in parts.JOINS:
            yield phrase, parts.joined(second=join)


def _of_layers(model: Any, stage: str, path: str) -> Iterator[tuple[str, Change]]:
    """Yield changes of a layer: weights of the first or of one beside it, and norms elsewhere."""
    i, word = layer_of(stage), stage.rpartition(".")[2]
    siblings = ("query", "key", "value", "output")
    if word in siblings and i >= 0:
        for other in siblings:
            if other != word:
                yield f"the weights of the {other}", _moved(f"attention.{other}", path)
    if word in (*siblings[:3], "intermediate") and i >= 0:
        is_pre_norm = model.base_model.layers[i].pre_norm
        yield (POST_NORM, parts.POST_NORM) if is_pre_norm else (PRE_NORM, parts.PRE_NORM)
    if word == "intermediate" and i >= 0:
        yield PARALLEL, parts.PARALLEL
    if stage in (f"layer.{i}.attention", *(f"layer.{i}.attention.{x}" for x in siblings[:3])):
        yield TWICE, parts.twice
    if path == "norm" and i >= 0:
        yield OWN_NORM, _moved("attention_norm", path)
    if path == "attention_norm":
        yield THEIR_NORM, _moved("norm", path)
    if path and i >= 0:
        for j, other in enumerate(model.base_model.layers):
            if j != i and (abs(j - i) == 1 or j in (0, len(model.base_model.layers) - 1 - i)):
                yield weights_of(i, j), inside(path, put(_at(other, path)))


def inside(path: str, change: Change) -> Change:
    """Return the change of a part that changes what lies inside it at a path."""
    if not path:
        return change
    name, _, rest = path.partition(".")
    return lambda part: replace(part, **{name: inside(rest, change)(getattr(part, name))})


def _at(part: Any, path: str) -> Any:
    return reduce(getattr, path.split("."), part)


def _moved(source: str, path: str) -> Change:
    return lambda layer: inside(path, lambda _: _at(layer, source))(layer)


def put(other: Any) -> Change:
    """Return the change that puts another part in place of one, in its dtype."""

    def change(part: Any) -> Any:
        matrix = part.attention.query if hasattr(part, "attention") else part
        return in_dtype(other, matrix.weight.dtype)

    return change


def weights_of(i: int, j: int) -> str:
    """Say that layer i has the weights of layer j, and what that may come from."""
    why = {i + 1: f"{AS_IF}layer.{i} were skipped", i - 1: f"{AS_IF}layer.{j} were repeated"}
    return f"the weights of layer.{j}{why.get(j, '')}"


AS_IF = ", as if "


def _of_decoder(model: Any) -> Changes:
    """Return the change of a decoder that does not share the word embeddings."""
    words = model.base_model.embeddings.word
    return (("the decoder tied to the word embeddings", _with_matrix(words)),)


def _with_matrix(matrix: Any) -> Change:
    return lambda decoder: replace(decoder, weight=matrix.astype(decoder.bias.dtype))


def ours_at(model: Any, stage: str) -> str:
    """Say what this model does at a stage."""
    names = {phrase.split(" ")[0]: phrase for phrase, _ in reversed(ACTIVATIONS)}
    activation = ""
    if stage.endswith("activation"):
        activation = _named(model, "{activation}", layer_of(stage))
    ours = place_of(model, stage).ours
    return ours.format(
        eps=model.config.layer_norm_eps, activation=names.get(activation, activation)
    )
