"""Recordings under autocast, or with products in 8 bits: told by the size of their errors."""

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
    step = np.abs(x).max() / 60
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
    assert f"matrix products in {cut.__name__}" in report.verdict


def test_unproven_it_is_a_cause_that_is_likely_and_of_a_single_stage_none(model):
    report = verify(model, recorded(model, "hidden", product=bfloat16))
    assert not report.ok
    assert "by as much as matrix products in bfloat16" in report.verdict
    report = verify(model, recorded(model, "last", product=bfloat16))
    assert report.first_failure.cause is None


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
