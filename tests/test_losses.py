import math

import numpy as np
import pytest
from finite import agree, differences, draw

from minibert import losses


def test_cross_entropy():
    logits, labels = 2 * draw(5, 7), np.array([3, losses.IGNORED, 0, 6, losses.IGNORED])
    loss, grad = losses.cross_entropy(logits, labels)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert loss == pytest.approx(-np.log(shares[[0, 2, 3], [3, 0, 6]]).mean(), rel=1e-14)
    mean = lambda logits: np.array(losses.cross_entropy(logits, labels)[0])  # noqa: E731
    agree(grad, differences(mean, logits, np.array(1.0)), atol=1e-9)
    assert not grad[[1, 4]].any()


def test_cross_entropy_of_large_logits_does_not_overflow():
    logits = np.array([[1e4, 0], [0, 1e4]], np.float32)
    loss, grad = losses.cross_entropy(logits, np.array([0, 0]))
    assert loss == 5e3
    assert grad.tolist() == [[0, 0], [-0.5, 0.5]]


def test_nothing_labelled_is_nan_as_in_torch_and_changes_nothing():
    loss, grad = losses.cross_entropy(draw(3, 5), np.full(3, losses.IGNORED))
    assert math.isnan(loss)
    assert not grad.any()


@pytest.mark.parametrize("function", [losses.mean_squared_error, losses.binary_cross_entropy])
def test_of_numbers(function):
    values, labels = 3 * draw(5, 3), np.random.default_rng(0).random((5, 3))
    found = function(values, labels)[1]
    loss = lambda values: np.array(function(values, labels)[0])  # noqa: E731
    agree(found, differences(loss, values, np.array(1.0)), atol=1e-9)


def test_losses_by_hand():
    values = np.array([[1.0, -2.0]])
    assert losses.mean_squared_error(values, np.array([[0, 1]]))[0] == 5
    expected = (math.log1p(math.exp(1)) + math.log1p(math.exp(2))) / 2
    found = losses.binary_cross_entropy(values, np.array([[0, 1]]))[0]
    assert found == pytest.approx(expected, rel=1e-14)
