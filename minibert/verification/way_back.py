"""Gradients as stages: recorded by our engine, and each measured against its own derivative.

A gradient has the name of its stage or weight: ``grad.layer.0.attention``,
``grad.weight.bert.encoder.layer.0.output.dense.bias``. A pass goes there and back; both ways go on
with what is recorded, so that what is found at a gradient is what its own derivative adds, given
the stages and the gradient that came in as they are recorded.
"""

from collections.abc import Container, Mapping
from dataclasses import astuple, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np

from minibert.batch import Batch
from minibert.mistakes.inputs import Inputs
from minibert.models.base import PreTrainedModel
from minibert.runtime.arrays import Array
from minibert.trace import Recording, Replacing
from minibert.training.kept import Gradients, Kept
from minibert.training.learning import shared
from minibert.verification.cast import Change, cast, unchanged
from minibert.verification.isolate import Isolation
from minibert.verification.measure import Measure, Size, nudged
from minibert.verification.parts import GRAD, WEIGHT, is_gradient
from minibert.verification.passes import Poisoned
from minibert.verification.precision import FLOAT64, Precision
from minibert.verification.reference import Reference


class Again(Gradients):
    """The way back, which takes what it computes a second time as it is known.

    It may be gone again and again: what was kept stays.
    """

    def kept(self, name: str) -> Array:
        """Return a stage, as it was on the way there."""
        return self.there.stages[self.key(name)]

    def again(self, name: str, x: Array) -> Array:
        """Return what is known of a stage on the way there."""
        beside: Any = self.beside
        return beside.given(self.prefix + name, x) if isinstance(beside, Replacing) else x


class Everywhere:
    """Where a weight's gradient lies: it is whole."""

    def place(self, x: Array, columns: Any = None) -> tuple[Any, tuple[int, ...]]:
        """Return all of an array, and its shape."""
        return ..., x.shape


def learn(model: Any, batch: Batch, trace: Recording) -> None:
    """Go there and back, and show a trace the stages and all gradients."""
    kept = Kept(beside=trace)
    go_back(model, kept, model.go_there(batch, kept), trace)


def go_back(
    model: Any, kept: Kept, found: tuple[Any, Array, Batch], trace: Recording, weights: bool = True
) -> None:
    """Go back from what was found on the way there, and show a trace all gradients."""
    back = Again(kept, trace.within("grad"))
    model.go_back(*found, back)
    there = trace.within("grad").within("weight").of(Everywhere())
    if weights:
        for name, grad in model.by_name(shared(model, back.found)).items():
            there(name, grad)


def axes_of_all(model: PreTrainedModel) -> dict[str, str]:
    """Return the axes of all stages and gradients, in the order of the way there and back.

    ValueError for a model without a head: it has no loss.
    """
    if not hasattr(model, "learn"):
        raise ValueError(
            f"there are gradients to look at, and {type(model).__name__} has no head, so no loss: "
            "open the class with the head, as BertForMaskedLM.from_pretrained(...)"
        )
    there = model.stage_axes()
    tensors = model.by_name({field: model.array(field) for field in model.learnt()})
    weights = {f"{WEIGHT}{name}": "OI"[: x.ndim] for name, x in reversed(tensors.items())}
    return there | {f"{GRAD}{name}": axes for name, axes in reversed(there.items())} | weights


def has_gradients(recording: Reference) -> bool:
    """Tell whether a recording holds gradients."""
    return any(map(is_gradient, recording.stages))


def isolated(model: PreTrainedModel, batch: Batch, recording: Reference, who: str) -> Isolation:
    """Return a recording's stages, each measured; with the gradients, if it holds any."""
    kind = BackIsolation if has_gradients(recording) else Isolation
    return kind(model, batch, recording, who)


CHAIN = 4  # times what rounds one number does the sum of many, which partial sums round


class BackIsolation(Isolation):
    """A recording's stages and gradients, each measured against its operation in isolation."""

    def __init__(self, *given: Any) -> None:
        self.there: dict[Any, tuple[Kept, Any]] = {}  # by dtype, from what is known
        super().__init__(*given)

    def _axes(self) -> dict[str, str]:
        return axes_of_all(self.model)

    def run(self, trace: Recording, dtype: Any) -> None:
        """Run the network there and back."""
        learn(*cast(self.model, self.batch, dtype, all_words=True), trace)

    def _measured(self) -> dict[str, Measure]:
        """Measure all, with what rounding of inputs does to the gradient of a weight.

        It is a sum over all tokens, which may cancel out, as those of a key's bias do; ours is in
        float64, whatever the numbers are in.
        """
        found = super()._measured()
        weights = [name for name in found if name.startswith(WEIGHT)]
        both = self.known, nudged(self.known, CHAIN)
        one, other = (Replacing(self.batch, known, only=weights) for known in both)
        for trace in (one, other):
            self.run(trace, np.float64)
        for name in weights:
            sizes = found[name].rounding, Size.of(other[name] - one[name])
            largest, rms = (max(x) for x in zip(*map(astuple, sizes), strict=True))
            found[name] = replace(found[name], rounding=Size(largest, rms))
        return found

    def computed(
        self,
        stage: str,
        dtype: Any = np.float64,
        *,
        change: Change = unchanged,
        without: Container[str] = (),
        besides: Mapping[str, Array] = MappingProxyType({}),
        poison: str = "",
        inputs: Inputs | None = None,
        only: list[int] | None = None,
    ) -> Array:
        """Return a stage or a gradient as the network computes it from what is known before.

        A gradient is always that of the whole batch, whose loss is one.
        """
        if not is_gradient(stage):
            options: Any = {"change": change, "without": without, "besides": besides}
            options |= {"poison": poison, "inputs": inputs, "only": only}
            return super().computed(stage, dtype, **options)
        known = {x: self.known[x] for x in self.known if x not in without} | dict(besides)
        options = {"change": change, "cache": self.layers, "all_words": True}
        model, batch = cast(self.model, self.batch, dtype, **options)
        trace = Replacing(batch, known, only={stage})
        if poison:
            trace = Poisoned(batch, known, poison, stage)
        if poison or without or besides:
            learn(model, batch, trace)
        else:
            ready = self._there(model, batch, dtype)
            go_back(model, *ready, trace, weights=stage.startswith(WEIGHT))
        if stage not in trace:
            raise ValueError(f"{stage} is inside of a derivative that is swapped whole")
        return trace[stage]

    def _there(self, model: Any, batch: Batch, dtype: Any) -> tuple[Kept, Any]:
        """Return what the way there left, which no change of a derivative changes."""
        if dtype not in self.there:
            kept = Kept(beside=Replacing(batch, self.known, only=()))
            self.there[dtype] = kept, model.go_there(batch, kept)
        return self.there[dtype]

    @cached_property
    def precisions(self) -> dict[str, Precision]:
        """The precision of each stage; of all weights' gradients, that which most of them show.

        Some are hardly more than rounding, which may lie on any grid.
        """
        found = super().precisions
        shown = [precision for name, precision in found.items() if name.startswith(WEIGHT)]
        common = max(shown, key=shown.count, default=FLOAT64)
        return {x: common if x.startswith(WEIGHT) else found[x] for x in found}

    def before(self, stage: str) -> list[str]:
        """Return the stages and gradients that come before one."""
        if not is_gradient(stage):
            return super().before(stage)
        order = list(self.axes)
        return order[: order.index(stage)]

    def _leads(self, source: str, stage: str) -> bool:
        if not is_gradient(stage):
            return super()._leads(source, stage)
        return not source.startswith(WEIGHT) and self._reaches(source, stage)
