"""However a function is applied, in blocks, by parts or by threads, it computes the same."""

import tracemalloc
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inputs import padded

from minibert import BertConfig, BertModel, functions, get_num_threads, set_num_threads, swap
from minibert.layers import Attention, FeedForward, Linear
from minibert.runtime import blocks as in_blocks_of
from minibert.runtime import parallel, threads
from minibert.runtime.blocks import BLOCK, MAX_QUERIES, blocks, by_heads, by_rows
from minibert.runtime.parallel import (
    FEW_ROWS,
    MAX_ROWS,
    MIN_ROWS,
    by_outputs_backward,
    deal,
    keys_first,
    some_heads,
    some_inputs,
    some_outputs,
    some_width,
)
from minibert.runtime.swap import unswapped
from minibert.trace import Recording, silent

RANDOM = np.random.default_rng(0)


def whole_numbers(*shape):
    """Return numbers whose sums are exact, so that their order does not show."""
    return RANDOM.integers(-9, 9, shape).astype(np.float64)


def linear(outputs, inputs):
    return Linear(whole_numbers(outputs, inputs), whole_numbers(outputs))


# a batch among threads

MASKS = st.integers(1, 9).flatmap(
    lambda length: st.lists(
        st.lists(st.booleans(), min_size=length, max_size=length), min_size=1, max_size=13
    )
)


@given(mask=MASKS, count=st.integers(1, 4))
def test_shares_have_every_token_once_and_are_about_equal(mask, count):
    mask = np.array(mask)
    whole = padded(mask, np.arange(mask.size).reshape(mask.shape))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "MIN_ROWS", 1)
        parts = deal(whole, count)
    assert len(parts) in (1, count)
    assert sum(part.mask.astype(int) for part in parts).tolist() == mask.tolist()
    if len(parts) > 1:
        assert max(len(part.token_ids) for part in parts) * count <= 1.1 * len(whole.token_ids)


def test_a_small_batch_stays_whole():
    mask = np.ones((2 * MIN_ROWS // 8, 8), int)
    assert len(deal(padded(mask), 2)) == 2
    small = padded(mask[1:])
    assert deal(small, 2) == [small]


def test_a_large_batch_becomes_shares_of_a_bounded_size():
    lengths = [len(part.token_ids) for part in deal(padded(np.ones((700, 11), int)), 2)]
    assert len(lengths) == 8
    assert sum(lengths) == 7700
    assert max(lengths) <= MAX_ROWS


def test_sequences_that_are_too_unequal_stay_together():
    mask = np.arange(1000) < np.array([[1000], [400], [400]])
    assert len(deal(padded(mask), 2)) == 1
    assert len(deal(padded(mask[[0, 1, 2, 0]]), 2)) == 2


@pytest.mark.usefixtures("two_threads")
def test_a_network_runs_on_shares_and_rows_come_back_in_order():
    shares = []

    def run(batch, trace):
        shares.append(batch)
        return trace("ids", batch.token_ids[:, np.newaxis].astype(float))

    mask = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 1], [1, 1, 1]])
    whole = padded(mask, np.arange(15).reshape(5, 3))
    trace = Recording(whole)
    rows = parallel.over_sequences(run, whole, trace)
    assert len(shares) == 2
    assert rows[:, 0].tolist() == whole.token_ids.tolist()
    assert trace["ids"].tolist() == whole.unpack(rows).tolist()


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize(("mask", "count"), [([[0, 1]], 1), ([[1, 1]], 2), ([[1, 0], [0, 1]], 2)])
def test_a_single_row_is_left_to_the_threads_of_blas(mask, count):
    def run(batch, more):
        return get_num_threads(), more

    assert parallel.pass_in_turn(run, padded(np.array(mask)), 7) == (count, 7)
    assert get_num_threads() == 2


# a layer among threads


@pytest.fixture
def three_parts(one_thread, monkeypatch):
    """Three threads, which share what little a layer has to do."""
    monkeypatch.setattr(parallel, "SMALL", 0)
    set_num_threads(3)


def test_the_parts_of_a_matrix():
    x, whole = whole_numbers(7, 11), linear(5, 11)
    parts = [slice(0, 3), slice(3, 4), slice(4, 11)]
    added = sum(some_inputs(whole, part)(x[:, part]) for part in parts)
    np.testing.assert_array_equal(added, whole(x))
    beside = [some_outputs(whole, part)(x) for part in (slice(0, 2), slice(2, 5))]
    np.testing.assert_array_equal(np.concatenate(beside, axis=1), whole(x))


def attention():
    return Attention(linear(12, 12), linear(12, 12), linear(12, 12), linear(12, 12), num_heads=4)


