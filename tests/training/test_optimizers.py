from pathlib import Path

import numpy as np
import pytest
from record_optimizers import STEPS, WARMUP, gradients

from minibert.training import optimizers

RECORDED = np.load(Path(__file__).parent / "data" / "optimizers.npz")


@pytest.mark.parametrize("kind", ["linear", "cosine"])
def test_200_steps_are_those_of_torch(kind):
    """Clipped, decayed (the matrix alone), warmed up and cooled down."""
    names = "matrix", "bias"
    weights = {name: RECORDED[f"drawn.{name}"].copy() for name in names}
    optimizer = optimizers.AdamW(3e-2, (0.8, 0.97), 1e-5, weight_decay=0.1)
    rates = optimizers.schedule(kind, STEPS, WARMUP)
    for step in range(STEPS):
        grads = gradients(step)
        norm = optimizers.clip(grads, 1.5)
        assert norm == pytest.approx(RECORDED["norms"][step], rel=1e-13)
        rate = rates(step)
        assert rate == pytest.approx(RECORDED[f"{kind}.rates"][step], abs=1e-15)
        optimizer.step(weights, grads, rate)
    for name in names:
        np.testing.assert_allclose(weights[name], RECORDED[f"{kind}.{name}"], atol=1e-10, rtol=0)


def test_the_first_step_is_the_learning_rate():
    """Corrected, mean / sqrt(square) is the gradient's sign; BERT's own is 0.1 / sqrt(0.001)."""
    for correction, size in ((True, 1), (False, 0.1 / 0.001**0.5)):
        weights = {"bias": np.zeros(3)}
        optimizer = optimizers.AdamW(1e-2, eps=0, bias_correction=correction)
        optimizer.step(weights, {"bias": np.array([5.0, -0.1, 1e-9])})
        np.testing.assert_allclose(weights["bias"], [-1e-2 * size, 1e-2 * size, -1e-2 * size])


def test_what_has_no_gradient_stays():
    weights = {"a": np.ones((3, 5)), "b": np.ones((3, 5))}
    optimizers.AdamW().step(weights, {"a": np.ones((3, 5))})
    assert (weights["a"] < 1).all()
    assert (weights["b"] == 1).all()


def test_short_gradients_are_not_made_longer():
    grads = {"a": np.array([3.0]), "b": np.array([[4.0]])}
    assert optimizers.clip(grads, 6) == 5
    assert grads["a"] == 3
    assert optimizers.clip(grads, 1) == 5
    assert optimizers.norm_of(grads) == pytest.approx(1, rel=1e-6)


def test_a_published_result_of_1000_steps():
    """The check of CMU's minBERT assignment, with its tolerances: a matrix learns two sums.

    There the decay follows the step; the weights that torch draws from seed 0 are written out.
    """
    matrix = np.float32(
        [[-0.00432252, 0.30971584, -0.47518533], [-0.4248946, -0.22236897, 0.15482073]]
    )
    published = [[0.55482787, 0.86665666, 0.07291982], [-0.44724506, -0.2951228, -0.2717272]]
    random, weights = np.random.default_rng(0), {"matrix": matrix}
    optimizer = optimizers.AdamW(1e-3, eps=1e-6, weight_decay=1e-4)
    for _ in range(1000):
        x = random.uniform(size=3).astype(np.float32)
        error = matrix @ x - [x[0] + x[1], -x[2]]
        optimizer.step(weights, {"matrix": np.outer(2 * error, x).astype(np.float32)})
    np.testing.assert_allclose(matrix, published, rtol=1e-4, atol=1e-6)
