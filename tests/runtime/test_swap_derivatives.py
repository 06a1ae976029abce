"""A user's derivative in place of ours: what it does to the gradients of a model."""

import numpy as np
import pytest
from swaps import IDS, Again

import minibert
from minibert import SwapError, derivatives, functions, swap
from minibert.runtime.swap import OPERATIONS

pytestmark = pytest.mark.usefixtures("one_thread")
DERIVATIVES = sorted(name for name in OPERATIONS if name.endswith("_backward"))


def learnt(learner):
    ids = np.array(IDS)
    inputs = {"input_ids": ids, "attention_mask": [[1] * 5, [1] * 3 + [0] * 2]}
    labels = np.where(inputs["attention_mask"], ids, -100)
    targets = {"labels": labels, "next_sentence_label": [0, 1]}
    return minibert.gradients(learner, inputs, targets)[1]


@pytest.fixture(scope="module")
def learner():
    return minibert.BertForPreTraining.from_pretrained(minibert.EMBEDDED_CHECKPOINT)


#: Those that the way back through a BERT with GELU has no use for.
CURVES = {f"{curve.__name__}_backward" for curve in functions.ACTIVATIONS.values()}
UNUSED = CURVES - {"gelu_backward"}


@pytest.mark.parametrize("name", DERIVATIVES)
def test_our_own_derivative_in_our_place_changes_no_gradient(name, learner):
    expected, again = learnt(learner), Again(name)
    with swap(**{name: again}):
        found = learnt(learner)
    for tensor, grad in expected.items():
        np.testing.assert_array_equal(found[tensor], grad, err_msg=tensor)
    assert bool(again.arrived) is (name not in UNUSED)


@pytest.mark.parametrize("name", sorted({*DERIVATIVES} - UNUSED))
def test_another_derivative_is_called_and_what_it_returns_is_used(name, learner):
    def other(*args):
        found = OPERATIONS[name](*args)
        return tuple(2 * x for x in found) if isinstance(found, tuple) else 2 * found

    before = learnt(learner)
    with swap(**{name: other}):
        found = learnt(learner)
    assert not all(np.allclose(found[x], grad) for x, grad in before.items())
    again = learnt(learner)
    assert all(np.array_equal(again[x], grad) for x, grad in before.items())


def test_a_derivative_that_returns_too_few_gradients_is_told_so(learner):
    said = r"returned a tuple of 2; needed: a tuple of 3 arrays"

    def two(grad, x, weight):
        return grad @ weight, grad.T @ x

    with swap(linear_backward=two), pytest.raises(SwapError, match=said) as caught:
        learnt(learner)
    assert caught.value.stage == "seq_relationship"


def test_the_place_of_what_goes_wrong_on_the_way_back(learner):
    with swap(gelu_backward=lambda grad, x: None), pytest.raises(SwapError) as caught:
        learnt(learner)
    assert caught.value.stage == "predictions.activation"
    with swap(softmax_backward=lambda grad, p: None), pytest.raises(SwapError) as caught:
        learnt(learner)
    assert caught.value.stage == "layer.3.attention.probabilities"
    assert SwapError("f", "is wrong").stage is None


def test_a_name_that_is_no_derivative():
    with pytest.raises(
        ValueError, match=r"do you mean layer_norm_backward or .* Those there are: atten"
    ):
        swap(layernorm_backward=np.add)


def test_a_derivative_of_attention_is_told_what_may_be_looked_at():
    config = minibert.GPT2Config(n_embd=8, n_head=2, n_layer=1, vocab_size=20, n_positions=9)
    model, inputs = minibert.GPT2LMHeadModel(config, seed=0), {"input_ids": IDS}
    seen = []

    def attention(grad, query, key, value, allowed):
        seen.append(allowed)
        return derivatives.attention_backward(grad, query, key, value, allowed=allowed)

    expected = minibert.gradients(model, inputs, {"labels": IDS})[1]
    with swap(attention_backward=attention):
        found = minibert.gradients(model, inputs, {"labels": IDS})[1]
    for name, grad in expected.items():
        np.testing.assert_array_equal(found[name], grad)
    np.testing.assert_array_equal(seen[0], np.tri(5, dtype=bool))
    said = "has no parameter named allowed"
    with swap(attention_backward=lambda *args: args[1:]), pytest.raises(SwapError, match=said):
        minibert.gradients(model, inputs, {"labels": IDS})
