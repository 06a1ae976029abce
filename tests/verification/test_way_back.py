"""Gradients as stages: what our engine records of them, and how each is judged.

What transformers' autograd records is in tests/live/test_record_gradients.py.
"""

import dataclasses
import re

import numpy as np
import pytest
from going_back import CLASSES, RECORDED, drawn, recorded
from learning import POOLED, read, told

import minibert
from minibert import Reference, compare_recordings, record_model, swap, verify
from minibert.verification.way_back import axes_of_all


def changed(reference, **stages):
    """Return a recording with other numbers: stage -> what is made of it."""
    others = {name.replace("__", "."): change for name, change in stages.items()}
    found = {x: others[x](y) if x in others else y for x, y in reference.stages.items()}
    return dataclasses.replace(reference, stages=found)


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    return drawn(tmp_path_factory.mktemp("masked"), "BertForMaskedLM")


@pytest.fixture(scope="module")
def found(masked):
    return recorded(masked)


@pytest.mark.parametrize("kind", RECORDED)
def test_what_we_record_we_verify(tmp_path, kind):
    exact = drawn(tmp_path, kind)
    single = CLASSES[kind].from_pretrained(tmp_path)
    made = {}
    for model, padding in ((exact, "right"), (single, "right" if kind in POOLED else "holes")):
        made = recorded(model, padding)
        for ours in (exact, single):
            report = verify(ours, made)
            assert report.ok, str(report)
            assert report.precision == made.provenance["dtype"]
            assert [row.stage for row in report.rows] == [*made.stages] == [*axes_of_all(ours)]
            assert all(row.added is not None for row in report.rows)


def test_a_gradient_is_that_of_the_function(masked, found):
    inputs = read("BertForMaskedLM")
    stages = {}
    loss, weights = minibert.gradients(
        masked, inputs, told("BertForMaskedLM", inputs), trace=stages
    )
    # a recording scores all tokens, the function those with a label: sums of other lengths
    for name, grad in (stages | {f"grad.weight.{x}": grad for x, grad in weights.items()}).items():
        atol = 1e-14 * np.abs(grad).max()
        np.testing.assert_allclose(found.stages[name], grad, rtol=0, atol=atol, err_msg=name)
    named = {x for x in found.stages if x.startswith("grad.weight.")}
    assert {*named} == {f"grad.weight.{name}" for name in weights}
    assert loss > 0


def test_they_come_in_the_order_of_the_way_back(masked, found):
    names = list(found.stages)
    there = list(masked.stage_axes())
    back = [f"grad.{name}" for name in reversed(there)]
    assert names[: len(there)] == there
    assert names[len(there) : 2 * len(there)] == back
    assert names[2 * len(there)] == "grad.weight.cls.predictions.bias"
    assert names[-1] == "grad.weight.bert.embeddings.word_embeddings.weight"


@pytest.mark.parametrize("ending", ["safetensors", "npz"])
def test_a_file_holds_them(tmp_path, masked, found, ending):
    path = tmp_path / f"r.{ending}"
    if ending == "npz":
        np.savez(path, **{f"input.{x}": y for x, y in found.inputs.items()}, **found.stages)
    else:
        found.save(path)
    again = Reference.load(path)
    assert {*again.stages} == {*found.stages}
    np.testing.assert_array_equal(again.inputs["labels"], found.inputs["labels"])
    assert verify(masked, again).ok
    assert compare_recordings(found, again).ok
    assert compare_recordings(found, again, masked).ok


def test_names_of_others(masked, found):
    stages = {
        "grad.bert.encoder.layer.1.attention.self.query": found.stages[
            "grad.layer.1.attention.query"
        ],
        "grad.hidden_states.1": found.stages["grad.layer.0"],
        "grad.weight.cls.predictions.bias": found.stages["grad.weight.cls.predictions.bias"],
    }
    made = Reference.from_arrays(stages, found.inputs)
    assert [*made.stages] == ["grad.layer.1.attention.query", "grad.layer.0", [*stages][2]]
    assert "attention.self.query as layer.{i}.attention.query" in made.provenance["read_as"]
    assert verify(masked, made).ok
    with pytest.raises(ValueError, match=r"there is no stage 'layer.1.atention'; did you mean"):
        Reference.from_arrays(
            {"grad.layer.1.atention": stages["grad.hidden_states.1"]}, found.inputs
        )
    short = {"layer.1": found.stages["layer.1"]}
    short["grad.layer.0"] = found.stages["grad.layer.0"][..., 1:]
    with pytest.raises(ValueError, match=r"grad.layer.0 has the shape \(4, 13, 44\)"):
        Reference.from_arrays(short, found.inputs)


