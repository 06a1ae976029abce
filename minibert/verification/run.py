"""Run a model on a reference's inputs and compare, stage by stage, in network order."""

from typing import Any

from minibert.checkpoint.loading import LoadingReport
from minibert.functions import Array
from minibert.models.pretrained import PreTrainedModel
from minibert.verification.compare import ATOL, RTOL, Tolerance, compare, real_places
from minibert.verification.reference import Reference
from minibert.verification.report import Report


def verify(
    model: PreTrainedModel, reference: Reference, atol: float = ATOL, rtol: float = RTOL
) -> Report:
    """Compare the model's stages with the reference's, on real tokens only.

    A stage agrees if ``|ours - theirs| <= atol + rtol * |theirs|`` everywhere; NaN never does.
    Stages that the reference lacks are not compared. ValueError or TypeError if the reference's
    inputs do not fit the model.
    """
    tolerance = Tolerance(atol, rtol)
    stages: dict[str, Array] = {}
    inputs: dict[str, Any] = {**reference.inputs}
    model(**inputs, trace=stages)
    real = reference.real_tokens()
    axes = model.stage_axes()
    known = [name for name in axes if name in reference.stages]
    unknown = [name for name in reference.stages if name not in axes]
    rows = []
    for name in [*known, *unknown]:
        places = real_places(axes.get(name, "BTC"), real)
        if places.any():
            rows.append(compare(name, stages.get(name), reference.stages[name], places, tolerance))
    return Report(tuple(rows), tolerance, _provenance(model, reference, int(real.sum())))


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
