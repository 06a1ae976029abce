"""Grades: what is right, points, and where they are used."""

import contextlib
import doctest
import subprocess
import sys
import threading
import time

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
        "probable cause: no division by the sum"
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
    assert "probable cause: relu" in run.stdout


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


def graded_in_time(student, limit=0.5, process=False):
    """Return the grade of a function that takes too long, and how long it took to give it."""
    start = time.monotonic()
    result = grade(gelu=student, time_limit=limit, process=process)
    taken = time.monotonic() - start
    assert result.cause == f"it had not finished after {limit:g} seconds"
    assert (result.points, result.stage, result.wrong) == (0, None, ("ordinary numbers",))
    assert taken < limit + 10
    return result


def test_an_endless_loop_is_stopped_and_ends():
    running = []

    def endless(x):
        running.append(threading.current_thread())
        while True:
            pass

    result = graded_in_time(endless)
    assert repr(result).endswith("probable cause: it had not finished after 0.5 seconds")
    running[0].join(10)
    assert not running[0].is_alive()


def test_an_endless_loop_that_catches_everything_it_can_is_stopped():
    ended = threading.Event()

    def endless(x):
        try:
            while True:
                with contextlib.suppress(Exception):
                    time.sleep(0.001)
        finally:
            ended.set()

    graded_in_time(endless)
    assert ended.wait(10)


def test_a_function_that_sleeps_is_not_waited_for():
    awake = threading.Event()
    graded_in_time(lambda x: awake.wait(30))
    awake.set()


def test_a_function_that_is_slow_in_the_model_alone_is_stopped_too():
    awake = threading.Event()
    graded_in_time(lambda x: gelu(x) if len(x) <= 5 else awake.wait(30), limit=2)
    awake.set()


def test_within_the_limit_nothing_is_said_of_it():
    assert grade(gelu=lambda x: time.sleep(0.01) or gelu(x), time_limit=30)


ENDLESS = """
import time, minibert
def endless(x):
    {body}
print(minibert.grade(gelu=endless, time_limit=0.3, process={process}).cause)
"""


@pytest.mark.parametrize("process", [None, False])
@pytest.mark.parametrize("body", ["time.sleep(1000)", "while True: pass", "return endless(x)"])
def test_a_process_ends_though_a_function_does_not(body, process):
    command = [sys.executable, "-W", "error", "-c", ENDLESS.format(body=body, process=process)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith(("it had not finished after 0.3 seconds", "it raises Recursion"))


def test_while_a_function_is_graded_other_threads_run_their_models(model):
    """A slow function holds nobody up: the model runs while it waits for that."""
    ran, outputs = threading.Event(), []

    def other():
        outputs.append(model([[1, 2, 3]]).last_hidden_state)
        ran.set()

    thread = threading.Thread(target=other)

    def waits(x):
        if len(x) > 5 and not thread.ident:  # in the model
            thread.start()
            assert ran.wait(30)
        return gelu(x)

    assert grade(gelu=waits, time_limit=60, process=False)
    assert thread.ident
    np.testing.assert_array_equal(outputs[0], model([[1, 2, 3]]).last_hidden_state)


def test_warnings_and_prints_of_a_function_are_those_of_the_callers_context(capsys):
    def prints(x):
        print("here")
        return gelu(x)

    assert grade(gelu=prints)
    assert "here" in capsys.readouterr().out


def test_an_interruption_reaches_the_caller():
    """Of the teacher's own code, and of Ctrl-C, nothing is swallowed."""

    def interrupted(x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grade(gelu=interrupted, process=False)
