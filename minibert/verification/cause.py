"""What a faulty stage agrees with: the known variations are tried, and none is guessed."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minibert.verification.examine import Examination, Measure, Size
from minibert.verification.graph import ENCODER, Place, Run, layer_index
from minibert.verification.layouts import LAYOUTS
from minibert.verification.signatures import SIGNATURES
from minibert.verification.variations import ACTIVATIONS, DECODER, VARIATIONS, Variation

#: A stage is a fault if its added error is more than so many times its floor. Measured beside
#: PyTorch on the checkpoints of the tests: at most 6.3 without a fault, because BLAS libraries sum
#: in orders of their own, some less exact than ours. What formulas change is 100 times and more in
#: float32, and a million times in float64; an eps of 1e-6 for 1e-12 is the exception.
FACTOR = 16.0
#: Matrices and norms: a stage that has weights may have got those of another layer.
WEIGHTED = tuple(
    name
    for name in VARIATIONS
    if "{i}" in name
    and name.split(".")[-1] not in ("scores", "probabilities", "context", "activation")
)


@dataclass(frozen=True)
class Trial:
    """Other operations at some stages, and what they are, in words."""

    stages: tuple[str, ...]
    phrase: str
    runs: Mapping[str, Run]
    ours: str = ""  # what this model does

    def sentence(self, who: str) -> str:
        """Say with what a recording agrees."""
        shown = self.stages if len(self.stages) < 4 else (self.stages[0], "...", self.stages[-1])
        where = ", ".join(shown)
        ours = f", this model uses {self.ours}" if self.ours else ""
        if self.phrase in self.ours:  # what it should do, and does not
            ours = ", this model does something else"
        return f"{where}: {who} agrees with {self.phrase}{ours}"


def likely_cause(examined: Examination, stage: str) -> str | None:
    """Return a sentence with the variation that explains a fault, or those that do equally well.

    None if no known variation brings the added error down to the floor.
    """
    measure, precision = examined.measures[stage], examined.precisions[stage]
    enough = min(FACTOR, measure.excess(precision) / 2)
    fits: list[Trial] = []
    with np.errstate(all="ignore"):
        for trial in trials(examined, stage):
            if _same(trial, fits):
                continue
            if excess_with(examined, stage, trial.runs, enough) <= enough:
                fits.append(trial)
    if not fits:
        return None
    sentence = fits[0].sentence(examined.who)
    if len(fits) > 1:
        others = "; or ".join(_at_stages(trial, fits[0]) for trial in fits[1:4])
        sentence += f"; or, which cannot be told apart here, {others}"
    return sentence


def _at_stages(trial: Trial, first: Trial) -> str:
    same = trial.stages == first.stages
    return trial.phrase if same else f"{', '.join(trial.stages[:2])}: {trial.phrase}"


def _same(trial: Trial, fits: list[Trial]) -> bool:
    """Tell whether a trial says what one that fits has said of fewer stages."""
    return any(t.phrase == trial.phrase and set(t.stages) <= set(trial.stages) for t in fits)


def excess_with(examined: Examination, stage: str, runs: Mapping[str, Run], enough: float) -> float:
    """Return how many times above its floor the error is, if other operations are run."""
    precision, measure = examined.precisions[stage], examined.measures[stage]
    exact = examined.exact.varied(stage, runs)
    if not _fits_shape(exact, examined, stage):
        return float("inf")
    added = examined.error(stage, exact)
    excess = measure.excess(precision, added)
    if not enough < excess < 1000 * enough:
        return excess if excess <= enough else float("inf")
    # near: other operations round differently, so they have a floor of their own
    single = examined.real_numbers(stage, examined.single.varied(stage, runs))
    rounding = Size.of(single - examined.real_numbers(stage, exact))
    return Measure(added, rounding, measure.size).excess(precision)


def _fits_shape(value: Any, examined: Examination, stage: str) -> bool:
    own = examined.exact.value(stage)
    if isinstance(own, list):
        return all(a.shape == b.shape for a, b in zip(value, own, strict=True))
    return bool(np.shape(value) == np.shape(own))


def trials(examined: Examination, stage: str) -> Iterator[Trial]:
    """Yield what may have been done at a stage, or between it and the recorded ones before it.

    Where the gap spans layers, a variation is tried in all of them at once.
    """
    gap = [*examined.exact.gap(stage), stage]
    layers = sorted({layer_index(name) for name in gap if layer_index(name) >= 0})
    groups: defaultdict[str, list[Trial]] = defaultdict(list)
    for name in gap:
        for trial in _single(examined, name, last=name == stage):
            if len(layers) < 2:
                yield trial
            groups[trial.phrase].append(trial)
    if len(layers) == 1:
        yield from _layouts(examined, layers[0], gap)
    for phrase, members in groups.items():
        if len(members) > 1:
            stages = tuple(trial.stages[0] for trial in members)
            runs = {name: run for trial in members for name, run in trial.runs.items()}
            yield Trial(stages, phrase, runs, members[0].ours)


def _single(examined: Examination, stage: str, last: bool) -> Iterator[Trial]:
    ours, variations = variations_of(examined.graph, stage)
    ours = _filled(ours, examined, stage)
    for phrase, run in variations:
        yield Trial((stage,), phrase, {stage: run}, ours)
    if last:
        theirs = examined.exact.known[stage]
        for phrase, signature in SIGNATURES.get(_pattern(stage), ()):
            run = partial(_with_theirs, signature, examined, stage, theirs)
            yield Trial((stage,), phrase, {stage: run}, ours)
    yield from _other_layers(examined, stage)


def _with_theirs(
    signature: Any, examined: Examination, stage: str, theirs: Any, at: Place, *inputs: Any
) -> Any:
    own = examined.graph.operations[stage][1](at, *inputs)
    return signature(at, own, theirs, *inputs)


def _other_layers(examined: Examination, stage: str) -> Iterator[Trial]:
    pattern, i = _pattern(stage), layer_index(stage)
    if pattern in WEIGHTED:
        for j in range(len(examined.graph.model.encoder.layers)):
            if j != i:
                yield Trial((stage,), _weights_of(i, j), {stage: with_layer(pattern, j)})


def _weights_of(i: int, j: int) -> str:
    why = {i + 1: f", as if layer.{i} were skipped", i - 1: f", as if layer.{j} were repeated"}
    return f"the weights of layer.{j}{why.get(j, '')}"


def with_layer(pattern: str, j: int) -> Run:
    """Return a stage's operation with the arrays of another layer."""
    return lambda at, *x: ENCODER[pattern][1](at.other(j), *x)


