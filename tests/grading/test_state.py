"""What a function changes here, beside its result, is noticed and put back."""

import math
import os
import random
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from students import gelu

import minibert
from minibert import functions, grade
from minibert.models.bert import BertModel
from minibert.runtime.swap import OPERATIONS


def right(change):
    """Return a right function that changes something first."""

    def student(x):
        change()
        return gelu(x)

    return student


def graded(change):
    return grade(gelu=right(change), process=False)


def draw():
    np.random.random()  # noqa: NPY002


NOTED = {
    "the state of np.random": (draw, lambda: np.random.get_state()[2]),  # noqa: NPY002
    "the state of random": (lambda: random.random(), random.getstate),
    "the environment": (lambda: os.environ.update(HOME="/nowhere"), lambda: dict(os.environ)),
    "the working directory": (lambda: os.chdir("/"), os.getcwd),
    "sys.stdout": (lambda: setattr(sys, "stdout", None), lambda: sys.stdout),
    "sys.stderr": (lambda: setattr(sys, "stderr", None), lambda: sys.stderr),
    "sys.path": (lambda: sys.path.insert(0, "/nowhere"), lambda: list(sys.path)),
    "the recursion limit": (lambda: sys.setrecursionlimit(5000), sys.getrecursionlimit),
}


@pytest.mark.parametrize("name", NOTED)
def test_what_is_put_back_and_noted_costs_no_points(name):
    change, read = NOTED[name]
    before = read()
    result = graded(change)
    assert read() == before
    assert (result.ok, result.points) == (True, 1)
    assert result.notes == (f"it changes {name}; put back",)
    assert repr(result) == f"gelu: right, 1 of 1 points; note: it changes {name}; put back"


def test_several_changes_are_one_note():
    result = graded(lambda: (draw(), os.environ.update(A="b")))
    assert result.notes == ("it changes the state of np.random, the environment; put back",)


@pytest.mark.parametrize("process", [None, False])
def test_what_ends_with_the_function_is_not_even_noted(process):
    def change():
        np.seterr(all="raise")
        minibert.swap(erf=lambda x: x, softmax=lambda x: x).__enter__()
        warnings.simplefilter("error")

    errors, filters = np.geterr(), list(warnings.filters)
    result = grade(gelu=right(change), process=process)
    assert (result.ok, result.notes) == (True, ())
    assert (np.geterr(), list(warnings.filters)) == (errors, filters)
    assert functions.softmax(np.zeros((1, 2))).tolist() == [[0.5, 0.5]]


REPLACED = {
    "numpy.exp": (np, "exp"),
    "numpy.pi": (np, "pi"),
    "numpy.linalg.norm": (np.linalg, "norm"),
    "math.erf": (math, "erf"),
    "minibert.functions.softmax": (functions, "softmax"),
    "minibert.grading.alone.cases": (sys.modules["minibert.grading.alone"], "cases"),
    "BertModel.forward": (BertModel, "forward"),
}


@pytest.mark.parametrize("process", [None, False])
@pytest.mark.parametrize("name", REPLACED)
def test_what_is_replaced_is_put_back_and_earns_nothing(name, process):
    owner, key = REPLACED[name]
    before = vars(owner)[key]
    result = grade(gelu=right(lambda: setattr(owner, key, before)), process=process)
    assert result.ok  # it is what it was
    result = grade(gelu=right(lambda: setattr(owner, key, lambda *args: 0)), process=process)
    assert vars(owner)[key] is before
    assert (result.ok, result.points) == (False, 0)
    assert result.cause == f"it replaces {name}, which others use"


def test_an_operation_that_is_replaced_by_ones_own():
    before = OPERATIONS["gelu"]

    def cheat(x):
        OPERATIONS["gelu"] = lambda x: x
        return x

    result = grade(gelu=cheat, process=False)
    assert result.cause == "it replaces OPERATIONS.gelu, which others use"
    assert OPERATIONS["gelu"] is before


def test_what_a_function_that_is_stopped_has_changed_is_put_back():
    folder = Path.cwd()

    def endless(x):
        os.chdir("/")
        while True:
            pass

    assert not grade(gelu=endless, process=False, time_limit=0.5)
    assert Path.cwd() == folder


def test_an_attribute_that_is_added_stays():
    """Modules add some to themselves, when they are first used."""
    assert grade(gelu=right(lambda: setattr(functions, "mine", abs)), process=False)
    del functions.mine


@pytest.mark.parametrize("handed", [functions.gelu, functions.gelu.__wrapped__])
def test_our_own_function_is_noticed(handed):
    result = grade(gelu=handed, points=3)
    assert (result.ok, result.points) == (False, 0)
    assert result.cause == "it is minibert's own gelu, handed in as is"
    assert result.wrong == ("a function of one's own",)


def test_a_function_that_calls_ours_is_noted():
    result = grade(gelu=lambda x: functions.gelu(x))
    assert (result.ok, result.notes) == (True, ("it calls minibert's own gelu",))
    norm = grade(layer_norm=lambda *args: functions.layer_norm(*args))
    assert norm.notes == ("it calls minibert's own layer_norm",)
    erf = grade(gelu=lambda x: 0.5 * x * (1 + functions.erf(x * math.sqrt(0.5))))
    assert (erf.ok, erf.notes) == (True, ())  # NumPy has none
