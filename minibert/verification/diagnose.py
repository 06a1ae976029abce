"""Hold a model against a reference, or two recordings against each other, stage by stage."""

import os
from pathlib import Path
from typing import Any

from minibert.batch import Batch, make_batch
from minibert.checkpoint.load import LoadingReport
from minibert.data import shipped_references
from minibert.models.auto import AutoModel
from minibert.models.base import TARGETS, PreTrainedModel
from minibert.runtime.progress import work
from minibert.runtime.spelling import a_kind, spelled
from minibert.runtime.threads import turn
from minibert.trace import Recording
from minibert.verification.align import aligned
from minibert.verification.compare import ATOL, RTOL, Tolerance
from minibert.verification.comparison import Comparison
from minibert.verification.names import INPUTS, returned_stages
from minibert.verification.parts import last_state
from minibert.verification.plain import Plain
from minibert.verification.reference import Reference
from minibert.verification.report import Diagnosis
from minibert.verification.way_back import axes_of_all, has_gradients, isolated, learn


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
    reference = _reference(reference, _count(model)).with_last(model.last_state)
    batch, real = _batch(model, reference), reference.real_tokens()
    trace = Recording(batch, only=reference.stages)
    with turn():
        fields = model.forward(batch, trace)
        if has_gradients(reference):
            trace.pieces.clear()
            learn(model, batch, trace)
    ours = {name: trace.take(name) for name in list(trace)}
    last = model.last_state or last_state(model)
    returned = returned_stages(fields, last)
    for name in returned.keys() & ours.keys():  # what a trace does not see: the unpacking
        if returned[name].size == ours[name].size:  # not of the last token alone
            ours[name] = returned[name].reshape(ours[name].shape)
    with turn(), work("verify"):
        theirs = isolated(model, batch, reference, "the reference")
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
        return Plain(a.stages, b.stages, a.masks, tolerance).diagnosis(provenance)
    a, b = (side.of_layers(_count(model)).with_last(model.last_state) for side in (a, b))
    with turn(), work("compare"):
        ours = isolated(model, _batch(model, a), a, "recording A")
        theirs = isolated(model, _batch(model, b), b, "recording B")
        comparison = Comparison(a.stages, theirs, ours, _tolerance(atol, rtol))
        return comparison.diagnosis(provenance)


def _opened(model: Any, options: dict[str, Any]) -> PreTrainedModel:
    """Return the model itself, or that of a name."""
    if isinstance(model, str | os.PathLike):
        opened: PreTrainedModel = AutoModel.from_pretrained(model, **options)
        return opened
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
    return reference.of_layers(layers)


def _tolerance(atol: float | None, rtol: float | None) -> Tolerance | None:
    if atol is None and rtol is None:
        return None
    return Tolerance(ATOL if atol is None else atol, RTOL if rtol is None else rtol)


def _count(model: PreTrainedModel) -> int:
    """Return how many layers lead to the last hidden state."""
    return len([*model.stacks.values()][-1].layers)


def _batch(model: PreTrainedModel, reference: Reference) -> Batch:
    if has_gradients(reference):
        axes_of_all(model)  # refuses a model without a head
        return model.batch(**reference.inputs)
    if len(model.stacks) > 1:
        return model.batch(**{x: y for x, y in reference.inputs.items() if x not in TARGETS})
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