def _layouts(examined: Examination, i: int, gap: list[str]) -> Iterator[Trial]:
    """Yield variations of a whole layer, where all of its inside is unknown."""
    whole = {name for name in examined.graph.operations if layer_index(name) == i}
    if not whole <= set(gap):
        return
    for phrase, runs in LAYOUTS:
        found = {pattern.format(i=i): run for pattern, run in runs.items()}
        yield Trial((f"layer.{i}",), phrase, found)
    for j in range(len(examined.graph.model.encoder.layers)):
        if j != i:
            runs = {name: with_layer(_pattern(name), j) for name in whole}
            yield Trial((f"layer.{i}",), _weights_of(i, j), runs)


def variations_of(graph: Any, stage: str) -> tuple[str, tuple[Variation, ...]]:
    """Return what this model does at a stage, and what others do."""
    if stage == "logits" and hasattr(graph.model, "predictions"):
        return "x @ weight.T + bias", DECODER
    if stage in ("logits", "seq_relationship"):
        return _scorer(graph)
    return VARIATIONS[_pattern(stage)]


def _scorer(graph: Any) -> tuple[str, tuple[Variation, ...]]:
    from minibert.verification.graph import SCORERS
    from minibert.verification.variations import matrix_variations

    name = next(name for name in SCORERS if hasattr(graph.model, name))
    return "x @ weight.T + bias", matrix_variations(lambda at: at.part(name))


def _pattern(stage: str) -> str:
    i = layer_index(stage)
    return stage.replace(f"layer.{i}", "layer.{i}", 1) if i >= 0 else stage


def _filled(ours: str, examined: Examination, stage: str) -> str:
    config = examined.graph.model.config
    names = {phrase.split(" ")[0]: phrase for phrase in reversed(ACTIVATIONS)}
    i = layer_index(stage)
    layer = examined.graph.model.encoder.layers[i] if i >= 0 else None
    activation = layer.feed_forward.activation if layer else config.hidden_act
    return ours.format(
        norm=f"eps {config.layer_norm_eps:g} and the variance divided by n",
        activation=names.get(activation, activation),
    )
