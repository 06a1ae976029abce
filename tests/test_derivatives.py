"""Each derivative beside central differences in float64, of inputs that hide nothing.

What comes in from above is random (ones are blind to what sums to nothing), scales are not 1 and
shifts not 0, a mask leaves keys out, ids repeat, and one row hardly varies.
"""

from functools import partial

import numpy as np
import pytest
from finite import agree, differences, draw

from minibert import derivatives as g
from minibert import functions as f
from minibert.runtime.threads import set_num_threads


def of_each(function, args, grad, found):
    """Compare gradients with differences: ``found[i]`` is that of ``args[i]``."""
    for i, gradient in enumerate(found):
        around = args[:i], args[i + 1 :]
        agree(gradient, differences(partial(of_one, function, *around), args[i], grad))


def of_one(function, before, after, x):
    return function(*before, x, *after)


@pytest.mark.parametrize("name", f.ACTIVATIONS)
def test_activation(name):
    x = np.concatenate([draw(41) * 2, [-7.3, -3.2, -1e-3, 1e-3, 2.9, 5.9, 6.1, 9.3, 11.0]])
    curve, grad = f.ACTIVATIONS[name], draw(len(x), seed=1)
    agree(g.ACTIVATION_DERIVATIVES[name](grad, x), differences(curve, x, grad))


@pytest.mark.parametrize("name", f.ACTIVATIONS)
def test_activation_of_large_numbers_is_silent(name):
    x = np.array([1e4, -1e4], np.float32)
    found = g.ACTIVATION_DERIVATIVES[name](np.ones_like(x), x)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


def test_linear():
    args = draw(7, 5), draw(3, 5), draw(3)
    grad = draw(7, 3)
    of_each(f.linear, args, grad, g.linear_backward(grad, *args[:2]))


@pytest.mark.parametrize("eps", [1e-12, 0.1])
def test_layer_norm(eps):
    x = draw(7, 5)
    x[3] = 2 + 1e-2 * x[3]  # hardly varies: eps counts
    args, grad = (x, 1 + draw(5), draw(5)), draw(7, 5)
    found = g.layer_norm_backward(grad, *args[:2], eps)
    of_each(lambda *args: f.layer_norm(*args, eps), args, grad, found)


def test_softmax():
    x, grad = 2 * draw(3, 5, 7), draw(3, 5, 7, seed=1)
    agree(g.softmax_backward(grad, f.softmax(x)), differences(f.softmax, x, grad))


def test_heads():
    x, grad = draw(5, 21), draw(3, 5, 7)
    split = lambda x: f.split_heads(x, 3)  # noqa: E731
    agree(g.split_heads_backward(grad), differences(split, x, grad))
    agree(g.merge_heads_backward(x, 3), differences(f.merge_heads, grad, x))


def test_attention_in_steps():
    query, key, value = draw(3, 4, 7), draw(3, 5, 7), draw(3, 5, 7, seed=1)
    grad = draw(3, 4, 5)
    found = g.attention_scores_backward(grad, query, key)
    of_each(f.attention_scores, (query, key), grad, found)
    probabilities, grad = f.softmax(grad), draw(3, 4, 7, seed=1)
    found = g.attention_context_backward(grad, probabilities, value)
    of_each(f.attention_context, (probabilities, value), grad, found)


MASKS = {
    "all": None,
    "holes": np.tile([True, False, True, True, False], (4, 1)),
    "causal": np.tri(4, 5, 1, dtype=bool),
}


@pytest.mark.parametrize("allowed", MASKS.values(), ids=MASKS)
def test_attention(allowed):
    args = draw(3, 4, 7), draw(3, 5, 7), draw(3, 5, 7, seed=1)
    grad = draw(3, 4, 7, seed=2)
    found = g.attention_backward(grad, *args, allowed=allowed)
    of_each(lambda *args: f.attention(*args, allowed=allowed), args, grad, found)


