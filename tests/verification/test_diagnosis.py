"""What a diagnosis says, of gaps, of NaN, of either side, and of two recordings."""

import json

import numpy as np
import pytest
from faults import FAULTS, draw_inputs, record

import minibert
from minibert import BertModel, Reference, compare_recordings, functions, verify
from minibert.cli import main
from minibert.runtime.swap import swap


@pytest.fixture
def exact():
    return BertModel.from_pretrained(minibert.EMBEDDED_CHECKPOINT, dtype="float64")


@pytest.fixture
def inputs(exact):
    return draw_inputs(exact.config, np.random.default_rng(11))


def faulty(name, model, inputs, i=1):
    return record([(next(f for f in FAULTS if f.name == name), i)], model, inputs)


def clean(model, inputs):
    trace = {}
    model(**inputs, trace=trace)
    return Reference(inputs, trace)


def only(reference, *stages):
    return Reference(reference.inputs, {name: reference.stages[name] for name in stages})


def status(report):
    return {row.stage: row.status for row in report.rows}


def test_what_follows_a_fault_is_inherited_not_faulty(exact, inputs):
    report = verify(exact, faulty("scale_missing", exact, inputs, i=0))
    assert [row.stage for row in report.faults] == ["layer.0.attention.scores"]
    found = status(report)
    assert found["layer.0.attention.key"] == "OK"
    assert found["layer.0.attention.probabilities"] == found["pooler"] == "INHERITED"
    assert report.verdict == (
        "FAULT: layer.0.attention.scores: the reference agrees with scores that are not divided, "
        "this model uses query @ key.T / sqrt(D), heads split as (B, T, H, D)"
    )


def test_a_gap_is_named_and_the_cause_within_it(exact, inputs):
    reference = faulty("activation_quick_gelu", exact, inputs)
    report = verify(exact, only(reference, "layer.0.attention", "layer.1", "pooler"))
    (row,) = report.faults
    assert (row.stage, row.after) == ("layer.1", "layer.0.attention")
    assert row.cause.startswith("layer.1.feed_forward.activation: the reference agrees with quick_")
    report = verify(exact, only(reference, "layer.0", "layer.1"))
    (row,) = report.faults
    assert (row.stage, row.after) == ("layer.1", "layer.0")
    assert row.cause == (
        "layer.1.feed_forward.activation: the reference agrees with quick_gelu (sigmoid), "
        "this model uses gelu (erf)"
    )


def test_nothing_known_before_is_said(exact, inputs):
    reference = faulty("scale_missing", exact, inputs)
    (row,) = verify(exact, only(reference, "layer.1")).faults
    assert row.after == "the inputs"
    report = verify(exact, only(reference, "layer.1.attention.query", "layer.1.attention.scores"))
    assert report.faults[0].stage == "layer.1.attention.scores"
    assert report.faults[0].after == "layer.1.attention.query"


def test_one_cause_in_every_layer_is_found_across_a_gap(exact, inputs):
    trace = {}
    with swap(gelu=functions.gelu_new):
        exact(**inputs, trace=trace)
    (row,) = verify(exact, only(Reference(inputs, trace), "pooler")).faults
    assert "gelu_new (tanh)" in row.cause


def test_nan_does_not_hide_a_later_fault(exact, inputs):
    reference = faulty("scale_missing", exact, inputs, i=1)
    stages = {**reference.stages}
    stages["layer.0.attention.output"] = np.full_like(stages["layer.0.attention.output"], np.nan)
    report = verify(exact, Reference(inputs, stages))
    assert [row.status for row in report.faults] == ["NONFINITE", "FAULT"]
    assert report.faults[1].stage == "layer.1.attention.scores"
    assert "not divided" in report.faults[1].cause
    assert "72 numbers are NaN" not in report.verdict
    json.dumps(report.to_dict(), allow_nan=False)


def test_a_stage_recorded_wrongly_does_not_accuse_the_next(exact, inputs):
    """The run went on with the right scores; recorded were those before the division."""
    reference = clean(exact, inputs)
    stages = {**reference.stages}
    size = exact.config.hidden_size // exact.config.num_attention_heads
    stages["layer.1.attention.scores"] = stages["layer.1.attention.scores"] * np.sqrt(size)
    report = verify(exact, Reference(inputs, stages))
    assert [row.stage for row in report.faults] == ["layer.1.attention.scores"]
    assert "not divided" in report.faults[0].cause


def test_a_cause_that_is_not_known_is_not_guessed(exact, inputs):
    reference = clean(exact, inputs)
    stages = {**reference.stages}
    random = np.random.default_rng(0)
    for name, stage in stages.items():
        if "attention" in name:
            stages[name] = stage + 1e-4 * random.standard_normal(stage.shape)
    report = verify(exact, Reference(inputs, stages))
    assert len(report.faults) > 10
    assert {row.cause for row in report.faults} == {None}
    assert "no known variation explains it" in report.verdict


