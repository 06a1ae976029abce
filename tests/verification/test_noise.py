"""Recordings under autocast, or with products in 8 bits: told by the size of their errors."""

import re
from functools import partial

import numpy as np
import plain_bert
import pytest
from plain_bert import COLS, INPUTS, MASK, SECOND, keys

from minibert import Reference, verify


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return plain_bert.wide_model(tmp_path_factory.mktemp("model"))


def float16(x):
    return x.astype(np.float16).astype(x.dtype)


def bfloat16(x):
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.rint(mantissa * 2**8) / 2**8, exponent)


def eight_bits(x):
    step = np.abs(x).max() / 127
    return np.rint(x / step) * step


def dropout(x):
    return x * (np.random.default_rng(3).random(x.shape) > 0.1) / 0.9


def recorded(model, form, **others):
    given = {"ids": INPUTS["input_ids"], "types": SECOND * 1, "positions": COLS, **keys(MASK)}
    states = plain_bert.run(model, **given, **others)
    chosen = {"hidden": states, "last": {"layer.2": states["layer.2"]}}[form]
    return Reference.from_arrays({k: x.astype(np.float32) for k, x in chosen.items()}, INPUTS)


@pytest.mark.parametrize("cut", [float16, bfloat16], ids=["float16", "bfloat16"])
def test_autocast_is_no_fault_where_a_stage_proves_it(cut, model):
    reference = recorded(model, "hidden", product=cut)
    first = reference.stages["layer.2"][:, 0] @ model.pooler.dense.weight.T
    pooler = cut(np.tanh(cut(first + model.pooler.dense.bias))).astype(np.float32)
    proven = Reference(reference.inputs, {**reference.stages, "pooler": pooler})
    report = verify(model, proven)
    assert report.ok, report.verdict
    assert re.search(f"matrix products .*{cut.__name__}", report.verdict)


@pytest.mark.parametrize("form", ["hidden", "last"])
@pytest.mark.parametrize("cut", [float16, bfloat16], ids=["float16", "bfloat16"])
def test_size_and_spread_of_its_errors_tell_it_of_several_layers(cut, form, model):
    report = verify(model, recorded(model, form, product=cut))
    assert report.faults == ()
    assert report.ok is (form == "hidden"), report.verdict
    assert re.search(f"matrix products .*{cut.__name__}", report.verdict)
    if form == "last":
        assert report.verdict.startswith("UNPROVEN: layer.2")
        assert report.verdict.endswith("Recording layer.0.attention.query would tell")


def noise(x, size):
    return x + size * np.random.default_rng(0).standard_normal(x.shape)


@pytest.mark.parametrize("size", [1e-5, 1e-4, 0.2, 1.0])
def test_errors_of_another_size_are_no_rounding(size, model):
    report = verify(model, recorded(model, "last", product=partial(noise, size=size)))
    assert report.first_failure.cause is None


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_errors_of_a_few_tokens_or_columns_are_no_rounding(share, model):
    reference = recorded(model, "last")
    right = reference.stages["layer.2"].copy()
    some = np.random.default_rng(1).random(right.shape) < share
    for places in (some, np.broadcast_to(some[:, :1], some.shape)):
        reference.stages["layer.2"][:] = np.where(places, noise(right, 0.02), right)
        assert not verify(model, reference).ok


def test_products_in_8_bits_are_a_fault_with_its_name(model):
    report = verify(model, recorded(model, "hidden", product=eight_bits))
    assert "8 bits (int8)" in report.verdict


@pytest.mark.parametrize("form", ["hidden", "last"])
def test_dropout_is_no_rounding(form, model):
    report = verify(model, recorded(model, form, dropout=dropout))
    assert not report.ok
    assert "matrix products" not in report.verdict


def test_a_fault_beside_the_rounding_is_one(model):
    reference = recorded(model, "hidden", product=bfloat16)
    reference.stages["layer.1"][0, 2, 3] += 4
    assert not verify(model, reference).ok
