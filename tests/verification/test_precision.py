"""The precision of a recording is told by its numbers."""

import numpy as np
import pytest
from faults import FAULTS, PLAIN, draw_inputs, record

from minibert import EMBEDDED_CHECKPOINT, BertModel, Reference, verify
from minibert.runtime.swap import swap
from minibert.verification.cause import shortened
from minibert.verification.precision import grids


@pytest.fixture(scope="module")
def models():
    return {t: BertModel.from_pretrained(EMBEDDED_CHECKPOINT, t) for t in ("float32", "float64")}


def bfloat16(x):
    return shortened(x.astype(np.float32), 8)


def stored(model, inputs, narrow):
    """Return a run whose every operation works on numbers of few digits and leaves such."""

    def linear(x, w, b):
        return narrow(PLAIN["linear"](narrow(x), narrow(w), narrow(b)))

    def layer_norm(x, w, b, eps):
        return narrow(PLAIN["layer_norm"](narrow(x), narrow(w), narrow(b), eps))

    one = {n: lambda x, n=n: narrow(PLAIN[n](x)) for n in ("softmax", "gelu", "tanh")}
    names = ("attention_scores", "attention_context")
    two = {n: lambda x, y, n=n: narrow(PLAIN[n](x, y)) for n in names}
    trace = {}
    with swap(linear=linear, layer_norm=layer_norm, **one, **two):
        model(**inputs, trace=trace)
    trace["embeddings.sum"] = narrow(trace["embeddings.sum"])
    return Reference(inputs, trace)


def inputs_of(model):
    return draw_inputs(model.config, np.random.default_rng(2))


@pytest.mark.parametrize("name", ["float64", "float32"])
def test_our_own_runs(models, name):
    trace, inputs = {}, inputs_of(models[name])
    models[name](**inputs, trace=trace)
    assert verify(models["float32"], Reference(inputs, trace)).precision == name


@pytest.mark.usefixtures("one_thread")  # sums of what two computed would not be half precision
@pytest.mark.parametrize(
    ("name", "narrow"),
    [
        ("float16", lambda x: x.astype(np.float16).astype(np.float32)),
        ("bfloat16", bfloat16),
    ],
)
def test_half_precision(models, name, narrow):
    model = models["float32"]
    report = verify(model, stored(model, inputs_of(model), narrow))
    assert (report.ok, report.precision) == (True, name), str(report)


def short_products(cut):
    def short(x):
        return shortened(x, 11, cut)

    return {
        "linear": lambda x, w, b: PLAIN["linear"](short(x), short(w), b),
        "attention_scores": lambda q, k: PLAIN["attention_scores"](short(q), short(k)),
        "attention_context": lambda p, v: PLAIN["attention_context"](short(p), short(v)),
    }


@pytest.mark.parametrize("cut", [np.rint, np.trunc])
@pytest.mark.parametrize("hidden", [False, True])
def test_tf32(models, cut, hidden):
    model, trace, inputs = models["float32"], {}, inputs_of(models["float32"])
    with swap(**short_products(cut)):
        model(**inputs, trace=trace)
    kept = {k: v for k, v in trace.items() if not hidden or (k.count(".") < 2 and "sum" not in k)}
    report = verify(model, Reference(inputs, kept))
    assert report.ok, str(report)
    assert "TF32" in report.precision


def test_a_fault_is_not_taken_for_tf32(models):
    """The tanh GELU in every layer, hidden states only: as large an error, at all stages alike."""
    model, trace, inputs = models["float32"], {}, inputs_of(models["float32"])
    with swap(gelu=PLAIN["gelu_new"]):
        model(**inputs, trace=trace)
    kept = {k: v for k, v in trace.items() if k.count(".") < 2 and "sum" not in k}
    report = verify(model, Reference(inputs, kept))
    layers = [f"layer.{i}" for i in range(model.config.num_hidden_layers)]
    assert [row.stage for row in report.faults] == layers
    assert all("gelu_new (tanh)" in row.cause for row in report.faults)
    assert report.precision == "float32"


def test_a_fault_in_half_precision_is_found(models):
    fault = next(f for f in FAULTS if f.name == "scale_missing")
    reference = record([(fault, 1)], models["float32"], inputs_of(models["float32"]), "float16")
    stages = {k: v.astype(np.float32) for k, v in reference.stages.items()}
    report = verify(models["float32"], Reference(reference.inputs, stages))
    assert report.first_failure.stage == "layer.1.attention.scores"
    assert "not divided" in report.first_failure.cause
    assert report.precision == "float16"


def test_a_stage_with_few_numbers_follows_the_others():
    random = np.random.default_rng(0)
    many = random.normal(size=500).astype(np.float32)
    found = grids({"many": many, "ones": np.ones(9, np.float32), "few": many[:3]})
    assert {p.name for p in found.values()} == {"float32"}
    half = many.astype(np.float16).astype(np.float32)
    found = grids({"many": half, "ones": np.ones(9, np.float32), "odd": many})
    assert [p.name for p in found.values()] == ["float16", "float16", "float32"]
