import numpy as np
import pytest

from minibert.verification.compare import Difference, Tolerance, real_places

REAL = np.array([[True, True, False], [True, False, False]])
STRICT = Tolerance(atol=1e-5, rtol=1e-3)


def stage(shape=(2, 3, 5), seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def difference(ours, theirs, real=True):
    return Difference.of(ours, theirs, np.broadcast_to(real, theirs.shape))


def test_equal_stages_do_not_differ():
    assert difference(stage(), stage()).largest == 0
    assert STRICT.allows(stage(), stage()).all()


def test_a_difference_is_measured_and_located():
    theirs = np.full((2, 3, 5), 2.0)
    ours = theirs.copy()
    ours[1, 0, 4] = 2.5
    ours[0, 1, 2] = 1.9
    found = difference(ours, theirs)
    assert (found.largest, found.worst, found.ours, found.theirs) == (0.5, (1, 0, 4), 2.5, 2.0)
    assert (~STRICT.allows(ours, theirs)).sum() == 2


@pytest.mark.parametrize(
    ("reference", "error", "close"),
    [(0, 0.9e-5, True), (0, 1.1e-5, False), (10, 1.0e-2, True), (10, 1.01e-2, False)],
)
def test_the_tolerance_is_absolute_plus_relative(reference, error, close):
    theirs = np.full((1, 1, 1), float(reference))
    assert STRICT.allows(theirs + error, theirs).all() == close


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["ours", "theirs", "both"])
def test_what_is_not_finite_never_agrees_and_is_worst(bad, side):
    ours, theirs = stage(), stage()
    ours[0, 0, 0] += 1e6
    if side != "theirs":
        ours[1, 2, 3] = bad
    if side != "ours":
        theirs[1, 2, 3] = bad
    assert not STRICT.allows(ours, theirs)[1, 2, 3]
    assert difference(ours, theirs).worst == (1, 2, 3)


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
    for place, differs in ((padded, False), (real, True)):
        ours = stage(shape)
        ours[place] = value
        found = difference(ours, stage(shape), real_places(axes, REAL))
        assert (not found.largest <= 0) == differs
        assert np.isnan(found.error[padded])


def test_the_pooler_counts_where_column_0_is_real():
    real = np.array([[False, True], [True, True]])
    np.testing.assert_array_equal(real_places("BC", real), [[False], [True]])


def test_float32_is_compared_in_float64():
    theirs = np.full((1, 1, 1), 1.0)
    found = difference(np.float32(theirs + 1e-7), theirs)
    assert found.largest == np.float64(np.float32(1 + 1e-7)) - 1


@pytest.mark.parametrize("bad", [{"atol": -1}, {"rtol": -1e-9}, {"atol": float("nan")}])
def test_tolerances_are_not_negative(bad):
    with pytest.raises(ValueError, match="0 or above"):
        Tolerance(**bad)
