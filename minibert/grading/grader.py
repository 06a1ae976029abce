"""Grading a function that is to do what one of our operations does.

    result = minibert.grade(gelu=my_gelu)
    assert result, result

The function is tried twice: by itself, on small inputs (see cases.py), and in the engine, in place
of ours, against what transformers computed with torch. Each finds what the other does not.
"""

import ctypes
import threading
from collections.abc import Callable
from contextvars import copy_context

import numpy as np

from minibert.grading.alone import try_alone
from minibert.grading.cases import ORDINARY
from minibert.grading.result import Found, Grade
from minibert.grading.whole import try_whole
from minibert.models.base import PreTrainedModel
from minibert.runtime.swap import Function, swap, unswapped
from minibert.runtime.threads import this_thread_only
from minibert.verification import Reference

TIME_LIMIT = 60.0  # seconds; what is right takes less than one


def grade(
    *,
    model: PreTrainedModel | None = None,
    reference: Reference | None = None,
    points: float = 1,
    time_limit: float = TIME_LIMIT,
    **function: Function,
) -> Grade:
    """Grade a function: ``grade(layer_norm=f)``. Any operation that ``swap`` takes can be graded.

    model, reference: what to run it in, and what the stages are compared with. By default the
    embedded checkpoint in float64 and its reference; with a model alone, its own run with our
    functions. points: what a right function earns. One that fails on ordinary numbers earns 0, any
    other the share of the cases that came out right (the whole model is one of them).
    time_limit: in seconds; a function that takes longer is stopped, earns 0, and is told so.

    An exception of the function does not come through: it is a wrong answer, told in the cause. The
    result holds no number of the right answer. This is no defence against cheats: the function may
    call ours. ValueError if it is not one operation that is given, TypeError if it is no function.
    """
    if len(function) != 1:
        raise ValueError(f"grade takes one function, by name, as in gelu=f; given: {len(function)}")
    swap(**function)  # refuses what cannot be swapped
    ((name, student),) = function.items()

    def work() -> list[Found]:
        with unswapped(), this_thread_only(), np.errstate(all="ignore"):
            alone = try_alone(name, student)
            whole = try_whole(name, student, model, reference)
            return [*alone, whole] if whole else alone

    late = Found(ORDINARY, f"it had not finished after {time_limit:g} seconds")
    return _result(name, points, _in_time(work, time_limit) or [late])


class _TimeIsUp(BaseException):
    """Stops a function that takes too long; no ``except Exception`` keeps it."""


def _in_time(work: Callable[[], list[Found]], limit: float) -> list[Found] | None:
    """Return what a function returns in a thread of its own; None if it takes too long.

    A thread cannot be ended from outside, but Python raises an exception in it as soon as it runs
    Python code again: so an endless loop ends, and nobody waits for what does not.
    """
    found: list[list[Found]] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except _TimeIsUp:
            pass
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=copy_context().run, args=(run,), name="grade", daemon=True)
    thread.start()
    try:
        thread.join(limit)
    finally:
        if thread.is_alive() and thread.ident is not None:
            number = ctypes.c_ulong(thread.ident)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(_TimeIsUp))
    if errors:
        raise errors[0]
    return found[0] if found else None


def _result(name: str, points: float, found: list[Found]) -> Grade:
    wrong = [one for one in found if one.cause]
    useless = any(one.case == ORDINARY for one in wrong)
    share = 0 if useless else 1 - len(wrong) / len(found)
    return Grade(
        function=name,
        stage=next((one.stage for one in found if one.stage), None),
        cause=wrong[0].cause if wrong else "",
        points=round(points * share, 2),
        out_of=points,
        right=tuple(one.case for one in found if not one.cause),
        wrong=tuple(one.case for one in wrong),
    )
