import math
from pathlib import Path

import numpy as np
import pytest

from minibert import functions as f
from minibert.grading.cases import cases

RECORDED = np.load(Path(__file__).parent / "data" / "functions.npz")
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
ERF_ERROR = {np.float32: 1.2e-7, np.float64: 4e-16}


def recorded(name, dtype):
    return RECORDED[f"{name}.{np.dtype(dtype)}"]


def near(x, places):
    """Return some neighbours of each place, and of its negative."""
    steps = np.arange(-3, 4) * np.finfo(x.dtype).eps
    around = (places[:, np.newaxis] * (1 + steps)).ravel()
    return np.concatenate([x, around, -around]).astype(x.dtype)


@DTYPES
def test_erf_agrees_with_the_standard_library(dtype):
    random = np.random.default_rng(0).uniform(-7, 7, 20_000)
    x = np.concatenate([np.linspace(-7, 7, 50_001), random]).astype(dtype)
    x = near(x, np.array([0.46875, 4, 4.1, 6]))
    expected = np.array([math.erf(number) for number in x.tolist()])
    assert f.erf(x).dtype == dtype
    assert np.abs(f.erf(x).astype(np.float64) - expected).max() <= ERF_ERROR[dtype]


@DTYPES
def test_erf_of_small_numbers_is_relatively_right(dtype):
    limit = np.finfo(dtype)
    x = np.geomspace(float(limit.tiny) * 2, 0.1, 500).astype(dtype)
    expected = np.array([math.erf(number) for number in x.tolist()])
    np.testing.assert_allclose(f.erf(x), expected, rtol=3 * limit.eps)
    denormal = limit.smallest_subnormal
    assert f.erf(np.array([denormal, -denormal])).tolist() == [denormal, -denormal]


@DTYPES
@pytest.mark.parametrize(
    ("x", "expected"),
    [(math.inf, 1), (-math.inf, -1), (math.nan, math.nan), ("max", 1), ("min", -1)],
)
def test_erf_at_the_ends(dtype, x, expected):
    x = getattr(np.finfo(dtype), x) if isinstance(x, str) else x
    np.testing.assert_array_equal(f.erf(np.array([x], dtype)), [expected])


@DTYPES
def test_erf_keeps_the_sign_of_zero(dtype):
    zeros = np.array([0.0, -0.0], dtype)
    assert np.signbit(f.erf(zeros)).tolist() == [False, True]
    assert f.erf(zeros).tolist() == [0, 0]


def test_the_recorded_activations_are_all_there_are():
    names = {name.split(".")[1] for name in RECORDED if name.startswith("activation.")}
    assert names == set(f.ACTIVATIONS)


@DTYPES
@pytest.mark.parametrize("name", f.ACTIVATIONS)
def test_activation_agrees_with_transformers(name, dtype):
    """To 3 units in the last place of x: below 0, GELU is a small difference of large numbers.

    Or in the last place of the result, if that is larger.
    """
    x, expected = recorded("grid", dtype), recorded(f"activation.{name}", dtype)
    larger = np.maximum(np.abs(x), np.abs(expected))
    tolerance = 3 * np.finfo(dtype).eps * larger + np.finfo(dtype).smallest_subnormal
    found = f.ACTIVATIONS[name](x)
    assert found.dtype == dtype
    difference = np.abs(found - expected)
    assert (difference <= tolerance).all(), f"{(difference / tolerance).max():.1f} times too much"


ENDS = {"tanh": (1, -1), "linear": (1e4, -1e4), "leaky_relu": (1e4, -100), "relu2": (1e8, 0)}
ENDS |= {"gelu_10": (10, 0), "relu6": (6, 0), "sqrtsoftplus": (100, 0)}
ENDS |= dict.fromkeys(("sigmoid", "laplace"), (1, 0))


@DTYPES
@pytest.mark.parametrize("name", f.ACTIVATIONS)
def test_activation_of_large_numbers_is_silent(name, dtype):
    """Warnings are errors here; what an activation cannot tell apart from its limit is that."""
    top, bottom = f.ACTIVATIONS[name](np.array([1e4, -1e4], dtype))
    assert (top, bottom) == ENDS.get(name, (1e4, 0))


@pytest.mark.parametrize("name", f.ACTIVATIONS)
def test_activation_passes_nan_on(name):
    assert np.isnan(f.ACTIVATIONS[name](np.array([math.nan]))).all()


