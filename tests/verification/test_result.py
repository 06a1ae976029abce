import json
import math
from dataclasses import replace

import pytest
from shown import report, row

from minibert.verification.compare import Tolerance
from minibert.verification.page import page
from minibert.verification.result import number, of_both, times


def test_all_is_well():
    found = report([row("embeddings"), row("pooler")], "float64")
    assert found.ok
    assert found.verdict == "OK: all 2 stages agree, to the rounding of float64"
    assert (found.faults, found.first_failure) == ((), None)
    assert report([row("pooler")]).verdict == "OK: the one stage agrees, to the rounding of float32"


def test_nothing_compared_is_not_well():
    assert not report([]).ok
    assert report([]).verdict == "FAULT: there is no stage to compare"


def test_the_first_fault_is_the_verdict():
    cause = "layer.1: the reference agrees with x"
    rows = [row("layer.0"), row("layer.1", "FAULT", cause=cause), row("layer.2", "INHERITED")]
    found = report([*rows, row("pooler", "SHAPE", None, detail="(2,) and (3,)")])
    assert found.verdict == "FAULT: layer.1: the reference agrees with x (2 faulty stages)"
    assert [one.stage for one in found.faults] == ["layer.1", "pooler"]
    assert found.first_failure is found.rows[1]
    assert report(found.rows[3:]).verdict == "SHAPE: pooler: (2,) and (3,)"


def test_a_fault_without_a_cause_is_told_with_its_figures():
    found = row("layer.1", "FAULT", added=4e-4, after="layer.0", side="recording A")
    assert report([found]).verdict == (
        "FAULT: layer.1, somewhere after layer.0: recording A adds 4.0e-04, 4,000 times the floor; "
        "no known variation explains it"
    )


def test_a_fault_of_a_cause_elsewhere_names_both():
    found = row("layer.1", "FAULT", cause="layer.0.attention: the reference agrees with x")
    verdict = report([found]).verdict
    assert verdict == "FAULT: layer.1: layer.0.attention: the reference agrees with x"


@pytest.mark.parametrize(
    ("detail", "found"),
    [
        ("72 numbers are NaN or infinite", "72 numbers are NaN or infinite"),
        ("", "its inputs are off"),
    ],
)
def test_what_is_inherited_from_no_known_fault_is_not_well(detail, found):
    rows = [row("layer.0"), row("layer.1", "INHERITED", detail=detail)]
    result = report(rows)
    assert not result.ok
    told = f"{found}; the fault lies before it, in a stage that was not compared"
    assert result.verdict == f"INHERITED: layer.1: {told}"
    assert report([*rows, row("pooler", "INHERITED")]).verdict.endswith(" (2 such stages)")
    assert result.to_dict()["verdict"] == result.verdict
    assert result.faults == ()


@pytest.mark.parametrize("status", ["OK", "FAULT", "INHERITED", "SHAPE", "MISSING", "DIFF"])
@pytest.mark.parametrize("other", ["OK", "INHERITED", "NONFINITE"])
def test_the_verdict_says_ok_exactly_if_it_is(status, other):
    found = report([row("embeddings", status), row("pooler", other)])
    assert found.verdict.startswith("OK: ") == found.ok == (status == other == "OK")


@pytest.mark.parametrize(
    ("excess", "text"),
    [
        (4000.0, "this stage adds 1.0e-03, 4,000 times the floor"),
        (4.31e15, "this stage adds 1.0e-03, more than a million times the floor"),
        (math.inf, "this stage adds 1.0e-03, more than a million times the floor"),
        (math.nan, "this stage adds 1.0e-03"),
        (None, "this stage adds 1.0e-03"),
    ],
)
def test_what_a_fault_adds_in_words(excess, text):
    assert row("pooler", "FAULT", added=1e-3, excess=excess).finding == text
    assert row("pooler", "FAULT", added=1e-3, excess=excess, detail="seen").finding == "seen"
    assert row("pooler", "OK", added=1e-3, excess=excess).finding == ""


def test_data_is_json():
    rows = [row("layer.0", "NONFINITE", math.nan, math.inf), row("pooler", "FAULT", side="A")]
    data = report(rows, tolerance=Tolerance(1e-5, 1e-3)).to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["stages"][0]["accumulated"] == "nan"
    assert data["stages"][0]["added"] == "inf"
    assert data["stages"][0]["cause"] is None
    assert data["stages"][1]["detail"] == "A adds 1.0e-07, 1.0 times the floor"
    assert data["tolerance"] == {"atol": 1e-5, "rtol": 1e-3}
    assert (data["first_failure"], data["faults"]) == ("layer.0", ["layer.0", "pooler"])
    assert not data["ok"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (math.nan, "NaN"),
        (math.inf, "inf"),
        (1.25e-7, "1.2e-07"),
        (1e300, "1e+300"),
        (5e-324, "5e-324"),
        (9.99e-7, "1.0e-06"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("excess", "text"),
    [
        (None, "-"),
        (0.0, "0.0"),
        (3.04, "3.0"),
        (4000, "4,000"),
        (999_000.0, "999,000"),
        (1e7, "> 1e6"),
        (math.inf, "> 1e6"),
        (math.nan, "NaN"),
    ],
)
def test_times_the_floor(excess, text):
    assert times(excess) == text


LACKING = {"reference": {"lacking": "attention_mask, token_type_ids"}}


def test_what_the_recording_lacks_is_said_where_nothing_else_explains_a_fault():
    says = "the recording holds no attention_mask: taken as all ones; no token_type_ids: taken as"
    found = report([row("layer.0", "FAULT")], provenance=LACKING)
    assert found.verdict.endswith(f"; {says} all 0")
    assert str(found).count("attention_mask") == 1
    explained = report([row("layer.0", "FAULT", cause="known")], provenance=LACKING)
    right = report([row("layer.0")], provenance=LACKING)
    for other in (explained, right):
        assert "attention_mask" not in other.verdict
        assert " ".join(str(other).split()).count("The recording holds no attention_mask") == 1
    strange = report([row("layer.0", "FAULT")], provenance={"reference": {"lacking": "x\x1b, y"}})
    assert strange.lacking == ""


def test_names_that_were_read_as_others_are_said_once():
    facts = {"reference": {"read_as": "sequence_output as last_hidden_state\x1b"}}
    found = report([row("layer.0")], provenance=facts)
    said = "In the recording, sequence_output as last_hidden_state\\x1b."
    assert " ".join(str(found).split()).count(said) == 1
    assert page(found).count("sequence_output") == 1


def test_both_sides_of_a_stage_are_named():
    a = row("layer.0", "FAULT", side="recording A", cause="layer.0: recording A agrees with tanh")
    b = replace(a, side="recording B", cause="layer.0: recording B agrees with tanh")
    both = of_both(a, b)
    assert both.side == "recording A and recording B"
    assert (of_both(b, a).cause, of_both(b, a).finding) == (both.cause, both.finding)
    assert both.cause == "layer.0: recording A and recording B agree with tanh"
    assert "recording A adds 1.0e-07, 1.0 times the floor; recording B adds" in both.finding
    other = of_both(a, replace(b, cause="layer.0: recording B agrees with relu"))
    assert other.cause == f"{a.cause}; layer.0: recording B agrees with relu"
    assert of_both(a, replace(b, cause=None)).cause.endswith(
        "; recording B is wrong too, and no known variation explains it"
    )
    assert of_both(replace(a, cause=None), b).cause.endswith(
        "; recording A is wrong too, and no known variation explains it"
    )
    assert of_both(replace(a, cause=None), replace(b, cause=None)).cause is None
