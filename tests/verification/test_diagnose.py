"""verify() and its report."""

import json
import re

import numpy as np
import pytest
from stages import stage_axes

from minibert import BertConfig, BertModel, Reference, functions, swap, verify


def test_all_stages_are_compared_in_network_order(model, reference):
    report = verify(model, reference)
    assert report.ok
    assert report.first_failure is None
    assert [row.stage for row in report.rows] == list(stage_axes(2))
    assert report.verdict == "OK: all 27 stages agree, to the rounding of float64"


def spoiled(reference, **changes):
    stages = {**reference.stages, **changes}
    return Reference(reference.inputs, stages, reference.provenance)


@pytest.mark.parametrize("stage", ["embeddings.sum", "layer.0.attention.scores", "layer.1"])
def test_one_wrong_number_is_enough(model, reference, stage):
    wrong = reference.stages[stage].copy()
    place = (0,) * wrong.ndim
    wrong[place] += 0.01
    report = verify(model, spoiled(reference, **{stage: wrong}))
    assert [row.stage for row in report.rows if not row.ok] == [stage]
    assert report.first_failure.worst == place
    assert report.verdict.startswith(f"FAULT: {stage}: ")
    assert "no known variation explains it" in report.verdict


def test_numbers_in_padding_do_not_count(model, reference):
    stage = reference.stages["layer.1"].copy()
    stage[reference.inputs["attention_mask"] == 0] = np.nan
    assert verify(model, spoiled(reference, **{"layer.1": stage})).ok


def test_a_stage_that_the_model_lacks_is_missing(model, reference):
    report = verify(model, spoiled(reference, **{"layer.7": reference.stages["layer.1"]}))
    assert report.first_failure.stage == "layer.7"
    assert report.first_failure.status == "MISSING"


def test_another_width_is_named(model, reference):
    narrow = reference.stages["layer.0"][..., :-2]
    report = verify(model, spoiled(reference, **{"layer.0": narrow}))
    assert report.first_failure.status == "SHAPE"


def test_a_reference_may_hold_a_few_stages_only(model, reference):
    few = Reference(reference.inputs, {"pooler": reference.stages["pooler"]})
    assert [row.stage for row in verify(model, few).rows] == ["pooler"]


def test_the_tolerance_is_the_callers(model, reference):
    report = verify(model, reference, atol=0, rtol=0)
    assert not report.ok
    assert "<= 0 + 0 * |theirs|" in " ".join(str(report).split())


def test_a_model_with_other_weights_fails_at_the_first_stage(reference, model):
    other = BertModel(BertConfig.from_dict(model.config.to_dict(), initializer_range=0.3))
    assert verify(other, reference).first_failure.stage == "embeddings.sum"


def test_inputs_that_do_not_fit_are_named(reference, model):
    small = BertModel(BertConfig.from_dict(model.config.to_dict(), vocab_size=11))
    with pytest.raises(ValueError, match=r"input_ids\[0, \d\] is \d+; allowed: 0 to 10"):
        verify(small, reference)


def test_the_table_shows_what_was_compared(model, reference):
    text = str(verify(model, reference, 1e-5, 1e-3))
    words = " ".join(text.split())
    assert "30 real tokens were compared" in words
    assert "Besides, |ours - theirs| <= 1e-05 + 0.001 * |theirs| is required." in words
    assert "both sides have the same checkpoint" in words
    assert re.search(r"^layer\.0\.attention +OK( +\d\.\de[-+]\d\d){3} +[\d.]+$", text, re.M)
    assert text.splitlines()[-1] == "OK: all 27 stages agree, to the rounding of float64"


def test_other_files_are_told(model, reference):
    provenance = {**reference.provenance, "checkpoint_sha256": "f" * 64}
    report = verify(model, Reference(reference.inputs, reference.stages, provenance))
    assert "both sides have DIFFERENT CHECKPOINTS" in " ".join(str(report).split())
    assert report.ok


def test_the_same_as_data(model, reference):
    stage = reference.stages["layer.0"].copy()
    stage[0, 0, 0] = np.nan
    report = verify(model, spoiled(reference, **{"layer.0": stage}))
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert data["ok"] is False
    assert data["first_failure"] == "layer.0"
    assert data["tolerance"] is None
    assert (data["precision"], data["faults"]) == ("float64", ["layer.0"])
    assert len(data["stages"]) == 27
    assert data["stages"][0]["status"] == "OK"
    assert next(row for row in data["stages"] if row["stage"] == "layer.0")["theirs"] == "nan"
    assert data["provenance"]["reference"]["attention"] == "eager"


PLAIN = {name: getattr(functions, name) for name in ("attention", "embeddings", "feed_forward")}


@pytest.mark.parametrize("name", PLAIN)
def test_a_right_function_in_place_of_a_whole_part_is_no_fault(model, reference, name):
    inner = {"attention": 4, "embeddings": 1, "feed_forward": 4}
    with swap(**{name: lambda *args: PLAIN[name](*args)}):
        report = verify(model, reference)
    assert report.ok, str(report)
    assert len(report.rows) == len(reference.stages) - inner[name]
    with swap(**{name: PLAIN[name]}):  # which takes a trace, and shows what lies inside
        report = verify(model, reference)
    assert report.ok, str(report)
    assert len(report.rows) == len(reference.stages)


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("attention", "layer.0.attention.context"),
        ("embeddings", "embeddings"),
        ("feed_forward", "layer.0.feed_forward"),
    ],
)
def test_a_wrong_function_in_place_of_a_whole_part_is_found(model, reference, name, stage):
    with swap(**{name: lambda *args: 1.001 * PLAIN[name](*args)}):
        report = verify(model, reference)
    assert report.first_failure.stage == stage