def test_chance_is_no_rounding(exact, inputs):
    """A function that gives other numbers each time has no floor to hide under."""
    random = np.random.default_rng(0)

    def softmax(x):
        kept = random.random(x.shape) > 0.5
        return functions.softmax.__wrapped__(x) * kept

    with swap(softmax=softmax):
        report = verify(
            exact, clean(BertModel.from_pretrained(minibert.EMBEDDED_CHECKPOINT), inputs)
        )
    assert report.first_failure.stage == "layer.0.attention.probabilities"


def test_the_errors_of_tokens(exact, inputs):
    reference = faulty("scale_missing", exact, inputs, i=1)
    report = verify(exact, reference)
    real = reference.real_tokens()
    for row in report.rows:
        errors = report.token_errors[row.stage]
        assert errors.shape == real.shape
        assert np.isnan(errors[~real]).all()
        assert np.nanmax(errors) == pytest.approx(row.accumulated)


def test_data_has_the_documented_fields(exact, inputs):
    data = verify(exact, faulty("scale_missing", exact, inputs)).to_dict()
    assert set(data) == {
        *("ok", "verdict", "faults", "first_failure", "precision", "factor", "tolerance"),
        *("provenance", "stages"),
    }
    assert set(data["stages"][0]) == {
        *("stage", "status", "accumulated", "added", "floor", "excess", "worst", "ours"),
        *("theirs", "cause", "remains", "after", "side", "detail"),
    }
    assert data["faults"] == ["layer.1.attention.scores"]


# two recordings


@pytest.mark.parametrize("wrong", ["recording A", "recording B"])
def test_with_a_model_the_wrong_side_is_named(exact, inputs, wrong):
    good, bad = clean(exact, inputs), faulty("causal", exact, inputs)
    pair = (bad, good) if wrong == "recording A" else (good, bad)
    report = compare_recordings(*pair, model=exact)
    (row,) = report.faults
    assert (row.stage, row.side) == ("layer.1.attention.probabilities", wrong)
    assert f"{wrong} agrees with a causal mask" in row.cause


def test_without_a_model_the_first_divergence_is_named(exact, inputs):
    report = compare_recordings(clean(exact, inputs), faulty("causal", exact, inputs))
    assert report.first_failure.stage == "layer.1.attention.probabilities"
    assert report.first_failure.status == "DIFF"
    assert report.rows[0].added is None
    same = compare_recordings(clean(exact, inputs), clean(exact, inputs))
    assert same.ok
    assert same.verdict.startswith("OK: all ")


def test_stages_of_one_side_only_are_left_out(exact, inputs):
    good = clean(exact, inputs)
    for model in (exact, None):
        report = compare_recordings(only(good, "layer.0"), good, model)
        assert [row.stage for row in report.rows if row.accumulated is not None] == ["layer.0"]
        assert report.ok


def test_nothing_in_common_is_not_well(exact, inputs):
    good = clean(exact, inputs)
    report = compare_recordings(only(good, "layer.0"), only(good, "layer.1"))
    assert not report.ok
    assert "no stage" in report.verdict


def test_other_inputs_are_refused(exact, inputs):
    other = {**inputs, "input_ids": inputs["input_ids"][:, ::-1]}
    with pytest.raises(ValueError, match="different input_ids"):
        compare_recordings(clean(exact, inputs), clean(exact, other))


def test_the_command(exact, inputs, tmp_path, capsys):
    a, b = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    clean(exact, inputs).save(a)
    faulty("causal", exact, inputs).save(b)
    assert main(["compare", str(a), str(a)]) == 0
    assert main(["compare", str(a), str(b)]) == 1
    assert "DIFF: layer.1.attention.probabilities" in capsys.readouterr().out
    folder = str(minibert.EMBEDDED_CHECKPOINT)
    assert main(["compare", str(a), str(b), "--model", folder, "--json"]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["stages"][-1]["status"] == "INHERITED"
    assert "a causal mask" in data["verdict"]


def test_a_sequence_without_a_place_in_the_stage(exact):
    """One that is padded on the left has no pooler to compare: the others tell the cause."""
    ids = np.array([[2, 5, 6, 7], [0, 2, 5, 6], [2, 8, 3, 0]])
    inputs = {"input_ids": ids, "attention_mask": (ids != 0) * 1}
    made = record([(next(f for f in FAULTS if "no tanh" in (f.words or "")), 0)], exact, inputs)
    report = verify(exact, only(made, "pooler"))
    assert not report.ok
    report = verify(exact, only(made, "layer.1", "pooler"))
    assert not report.ok
