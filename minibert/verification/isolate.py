"""Each stage of a recording, measured against its operation run on the recording's own inputs.

That is one pass of the engine as it runs, swaps and all, which goes on with the recorded stage
wherever there is one: what is found at a stage is what the operations since the last recorded ones
add to the error. Where stages are missing, the network computes on. A pass in float32 before it
says how much of that rounding explains.
"""

from collections.abc import Container, Mapping
from dataclasses import replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.batch import Batch
from minibert.mistakes.inputs import Inputs
from minibert.models.base import PreTrainedModel
from minibert.runtime.arrays import Array
from minibert.trace import Recording, Replacing, layer_of
from minibert.verification.cast import Cache, Change, cast, unchanged
from minibert.verification.compare import real_places
from minibert.verification.masked import masked_alike
from minibert.verification.measure import Measure, Measuring, Size, nudged
from minibert.verification.parts import is_inside, last_state, spans, stack_of, states_at
from minibert.verification.passes import Partly, Poisoned
from minibert.verification.precision import FLOAT32, FLOAT64, Precision, grids
from minibert.verification.reference import Reference


class Isolation:
    """A recording's stages, each measured against its operation in isolation.

    problems: why a stage cannot be measured, as (status, detail). Such a stage is no input of
    another either: what comes after is computed from further back. A stage that is neither there
    nor measured is not shown by this run, for a function is swapped in around it.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        batch: Batch,
        recording: Reference,
        who: str,
    ) -> None:
        self.model, self.batch = model, batch
        self.inputs = Inputs.of(model.config, recording.inputs)
        self.stages = masked_alike(model, self.inputs, recording.stages)
        self.real, self.who, self.axes = self.inputs.mask, who, self._axes()
        self.masks = recording.masks
        self.layers: Cache = {}  # in other dtypes, for trials
        self.causes: dict[str, list[Any]] = {}  # stage -> the trials that explain its fault
        self.gaps: dict[str, list[str]] = {}  # of stages, once they have been asked for
        self.reached: dict[tuple[str, str], bool] = {}  # whether one stage is computed from another
        self.problems: dict[str, tuple[str, str]] = {}
        for name, stage in self.stages.items():
            if name not in self.axes:
                self.problems[name] = "MISSING", "the model has no stage of this name"
            elif odd := self._not_finite(name, stage):
                self.problems[name] = "NONFINITE", odd
        self.known = {name: x for name, x in self.stages.items() if name not in self.problems}
        with np.errstate(all="ignore"):  # what is recorded may be anything
            self.measures = self._measured()

    def _axes(self) -> dict[str, str]:
        """Return the axes of each stage, in the order in which they are computed."""
        return self.model.stage_axes()

    def _not_finite(self, name: str, stage: Array) -> str:
        places = real_places(self.axes[name], *self.masks)
        if stage.ndim != len(self.axes[name]) or not _fits(places.shape, stage.shape):
            return ""  # of another shape, which will be told
        odd = places & ~np.isfinite(stage)
        if not odd.any():
            return ""
        count, place = int(odd.sum()), np.argwhere(odd)[0].tolist()
        return f"{count} numbers are NaN or infinite, the first at {place}"

    def _measured(self) -> dict[str, Measure]:
        single = Replacing(self.batch, self.known)
        self.run(single, np.float32)
        for name, shape in single.misfits.items():
            detail = f"{self.who} has {self.stages[name].shape}, the model {shape}"
            if self.axes[name].startswith("BH") and self.stages[name].shape[2:] == shape[2:]:
                detail += ": another number of heads"
            self.problems[name] = "SHAPE", detail
            del self.known[name], single.pieces[name]
        exact = Measuring(self.batch, self.known, single)
        self.run(exact, np.float64)
        found = {
            name: Measure.joined(exact.measures[name])
            for name in self.axes
            if name in exact.measures
        }
        odd = {x for x, m in found.items() if m.rounding.largest > 1e-3 * m.size.largest}
        return {**found, **self._without_chance({name: found[name] for name in odd})}

    def _without_chance(self, measures: dict[str, Measure]) -> dict[str, Measure]:
        """Take for 0 what is too large for float32's rounding, unless it is that.

        It is not if the operation gives other numbers each time, or if it changes much less when
        its inputs are changed by as much as rounding does.
        """
        if not measures:
            return {}
        one, again, other = (
            Replacing(self.batch, known, only=measures)
            for known in (self.known, self.known, nudged(self.known))
        )
        for trace in (one, again, other):
            self.run(trace, np.float64)
        for name, measure in measures.items():
            at = self.places(name)
            changed = float(np.abs(other[name] - one[name])[at].max())
            is_same = np.array_equal(again[name][at], one[name][at])
            if not is_same or measure.rounding.largest > 1000 * changed:
                measures[name] = replace(measure, rounding=Size(0, 0))
        return measures

    def run(self, trace: Recording, dtype: Any) -> None:
        """Run the network, its head only if there is a stage of it to look at."""
        encoder = self.model.base_model
        needs_head = self.known.keys() - encoder.stage_axes().keys()
        model, batch = cast(self.model if needs_head else encoder, self.batch, dtype)
        model.forward(batch, trace)

    def rounding_from_inputs(self, name: str) -> Size:
        """Return how far float32 leads from float64 at a stage, all the way from the inputs."""
        return self._roundings[name]

    @cached_property
    def _roundings(self) -> dict[str, Size]:
        exact, single = (Recording(self.batch, only=self.measures) for _ in range(2))
        with np.errstate(all="ignore"):
            self.run(exact, np.float64)
            self.run(single, np.float32)
        found = {}
        for name in self.measures:
            difference = single.take(name) - exact.take(name)
            found[name] = Size.of(self.numbers(name, difference))
        return found

    def places(self, name: str) -> NDArray[np.bool_]:
        """Return where a stage holds real tokens, in its own shape."""
        places = real_places(self.axes[name], *self.masks)
        return np.broadcast_to(places, self.stages[name].shape)

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
        """Return a stage as the network computes it from what is known before.

        change: exchanges parts of the network. without: recorded stages that are not to be known;
        besides: what is known, too. poison: a stage that is NaN. inputs: others than the
        recording's. only: of which sequences.
        """
        known = {x: self.known[x] for x in self.known if x not in without} | dict(besides)
        batch = self.batch if inputs is None else inputs.batch()
        if inputs is not None and inputs.is_masked:
            known = {name: self._with_padding(name) for name in known}
        is_whole = inputs is None or not any(np.isnan(x).any() for x in known.values())
        if only is not None:
            batch = batch.only(only)
        runs = spans(self.model, stage, known if is_whole else ())
        model = self.model.base_model if is_inside(stage) else self.model
        model, batch = cast(model, batch, dtype, runs, change, self.layers)
        kind = Replacing if inputs is None else Partly
        trace = kind(batch, known, only={stage})
        if poison:
            trace = Poisoned(batch, known, poison, stage)
        model.forward(batch, trace)
        return trace[stage]

    def tokens(self, stage: str) -> NDArray[np.bool_]:
        """Return where tokens of a stage are real, (B, T), or (B, S) of what an encoder reads."""
        real, source = self.masks
        return source if source is not None and "S" in self.axes[stage][:2] else real

    def stage(self, name: str) -> Array:
        """Return a stage as it is recorded, or else computed, in float64."""
        known = self.known[name] if name in self.known else self.computed(name)
        return known.astype(np.float64)

    def _with_padding(self, name: str) -> Array:
        """Return a known stage with what is recorded at padding; NaN where nothing is."""
        stage, places = self.known[name], self.places(name)
        if len(self.axes[name]) == 2 or stage[~places].any():
            return stage
        return np.where(places, stage, np.nan)

    def numbers(self, stage: str, whole: Array) -> Array:
        """Return the numbers of a stage at real tokens."""
        places = self.places(stage)
        return whole.ravel() if places.all() else whole[places]

    def error(self, stage: str, computed: Array, only: list[int] | None = None) -> Size:
        """Return how far a computed stage is from the recorded one; ``only``: some sequences."""
        theirs = self.stages[stage]
        if only is None:
            return Size.of(self.numbers(stage, theirs) - self.numbers(stage, computed))
        places = self.places(stage)[only]
        return Size.of(theirs[only][places] - computed[only][places])

    @cached_property
    def precisions(self) -> dict[str, Precision]:
        """The precision of each stage, as its numbers show it.

        Numbers with float64's digits may come from operations in float32. So do these, if hardly
        any stage is nearer to float64 than float32's rounding is.
        """
        found = grids({x: self.numbers(x, self.stages[x]) for x in self.measures})
        ratios = [
            measure.added.rms / measure.rounding.rms
            for name, measure in self.measures.items()
            if found[name] is FLOAT64 and measure.rounding.rms > 0
        ]
        if (
            ratios and np.quantile(ratios, 0.1, method="lower") > 2.0**-14
        ):  # halfway from float64 to float32
            found = {name: FLOAT32 if p is FLOAT64 else p for name, p in found.items()}
        return found

    def excess(self, stage: str, added: Size | None = None) -> float:
        """Return how many times above its floor an added error is; the stage's own by default."""
        return self.measures[stage].excess(self.precisions[stage], added)

    def agrees_without(self, stage: str, others: set[str], factor: float) -> bool:
        """Tell whether a stage is right if others before it are computed, not as recorded.

        Then what was recorded of them is not what the recorded run went on with.
        """
        with np.errstate(all="ignore"):
            computed = self.computed(stage, without=others)
        return self.excess(stage, self.error(stage, computed)) <= factor

    def before(self, stage: str) -> list[str]:
        """Return the last known hidden state before a stage, and the stages from there on."""
        order = list(self.axes)
        names = order[: order.index(stage)]
        for stack, state in states_at(spans(self.model, stage, self.known)).items():
            done = set(names[: names.index(state)]) if state in names else set()
            names = [x for x in names if stack_of(x) != stack or x not in done]
        return names

    def gap(self, stage: str) -> list[str]:
        """Return the stages that a stage was computed from and that are not recorded."""
        if stage not in self.gaps:
            unknown = (name for name in self.before(stage) if name not in self.known)
            self.gaps[stage] = [x for x in unknown if self._leads(x, stage)]
        return self.gaps[stage]

    def after(self, stage: str) -> str | None:
        """Return the last recorded stage before a gap; None if all inputs are recorded."""
        if not self.gap(stage):
            return None
        known = [x for x in self.before(stage) if x in self.known]
        return next((x for x in reversed(known) if self._reaches(x, stage)), "the inputs")

    def _leads(self, source: str, stage: str) -> bool:
        """Tell whether a stage is computed from another one that is not recorded."""
        stack = stack_of(source)
        if stack in self.model.stacks and stack != stack_of(stage):
            source = last_state(self.model, stack)
        elif layer_of(source) != layer_of(stage):
            return True  # in layers before its own, it is computed from all
        return self._reaches(source, stage)

    def _reaches(self, source: str, stage: str) -> bool:
        if (source, stage) not in self.reached:
            with np.errstate(all="ignore"):
                computed = self.computed(stage, poison=source)
            numbers = self.numbers(stage, computed)
            self.reached[source, stage] = bool(np.isnan(numbers).any())
        return self.reached[source, stage]


def _fits(places: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return all(a in (1, b) for a, b in zip(places, shape, strict=True))
