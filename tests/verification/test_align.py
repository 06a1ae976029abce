"""Two recordings of the same texts in other batches: a text alone, padding on the other side."""

import numpy as np
import pytest

from minibert import EMBEDDED_CHECKPOINT, BertModel, Reference, compare_recordings, swap
from minibert.functions import gelu

MODEL = BertModel.from_pretrained(EMBEDDED_CHECKPOINT, dtype="float64")
IDS = np.array([[2, 5, 6, 7, 3], [2, 11, 3, 0, 0], [2, 9, 12, 3, 0]])


def record(ids, positions=None, **functions):
    inputs = {"input_ids": ids, "attention_mask": (ids != 0) * 1}
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
