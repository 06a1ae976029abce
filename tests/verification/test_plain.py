"""Two recordings without a model: both precisions, and one difference with its consequences."""

import numpy as np
import pytest

from minibert import EMBEDDED_CHECKPOINT, BertModel, Reference, compare_recordings, swap
from minibert.functions import gelu, linear
from minibert.verification.page import page

MODEL = BertModel.from_pretrained(EMBEDDED_CHECKPOINT, dtype="float64")
IDS = np.array([[2, 5, 6, 7, 3], [2, 11, 3, 0, 0]])
INPUTS = {"input_ids": IDS, "attention_mask": (IDS != 0) * 1, "token_type_ids": 0 * IDS}


def recorded(**functions):
    trace = {}
    with swap(**functions):
        MODEL(**INPUTS, trace=trace)
    return trace


STAGES = recorded()


def compared(a, b):
    return compare_recordings(*(Reference.from_arrays(x, INPUTS) for x in (a, b)))


def changed(*names):
    return {name: x + 0.1 if name in names else x for name, x in STAGES.items()}


def bfloat16(x):
    return (x.astype(np.float32).view(np.uint32) & 0xFFFF0000).view(np.float32)


COARSE = {name: bfloat16(x) for name, x in STAGES.items()}


def test_the_consequences_of_a_difference_are_no_faults():
    report = compared(STAGES, recorded(gelu=lambda x: gelu(x) * 1.01))
    (fault,) = report.faults
    assert fault.stage == "layer.0.feed_forward.activation"
    assert fault.detail.endswith("; 39 stages after it differ too, which may follow from it alone")
    assert [row.status for row in report.rows].count("INHERITED") == 39
    assert "(40" not in report.verdict


def test_a_single_difference_has_no_consequences():
    report = compared(STAGES, changed("layer.1"))
    assert report.verdict.endswith("numbers are beyond the tolerance")
    assert report.verdict.startswith("DIFF: layer.1: ")
    assert [row.status for row in report.rows if not row.ok] == ["DIFF"]


@pytest.mark.parametrize(
    ("names", "faults"),
    [
        (("query", "key", "value", "scores", "context"), ["query", "key", "value"]),
        (("value", "probabilities", "context"), ["value", "probabilities"]),
        (("scores", "probabilities"), ["scores"]),
    ],
)
def test_what_is_not_computed_from_a_stage_is_no_consequence(names, faults):
    report = compared(STAGES, changed(*(f"layer.2.attention.{name}" for name in names)))
    assert [row.stage for row in report.faults] == [f"layer.2.attention.{name}" for name in faults]


def test_nan_is_said_where_it_begins():
    spoiled = {name: np.where(x > 9e9, x, np.nan) for name, x in STAGES.items() if "2" in name}
    for pair in ((STAGES, {**STAGES, **spoiled}), ({**STAGES, **spoiled}, STAGES)):
        report = compared(*pair)
        assert report.first_failure.status == "NONFINITE"
        # query, key and value are computed beside each other
        assert [row.stage.rpartition(".")[2] for row in report.faults] == ["query", "key", "value"]


@pytest.mark.parametrize("swapped", [False, True])
def test_each_side_tells_its_precision(swapped):
    sides = (COARSE, STAGES) if swapped else (STAGES, COARSE)
    names = ("bfloat16", "float64") if swapped else ("float64", "bfloat16")
    report = compared(*sides)
    assert report.precision == f"{names[0]} (A) and {names[1]} (B)"
    assert f"recording A shows {names[0]}, recording B shows {names[1]}" in report.verdict
    assert f"the recordings are in {report.precision}" in " ".join(str(report).split())
    assert len(report.faults) == 1


def test_one_precision_is_told_once():
    report = compared(STAGES, STAGES)
    assert report.verdict == "OK: all 51 stages agree, to the rounding of float64"
    assert compared(COARSE, COARSE).precision == "bfloat16"


def test_both_recordings_are_told():
    a, b = ({"tools": f"engine {x}", "checkpoint_sha256": x} for x in "XY")
    report = compare_recordings(
        Reference.from_arrays(STAGES, INPUTS, a), Reference.from_arrays(STAGES, INPUTS, b)
    )
    for shown in (str(report), page(report)):
        assert "engine X" in shown
        assert "engine Y" in shown
        assert "DIFFERENT CHECKPOINTS" in " ".join(shown.split())
        assert "times the floor, which" not in " ".join(shown.split())
    assert "Without a model, a stage differs unless |A - B| <= 1e-05 + 0.001 * |B|." in " ".join(
        str(report).split()
    )
    assert "Recording B" in page(report)
    assert "tools&#x27;" not in page(report)  # no dict as Python writes it


def test_inputs_that_both_recordings_lack_are_said_once():
    few = {"input_ids": IDS[:1]}
    trace = {}
    MODEL(**few, trace=trace)
    both = [Reference.from_arrays(trace, few) for _ in "ab"]
    text = "Each recording holds no attention_mask: taken as all ones; no token_type_ids: taken as"
    assert text in " ".join(str(compare_recordings(*both)).split())
    one = [both[0], Reference.from_arrays(trace, {**few, "token_type_ids": 0 * IDS[:1]})]
    assert "recording B holds no attention_mask" in " ".join(str(compare_recordings(*one)).split())


def test_a_product_without_its_bias_leaves_the_rest_to_follow():
    report = compared(recorded(linear=lambda x, w, b: linear(x, w, 0 * b)), STAGES)
    assert [row.stage for row in report.faults] == [
        f"layer.0.attention.{name}" for name in ("query", "key", "value")
    ]
