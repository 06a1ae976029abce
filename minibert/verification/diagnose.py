"""Hold a model against a reference, or two recordings against each other, stage by stage."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from minibert.batch import Batch, make_batch
from minibert.checkpoint.load import LoadingReport
from minibert.data import shipped_references
from minibert.models.base import PreTrainedModel
from minibert.models.bert import BertModel
from minibert.runtime.arrays import Array
from minibert.runtime.spelling import a_kind, spelled
from minibert.runtime.threads import turn
from minibert.trace import Recording
from minibert.verification.align import aligned
from minibert.verification.cause import FACTOR, likely_cause, short_products
from minibert.verification.compare import ATOL, RTOL, Difference, Tolerance, per_token, real_places
from minibert.verification.isolate import Isolation
from minibert.verification.names import INPUTS, returned_stages
from minibert.verification.noise import Noise, noise_of
from minibert.verification.plain import Plain
from minibert.verification.precision import FLOAT32, FLOAT64, in_words
from minibert.verification.reference import Reference
from minibert.verification.report import Diagnosis
from minibert.verification.result import StageResult


@spelled
def verify(
    model: PreTrainedModel | str | os.PathLike[str],
    reference: Reference | str | os.PathLike[str],
    atol: float | None = None,
    rtol: float | None = None,
    **options: Any,
) -> Diagnosis:
    """Diagnose a model against a reference, on real tokens only.

    The engine runs as it is, with whatever is swapped, on the reference's own stages, in float64: a
    stage is a fault if the operations since the last recorded ones add more than FACTOR times what
    rounding alone does there. What the model returns must agree with the reference, too, as far as
    rounding from the inputs on allows. Stages that the reference lacks are bridged.

    model: one of this package, or a name with options as of BertModel.from_pretrained. reference:
    a recording, its file, or the name of one that is shipped.
    atol, rtol: if either is given, ``|ours - theirs| <= atol + rtol * |theirs|`` is required
    besides, by default with 1e-5 and 1e-3. ValueError or TypeError if the reference's inputs do
    not fit the model.
    """
    model = _opened(model, options)
    reference = _reference(reference, len(model.encoder.layers))
    batch, real = _batch(model, reference), reference.real_tokens()
    trace = Recording(batch, only=reference.stages)
    with turn():
        fields = model.forward(batch, trace)
    ours = {name: trace.take(name) for name in list(trace)}
    returned = returned_stages(fields, f"layer.{len(model.encoder.layers) - 1}")
    for name in returned.keys() & ours.keys():  # what a trace does not see: the unpacking
        ours[name] = returned[name].reshape(ours[name].shape)
    with turn():
        theirs = Isolation(model, batch, reference, "the reference")
        comparison = Comparison(ours, theirs, None, _tolerance(atol, rtol))
        return comparison.diagnosis(_provenance(model, reference, int(real.sum())))


@spelled
def compare_recordings(
    a: Reference,
    b: Reference,
    model: PreTrainedModel | None = None,
    atol: float | None = None,
    rtol: float | None = None,
) -> Diagnosis:
    """Diagnose two recordings of the same inputs against each other.

    Of other batches, the sequences that both have are compared, wherever their padding lies.
    With a model that has their weights, each side is held against its operations, and the report
    says which side is wrong, where. Without one, a stage is DIFF if not
    ``|a - b| <= atol + rtol * |b|``, by default with 1e-5 and 1e-3: where two recordings part is
    all that they show alone. ValueError if their inputs differ or do not fit the model.
    """
    a, b = aligned(a, b)
    real = a.real_tokens()
    provenance: dict[str, Any] = {"a": a.provenance, "b": b.provenance, "reference": b.provenance}
    provenance |= {"real_tokens": int(real.sum()), "model": repr(model) if model else "none"}
    if model is None:
        tolerance = Tolerance(ATOL if atol is None else atol, RTOL if rtol is None else rtol)
        return Plain(a.stages, b.stages, real, tolerance).diagnosis(provenance)
    batch = _batch(model, a)
    with turn():
        ours = Isolation(model, batch, a, "recording A")
        theirs = Isolation(model, batch, b, "recording B")
        comparison = Comparison(a.stages, theirs, ours, _tolerance(atol, rtol))
        return comparison.diagnosis(provenance)


class Comparison:
    """The stages of two sides, and the rows that they make."""

    def __init__(
        self,
        ours: dict[str, Array],
        theirs: Isolation,
        mine: Isolation | None,
        tolerance: Tolerance | None,
    ) -> None:
        self.ours, self.theirs, self.tolerance = ours, theirs, tolerance
        self.sides = [theirs] if mine is None else [theirs, mine]  # examined by themselves
        self.bad: set[str] = set()  # stages that are wrong by themselves
        self.noises: dict[str, Noise | None] = {}  # by side
        self.coarsest = FLOAT64  # precision of a stage so far
        self.token_errors: dict[str, Array] = {}

    def diagnosis(self, provenance: dict[str, Any]) -> Diagnosis:
        """Return the report."""
        rows = tuple(self._rows())
        shown = [item for side in self.sides for item in side.precisions.items()]
        precision = in_words(shown)
        return Diagnosis(rows, precision, FACTOR, provenance, self.tolerance, self.token_errors)

    def _rows(self) -> Iterator[StageResult]:
        there = dict.fromkeys(name for side in self.sides for name in side.stages)
        axes = self.theirs.axes
        for name in [*(x for x in axes if x in there), *(x for x in there if x not in axes)]:
            if any(name in side.measures or name in side.problems for side in self.sides):
                row = self._row(name)
                if row.is_fault:
                    self.bad.add(name)
                yield row

    def _row(self, name: str) -> StageResult:
        difference = self._difference(name)
        for side in self.sides:
            if name in side.problems:
                return self._problem(name, side, difference)
        row = StageResult(name, "OK", **difference)
        for side in self.sides:
            if name in side.measures:
                row = self._judged(row, side)
        if row.status == "OK":
            row = self._accumulated(row)
        return self._tolerated(row)

    def _difference(self, name: str) -> dict[str, Any]:
        ours, theirs = self.ours.get(name), self.theirs.stages.get(name)
        if ours is None or theirs is None or ours.shape != theirs.shape:
            return {}
        axes, real = self.theirs.axes.get(name, "BTC"), self.theirs.real
        places = np.broadcast_to(real_places(axes, real), theirs.shape)
        if not places.any():
            return {}
        found = Difference.of(ours, theirs, places)
        self.token_errors[name] = per_token(axes, found.error, real)
        return found.fields()

    def _problem(self, name: str, side: Isolation, difference: dict[str, Any]) -> StageResult:
        status, detail = side.problems[name]
        before = {x for x in self.bad if side.problems.get(x, ("",))[0] == "NONFINITE"}
        if status == "NONFINITE" and before:
            status, detail = "INHERITED", f"{detail}, as in a stage before"
        return StageResult(name, status, side=side.who, detail=detail, **difference)

    def _judged(self, row: StageResult, side: Isolation) -> StageResult:
        """Fill in what the operation adds on one side, and whether that is a fault."""
        name = row.stage
        self._recognise(name, side)
        measure, precision = side.measures[name], side.precisions[name]
        self.coarsest = max(self.coarsest, precision, key=lambda form: form.scale)
        added, excess = measure.added.largest, side.excess(name)
        figures: dict[str, Any] = {
            "added": added,
            "floor": measure.floor(precision).largest,
            "excess": excess,
        }
        if row.added is None:
            row = replace(row, **figures)
        if excess <= FACTOR or row.status == "FAULT":
            return row
        wrong = self.bad & set(side.before(name)) & side.known.keys()
        if wrong and side.agrees_without(name, wrong, FACTOR):
            return row
        cause, after = likely_cause(side, name), side.after(name)
        if cause is None and (noise := self._noise(side)):
            cause = f"{side.who} differs by as much as {noise.phrase} do, at every stage"
            if side.precisions[name] is noise.precision and side.excess(name) <= FACTOR:
                return self._judged(replace(row, added=None), side)
        return replace(row, **figures, status="FAULT", cause=cause, after=after, side=side.who)

    def _noise(self, side: Isolation) -> Noise | None:
        """Return the arithmetic that a side shows; a stage of such numbers proves it for all."""
        if side.who not in self.noises:
            self.noises[side.who] = noise = noise_of(side)
            faulty = [x for x in side.measures if side.excess(x) > FACTOR]
            grids = {precision.name for precision in side.precisions.values()}
            if noise and noise.precision and grids & {*noise.phrase.split()}:
                side.precisions.update(dict.fromkeys(faulty, noise.precision))
        return self.noises[side.who]

    def _recognise(self, name: str, side: Isolation) -> None:
        """See whether a stage is beyond its floor for short matrix products only."""
        own = side.precisions[name]
        if own in (FLOAT32, FLOAT64) and side.excess(name) > FACTOR:
            with np.errstate(all="ignore"):
                side.precisions[name] = short_products(side, name) or own

    def _accumulated(self, row: StageResult) -> StageResult:
        """See whether both sides follow their operations, and differ by more than rounding."""
        if row.accumulated is None:
            return replace(row, status="INHERITED") if self._is_spoiled(row.stage) else row
        if not self._is_far(row):
            return row
        if self.bad:
            return replace(row, status="INHERITED")
        apart = (
            f"they are {row.accumulated:.1e} apart, more than rounding from the inputs on explains"
        )
        return replace(row, status="FAULT", detail=f"each side follows its operations, and {apart}")

    def _is_spoiled(self, name: str) -> bool:
        """Tell whether the only side that has a stage has a wrong one before it."""
        (side,) = (side for side in self.sides if name in side.stages)
        return bool(self.bad & side.stages.keys())

    def _is_far(self, row: StageResult) -> bool:
        """Tell whether rounding, all the way from the inputs, cannot explain a difference."""
        assert row.accumulated is not None
        name, theirs = row.stage, self.theirs
        measure = theirs.measures[name]
        own = FLOAT32 if self.ours[name].dtype == np.float32 else FLOAT64
        coarsest = max(self.coarsest, own, key=lambda precision: precision.scale)
        if row.accumulated <= FACTOR * measure.floor(coarsest).largest:
            return False
        whole_way = replace(measure, rounding=theirs.rounding_from_inputs(name))
        return not row.accumulated <= FACTOR * whole_way.floor(coarsest).largest

    def _tolerated(self, row: StageResult) -> StageResult:
        ours, theirs = self.ours.get(row.stage), self.theirs.stages.get(row.stage)
        if self.tolerance is None or not row.ok or ours is None or theirs is None:
            return row
        places = self.theirs.places(row.stage)
        outside, count = int((~self.tolerance.allows(ours, theirs) & places).sum()), places.sum()
        detail = f"{outside} of {count} numbers are beyond the tolerance"
        return replace(row, status="DIFF", detail=detail) if outside else row


def _opened(model: Any, options: dict[str, Any]) -> PreTrainedModel:
    """Return the model itself, or that of a name."""
    if isinstance(model, str | os.PathLike):
        return BertModel.from_pretrained(model, **options)
    if options:
        raise TypeError(f"{[*options]} are for a name of a model, and a model is given")
    if not isinstance(model, PreTrainedModel):
        raise TypeError(
            f"model is {a_kind(model)}; needed: one of minibert, a folder or a Hub id. "
            "What another program computes is a reference: see Reference.from_arrays"
        )
    return model


def _reference(reference: Any, layers: int | None = None) -> Reference:
    """Return the reference itself, or that of a file or of the name of a shipped one."""
    if isinstance(reference, str | os.PathLike):
        shipped = {} if Path(reference).exists() else shipped_references()
        return Reference.load(shipped.get(str(reference), Path(reference)), layers)
    if not isinstance(reference, Reference):
        raise TypeError(
            f"reference is {a_kind(reference)}; needed: a Reference, a file or a name "
            f"({', '.join(shipped_references())}). Reference.from_arrays makes one of arrays"
        )
    return reference


def _tolerance(atol: float | None, rtol: float | None) -> Tolerance | None:
    if atol is None and rtol is None:
        return None
    return Tolerance(ATOL if atol is None else atol, RTOL if rtol is None else rtol)


def _batch(model: PreTrainedModel, reference: Reference) -> Batch:
    return make_batch(model.config, model.dtype, *map(reference.inputs.get, INPUTS))


def _provenance(model: PreTrainedModel, reference: Reference, tokens: int) -> dict[str, Any]:
    report: LoadingReport | None = model.loading_report
    recorded = reference.provenance.get("checkpoint_sha256")
    return {
        "model": repr(model),
        "files": [str(path) for path in report.files] if report else [],
        "checkpoint_sha256": report.sha256() if report and recorded else None,
        "real_tokens": tokens,
        "reference": reference.provenance,
    }
