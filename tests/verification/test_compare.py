import numpy as np
import pytest

from minibert.verification.compare import Tolerance, compare, real_places

REAL = np.array([[True, True, False], [True, False, False]])
EVERYWHERE = np.ones((1, 1, 1), bool)
STRICT = Tolerance(atol=1e-5, rtol=1e-3)


def stage(shape=(2, 3, 5), seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def test_equal_stages_are_ok():
    row = compare("s", stage(), stage(), EVERYWHERE, STRICT)
    assert (row.status, row.max_abs, row.max_rel, row.mean_abs) == ("OK", 0, 0, 0)
    assert row.compared == 30


def test_a_difference_is_measured_and_located():
    theirs = np.full((2, 3, 5), 2.0)
    ours = theirs.copy()
    ours[1, 0, 4] = 2.5
    ours[0, 1, 2] = 1.9
    row = compare("s", ours, theirs, EVERYWHERE, STRICT)
    assert (row.status, row.worst, row.ours, row.theirs) == ("DIFF", (1, 0, 4), 2.5, 2.0)
    assert row.max_abs == 0.5
    assert row.max_rel == 0.25
    assert row.mean_abs == pytest.approx(0.6 / 30)
    assert row.outside == 2


@pytest.mark.parametrize(
    ("reference", "error", "status"),
    [(0, 0.9e-5, "OK"), (0, 1.1e-5, "DIFF"), (10, 1.0e-2, "OK"), (10, 1.01e-2, "DIFF")],
)
def test_the_tolerance_is_absolute_plus_relative(reference, error, status):
    theirs = np.full((1, 1, 1), float(reference))
    assert compare("s", theirs + error, theirs, EVERYWHERE, STRICT).status == status


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["ours", "theirs", "both"])
def test_what_is_not_finite_never_agrees(bad, side):
    ours, theirs = stage(), stage()
    if side != "theirs":
        ours[1, 2, 3] = bad
    if side != "ours":
        theirs[1, 2, 3] = bad
    row = compare("s", ours, theirs, EVERYWHERE, STRICT)
    assert (row.status, row.worst, row.outside) == ("NONFINITE", (1, 2, 3), 1)
    assert "1 numbers are NaN or infinite" in row.detail


def test_another_shape_and_a_missing_stage():
    row = compare("s", stage((2, 3, 5)), stage((2, 5, 3)), EVERYWHERE, STRICT)
    assert (row.status, row.detail) == ("SHAPE", "ours is (2, 3, 5), theirs (2, 5, 3)")
    assert compare("s", None, stage(), EVERYWHERE, STRICT).status == "MISSING"


@pytest.mark.parametrize(
    ("axes", "shape", "padded", "real"),
    [
        ("BTC", (2, 3, 5), (0, 2, 1), (0, 1, 1)),
        ("BTF", (2, 3, 7), (1, 1, 6), (1, 0, 6)),
        ("BHTT", (2, 5, 3, 3), (0, 4, 0, 2), (0, 4, 0, 1)),
        ("BHTT", (2, 5, 3, 3), (0, 4, 2, 0), (0, 4, 1, 0)),
    ],
)
@pytest.mark.parametrize("value", [9.0, np.nan])
def test_only_real_tokens_count(axes, shape, padded, real, value):
    for place, status in ((padded, {"OK"}), (real, {"DIFF", "NONFINITE"})):
        ours = stage(shape)
        ours[place] = value
        row = compare("s", ours, stage(shape), real_places(axes, REAL), STRICT)
        assert row.status in status


def test_the_pooler_counts_where_column_0_is_real():
    real = np.array([[False, True], [True, True]])
    np.testing.assert_array_equal(real_places("BC", real), [[False], [True]])


def test_float32_is_compared_in_float64():
    theirs = np.full((1, 1, 1), 1.0)
    row = compare("s", np.float32(theirs + 1e-7), theirs, EVERYWHERE, STRICT)
    assert row.max_abs == np.float64(np.float32(1 + 1e-7)) - 1


@pytest.mark.parametrize("bad", [{"atol": -1}, {"rtol": -1e-9}, {"atol": float("nan")}])
def test_tolerances_are_not_negative(bad):
    with pytest.raises(ValueError, match="0 or above"):
        Tolerance(**bad)
