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
from itertools import combinations
from typing import Any

from minibert.mistakes import layers as parts
from minibert.mistakes import matrices
from minibert.mistakes.functions import OVER_HEADS, OVER_QUERIES, norm_over
from minibert.mistakes.inputs import (
    ACROSS,
    ADDED,
    AFTER_SOFTMAX,
    PLAIN_MASK,
    Inputs,
    added,
    lookings,
    zeroed,
)
from minibert.mistakes.placed import PLACED, WORDS, orders
from minibert.mistakes.rounded import ROUNDED
from minibert.runtime.swap import swap
from minibert.trace import pattern_of
from minibert.verification.parts import (
    is_embeddings,
    is_layer,
    is_of_decoder,
    layer_named,
    layers_of,
    part_in,
    part_of,
    stack_of,
)
from minibert.verification.places import Change, inside, place_of
from minibert.verification.trials import (
    ALL,
    AS_IF,
    WHOLE,
    Trial,
    at_stage,
    of_stack,
    put,
    read_by,
    weights_of,
)


def levels(model: Any, gap: list[str], stage: str, inputs: Inputs) -> Iterator[list[Trial]]:
    """Yield what may have been done at a stage, or in a gap before it."""
    places = [*gap, stage]
    layers = list(dict.fromkeys(map(part_of, filter(is_layer, places))))
    alone = {}
    for name in places:
        found, own = list(_at(model, name, stage)), read_by(inputs, name)
        if own.allowed is None:
            padded = [] if own.mask.all() else _over_padding(name, found)
            found = [*found, *padded, *_of_norms(model, name, own)]
        alone[name] = list(map(within, found)) if gap and is_of_decoder(model, name) else found
    if len(layers) > 1:
        outside = {name: map(within, found) for name, found in alone.items() if not is_layer(name)}
        alone |= {name: list(found) for name, found in outside.items()}
    of_inputs = list(_of_inputs(places, inputs))
    rounded = [Trial((stage,), phrase, parts={ALL: f}) for phrase, f in ROUNDED]
    if len(layers) < 2:
        whole = [trial for layer in layers for trial in _of_layer(model, layer, places)]
        yield [*(t for found in alone.values() for t in found), *whole, *of_inputs, *rounded]
        yield list(_at_several(alone))
        return
    embedded = [t for name in places if not is_layer(name) for t in alone[name]]
    yield [*of_inputs, *embedded, *_at_several(alone), *rounded]
    yield list(_in_all(model, layers, places))
    in_one = [within(t) for name, found in alone.items() if is_layer(name) for t in found]
    yield [*in_one, *(trial for layer in layers for trial in _of_layer(model, layer, places))]
    stacks = dict.fromkeys(map(stack_of, layers))
    of_each = ([layer for layer in layers if stack_of(layer) == stack] for stack in stacks)
    yield [trial for own in of_each for trial in _exchanged(model, own)]


def _at(model: Any, name: str, stage: str) -> Iterator[Trial]:
    for trial in at_stage(model, name):
        if trial.phrase not in WHOLE or name == stage:
            yield trial


def _over_padding(name: str, found: list[Trial]) -> Iterator[Trial]:
    """Yield what mixes tokens, done to whole rectangles: padding counts as tokens."""
    for trial in found:
        mixes = trial.swaps.keys() & {"split_heads", "merge_heads"} or "pooler" in trial.parts
        if mixes or trial.phrase in (OVER_HEADS, OVER_QUERIES):
            phrase = f"{trial.phrase}, padding taken for tokens"
            yield replace(trial, phrase=phrase, inputs=of_stack(name, PLAIN_MASK))


def _of_norms(model: Any, name: str, inputs: Inputs) -> Iterator[Trial]:
    """Yield norms over other axes than columns, of whole sequences."""
    place, padded = place_of(model, name), None if inputs.mask.all() else of_stack(name, PLAIN_MASK)
    for phrase, axis in SEQUENCES:
        norm = norm_over(inputs.mask.shape[1], axis)
        if is_embeddings(name) and name == part_of(name):
            yield Trial((name,), phrase, {"layer_norm": norm}, inputs=padded)
        elif place.path.endswith("norm") and is_layer(name):
            change = inside(place.path, matrices.norm_by(norm))
            yield Trial((name,), phrase, parts={part_of(name): change}, inputs=padded)


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

    stage = trial.stages[0]
    *_, block, word = f".{stage}".split(".")
    inner = block if word in ("scores", "probabilities", "context") else ""
    return replace(trial, swaps={}, parts={part_of(stage): inside(inner, change)})


