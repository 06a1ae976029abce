"""Grades: what is right, points, and where they are used."""

import doctest
import subprocess
import sys

import numpy as np
import pytest
from students import RIGHT, gelu, gelu_by_a_handbook, ours, softmax

import minibert
from minibert import functions, grade
from minibert.grading.cases import cases
from minibert.runtime.swap import OPERATIONS

ALL = pytest.mark.parametrize("name", sorted(OPERATIONS))


@pytest.mark.parametrize("name", RIGHT)
def test_what_a_student_writes_is_right(name):
    assert grade(**{name: RIGHT[name]})


def test_a_good_approximation_is_right():
    assert grade(gelu=gelu_by_a_handbook)


@ALL
def test_ours_is_right(name):
    result = grade(**{name: ours(name)}, points=4)
    assert result.ok is bool(result) is True
    assert repr(result) == str(result) == f"{name}: right, 4 of 4 points"
    assert (result.points, result.out_of, result.cause, result.stage) == (4, 4, "", None)
    assert {case.name for case in cases(name)} < set(result.right)


def test_points_are_shares_of_what_is_given():
    def no_maximum(x):
        return np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True)

    result = grade(softmax=no_maximum, points=10)
    count = len(result.right) + len(result.wrong)
    assert (result.out_of, result.points) == (10, round(10 * (1 - 1 / count), 2))
    assert repr(result).startswith(f"softmax: wrong, {result.points:g} of 10 points; probable")


def test_wrong_on_ordinary_numbers_is_worth_nothing():
    result = grade(gelu=functions.gelu_new, points=9)
    assert "large numbers" in result.right
    assert result.points == 0


def test_the_text_is_the_same_each_time():
    texts = {repr(grade(softmax=lambda x: np.exp(x), points=3)) for _ in range(3)}
    assert texts == {
        "softmax: wrong, 0 of 3 points; first wrong stage: layer.0.attention.probabilities; "
        "probable cause: the result is not divided by its sum"
    }


def test_in_a_plain_assert():
    result = grade(gelu=lambda x: x)
    with pytest.raises(AssertionError, match="gelu: wrong, 0 of 1 points; first wrong stage: lay"):
        exec("assert result, result", {"result": result})


def test_in_pytest(tmp_path):
    (tmp_path / "test_student.py").write_text(
        "import minibert\n\n\ndef gelu(x):\n    return x * (x > 0)\n\n\n"
        "def test_gelu():\n    assert minibert.grade(gelu=gelu)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 1
    assert "probable cause: it is ReLU, another function" in run.stdout


def test_in_a_doctest():
    """So does otter-grader."""
    text = """
    >>> minibert.grade(gelu=lambda x: -x, points=2)
    gelu: wrong, 0 of 2 points; first wrong stage: layer.0.feed_forward.activation; probable cause:
    its numbers are wrong, as by no mistake that is known
    >>> bool(minibert.grade(gelu=gelu))
    True
    >>> minibert.grade(gelu=gelu).points
    1.0
    """
    names = {"minibert": minibert, "gelu": gelu}
    test = doctest.DocTestParser().get_doctest(text, names, "otter", None, 0)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert runner.run(test, out=lambda text: None).failed == 0


def test_bad_calls():
    with pytest.raises(ValueError, match="takes one function, by name, as in gelu=f; given: 0"):
        grade()
    with pytest.raises(ValueError, match="given: 2"):
        grade(gelu=gelu, softmax=softmax)
    with pytest.raises(ValueError, match="do you mean softmax"):
        grade(soft_max=softmax)
    with pytest.raises(TypeError, match="needed: a function"):
        grade(gelu=None)