@DTYPES
@pytest.mark.parametrize("eps", [("tiny", 1e-12), ("large", 0.1)], ids=lambda eps: eps[0])
def test_layer_norm_agrees_with_torch(dtype, eps):
    x, scale, shift = (recorded(name, dtype) for name in ("x", "scale", "shift"))
    found = f.layer_norm(x, scale, shift, eps[1])
    expected = recorded(f"layer_norm.{eps[0]}", dtype)
    assert found.dtype == dtype
    # the first row is 0.3 +- 0.003: its mean rounds to 1e-5 of its spread in float32
    np.testing.assert_allclose(found[1:], expected[1:], atol=10 * np.finfo(dtype).eps)
    np.testing.assert_allclose(found[0], expected[0], atol=200 * np.finfo(dtype).eps)


def test_layer_norm_by_hand():
    """Mean 2 and variance 8/3, by n; n - 1 would give 4. With eps 4/3 inside, the root is 2."""
    x = np.array([[0.0, 2.0, 4.0]])
    one, zero = np.ones(3), np.zeros(3)
    np.testing.assert_allclose(f.layer_norm(x, one, zero, 4 / 3), [[-1, 0, 1]])
    np.testing.assert_allclose(f.layer_norm(x, 3 * one, 5 * one, 4 / 3), [[2, 5, 8]])


@DTYPES
def test_linear_agrees_with_torch(dtype):
    x, matrix, bias = (recorded(name, dtype) for name in ("x", "matrix", "bias"))
    found = f.linear(x, matrix, bias)
    assert found.dtype == dtype
    atol = 37 * np.finfo(dtype).eps
    np.testing.assert_allclose(found, recorded("linear", dtype), atol=atol)


@pytest.mark.parametrize("size", [1, 192, 193, 385, 770])
def test_linear_of_any_size(size):
    random = np.random.default_rng(0)
    x, matrix, bias = random.random((5, 3, size)), random.random((7, size)), random.random(7)
    expected = np.einsum("bti,oi->bto", x, matrix) + bias
    np.testing.assert_allclose(f.linear(x, matrix, bias), expected, rtol=1e-13)


@DTYPES
def test_softmax_agrees_with_torch(dtype):
    found = f.softmax(recorded("x", dtype))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, recorded("softmax", dtype), rtol=20 * np.finfo(dtype).eps)
    np.testing.assert_allclose(found.sum(axis=-1), 1, rtol=4 * np.finfo(dtype).eps)


@DTYPES
@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0, 1], [1 / (1 + math.e), math.e / (1 + math.e)]),
        ([1e4, 1e4], [0.5, 0.5]),
        ([-1e30, 1e30, 1e30], [0, 0.5, 0.5]),
        ([-1e4], [1]),
    ],
    ids=str,
)
def test_softmax_by_hand(dtype, scores, expected):
    found = f.softmax(np.array([[scores]], dtype))
    np.testing.assert_allclose(found, [[expected]], rtol=2 * np.finfo(dtype).eps)


@DTYPES
def test_heads_are_cut_side_by_side(dtype):
    rows = np.arange(3 * 10, dtype=dtype).reshape(3, 10)  # T = 3, H = 5, D = 2
    heads = f.split_heads(rows, 5)
    assert heads.shape == (5, 3, 2)
    assert heads[1].tolist() == [[2, 3], [12, 13], [22, 23]]  # head 1: columns 2 and 3
    assert heads.dtype == dtype


@DTYPES
def test_attention_scores_are_queries_by_keys_over_the_root_of_the_head_size(dtype):
    query = np.array([[[1, 0, 0, 0], [0, 2, 0, 0]], [[1, 1, 1, 1], [0, 0, 0, 0]]], dtype)
    key = np.array([[[3, 5, 0, 0], [7, 9, 0, 0]], [[1, 2, 3, 4], [2, 2, 2, 2]]], dtype)
    scores = f.attention_scores(query, key)  # D = 4: halves
    assert scores.dtype == dtype
    assert scores.tolist() == [[[1.5, 3.5], [5, 9]], [[5, 4], [0, 0]]]


@DTYPES
def test_attention_context_by_hand(dtype):
    """Scores 0 and 1 weigh the values 1 and 0 by [1, e] / (1 + e)."""
    weights = f.softmax(np.array([[[0, 1], [0, 0]]], dtype))
    value = np.array([[[1, 0, 3], [0, 1, 3]]], dtype)
    context = f.attention_context(weights, value)
    assert context.dtype == dtype
    expected = [[[1 / (1 + math.e), math.e / (1 + math.e), 3], [0.5, 0.5, 3]]]
    np.testing.assert_allclose(context, expected, rtol=2 * np.finfo(dtype).eps)