def test_a_key_that_nobody_looks_at_has_no_gradient():
    args = draw(3, 4, 7), draw(3, 5, 7), draw(3, 5, 7, seed=1)
    _, key, value = g.attention_backward(draw(3, 4, 7), *args, allowed=MASKS["holes"])
    assert not key[:, [1, 4]].any()
    assert not value[:, [1, 4]].any()


def test_what_is_added_to_all_keys_changes_nothing():
    """So the gradient of a key's bias, the sum over the keys, is 0 up to rounding."""
    args = draw(3, 4, 7), draw(3, 5, 7), draw(3, 5, 7, seed=1)
    key = g.attention_backward(draw(3, 4, 7), *args)[1]
    assert np.abs(key).max() > 0.1
    np.testing.assert_allclose(key.sum(axis=1), 0, atol=1e-14)


def test_a_row_that_is_looked_up_twice_is_given_the_sum():
    rows, table, grad = np.array([4, 1, 4, 4, 0]), draw(6, 3), draw(5, 3)
    found = g.lookup_backward(grad, rows, 6)
    agree(found, differences(lambda table: table[rows], table, grad))
    assert not found[[2, 3, 5]].any()
    assert g.lookup_backward(grad[:0], rows[:0], 6).shape == (6, 3)


def test_embeddings():
    ids, types, positions = np.array([4, 1, 4, 4, 0]), np.array([0, 1, 1, 0, 2]), np.arange(5)
    args = draw(6, 3), draw(3, 3), draw(9, 3), 1 + draw(3), draw(3)
    total = args[0][ids] + args[1][types] + args[2][positions]
    grad = draw(5, 3)
    given = ids, types, positions, total, args[3], 0.1, 6, 3, 9
    found = g.embeddings_backward(grad, *given)
    of_each(lambda *args: f.embeddings(ids, types, positions, *args, 0.1), args, grad, found)


@pytest.mark.parametrize("name", ["gelu", "relu"])
def test_feed_forward(name):
    args = draw(7, 5), draw(11, 5), draw(11), draw(5, 11), draw(5)
    grad = draw(7, 5, seed=1)
    wide = f.linear(*args[:3])
    given = args[0], wide, f.ACTIVATIONS[name](wide), args[1], args[3], name
    found = g.feed_forward_backward(grad, *given)
    of_each(lambda *args: f.feed_forward(*args, name), args, grad, found)


def test_pooler():
    args, grad = (draw(3, 5), draw(5, 5), draw(5)), draw(3, 5, seed=1)
    pooled = f.pooler(*args)
    of_each(f.pooler, args, grad, g.pooler_backward(grad, *args[:2], pooled))


@pytest.mark.parametrize("threads", [1, 2])
def test_in_blocks_as_whole(threads, monkeypatch):
    """Blocks of rows and of heads and queries, and what adds up over them."""
    rows = draw(201, 5), draw(201, 5, seed=1), 1 + draw(5), 0.1
    heads = [draw(3, n, 7, seed=i) for i, n in enumerate((29, 29, 31, 31))]
    allowed = np.tri(29, 31, 2, dtype=bool)
    whole = g.layer_norm_backward(*rows), g.attention_backward(*heads, allowed=allowed)
    monkeypatch.setattr("minibert.runtime.blocks.BLOCK", 97)
    monkeypatch.setattr("minibert.runtime.blocks.MAX_QUERIES", 11)
    set_num_threads(threads)
    blocks = g.layer_norm_backward(*rows), g.attention_backward(*heads, allowed=allowed)
    for one, other in zip(whole, blocks, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_dtype_that_goes_in_comes_out(dtype):
    x = draw(3, 4, 7).astype(dtype)
    assert {y.dtype for y in g.attention_backward(x, x, x, x)} == {np.dtype(dtype)}
    row, matrix, scale = x[0], draw(7, 7).astype(dtype), draw(7).astype(dtype)
    for found in (
        *g.linear_backward(row, row, matrix),
        *g.layer_norm_backward(row, row, scale, 1e-12),
        *g.pooler_backward(row, row, matrix, row),
    ):
        assert found.dtype == dtype