def test_some_heads_are_an_attention_of_their_own():
    batch, x, whole = padded(np.ones((2, 3))), whole_numbers(6, 12) / 100, attention()
    expected = whole(x, silent, batch)
    parts = [some_heads(whole, part) for part in (slice(0, 1), slice(1, 4))]
    assert [part.num_heads for part in parts] == [1, 3]
    added = sum(part(x, silent, batch) for part in parts)
    np.testing.assert_allclose(added, expected, rtol=1e-12)


def test_some_of_the_width_is_a_feed_forward_network_of_its_own():
    whole, x = FeedForward(linear(9, 12), linear(12, 9), "relu"), whole_numbers(6, 12)
    parts = [some_width(whole, part) for part in (slice(0, 2), slice(2, 9))]
    added = sum(part(x, silent) for part in parts)
    np.testing.assert_array_equal(added, whole(x, silent))


PARTS = {
    "attention": (attention, lambda batch: (batch,), "context"),
    "feed_forward": (
        lambda: FeedForward(linear(9, 12), linear(12, 9), "relu"),
        lambda batch: (),
        "activation",
    ),
}


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.usefixtures("three_parts")
def test_threads_share_a_layer_and_a_trace_sees_all_columns(kind):
    make, others, stage = PARTS[kind]
    batch, x, layer = padded([[1, 1, 0], [1, 1, 1]]), whole_numbers(5, 12) / 100, make()
    found = {}
    for count in (1, 3):
        set_num_threads(count)
        trace = Recording(batch)
        output = layer(x, trace, *others(batch))
        assert len(trace.pieces[stage]) == count
        found[count] = [output, *map(trace.__getitem__, trace)]
    assert len(found[1]) == len(found[3]) > 2
    for one, three in zip(found[1], found[3], strict=True):
        np.testing.assert_allclose(three, one, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("three_parts")
def test_what_parts_add_is_summed_in_their_order():
    """In another order than that of the parts, the 1 would be lost in 2**24."""
    narrow = Linear(np.array([[1, 2**24, -(2**24)]], np.float32), np.zeros(1, np.float32))
    wide = Linear(np.ones((3, 1), np.float32), np.zeros(3, np.float32))
    feed_forward = FeedForward(wide, narrow, "relu")
    x = np.ones((1, 1), np.float32)
    assert {feed_forward(x, silent).item() for _ in range(20)} == {0}


# a function in blocks


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (11, 3, 5), (29, 2), (0, 5), ()])
def test_blocks_of_rows_change_nothing(monkeypatch, shape):
    monkeypatch.setattr(in_blocks_of, "BLOCK", 10)
    lengths = []

    @by_rows
    def scaled(x, factor, *, shift):
        lengths.append(x.size)
        return x * factor + shift

    x = np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape)
    np.testing.assert_array_equal(scaled(x, 3, shift=1), x * 3 + 1)
    assert max(lengths) <= max(10, x.size // max(1, len(np.atleast_1d(x))))


@given(heads=st.integers(1, 13), queries=st.integers(1, 700), keys=st.integers(1, 700))
def test_blocks_have_every_head_and_query_once_and_are_small(heads, queries, keys):
    seen = np.zeros((heads, queries), int)
    for part in blocks(heads, queries, keys):
        seen[part] += 1
        size = [piece.stop - piece.start for piece in part]
        assert part[0].stop <= heads
        assert part[1].stop <= queries
        # heads are dealt out evenly, so there may be one more than fits
        assert (size[0] - 1) * size[1] * keys <= BLOCK
        assert size[1] <= MAX_QUERIES
    assert (seen == 1).all()


def test_blocks_are_whole_for_a_function_of_a_user():
    with swap(gelu=lambda x: x):
        assert blocks(12, 300, 300) == [(slice(0, 12), slice(0, 300))]
        with unswapped():
            assert len(blocks(12, 300, 300)) > 1


@pytest.mark.parametrize("keys", [5, 7])
def test_blocks_of_attention_change_nothing(monkeypatch, keys):
    query = RANDOM.standard_normal((3, 5, 4))
    key, value = RANDOM.standard_normal((2, 3, keys, 4))
    expected = functions.attention(query, key, value)
    monkeypatch.setattr(in_blocks_of, "BLOCK", 10)
    monkeypatch.setattr(in_blocks_of, "MAX_QUERIES", 2)
    sizes = []

    @by_heads
    def in_blocks(query, key, value, allowed, trace):
        sizes.append((query.shape, key.shape, value.shape))
        scores = query @ key.transpose(0, 2, 1) / 2
        return functions.softmax(scores) @ value

    np.testing.assert_allclose(in_blocks(query, key, value), expected, rtol=1e-13)
    assert set(sizes) == {((1, n, 4), (1, keys, 4), (1, keys, 4)) for n in (1, 2)}


# a product in the shape that BLAS likes


@pytest.mark.parametrize(
    ("rows", "inputs", "outputs"),
    [
        *product(
            (1, 2, FEW_ROWS // 2, FEW_ROWS, FEW_ROWS + 1), (3, 21, 64, 192), (1, 7, 8, 40, 41)
        ),
        (40, 3126, 16),  # few rows, and yet many numbers
    ],
)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("threads", ["one_thread", "three_parts"])
def test_a_product_of_any_shape(rows, inputs, outputs, transposed, threads, request):
    """Small products go to BLAS as a stack of matrices, large ones by threads."""
    request.getfixturevalue(threads)
    x, matrix = whole_numbers(rows, inputs), linear(outputs, inputs)
    weight = matrix.weight.T.copy().T if transposed else matrix.weight
    found = functions.linear(x, weight, matrix.bias)
    assert found.shape == (rows, outputs)
    np.testing.assert_array_equal(found, np.einsum("ri,oi->ro", x, matrix.weight) + matrix.bias)


@pytest.fixture
def shapes():
    """The shapes of the matrices that a product is made of."""
    return []


@pytest.fixture
def watched(shapes):
    """A product that tells them."""

    @parallel.by_outputs
    def multiply(x, weight, bias):
        shapes.append(weight.shape)
        return x @ weight.T + bias

    return multiply


@pytest.mark.usefixtures("two_threads")
def test_threads_go_back_through_some_outputs_each():
    grad, x, weight = whole_numbers(11, 7), whole_numbers(11, 5), whole_numbers(7, 5)
    seen = []

    @by_outputs_backward
    def backward(grad, x, weight):
        seen.append(weight.shape)
        return grad @ weight, grad.T @ x, grad.sum(axis=0)

    found = backward(grad, x, weight)
    assert sorted(seen) == [(3, 5), (4, 5)]
    for one, other in zip(found, (grad @ weight, grad.T @ x, grad.sum(axis=0)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_small_product_is_a_stack_of_matrices_with_eight_outputs(watched, shapes):
    for rows in (1, 2, FEW_ROWS, FEW_ROWS + 1):
        watched(np.ones((rows, 3)), np.ones((16, 3)), np.ones(16))
    # transposed: two matrices, (inputs, 8); BLAS does not rearrange a matrix for a single row
    assert shapes == [(16, 3), (8, 3, 2), (8, 3, 2), (16, 3)]


def test_a_small_product_leaves_few_outputs_over(watched, shapes, one_thread):
    watched(np.ones((2, 3)), np.ones((19, 3)), np.ones(19))
    assert shapes == [(8, 3, 2), (3, 3)]


def test_a_small_product_by_a_transposed_matrix_is_a_stack_with_64_inputs(watched, shapes):
    for rows in (1, 2, FEW_ROWS // 2, FEW_ROWS // 2 + 1):
        watched(np.ones((rows, 192)), np.ones((192, 16)).T, np.ones(16))
    assert shapes == [(16, 192), (16, 64, 3), (16, 64, 3), (16, 192)]


def test_threads_share_a_layer_if_its_matrices_alone_are_long_to_read(monkeypatch):
    monkeypatch.setattr(parallel, "spread", lambda *_: None)
    monkeypatch.setattr(parallel, "shares", lambda size: [slice(0, 1), slice(1, size)])
    monkeypatch.setattr(parallel, "reduce", lambda *_: "shared")
    call = parallel.adds_up(lambda layer: 2, lambda *_: None)(lambda *_: "whole")
    found = [call(None, np.ones((1, width)), silent) for width in (128, 768)]
    assert found == ["whole", "shared"]


def test_keys_come_first_in_memory():
    query, key = whole_numbers(2, 3, 4), whole_numbers(2, 5, 4)

    @keys_first
    def scores(query, key):
        return query @ key.transpose(0, 2, 1)

    found = scores(query, key)
    np.testing.assert_array_equal(found, query @ key.transpose(0, 2, 1))
    assert found.transpose(0, 2, 1).flags.c_contiguous


def test_512_tokens_take_little_beside_the_weights():
    """Of BERT-base's width: 40 MB in all, for any number of layers."""
    model = BertModel(BertConfig(vocab_size=13, num_hidden_layers=3))
    ids = np.ones((1, 512), int)
    before = threads.get_num_threads()
    try:
        for count in (1, 2):
            set_num_threads(count)
            model(ids)
            tracemalloc.start()
            model(ids)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 40e6, count
    finally:
        set_num_threads(before)
