"""Grades of derivatives: what is right in another way, what real code got wrong, and where."""

import math

import numpy as np
import pytest
from students import ours

from minibert import BertConfig, BertModel, GPT2Config, GPT2LMHeadModel, derivatives, grade
from minibert.grading.cases import cases
from minibert.mistakes.gradient_table import GRADIENTS
from minibert.runtime.swap import OPERATIONS

# right, each in its own way


def layer_norm_backward(grad, x, weight, eps):
    """By the whole Jacobian of each row."""
    rows, size = x.shape
    back, normal = np.empty_like(x), np.empty_like(x)
    for i in range(rows):
        centered = x[i] - x[i].mean()
        deviation = math.sqrt((centered * centered).mean() + eps)
        normal[i] = centered / deviation
        jacobian = np.eye(size) - 1 / size - np.outer(normal[i], normal[i]) / size
        back[i] = jacobian @ (grad[i] * weight) / deviation
    return back, np.einsum("nc,nc->c", grad, normal), np.einsum("nc->c", grad)


def softmax_backward(grad, probabilities):
    """By the whole Jacobian of each row."""
    size = probabilities.shape[-1]
    diagonal = np.einsum("...i,ij->...ij", probabilities, np.eye(size, dtype=grad.dtype))
    jacobian = diagonal - np.einsum("...i,...j->...ij", probabilities, probabilities)
    return np.einsum("...ij,...j->...i", jacobian, grad)


def linear_backward(grad, x, weight):
    matrix, bias = np.zeros_like(weight), np.zeros_like(weight[:, 0])
    for one, row in reversed([*zip(grad, x, strict=True)]):
        matrix += np.outer(one, row)
        bias += one
    return np.einsum("no,oi->ni", grad, weight), matrix, bias


def attention_backward(grad, query, key, value, *, allowed=None):
    scale = math.sqrt(query.shape[-1])
    scores = np.einsum("hqd,hkd->hqk", query, key) / scale
    if allowed is not None:
        scores = np.where(allowed, scores, np.array(-1e9, scores.dtype))
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    p = powers / powers.sum(-1, keepdims=True)
    back = softmax_backward(np.einsum("hqd,hkd->hqk", grad, value), p) / scale
    to_query, to_key = np.einsum("hqk,hkd->hqd", back, key), np.einsum("hqk,hqd->hkd", back, query)
    return to_query, to_key, np.einsum("hqk,hqd->hkd", p, grad)


def lookup_backward(grad, rows, count):
    table = np.zeros((count, grad.shape[1]), grad.dtype)
    np.add.at(table, rows, grad)
    return table


def gelu_backward(grad, x):
    inside = np.vectorize(math.erf)(x / math.sqrt(2)).astype(x.dtype)
    return grad * ((1 + inside) / 2 + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi))


