"""Weights that a recording shows to be others are named by their numbers; each input is our own."""

import re

import numpy as np
import pytest
from planting import WAYS, Planting, given, weights, wide_model

from minibert import Reference, verify


@pytest.fixture(scope="module")
def planting(tmp_path_factory):
    return Planting(wide_model(tmp_path_factory.mktemp("model")))


def said(planting, plant, way="all"):
    stages = {k: x for k, x in planting.run(plant).items() if WAYS[way](k)}
    return verify(planting.model, Reference(planting.inputs[False], stages)).first_failure


def changed(*place, by):
    def change(x):
        x[place] = by(x[place])
        return x

    return change


Q, F = r"layer\.2\.attention\.query", r"layer\.0\.feed_forward"
NUMBERS = np.random.default_rng(0)
CASES = {
    r"another bias at number 7: .* for": (rf"{Q}\.bias", changed(7, by=lambda x: x - 0.5)),
    r"another bias at numbers 0 and 20": (rf"{Q}\.bias", changed([0, 20], by=lambda x: x + 1)),
    r"another bias: all tokens are off": (rf"{Q}\.bias", lambda x: NUMBERS.normal(size=x.shape)),
    r"row 11 of the weight matrix": (rf"{Q}\.weight", changed(11, by=lambda x: x[::-1] + 1)),
    r"column 3 of the weight matrix": (rf"{F}\.weight", changed(slice(None), 3, by=lambda x: x**2)),
    r"number \[2, 30\] of the weight matrix 4\b": (rf"{F}\.weight", changed(2, 30, by=lambda _: 4)),
    r"multiplied by 0\.7\b": (rf"{Q}\.weight", lambda x: 0.7 * x),
    r"rows of the weight matrix in another order \(2 moved\)": (
        rf"{Q}\.weight",
        lambda x: x[[1, 0, *range(2, 21)]],
    ),
    r"another bias of the norm at number 4": (r"layer\.1\.norm\.bias", changed(4, by=lambda x: -x)),
    r"another weight of the norm at number 9": (
        r"layer\.1\.norm\.weight",
        changed(9, by=lambda x: 2 * x),
    ),
    r"other rows in the table of words: row 3\b": (
        r"embeddings\.word",
        changed(3, by=lambda x: -x),
    ),
}


@pytest.mark.parametrize("words", CASES)
def test_what_a_stage_shows_of_its_weights(words, planting):
    row = said(planting, weights(*CASES[words]))
    assert re.search(words, row.cause or ""), row


HIDDEN = {
    r"attention\.value: .* row 11 of": (
        r"layer\.1\.attention\.value\.weight",
        changed(11, by=np.flip),
    ),
    r"another bias at number 13": (rf"{F}\.bias", changed(13, by=lambda x: x - 2)),
    r"column 6 of the weight matrix": (
        r"layer\.3\.feed_forward\.weight",
        changed(slice(None), 6, by=lambda x: x**2 + 0.3),
    ),
    r"weight of the matrix multiplied by 1\.25": (
        r"layer\.2\.attention\.output\.weight",
        lambda x: 1.25 * x,
    ),
}


@pytest.mark.parametrize("words", HIDDEN)
def test_a_few_numbers_inside_a_layer_are_solved_for(words, planting):
    row = said(planting, weights(*HIDDEN[words]), "hidden")
    assert re.search(words, row.cause or ""), row


def replaced(ids, **_):
    ids = ids.copy()
    ids[1, 2], ids[2, 5], ids[2, 6] = 9, 33, 14
    return {"ids": ids}


@pytest.mark.parametrize("way", ["all", "hidden"])
def test_other_words_are_named_by_their_ids(way, planting):
    row = said(planting, given(replaced), way)
    assert "other words: at [1, 2], [2, 5], [2, 6] those of ids 9, 33, 14" in row.cause


@pytest.mark.parametrize("way", ["all", "hidden", "last"])
def test_noise_of_any_kind_has_no_cause(way, planting):
    def plant(bert):
        bert.put("keep", lambda name, x: x + 0.01 * NUMBERS.normal(size=x.shape))

    row = said(planting, plant, way)
    assert row.cause is None
    assert "what remains: other " in row.remains