SPOTS = (
    "grad.logits",
    "grad.predictions",
    "grad.layer.1",
    "grad.layer.1.feed_forward.activation",
    "grad.layer.0.attention.scores",
    "grad.layer.0.attention.probabilities",
    "grad.embeddings.sum",
    "grad.weight.bert.encoder.layer.0.attention.self.value.bias",
    "grad.weight.bert.embeddings.word_embeddings.weight",
)


@pytest.mark.parametrize("stage", SPOTS)
def test_a_fault_is_where_it_is_and_nowhere_else(masked, found, stage):
    """What comes after it was made of the right one, and is no fault."""
    wrong = changed(found, **{stage: lambda x: x * 1.001})
    report = verify(masked, wrong)
    assert report.first_failure.stage == stage
    assert [row.stage for row in report.faults] == [stage]
    assert {row.status for row in report.rows} <= {"OK", "FAULT", "INHERITED"}


def test_several_faults_do_not_hide_each_other(masked, found):
    spots = "grad.layer.1.attention.context", "grad.layer.0.feed_forward"
    report = verify(masked, changed(found, **dict.fromkeys(spots, lambda x: x * 1.001)))
    assert {*spots} <= {row.stage for row in report.faults}


def test_a_gap_is_bridged(masked, found):
    some = {x: found.stages[x] for x in ("grad.layer.1", "grad.layer.0", "grad.embeddings")}
    given = dataclasses.replace(found, stages=some)
    assert verify(masked, given).ok
    report = verify(masked, changed(given, **{"grad.layer.0": lambda x: x * 1.001}))
    assert [row.stage for row in report.faults] == ["grad.layer.0"]
    assert report.first_failure.after == "grad.layer.1"


def test_a_derivative_takes_the_stages_that_are_recorded(masked, found):
    """Probabilities, which the way back computes a second time, are taken as they are recorded."""
    at = "layer.0.attention"
    p = np.square(found.stages[f"{at}.probabilities"])  # others, which sum to 1, too
    p /= np.maximum(p.sum(-1, keepdims=True), 1e-300)  # nothing at padding
    grad = found.stages[f"grad.{at}.probabilities"]
    made = {
        f"{at}.probabilities": p,
        f"grad.{at}.scores": p * (grad - (grad * p).sum(-1, keepdims=True)),
    }
    wrong = dataclasses.replace(found, stages={**found.stages, **made})
    faults = {row.stage for row in verify(masked, wrong).faults}
    assert f"{at}.probabilities" in faults
    assert f"grad.{at}.scores" not in faults


def test_what_is_swapped_is_measured(masked, found):
    with swap(softmax_backward=lambda grad, p: p * grad):
        report = verify(masked, found)
    assert report.first_failure.stage == "grad.layer.1.attention.scores"
    assert {row.stage for row in report.faults} == {
        f"grad.layer.{i}.attention.scores" for i in (0, 1)
    }


def test_two_recordings(masked, found):
    wrong = changed(found, **{"grad.layer.1.feed_forward.intermediate": lambda x: x * 1.1})
    plain = compare_recordings(wrong, found)
    assert plain.first_failure.stage == "grad.layer.1.feed_forward.intermediate"
    report = compare_recordings(wrong, found, masked)
    assert report.first_failure.stage == "grad.layer.1.feed_forward.intermediate"
    assert report.first_failure.side == "recording A"


def test_gradients_of_other_batches_are_not_compared(found):
    labels = np.where(found.inputs["labels"] < 0, -100, 7)
    other = dataclasses.replace(found, inputs={**found.inputs, "labels": labels})
    with pytest.raises(ValueError, match="only those of one batch can be compared"):
        compare_recordings(found, other)


def test_without_a_head_there_is_no_loss(masked, found):
    says = "there are gradients to look at, and BertModel has no head, so no loss: open the class"
    with pytest.raises(ValueError, match=re.escape(says)):
        verify(masked.base_model, found)
    with pytest.raises(ValueError, match="BertModel"):
        record_model(masked.base_model, read("BertForMaskedLM"), labels={"labels": [[1]]})
    with pytest.raises(ValueError, match="takes no start_positions"):
        record_model(masked, read("BertForMaskedLM"), labels={"start_positions": [1, 2, 3, 4]})
