"""Gradients beside those that torch's autograd found: see tests/tools/record_gradients.py."""

from pathlib import Path

import numpy as np
import pytest
from learning import KINDS
from record_gradients import DRAWS, Errors, double, drawn, single, sums

import minibert

FILE = Path(__file__).parent / "data" / "gradients.npz"
RECORDED = np.load(FILE)


def gradients(model, seed):
    """Return the loss, and the gradients of weights and stages."""
    stages = {}
    loss, found = minibert.gradients(model, *drawn(type(model).__name__, seed), trace=stages)
    return loss, {**found, **stages}


def recorded(kind, what):
    return dict(zip(RECORDED[f"{kind}/names"].tolist(), RECORDED[f"{kind}/{what}"], strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_float64_is_that_of_autograd(kind):
    """The loss, and the gradient of every weight and every stage."""
    loss, found = gradients(double(single(kind)), 0)
    assert loss == pytest.approx(float(RECORDED[f"{kind}/loss"]), rel=0, abs=1e-11)
    expected = recorded(kind, "sums")
    assert {*found} == {*expected}
    for name, several in expected.items():
        assert np.abs(sums(name, found[name]) - several).max() < 1e-11, name
    zero = {name for name, several in expected.items() if np.abs(several).max() < 1e-13}
    assert {name for name in expected if "key.bias" in name or "k_proj.bias" in name} <= zero
    assert len(zero) < 0.1 * len(expected)  # or autograd went past them


@pytest.mark.parametrize("kind", KINDS)
def test_float32_is_as_exact_as_that_of_torch(kind):
    model, errors = single(kind), Errors()
    exact = double(model)
    for seed in range(DRAWS):
        errors.add(*(gradients(x, seed)[1] for x in (model, exact)))
    bars, found = recorded(kind, "errors"), errors.rms()
    ratios = {name: found[name] / bar if bar else float(found[name]) for name, bar in bars.items()}
    assert {name: ratio for name, ratio in ratios.items() if ratio > 1.5} == {}


def test_the_file_is_small():
    assert FILE.stat().st_size < 100_000
