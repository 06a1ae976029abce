"""Gradients by central differences, in float64."""

import numpy as np

STEP = 1e-6


def draw(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).standard_normal(shape)


def differences(function, x, grad):
    """Return the gradient of ``sum(grad * function(x))``, number by number."""
    found = np.empty_like(x)
    for place in np.ndindex(x.shape):
        ends = []
        for step in (STEP, -STEP):
            moved = x.copy()
            moved[place] += step
            ends.append((grad * function(moved)).sum())
        found[place] = (ends[0] - ends[1]) / (2 * STEP)
    return found


def agree(found, expected, atol=2e-8):
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=atol)