@DTYPES
def test_heads_are_put_together_side_by_side(dtype):
    rows = np.arange(3 * 10, dtype=dtype).reshape(3, 10)
    merged = f.merge_heads(f.split_heads(rows, 5))
    np.testing.assert_array_equal(merged, rows)
    assert merged.dtype == dtype
    one = f.merge_heads(np.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]], dtype))
    assert one.tolist() == [[1, 2, 5, 6], [3, 4, 7, 8]]


def test_attention_of_fewer_queries_than_keys_is_a_part_of_the_whole():
    query, key, value = np.random.default_rng(0).standard_normal((3, 2, 7, 3))
    whole = f.attention(query, key, value)
    expected = f.attention_context(f.softmax(f.attention_scores(query, key)), value)
    np.testing.assert_allclose(whole, expected, rtol=1e-12)
    np.testing.assert_allclose(f.attention(query[:, 2:4], key, value), whole[:, 2:4], rtol=1e-12)


def test_a_mean_is_summed_in_float64():
    """In float32 the small numbers would be lost in the large one."""
    x = np.array([[2**24, *[1] * 1023]], np.float32)
    assert f.mean(x).dtype == np.float32
    assert f.mean(x).item() == np.float32((2**24 + 1023) / 1024)


def test_embeddings_are_a_normalised_sum_of_three_rows():
    tables = np.array([[0.0, 1], [2, 7]]), np.array([[10.0, 0]]), np.array([[0.0, 100]])
    one, zero, ids = np.ones(2), np.zeros(2), [np.array([i]) for i in (1, 0, 0)]
    found = f.embeddings(*ids, *tables, one, zero, 1.0)
    np.testing.assert_allclose(found, f.layer_norm(np.array([[12.0, 107]]), one, zero, 1.0))


def test_feed_forward_and_pooler_by_hand():
    x, wide, narrow = np.array([[1.0, -2]]), np.array([[1.0, 0], [0, 1], [1, 1]]), np.ones((2, 3))
    found = f.feed_forward(x, wide, np.array([0, 3.0, 0]), narrow, np.array([0, 10.0]), "relu")
    assert found.tolist() == [[2, 12]]  # 1, -2 + 3 and max(-1, 0)
    assert f.pooler(x, wide, np.zeros(3)).tolist() == np.tanh([[1.0, -2, -1]]).tolist()


@pytest.mark.parametrize("name", ["embeddings", "feed_forward", "attention"])
def test_the_stages_inside_go_on_as_the_trace_returns_them(name):
    class Doubled:
        def __init__(self, stage=None):
            self.stage, self.shown = stage, []

        def __call__(self, stage, x):
            self.shown.append(stage)
            return 2 * x if stage == self.stage else x

        def block(self, *_):
            return self

    plain, args = Doubled(), cases(name)[0].args
    expected = getattr(f, name)(*args, trace=plain)
    assert (
        plain.shown
        == {
            "embeddings": ["sum"],
            "feed_forward": ["intermediate", "activation"],
            "attention": ["scores", "probabilities"],
        }[name]
    )
    for stage in plain.shown:
        assert not np.allclose(getattr(f, name)(*args, trace=Doubled(stage)), expected)


@pytest.mark.parametrize(
    ("dtype", "large", "close"),
    [
        *((np.float32, size, 1e-6) for size in (1.9e19, 1e25, 3.4e38)),
        *((np.float64, size, 1e-14) for size in (1e160, 1.7e308)),
        (np.float16, 6e4, 2e-3),
    ],
)
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)])
def test_layer_norm_of_numbers_whose_squares_overflow(dtype, large, close, shape):
    x = np.random.default_rng(0).uniform(-1, 1, shape)
    x.reshape(-1, 4)[-1, :2] = 1, -1
    weight, bias = np.array([1, 2, -1, 0.5]), np.array([0, 1, 0, 3.0])
    expected = f.layer_norm(x, weight, bias, 1e-20)
    given = x.astype(dtype)
    given.reshape(-1, 4)[-1] *= dtype(large)  # beside rows as they always are
    with np.errstate(over="ignore", invalid="ignore"):
        found = f.layer_norm(given, weight.astype(dtype), bias.astype(dtype), 1e-20)
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, rtol=close, atol=close)


def test_layer_norm_of_infinity_is_nan():
    rows = np.array([[1, np.inf, 2, 3], [1, 2, 3, 1e30]], np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        found = f.layer_norm(rows, np.ones(4, np.float32), np.zeros(4, np.float32), 1e-12)
    assert np.isnan(found[0]).all()
    np.testing.assert_allclose(found[1], [-(3**-0.5)] * 3 + [3**0.5], rtol=1e-6)
