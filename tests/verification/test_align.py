"""Two recordings of the same texts in other batches: a text alone, padding on the other side."""

import numpy as np
import pytest

from minibert import EMBEDDED_CHECKPOINT, BertModel, Reference, compare_recordings, swap
from minibert.functions import gelu
from minibert.verification.align import aligned

MODEL = BertModel.from_pretrained(EMBEDDED_CHECKPOINT, dtype="float64")
IDS = np.array([[2, 5, 6, 7, 3], [2, 11, 3, 0, 0], [2, 9, 12, 3, 0]])


def record(ids, positions=None, others=(), **functions):
    inputs = {"input_ids": ids, "attention_mask": (ids != 0) * 1, **dict(others)}
    if positions is not None:
        inputs["position_ids"] = positions
    stages = {}
    with swap(**functions):
        MODEL(**inputs, trace=stages)
    return Reference.from_arrays(stages, inputs)


def left(ids):
    return np.array([np.roll(row, (row == 0).sum()) for row in ids])


ALL = record(IDS)
COUNTED = np.maximum(np.cumsum(left(IDS) != 0, axis=1) - 1, 0)
OTHERS = {
    "one alone": (IDS[1:2, :3],),
    "in another order": (IDS[[2, 0]],),
    "more padding": (np.pad(IDS, [(0, 0), (0, 4)]),),
    "padding on the left": (left(IDS), COUNTED),
}


@pytest.mark.parametrize("model", [None, MODEL], ids=["no model", "model"])
@pytest.mark.parametrize("case", OTHERS)
def test_the_same_texts_in_other_batches(case, model):
    other = record(*OTHERS[case])
    for pair in ((ALL, other), (other, ALL)):
        report = compare_recordings(*pair, model=model)
        assert report.ok, report.verdict
        assert len(report.rows) == len(ALL.stages)
    wrong = record(*OTHERS[case], gelu=lambda x: gelu(x) * 1.01)
    assert not compare_recordings(ALL, wrong, model=model).ok


def test_other_texts_and_other_positions_are_refused():
    with pytest.raises(ValueError, match=r"no sequence is in both, whatever its padding"):
        compare_recordings(ALL, record(IDS[:, ::-1].copy()))
    with pytest.raises(ValueError, match=r"sequence 1 of A is sequence 1 of B, with other pos"):
        compare_recordings(ALL, record(left(IDS)))


TWICE = IDS[[1, 0, 1, 2]]
TYPES = {"token_type_ids": 0 * IDS}
ALONE = {"attention_mask": np.ones((1, 3), int)}


@pytest.mark.parametrize("model", [None, MODEL], ids=["no model", "model"])
@pytest.mark.parametrize(
    ("other", "size"),
    [
        (record(TWICE), 3),  # a text that is there twice, and in another order
        (record(IDS, others=TYPES), 3),  # token types that are all 0, and said
        (record(np.pad(left(TWICE), [(0, 0), (3, 0)]), np.pad(np.maximum(np.cumsum(
            left(TWICE) != 0, axis=1) - 1, 0), [(0, 0), (3, 0)])), 3),  # more padding on the left
        (record(np.array([[2, 11, 3], [2, 77, 3]]), others={"attention_mask": np.ones((2, 3))}), 1),
    ],
)  # fmt: skip
def test_what_both_batches_have_is_compared(other, size, model):
    for pair in ((ALL, other), (other, ALL)):
        report = compare_recordings(*pair, model=model)
        assert report.ok, report.verdict
        assert len(next(iter(report.token_errors.values()))) == size
    inputs = {"input_ids": other.inputs["input_ids"], "positions": other.inputs.get("position_ids")}
    wrong = record(*inputs.values(), others={}, gelu=lambda x: gelu(x) * 1.01)
    assert not compare_recordings(ALL, wrong, model=model).ok


def test_hidden_states_alone_are_lined_up_too():
    one = Reference.from_arrays(
        {"layer.1": ALL.stages["layer.1"][2:, :4]}, {"input_ids": IDS[2:, :4]}
    )
    assert compare_recordings(ALL, one).ok
    assert not compare_recordings(
        ALL, Reference(one.inputs, {"layer.1": 1.1 * one.stages["layer.1"]})
    ).ok


@pytest.mark.parametrize("rows", [slice(None), slice(1, 2)])
def test_hidden_states_without_the_embeddings_are_the_layers_of_the_other(rows):
    given = {"input_ids": IDS[rows], "attention_mask": (IDS[rows] != 0) * 1}
    states = np.stack(MODEL(**given, output_hidden_states=True).hidden_states)
    whole, short = (
        Reference.from_arrays({"hidden_states": x}, given) for x in (states, states[1:])
    )
    for pair in ((whole, short), (short, whole)):
        report = compare_recordings(*pair)
        assert report.ok
        assert [row.stage for row in report.rows] == [f"layer.{i}" for i in range(4)]
    assert compare_recordings(whole, whole).rows[0].stage == "embeddings"
    many = MODEL(IDS, (IDS != 0) * 1, output_hidden_states=True).hidden_states
    batch = Reference.from_arrays(
        {"hidden_states": np.stack(many)}, {"input_ids": IDS, "attention_mask": (IDS != 0) * 1}
    )
    assert compare_recordings(batch, short).ok
    assert [side.listed for side in aligned(batch, whole)] == [5, 5]