def _of_inputs(places: list[str], inputs: Inputs) -> Iterator[Trial]:
    """Yield what goes wrong with the inputs, as far as these stages are computed from them."""
    looks = [x for x in places if x.endswith((".probabilities", ".context"))]
    for name in {x.partition("layer.")[0] + x.split(".")[-2]: x for x in reversed(looks)}.values():
        yield from _of_masks(name, inputs)
    for name in {stack_of(x): x for x in reversed(places) if is_embeddings(x)}.values():
        own = read_by(inputs, name)
        size, lengths = len(own.mask), own.mask.sum(axis=1)
        seen = [own]
        words = [*WORDS, *_of_source(own)]
        for phrase, change in (*PLACED, *words, *orders(size, lengths)):
            with suppress(IndexError):  # there is no such word
                other = change(own)
                if not any(other.is_like(known) for known in seen):
                    seen.append(other)
                    yield Trial((name,), phrase, inputs=of_stack(name, change))


def _of_source(inputs: Inputs) -> Iterator[tuple[str, Callable[[Inputs], Inputs]]]:
    """Yield the words that the encoder reads, where as many are the decoder's."""
    if inputs.source is not None and inputs.source.words.shape == inputs.words.shape:
        words = inputs.source.words
        yield OF_SOURCE, lambda own: replace(own, words=words)


OF_SOURCE = "the encoder's words read by the decoder: inputs that are not shifted, perhaps"


def _of_masks(name: str, inputs: Inputs) -> Iterator[Trial]:
    """Yield other masks, of the attention in which a stage lies."""
    if ".cross_attention." in name:
        for phrase, change in ACROSS:
            yield Trial((name,), phrase, inputs=change)
    elif (own := read_by(inputs, name)).allowed is None:
        for phrase, change in lookings(own):
            yield Trial((name,), phrase, inputs=of_stack(name, change))
        plain = of_stack(name, PLAIN_MASK)
        yield Trial((name,), AFTER_SOFTMAX, {"attention": zeroed}, inputs=plain)
        yield Trial((name,), ADDED, {"attention": added}, inputs=plain)


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


def _of_layer(model: Any, layer: str, places: list[str]) -> Iterator[Trial]:
    """Yield other ways to put a layer together, where all of its inside is unknown."""
    own = {name for name in model.stage_axes() if part_of(name) == layer}
    if own <= set(places):
        others = (layer_named(layer, j) for j in range(len(layers_of(model, layer))))
        weights = ((weights_of(layer, x), put(part_in(model, x))) for x in others if x != layer)
        made = part_in(model, layer)
        ways = parts.LAYER_OF_PRE_NORM if made.pre_norm else parts.LAYER
        ways = parts.LAYER_OF_DECODER if made.cross_attention else ways
        for phrase, change in (*ways, *weights):
            yield Trial((layer,), phrase, parts={layer: change})


def _in_all(model: Any, layers: list[str], places: list[str]) -> Iterator[Trial]:
    """Yield the same other ways for all layers."""
    groups: dict[str, list[Trial]] = {}
    for layer in layers:
        for trial in _of_layer(model, layer, places):
            groups.setdefault(trial.phrase, []).append(trial)
    for members in groups.values():
        if len(members) == len(layers):
            yield together(members)


def _exchanged(model: Any, layers: list[str]) -> Iterator[Trial]:
    """Yield orders of the layers: two exchanged, all reversed."""
    own: Callable[[str], Change] = lambda layer: put(part_in(model, layer))  # noqa: E731
    for first, second in combinations(layers, 2):
        change = {first: own(second), second: own(first)}
        yield Trial((*change,), f"{first} and {second} exchanged", parts=change)
    turned = {x: own(y) for x, y in zip(layers, reversed(layers), strict=True)}
    if len(layers) > 2:
        yield Trial((*turned,), "the layers in reverse", parts=turned)
