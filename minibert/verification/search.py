"""Which trials a fault may be explained by, the likeliest first.

Inputs and whole-model changes come first, then one thing done in all layers of the gap, then one
thing in one of its layers alone. A level is a list of trials; a later one is looked at only if
nothing in those before explains the fault.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import reduce
from typing import Any

from minibert.mistakes import layers as parts
from minibert.mistakes.functions import OVER_HEADS, OVER_QUERIES, norm_over
from minibert.mistakes.inputs import (
    ADDED,
    AFTER_SOFTMAX,
    PLACED,
    PLAIN_MASK,
    WORDS,
    Inputs,
    added,
    lookings,
    orders,
    zeroed,
)
from minibert.mistakes.rounded import ROUNDED
from minibert.runtime.swap import swap
from minibert.trace import layer_of, pattern_of
from minibert.verification.trials import (
    ALL,
    AS_IF,
    WHOLE,
    Change,
    Trial,
    at_stage,
    inside,
    place_of,
    put,
    weights_of,
)


def levels(model: Any, gap: list[str], stage: str, inputs: Inputs) -> Iterator[list[Trial]]:
    """Yield what may have been done at a stage, or in a gap before it."""
    places = [*gap, stage]
    layers = sorted({layer_of(name) for name in places if layer_of(name) >= 0})
    is_padded = inputs.allowed is None and not inputs.mask.all()
    alone = {name: list(_at(model, name, stage)) for name in places}
    if is_padded:
        alone = {name: [*found, *_over_padding(found)] for name, found in alone.items()}
    if inputs.allowed is None:
        alone = {name: [*found, *_of_norms(model, name, inputs)] for name, found in alone.items()}
    if len(layers) > 1:
        outside = {name: map(within, found) for name, found in alone.items() if layer_of(name) < 0}
        alone |= {name: list(found) for name, found in outside.items()}
    of_inputs = list(_of_inputs(places, inputs))
    rounded = [Trial((stage,), phrase, parts={ALL: f}) for phrase, f in ROUNDED]
    if len(layers) < 2:
        whole = [trial for i in layers for trial in _of_layer(model, i, places)]
        yield [*(t for found in alone.values() for t in found), *whole, *of_inputs, *rounded]
        yield list(_at_several(alone))
        return
    embedded = [t for name in places if layer_of(name) < 0 for t in alone[name]]
    yield [*of_inputs, *embedded, *_at_several(alone), *rounded]
    in_one = [within(t) for name, found in alone.items() if layer_of(name) >= 0 for t in found]
    yield [*in_one, *(trial for i in layers for trial in _of_layer(model, i, places))]
    yield list(_exchanged(model, layers))


def _at(model: Any, name: str, stage: str) -> Iterator[Trial]:
    for trial in at_stage(model, name):
        if trial.phrase not in WHOLE or name == stage:
            yield trial


def _over_padding(found: list[Trial]) -> Iterator[Trial]:
    """Yield what mixes tokens, done to whole rectangles: padding counts as tokens."""
    for trial in found:
        mixes = trial.swaps.keys() & {"split_heads", "merge_heads"} or "pooler" in trial.parts
        if mixes or trial.phrase in (OVER_HEADS, OVER_QUERIES):
            phrase = f"{trial.phrase}, padding taken for tokens"
            yield replace(trial, phrase=phrase, inputs=PLAIN_MASK)


def _of_norms(model: Any, name: str, inputs: Inputs) -> Iterator[Trial]:
    """Yield norms over other axes than columns, of whole sequences."""
    place, padded = place_of(model, name), None if inputs.mask.all() else PLAIN_MASK
    for phrase, axis in SEQUENCES:
        norm = norm_over(inputs.mask.shape[1], axis)
        if name == "embeddings":
            yield Trial((name,), phrase, {"layer_norm": norm}, inputs=padded)
        elif place.path.endswith("norm") and layer_of(name) >= 0:
            change = inside(place.path, parts.norm_by(norm))
            yield Trial((name,), phrase, parts={f"layer.{layer_of(name)}": change}, inputs=padded)


SEQUENCES = (
    ("a norm over the tokens of each sequence, not over columns", 1),
    ("a norm of whole sequences: one mean and one variance for each", (1, 2)),
)


def within(trial: Trial) -> Trial:
    """Return the trial with its operations swapped in its own part alone."""
    if not trial.swaps:
        return trial

    def change(layer: Any) -> Any:
        def run(*args: Any) -> Any:
            with swap(**trial.swaps):
                return layer(*args)

        return run

    i, (stage, *_) = layer_of(trial.stages[0]), trial.stages
    part = f"layer.{i}" if i >= 0 else stage.partition(".")[0]
    return replace(trial, swaps={}, parts={part: change})


def _of_inputs(places: list[str], inputs: Inputs) -> Iterator[Trial]:
    """Yield what goes wrong with the inputs, as far as these stages are computed from them."""
    looks = [x for x in places if x.endswith((".probabilities", ".context"))]
    if looks and inputs.allowed is None:
        at = (looks[0],)
        for phrase, change in lookings(inputs):
            yield Trial(at, phrase, inputs=change)
        yield Trial(at, AFTER_SOFTMAX, {"attention": zeroed}, inputs=PLAIN_MASK)
        yield Trial(at, ADDED, {"attention": added}, inputs=PLAIN_MASK)
    if any(name.startswith("embeddings") for name in places):
        size, lengths = len(inputs.mask), inputs.mask.sum(axis=1)
        seen = [inputs]
        for phrase, change in (*PLACED, *WORDS, *orders(size, lengths)):
            with suppress(IndexError):  # there is no such word
                other = change(inputs)
                if not any(other.is_like(known) for known in seen):
                    seen.append(other)
                    yield Trial((places[0],), phrase, inputs=change)


def _at_several(alone: dict[str, list[Trial]]) -> Iterator[Trial]:
    """Yield what may have been done in the same way at several places.

    At those of one kind in all layers, in one half of all layers, or wherever it can be done.
    """
    for kind in (pattern_of, _half, lambda name: ""):
        groups: dict[tuple[Any, ...], list[Trial]] = {}
        for name, found in alone.items():
            seen = Counter[str]()
            for trial in found:
                phrase = trial.phrase.partition(AS_IF)[0]
                groups.setdefault((phrase, seen[phrase], kind(name)), []).append(trial)
                seen[phrase] += 1
        for members in groups.values():
            one_kind = len({pattern_of(trial.stages[0]) for trial in members}) == 1
            if len(members) > 1 and one_kind is (kind is pattern_of):
                yield together(members)


def _half(name: str) -> str:
    """Return the half of a layer that a stage lies in, its norm apart."""
    parts = name.split(".")
    return parts[2] if len(parts) > 3 else ""


def together(members: list[Trial]) -> Trial:
    """Return one trial of the same mistake at several places."""
    swaps = {name: f for trial in members for name, f in trial.swaps.items()}
    changes: dict[str, list[Change]] = {}
    for trial in members:
        for name, change in trial.parts.items():
            changes.setdefault(name, []).append(change)
    stages = tuple(dict.fromkeys(stage for trial in members for stage in trial.stages))
    chained = {name: _chained(found) for name, found in changes.items()}
    phrase = members[0].phrase.partition(AS_IF)[0]
    return Trial(stages, phrase, swaps, chained, members[0].inputs)


def _chained(changes: list[Change]) -> Change:
    return lambda part: reduce(lambda part, change: change(part), changes, part)


def _of_layer(model: Any, i: int, places: list[str]) -> Iterator[Trial]:
    """Yield other ways to put a layer together, where all of its inside is unknown."""
    own = {name for name in model.stage_axes() if layer_of(name) == i}
    if own <= set(places):
        others = enumerate(model.base_model.layers)
        weights = ((weights_of(i, j), put(other)) for j, other in others if j != i)
        ways = parts.LAYER_OF_PRE_NORM if model.base_model.layers[i].pre_norm else parts.LAYER
        for phrase, change in (*ways, *weights):
            yield Trial((f"layer.{i}",), phrase, parts={f"layer.{i}": change})


def _exchanged(model: Any, layers: list[int]) -> Iterator[Trial]:
    """Yield orders of the layers: two exchanged, all reversed."""
    own: Callable[[int], Change] = lambda i: put(model.base_model.layers[i])  # noqa: E731
    for i in layers:
        for j in layers:
            if i < j:
                change = {f"layer.{i}": own(j), f"layer.{j}": own(i)}
                yield Trial((*change,), f"layer.{i} and layer.{j} exchanged", parts=change)
    turned = {f"layer.{i}": own(j) for i, j in zip(layers, reversed(layers), strict=True)}
    if len(layers) > 2:
        yield Trial((*turned,), "the layers in reverse", parts=turned)
