"""The names of stages, and what looks at a forward pass."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inputs import padded
from stages import stage_axes

from minibert.models.bert import STAGES
from minibert.trace import (
    Recording,
    Replacing,
    Stage,
    expand_stages,
    here,
    layer_of,
    pattern_of,
    silent,
)

MASK = [[1, 0, 1], [0, 0, 0], [0, 1, 1]]
ROWS = np.arange(1.0, 9).reshape(4, 2)
WHOLE = [[[1, 2], [0, 0], [3, 4]], [[0, 0]] * 3, [[0, 0], [5, 6], [7, 8]]]


def recording(*args):
    return Recording(padded(MASK), *args)


# names


def test_stages_are_in_network_order_and_named_by_layer():
    names = list(stage_axes(11))
    assert names[:3] == ["embeddings.sum", "embeddings", "layer.0.attention.query"]
    assert names[-3:] == ["layer.10.feed_forward", "layer.10", "pooler"]
    assert len(names) == len(set(names)) == 2 + 11 * (len(STAGES) - 3) + 1


def test_the_names_are_public_and_stay():
    assert [name.removeprefix("layer.0") for name in stage_axes(1)] == [
        "embeddings.sum",
        "embeddings",
        ".attention.query",
        ".attention.key",
        ".attention.value",
        ".attention.scores",
        ".attention.probabilities",
        ".attention.context",
        ".attention.output",
        ".attention",
        ".feed_forward.intermediate",
        ".feed_forward.activation",
        ".feed_forward",
        "",
        "pooler",
    ]


@pytest.mark.parametrize(
    ("stage", "pattern", "layer"),
    [
        ("layer.3.attention.scores", "layer.{i}.attention.scores", 3),
        ("layer.12", "layer.{i}", 12),
        ("decoder.layer.0.cross_attention", "decoder.layer.{i}.cross_attention", 0),
        ("7", "{i}", 7),
        ("embeddings.sum", "embeddings.sum", -1),
        ("layer.x3.attention", "layer.x3.attention", -1),
        ("layer.3x", "layer.3x", -1),
        ("layer.03", "layer.03", -1),
        ("layer.1000000", "layer.1000000", -1),  # no network is so deep
        ("", "", -1),
    ],
)
def test_the_pattern_and_the_layer_of_a_stage(stage, pattern, layer):
    assert (pattern_of(stage), layer_of(stage)) == (pattern, layer)


@given(st.integers(1, 30))
def test_patterns_are_the_names_of_the_table(count):
    patterns = {stage.name for stage in STAGES}
    assert {pattern_of(name) for name in stage_axes(count)} == patterns


def test_layers_are_expanded_in_groups_and_their_modules_too():
    table = [
        Stage("in", "BTC", "start", "output"),
        Stage("layer.{i}.a", "BTC", "h.{i}.first", "input"),
        Stage("layer.{i}", "BTC", "h.{i}", "output"),
        Stage("out", "BC", "end", "output"),
    ]
    found = expand_stages(table, {"": 2})
    assert [s.name for s in found] == ["in", "layer.0.a", "layer.0", "layer.1.a", "layer.1", "out"]
    assert [s.module for s in found] == ["start", "h.0.first", "h.0", "h.1.first", "h.1", "end"]
    assert [s.name for s in expand_stages(table, {"": 0})] == ["in", "out"]


# what looks


def test_silence_returns_what_it_is_shown():
    x = np.ones(3)
    inner = silent.within("layer.0").of(None).columns(slice(0, 1), 2).block(slice(0), slice(0), 1)
    assert inner("scores", x) is x


def test_rows_come_back_where_their_tokens_stood():
    trace = recording()
    assert trace("x", ROWS) is ROWS
    assert list(trace) == ["x"]
    assert trace["x"].tolist() == WHOLE
    trace = recording()
    trace.of(padded(MASK).only([2]))("x", ROWS[2:])
    assert trace["x"][:2].tolist() == np.zeros((2, 3, 2)).tolist()
    trace.of(padded(MASK).only([0]))("x", ROWS[:2])
    assert trace["x"].tolist() == WHOLE


def test_names_are_paths_and_parts_share_what_is_kept():
    trace = recording()
    inner = trace.within("layer.0").within("attention")
    inner("output", ROWS)
    trace("layer.0", ROWS)
    assert list(trace) == ["layer.0.attention.output", "layer.0"]
    assert "layer.0" in trace
    assert "layer.1" not in trace


def test_only_what_is_wanted_is_kept():
    trace = recording({"layer.1"})
    for i in range(3):
        assert trace(f"layer.{i}", ROWS) is ROWS
    assert list(trace) == ["layer.1"]
    assert list(recording(())) == []


def test_columns_and_blocks_are_put_together():
    trace, batch = recording(), padded(MASK)
    for i in (1, 0):
        part = trace.columns(slice(i, i + 1), 2)
        part("wide", 10 * i + ROWS)
        for sequence in batch.sequences:
            for query in (slice(0, 1), slice(1, 2)):
                block = part.of(sequence).block(slice(0, 1), query, 1)
                block("scores", np.full((1, 1, 2), 100.0 * i + query.start + 1))
    assert trace["wide"][0, 0].tolist() == [1, 2, 11, 12]
    assert trace["scores"].shape == (3, 2, 3, 3)
    assert trace["scores"][0, 1].tolist() == [[101, 0, 101], [0, 0, 0], [102, 0, 102]]
    assert trace["scores"][2, 0].tolist() == [[0, 0, 0], [0, 1, 1], [0, 2, 2]]
    assert not trace["scores"][1].any()


def test_a_stage_that_is_taken_is_gone():
    trace = recording()
    trace("x", ROWS)
    assert trace.take("x").tolist() == WHOLE
    assert "x" not in trace
    assert list(trace) == []


def test_the_dtype_is_that_of_the_pieces():
    trace = recording()
    trace("x", ROWS.astype(np.float32))
    assert trace["x"].dtype == np.float32


def test_where_a_recording_is():
    before = here.set("")
    try:
        trace = recording()
        inner = trace.within("layer.4")
        assert here.get() == "layer.4"
        inner.within("attention")
        assert here.get() == "layer.4.attention"
        silent.within("layer.5")  # nobody looks: nothing is noted
        assert here.get() == "layer.4.attention"
    finally:
        here.reset(before)


# what puts a known stage in place of another


def test_what_is_known_goes_on_and_what_was_computed_is_kept():
    known = {"layer.0": np.arange(18.0).reshape(3, 3, 2)}
    trace = Replacing(padded(MASK), known)
    found = trace("layer.0", -ROWS)
    assert found.tolist() == [[0, 1], [4, 5], [14, 15], [16, 17]]
    assert trace["layer.0"].tolist() == (-np.array(WHOLE)).tolist()
    assert trace("layer.1", ROWS) is ROWS
    assert list(trace) == ["layer.0"]  # of the others nobody asked
    assert trace.misfits == {}


def test_what_is_known_comes_in_the_dtype_of_the_network():
    known = {"x": np.ones((3, 3, 2))}
    trace = Replacing(padded(MASK), known)
    assert trace("x", ROWS.astype(np.float32)).dtype == np.float32
    assert trace("x", ROWS).dtype == np.float64


def test_pieces_of_what_is_known():
    scores = np.arange(3 * 2 * 3 * 3.0).reshape(3, 2, 3, 3)
    batch = padded(MASK)
    trace = Replacing(batch, {"a.scores": scores}).within("a").columns(slice(1, 2), 2)
    block = trace.of(batch.sequences[1]).block(slice(0, 1), slice(1, 2), 1)
    found = block("scores", np.zeros((1, 1, 2)))
    assert found.tolist() == [[scores[2, 1, 2, 1:].tolist()]]


def test_what_is_known_in_another_shape_is_left_aside_and_told():
    trace = Replacing(padded(MASK), {"a.x": np.ones((3, 3, 5))})
    inner = trace.within("a")
    assert inner("x", ROWS) is ROWS
    assert trace.misfits == {"a.x": (3, 3, 2)}


def test_others_may_be_kept_than_are_known():
    trace = Replacing(padded(MASK), {"x": np.zeros((3, 3, 2))}, {"y"})
    assert not trace("x", ROWS).any()
    trace("y", ROWS)
    assert list(trace) == ["y"]