RIGHT = {
    function.__name__: function
    for function in (
        *(layer_norm_backward, softmax_backward, linear_backward),
        *(attention_backward, lookup_backward, gelu_backward),
    )
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_in_another_way_is_right(name):
    result = grade(**{name: RIGHT[name]})
    assert result, result
    assert "the whole model" in result.right


# what real code got wrong: each is right where its own tests looked


def weight_last(grad, x, weight, eps):
    """Right where the weight is 1."""
    back = derivatives.layer_norm_backward(grad, x, np.ones_like(weight), eps)[0]
    return weight * back, *derivatives.layer_norm_backward(grad, x, weight, eps)[1:]


def no_eps(grad, x, weight, eps):
    """Right where a row varies."""
    return derivatives.layer_norm_backward(grad, x, weight, 0 * eps)


def untrained(grad, x, weight, eps):
    back, scale, shift = derivatives.layer_norm_backward(grad, x, weight, eps)
    return back, 0 * scale, shift


def blind(grad, query, key, value, *, allowed=None):
    """Right without a mask."""
    return derivatives.attention_backward(grad, query, key, value)


def overwritten(grad, rows, count):
    """Right where no id repeats."""
    table = np.zeros((count, grad.shape[1]), grad.dtype)
    table[rows] = grad
    return table


REAL = [
    ("layer_norm_backward", weight_last, "the weight of the norm multiplied last"),
    ("layer_norm_backward", no_eps, "no eps"),
    ("layer_norm_backward", untrained, "no gradient of the weight of the norm"),
    ("attention_backward", blind, "on a mask that leaves keys out, no mask on the way back"),
    ("lookup_backward", overwritten, "rows overwritten where one is looked up again"),
    ("softmax_backward", lambda g, p: g * p * (1 - p), "the diagonal alone"),
    ("gelu_backward", derivatives.gelu_new_backward, "the derivative of gelu_new (tanh)"),
    (
        "pooler_backward",
        lambda g, x, w, y: derivatives.linear_backward(g * (1 - np.tanh(y) ** 2), x, w),
        "tanh applied to its own result",
    ),
]


@pytest.mark.parametrize(("name", "student", "cause"), REAL)
def test_what_real_code_got_wrong_is_named(name, student, cause):
    result = grade(**{name: student})
    assert result.cause == cause
    assert result.stage or student in (blind, no_eps)  # no mask and next to no eps in that model


def test_a_mask_that_nobody_can_hand_over():
    result = grade(attention_backward=lambda g, q, k, v: attention_backward(g, q, k, v))
    assert result.wrong == ("a mask that leaves keys out", "a causal mask")
    assert "has no parameter named allowed" in result.cause


# what nobody listed


def shifted(grad, x, weight, eps):
    back, scale, shift = derivatives.layer_norm_backward(grad, x, weight, eps)
    return back + 0.01 * x, scale, shift


def test_a_mistake_that_is_not_known_is_not_guessed():
    unknown = "its numbers are wrong, as by no mistake that is known"
    result = grade(layer_norm_backward=shifted)
    assert result.cause == f"in the gradient of the input, {unknown}"
    result = grade(softmax_backward=lambda g, p: derivatives.softmax_backward(g, p) + p * p)
    assert result.cause == unknown
    assert result.stage == "layer.3.attention.scores"
    assert result.points == 0


def test_one_gradient_that_is_wrong_by_a_factor_is_told_apart():
    def student(grad, x, weight):
        found = derivatives.linear_backward(grad, x, weight)
        return found[0], found[1], 3 * found[2]

    said = "in the gradient of the bias, a result that is too large, by one factor"
    assert grade(linear_backward=student).cause == said


def first_rows(count, function):
    def student(grad, *args):
        out = function(grad, *args).copy()
        out[count:] = 0
        return out

    return student


def test_the_first_rows_alone():
    result = grade(gelu_backward=first_rows(16, gelu_backward))
    assert result.cause == "on many rows, the first 16 rows alone are right"


# in the model


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("cross_entropy_backward", "seq_relationship"),
        ("linear_backward", "pooler"),
        ("pooler_backward", "layer.3"),
        ("gelu_backward", "predictions.intermediate"),
        ("layer_norm_backward", "predictions.activation"),
        ("feed_forward_backward", "layer.3.attention"),
        ("softmax_backward", "layer.3.attention.scores"),
        ("attention_backward", "layer.3.attention.query"),
        ("attention_scores_backward", "layer.3.attention.query"),
        ("lookup_backward", "embeddings.word"),
        ("embeddings_backward", "embeddings.word"),
    ],
)
def test_the_first_wrong_stage_on_the_way_back(name, stage):
    def student(*args, allowed=None):
        options = {} if allowed is None else {"allowed": allowed}
        found = OPERATIONS[name](*args, **options)
        return tuple(1.5 * x for x in found) if isinstance(found, tuple) else 1.5 * found

    assert grade(**{name: student}).stage == stage


def test_a_weight_alone_that_is_wrong():
    def student(grad, x, weight):
        back, matrix, bias = derivatives.linear_backward(grad, x, weight)
        return back, matrix, 2 * bias

    assert grade(linear_backward=student).stage == "seq_relationship.bias"


def test_other_models_with_and_without_a_head():
    sizes = {"hidden_size": 12, "num_attention_heads": 3, "num_hidden_layers": 1}
    config = BertConfig(**sizes, intermediate_size=7, vocab_size=50, hidden_act="silu")
    bert = BertModel(config, seed=0)
    result = grade(model=bert, silu_backward=ours("silu_backward"))
    assert "the whole model" in result.right
    assert "the whole model" not in grade(model=bert, gelu_backward=gelu_backward).right
    assert grade(model=bert, silu_backward=lambda grad, x: grad).stage == (
        "layer.0.feed_forward.intermediate"
    )
    config = GPT2Config(n_embd=8, n_head=2, n_layer=2, vocab_size=20, n_positions=9)
    gpt2 = GPT2LMHeadModel(config, seed=0)
    assert grade(model=gpt2, attention_backward=attention_backward)
    assert grade(model=gpt2, attention_backward=blind).stage == "layer.1.attention.query"


# what they are tried on


@pytest.mark.parametrize("name", sorted(name for name in OPERATIONS if name.endswith("_backward")))
def test_what_comes_in_from_above_is_never_ones(name):
    for case in cases(name):
        assert np.ptp(case.args[0]) > 0.1 or len(case.args[0]) == 1
    names = {case.name for case in cases(name)}
    assert {"ordinary numbers", "float32"} < names


def test_what_the_cases_hold():
    _, _, weight, _ = cases("layer_norm_backward")[0].args
    assert not np.isclose(weight, 1).any()
    rows = cases("lookup_backward")[0].args[1]
    assert len({*rows.tolist()}) < len(rows)
    narrow = next(c for c in cases("layer_norm_backward") if c.name == "a row that hardly varies")
    assert narrow.args[1].std(-1).min() < 1e-2
    assert [c.name for c in cases("attention_backward") if c.options] == [
        "a mask that leaves keys out",
        "a causal mask",
    ]


def test_the_table_holds_the_mistakes_of_every_derivative_that_is_not_trivial():
    assert sum(map(len, GRADIENTS.values())) > 200
