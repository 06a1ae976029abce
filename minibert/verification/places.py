"""Where a stage is computed: what this model does there, and what may be done in its place."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

from minibert import functions
from minibert.layers import Embeddings
from minibert.mistakes import layers as parts
from minibert.mistakes import matrices
from minibert.mistakes.activations import ACTIVATIONS
from minibert.verification.parts import is_embeddings, is_layer, kind_of, part_in, part_of

Change = Callable[[Any], Any]  # of a part
Changes = tuple[tuple[str, Change], ...]


@dataclass(frozen=True)
class Place:
    """Where a stage is computed: what this model does there, and what is done in its place."""

    ours: str = "x @ weight.T + bias"
    operations: tuple[str, ...] = ()  # that may be swapped
    part: str = ""  # of the model, if it is not that of the stage's name, and what in it
    path: str = ""
    changes: Changes = ()


L, A, F = "layer.{i}", "layer.{i}.attention", "layer.{i}.feed_forward"
X = "layer.{i}.cross_attention"
NORM = "eps {eps:g} and the variance divided by n"
MATRIX, NORMED = matrices.LINEAR, f"the residual added, then {NORM}"


def _attention(name: str) -> dict[str, Place]:
    """Return the places of a layer's attention of that name."""
    parts_of = {x: Place(path=f"{name}.{x}", changes=MATRIX) for x in ROWS}
    scores, contexts = "query @ key.T / sqrt(D)", "probabilities @ value"
    found = {
        **parts_of,
        "scores": Place(
            f"{scores}, heads split as (B, T, H, D)", ("attention_scores", "split_heads")
        ),
        "probabilities": Place("softmax over the real keys", ("softmax",)),
        "context": Place(
            f"{contexts}, heads as (B, T, H, D)",
            ("attention_context", "split_heads", "merge_heads"),
        ),
    }
    whole = Place(NORMED, path=f"{name}_norm", changes=matrices.NORM)
    return {f"{L}.{name}": whole, **{f"{L}.{name}.{x}": place for x, place in found.items()}}


ROWS = ("query", "key", "value", "output")
PLACES = {
    "embeddings.sum": Place("words + token types + positions from 0", ("embeddings",)),
    "embeddings": Place(NORM, ("layer_norm",)),
    **_attention("attention"),
    **_attention("cross_attention"),
    f"{F}.intermediate": Place(path="feed_forward.intermediate", changes=MATRIX),
    f"{F}.activation": Place("{activation}", ("{activation}",)),
    F: Place(path="feed_forward.output", changes=MATRIX),
    f"{A}.norm": Place(NORM, path="attention_norm", changes=matrices.NORM),  # of a pre-norm layer
    f"{F}.norm": Place(NORM, path="norm", changes=matrices.NORM),
    "norm": Place(NORM, changes=(("no last norm", parts.left_out), *matrices.NORM_THERE)),
    L: Place(NORMED, path="norm", changes=matrices.NORM),
    "pooler": Place(
        "tanh(x @ weight.T + bias) of the first real token", ("pooler",), changes=parts.POOLER
    ),
    "predictions.intermediate": Place(path="dense", changes=MATRIX),
    "predictions.activation": Place("{activation}", ("{activation}",)),
    "predictions": Place(NORM, path="norm", changes=matrices.NORM),
}
NORMED_EMBEDDINGS = Place(NORM, path="norm", changes=matrices.NORM)
RESIDUAL = Place("the residual added")  # of a pre-norm layer
EMBEDDED = Place("words + positions from 0", changes=matrices.TABLES)
FINAL_BIAS = Place(
    "x + final_logits_bias",
    part="final_logits_bias",
    changes=(("no bias", lambda bias: 0 * bias), ("the bias added twice", lambda bias: 2 * bias)),
)
HEADS = ("decoder", "seq_relationship", "classifier", "qa_outputs", "lm_head", "score")  # matrices


def weights_at(model: Any, stage: str) -> Any:
    """Return the matrix or the norm whose result a stage is, if it is that of one alone."""
    if is_embeddings(stage):
        is_normed = stage == part_of(stage)
        return getattr(part_in(model, stage), "norm", None) if is_normed else None
    place = place_of(model, stage)
    if not (place.path or place.changes):
        return None
    owner = part_in(model, place.part or part_of(stage))
    return at(owner, place.path) if place.path else owner


def place_of(model: Any, stage: str) -> Place:
    """Return where in a model a stage is computed."""
    kind = kind_of(stage)
    if is_embeddings(stage) and not isinstance(part_in(model, part_of(stage)), Embeddings):
        return EMBEDDED if weights_at(model, stage) is None else NORMED_EMBEDDINGS
    if kind in (A, L) and part_in(model, part_of(stage)).pre_norm:
        return RESIDUAL
    if kind in PLACES:
        return PLACES[kind]
    name = stage if hasattr(model, stage) else next(x for x in HEADS if hasattr(model, x))
    if stage == "logits" and hasattr(model, "final_logits_bias"):
        return FINAL_BIAS
    if hasattr(part_in(model, name), "dense"):  # a head of two matrices, tanh between them
        inner = {"logits": "output", "classifier.intermediate": "dense"}.get(stage, "")
        return Place(part=name, path=inner, changes=MATRIX if inner else ())
    tied = _of_decoder(model) if name == "decoder" else ()
    return Place(part=name, changes=(*MATRIX, *tied))


def named(model: Any, operation: str, part: str) -> str:
    """Return the name of an operation; that of an activation is in the model."""
    if operation != "{activation}":
        return operation
    owner = part_in(model, part)
    owner = owner.feed_forward if is_layer(part) else owner
    return functions.ACTIVATIONS[owner.activation].__name__


def _of_decoder(model: Any) -> Changes:
    """Return the change of a decoder that does not share the word embeddings."""
    words = model.base_model.embeddings.word
    return (("the decoder tied to the word embeddings", _with_matrix(words)),)


def _with_matrix(matrix: Any) -> Change:
    return lambda decoder: replace(decoder, weight=matrix.astype(decoder.bias.dtype))


def inside(path: str, change: Change) -> Change:
    """Return the change of a part that changes what lies inside it at a path."""
    if not path:
        return change
    name, _, rest = path.partition(".")
    return lambda part: replace(part, **{name: inside(rest, change)(getattr(part, name))})


def at(part: Any, path: str) -> Any:
    """Return what lies inside a part at a path."""
    return reduce(getattr, path.split("."), part)


def ours_at(model: Any, stage: str) -> str:
    """Say what this model does at a stage."""
    names = {phrase.split(" ")[0]: phrase for phrase, _ in reversed(ACTIVATIONS)}
    activation = ""
    if stage.endswith("activation"):
        activation = named(model, "{activation}", part_of(stage))
    ours = place_of(model, stage).ours
    return ours.format(
        eps=model.config.layer_norm_eps, activation=names.get(activation, activation)
    )
