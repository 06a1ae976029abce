"""A recording of other inputs than it says: the mask above all. The cause is named."""

import numpy as np
import plain_bert
import pytest
from plain_bert import COLS, IDS, INPUTS, LAST, LENGTHS, MASK, SECOND, keys

from minibert import Reference, verify


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return plain_bert.wide_model(tmp_path_factory.mktemp("model"))


def turned(ids):
    """Return [CLS] B [SEP] A [SEP] and the token types of it."""
    words, types = ids.copy(), SECOND * 1
    for b, n in enumerate(LENGTHS):
        first, second = ids[b, 1 : n // 2], ids[b, n // 2 : n]
        words[b, :n] = [ids[b, 0], *second, *first]
        types[b] = (len(second) < COLS) & (n > COLS)
    return {"ids": words, "types": types}


OTHERS = {
    "padding that is attended": keys(np.ones_like(MASK)),
    "mask inverted": keys(~MASK),
    "one token short": keys(MASK & ~LAST),
    "one token too long": keys(MASK | np.roll(LAST, 1, axis=1)),
    "hiding the first token": keys(MASK & (COLS > 0)),
    "turned round": keys(MASK[:, ::-1]),
    "mask applied to the queries": {"allowed": MASK[:, :, None] & np.ones((9, 9), bool)},
    "after the softmax": {**keys(np.ones_like(MASK)), "after_softmax": MASK},
    "mask and the token types swapped": {**keys(SECOND), "types": MASK * 1},
    "token types that are all 0": {"types": SECOND * 0},
    "token types that are all 1": {"types": SECOND * 0 + 1},
    "token types 0 and 1 swapped": {"types": 1 - SECOND},
    "positions from 1": {"positions": COLS + 1},
    "positions from 2": {"positions": COLS + 2},
    "positions that start again": {
        "positions": np.array([np.where(n // 2 > COLS, COLS, COLS - n // 2) for n in LENGTHS])
    },
    "positions reversed": {"positions": COLS[::-1]},
    "positions that are all 0": {"positions": 0 * COLS},
    "each word is the next one": {"ids": IDS + 1},
    "in the other order": turned(IDS),
    "sequences in another order, [2, 0, 1]": {
        "ids": IDS[[2, 0, 1]],
        "types": SECOND[[2, 0, 1]] * 1,
        "allowed": MASK[[2, 0, 1]][:, None],
    },
}


def recorded(model, padding=True, **others):
    given = {"ids": IDS, "types": SECOND * 1, "positions": COLS, **keys(MASK), **others}
    states = plain_bert.run(model, **given)
    if padding:
        return states
    return {name: np.where(MASK[..., None], x, 0) for name, x in states.items()}


@pytest.mark.parametrize("padding", [True, False], ids=["padding recorded", "zeros at padding"])
@pytest.mark.parametrize("form", ["all", "last"])
@pytest.mark.parametrize("words", OTHERS)
def test_other_inputs_are_named(words, form, padding, model):
    states = recorded(model, padding, **OTHERS[words])
    stages = states if form == "all" else {"layer.2": states["layer.2"]}
    report = verify(model, Reference.from_arrays(stages, INPUTS))
    assert any(words in (row.cause or "") for row in report.faults), report.verdict


@pytest.mark.parametrize("padding", [True, False])
def test_the_same_inputs_are_no_fault(padding, model):
    assert verify(model, Reference.from_arrays(recorded(model, padding), INPUTS)).ok
