"""Hold a model against a reference, or two recordings against each other, stage by stage."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.batch import Batch
from minibert.checkpoint.loading import LoadingReport
from minibert.models.base import PreTrainedModel
from minibert.runtime.arrays import Array
from minibert.runtime.swap import stand_in
from minibert.runtime.threads import turn
from minibert.verification.cause import FACTOR, likely_cause
from minibert.verification.compare import ATOL, RTOL, Difference, Tolerance, real_places
from minibert.verification.diagnosis import Diagnosis, StageResult
from minibert.verification.examine import Examination
from minibert.verification.graph import Graph, Pass
from minibert.verification.naming import INPUTS
from minibert.verification.packing import per_token
from minibert.verification.precision import FLOAT32
from minibert.verification.products import products_in
from minibert.verification.reference import Reference


def verify(
    model: PreTrainedModel,
    reference: Reference,
    atol: float | None = None,
    rtol: float | None = None,
) -> Diagnosis:
    """Diagnose a model against a reference, on real tokens only.

    Each operation is run alone, in float64, on the reference's own inputs. A stage is a fault if
    that adds more than FACTOR times what rounding alone does there. The model's own run must
    follow its operations in the same way. Stages that the reference lacks are not compared.

    atol, rtol: if either is given, ``|ours - theirs| <= atol + rtol * |theirs|`` is required
    besides, by default with 1e-5 and 1e-3. ValueError or TypeError if the reference's inputs do
    not fit the model.
    """
    stages: dict[str, Array] = {}
    inputs: dict[str, Any] = {**reference.inputs}
    model(**inputs, trace=stages)
    real = _merged(reference.real_tokens(), 2)
    graph = Graph(model, _batch(model, reference))
    shown = {name: stage for name, stage in reference.stages.items() if not _is_hidden(name)}
    with turn():
        theirs = Examination(graph, shown, real, "the reference")
        wanted = {name: stages[name] for name in stages if name in graph.operations}
        ours = Examination(graph, wanted, real, "this model's run")
        comparison = Comparison(ours, theirs, _tolerance(atol, rtol))
        return comparison.diagnosis(_provenance(model, reference, int(real.sum())))


def compare_recordings(
    a: Reference,
    b: Reference,
    model: PreTrainedModel | None = None,
    atol: float | None = None,
    rtol: float | None = None,
) -> Diagnosis:
    """Diagnose two recordings of the same inputs against each other.

    With a model that has their weights, each side is held against its operations, and the report
    says which side is wrong, where. Without one, a stage is DIFF if not
    ``|a - b| <= atol + rtol * |b|``, by default with 1e-5 and 1e-3: where two recordings part is
    all that they show alone. ValueError if their inputs differ or do not fit the model.
    """
    _require_same_inputs(a, b)
    real = _merged(a.real_tokens(), 2)
    provenance: dict[str, Any] = {"a": a.provenance, "b": b.provenance, "reference": b.provenance}
    provenance |= {"real_tokens": int(real.sum()), "model": repr(model) if model else "none"}
    if model is None:
        tolerance = Tolerance(ATOL if atol is None else atol, RTOL if rtol is None else rtol)
        return _without_model(a, b, real, tolerance, provenance)
    graph = Graph(model, _batch(model, a))
    with turn():
        ours = Examination(graph, a.stages, real, "recording A")
        theirs = Examination(graph, b.stages, real, "recording B")
        return Comparison(ours, theirs, _tolerance(atol, rtol)).diagnosis(provenance)


#: The stages within an operation, which only ours tells of.
WITHIN = {
    "attention": ("scores", "probabilities"),
    "embeddings": ("sum",),
    "feed_forward": ("intermediate", "activation"),
}


class Comparison:
    """Two examined recordings, and the rows that they make."""

    def __init__(self, ours: Examination, theirs: Examination, tolerance: Tolerance | None) -> None:
        self.ours, self.theirs, self.tolerance = ours, theirs, tolerance
        self.bad: set[str] = set()  # stages that are wrong by themselves
        self.exact = Pass(theirs.graph, {}, np.float64)  # all computed, from the inputs on
        self.token_errors: dict[str, Array] = {}

    def diagnosis(self, provenance: dict[str, Any]) -> Diagnosis:
        """Return the report."""
        rows = tuple(self._rows())
        names = sorted({p.name for p in self.theirs.precisions.values()})
        precision = " and ".join(names) or "unknown"
        return Diagnosis(rows, precision, FACTOR, provenance, self.tolerance, self.token_errors)

    def _rows(self) -> Iterator[StageResult]:
        axes, stages = self.theirs.graph.axes, self.theirs.stages
        for name in [*axes, *(name for name in stages if name not in axes)]:
            if name in stages and self._has_real_places(name):
                row = self._row(name)
                if row.is_fault:
                    self.bad.add(name)
                yield row

    def _has_real_places(self, name: str) -> bool:
        axes = self.theirs.graph.axes.get(name, "BTC")
        return bool(real_places(axes, self.theirs.real).any())

    def _row(self, name: str) -> StageResult:
        difference = self._difference(name)
        for side in (self.theirs, self.ours):
            if name in side.problems:
                return self._problem(name, side, difference)
        row = StageResult(name, "OK", side=None, **difference)
        for side in (self.theirs, self.ours):
            if name in side.measures:
                row = self._judged(row, name, side)
        return self._tolerated(row, name)

    def _difference(self, name: str) -> dict[str, Any]:
        ours, theirs = self.ours.stages.get(name), self.theirs.stages[name]
        if ours is None or ours.shape != theirs.shape:
            return {}
        axes = self.theirs.graph.axes.get(name, "BTC")
        real = np.broadcast_to(real_places(axes, self.theirs.real), theirs.shape)
        found = Difference.of(ours, theirs, real)
        self.token_errors[name] = per_token(axes, found.error, self.theirs.real)
        return found.fields()

    def _problem(self, name: str, side: Examination, difference: dict[str, Any]) -> StageResult:
        status, detail = side.problems[name]
        before = side.ancestors(name) if name in side.graph.operations else set()
        spoiled = {x for x in before if side.problems.get(x, ("",))[0] == "NONFINITE"}
        if status == "NONFINITE" and spoiled:
            status, detail = "INHERITED", f"{detail}, as in a stage before"
        return StageResult(name, status, side=side.who, detail=detail, **difference)

    def _judged(self, row: StageResult, name: str, side: Examination) -> StageResult:
        """Fill in what the operation adds on one side, and whether that is a fault."""
        self._recognise(name, side)
        measure, precision = side.measures[name], side.precisions[name]
        excess, floor = side.excess(name), measure.floor(precision).largest
        if side is self.theirs:
            row = replace(row, added=measure.added.largest, floor=floor, excess=excess)
        wrong = self.bad & set(side.graph.operations[name][0])
        if wrong and excess > FACTOR and side.agrees_without(name, wrong, FACTOR):
            return row
        if excess <= FACTOR:
            spoiled = self.bad & side.ancestors(name)
            if row.status == "OK" and spoiled and self._is_far(row):
                return replace(row, status="INHERITED")
            return row
        if row.status == "FAULT":
            return row
        detail = f"{side.who} adds {measure.added.largest:.1e}, {excess:.3g} times the floor"
        cause, after = likely_cause(side, name), side.after(name)
        return replace(
            row,
            status="FAULT",
            added=measure.added.largest,
            floor=floor,
            excess=excess,
            cause=cause,
            after=after,
            side=side.who,
            detail=detail,
        )

    def _recognise(self, name: str, side: Examination) -> None:
        """See whether a float32 stage is beyond its floor for short matrix products only."""
        if side.precisions[name] is FLOAT32 and side.excess(name) > FACTOR:
            with np.errstate(all="ignore"):
                side.precisions[name] = products_in(side, name, FACTOR) or FLOAT32

    def _is_far(self, row: StageResult) -> bool:
        """Tell whether rounding all the way cannot explain how far apart two stages are.

        How far rounding leads on our side shows beside a run of the same operations in float64.
        """
        name, ours, theirs = row.stage, self.ours, self.theirs
        if row.accumulated is None or name not in ours.measures:
            return True
        mine, its = ours.precisions[name], theirs.precisions[name]
        rounded = max(
            ours.error(name, self.exact.value(name)).largest,
            ours.measures[name].floor(mine).largest,
        )
        floor = rounded * max(1.0, its.scale / mine.scale)
        return not row.accumulated <= FACTOR * floor

    def _tolerated(self, row: StageResult, name: str) -> StageResult:
        ours = self.ours.stages.get(name)
        if self.tolerance is None or not row.ok or ours is None:
            return row
        theirs, places = self.theirs.stages[name], self.theirs.places(name)
        outside = int((~self.tolerance.allows(ours, theirs) & places).sum())
        if not outside:
            return row
        count = int(places.sum())
        return replace(
            row, status="DIFF", detail=f"{outside} of {count} numbers are beyond the tolerance"
        )


def _is_hidden(stage: str) -> bool:
    """Tell whether a stage lies within an operation that is swapped, and so cannot be seen."""
    return any(
        stage.endswith(f"{name}.{inner}") and stand_in(name) is not None
        for name, stages in WITHIN.items()
        for inner in stages
    )


def _tolerance(atol: float | None, rtol: float | None) -> Tolerance | None:
    if atol is None and rtol is None:
        return None
    return Tolerance(ATOL if atol is None else atol, RTOL if rtol is None else rtol)


def _batch(model: PreTrainedModel, reference: Reference) -> Batch:
    inputs = (reference.inputs.get(name) for name in INPUTS)
    return model._batch(
        *(None if x is None else _merged(x, 3 if x.dtype.kind == "f" else 2) for x in inputs)
    )


def _merged(array: NDArray[Any], dimensions: int) -> NDArray[Any]:
    """Make one axis of batch and choices, where there are choices."""
    return array.reshape(-1, *array.shape[2:]) if array.ndim > dimensions else array


def _require_same_inputs(a: Reference, b: Reference) -> None:
    for name in INPUTS:
        first, second = a.inputs.get(name), b.inputs.get(name)
        if name == "attention_mask":
            first, second = a.real_tokens(), b.real_tokens()
        missing = (first is None) != (second is None)
        if missing or not np.array_equal(first, second):  # type: ignore[arg-type]
            raise ValueError(
                f"the two recordings have different {name}: only recordings of the same inputs "
                "can be compared"
            )


def _without_model(
    a: Reference,
    b: Reference,
    real: NDArray[np.bool_],
    tolerance: Tolerance,
    provenance: dict[str, Any],
) -> Diagnosis:
    from minibert.verification.plain import plain_rows

    rows, token_errors, precision = plain_rows(a.stages, b.stages, real, tolerance)
    return Diagnosis(rows, precision, FACTOR, provenance, tolerance, token_errors)


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
