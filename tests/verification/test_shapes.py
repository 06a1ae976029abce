"""An array that holds a stage in another layout: the sentence says how to turn it."""

import re

import numpy as np
import pytest

from minibert import Reference

MASK = np.array([[1, 1, 1, 1], [1, 1, 1, 0]])
IDS = {"input_ids": 7 * MASK, "attention_mask": MASK}
X = np.random.default_rng(0).normal(size=(2, 4, 6))
HEADS = X.reshape(2, 4, 3, 2)
SCORES = np.random.default_rng(1).normal(size=(2, 3, 4, 4))
TURNED = {
    "tokens first": ("layer.0", X, X.swapaxes(0, 1)),
    "tokens last": ("layer.0", X, X.swapaxes(1, 2)),
    "rows": ("layer.0", X, X.reshape(8, 6)),
    "rows of one": ("layer.0.feed_forward.activation", X, X.reshape(1, 8, 6)),
    "no padding": ("layer.0", X, X[MASK == 1]),
    "no padding, of one": ("embeddings", X, X[MASK == 1][None]),
    "one more axis": ("layer.0", X, X[None]),
    "heads": ("layer.0.attention.query", X, HEADS),
    "heads before tokens": ("layer.0.attention.query", X, HEADS.swapaxes(1, 2)),
    "heads with the sequences": (
        "layer.0.attention.context",
        X,
        HEADS.swapaxes(1, 2).reshape(6, 4, 2),
    ),
    "scores of all heads": ("layer.0.attention.scores", SCORES, SCORES.reshape(6, 4, 4)),
    "scores, heads first": ("layer.0.attention.scores", SCORES, SCORES.swapaxes(0, 1)),
    "scores, tokens first": ("layer.0.attention.probabilities", SCORES, SCORES.swapaxes(1, 2)),
    "scores with one more axis": ("layer.0.attention.scores", SCORES, SCORES[None]),
    "pooler with one more axis": ("pooler", X[:, 0], X[None, :, 0]),
    "pooler": ("pooler", X[:, 0], X[:, :1]),
}


@pytest.mark.parametrize("case", TURNED)
def test_the_way_out_brings_the_stage(case):
    name, stage, x = TURNED[case]
    with pytest.raises(ValueError, match=f"stage {name} has the shape") as caught:
        Reference.from_arrays({name: x}, IDS)
    if swap := re.search(r"swap axes (\d) and (\d)", str(caught.value)):
        turned = x.swapaxes(int(swap[1]), int(swap[2]))
    elif match := re.search(r"y = (.+); y\[attention_mask == 1\] = (.+)", str(caught.value)):
        turned = eval(match[1])
        turned[MASK == 1] = eval(match[2])
        stage = stage * MASK[..., None]
    else:
        turned = eval(re.search(r": (x[.\[].*)$", str(caught.value))[1])
    np.testing.assert_array_equal(turned, stage)


@pytest.mark.parametrize("shape", [(2, 5, 6), (3, 4, 6), (9, 6), (6,), (), (1, 2, 5, 6)])
def test_what_is_no_layout_of_the_stage_gets_no_way_out(shape):
    with pytest.raises(ValueError, match=r"C hidden size$"):
        Reference.from_arrays({"layer.0": np.zeros(shape)}, IDS)


def test_a_single_sequence_needs_an_axis():
    with pytest.raises(ValueError, match=r"a single sequence is input_ids\[None\]"):
        Reference.from_arrays({"layer.0": X[:1]}, {"input_ids": [1, 2, 3, 4]})
