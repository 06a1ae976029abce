"""Grading a function that is to do what one of our operations does.

    result = minibert.grade(gelu=my_gelu)
    assert result, result

The function is tried twice: by itself, on small inputs (see cases.py), and in the engine, in place
of ours, against what transformers computed with torch. Each finds what the other does not.
"""

import ctypes
import threading
import warnings
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import replace
from typing import Any

import numpy as np

from minibert.grading.alone import try_alone
from minibert.grading.cases import ORDINARY
from minibert.grading.process import HAS_FORK, Work, in_a_process
from minibert.grading.result import Found, Grade, TimeIsUp, is_ours, late
from minibert.grading.state import State
from minibert.grading.whole import known, try_whole
from minibert.models.base import PreTrainedModel
from minibert.runtime.spelling import spelled
from minibert.runtime.swap import OPERATIONS, Function, swap, unswapped
from minibert.runtime.threads import this_thread_only
from minibert.verification import Reference

TIME_LIMIT = 60.0  # seconds; what is right takes less than one
MAX_TIME_LIMIT = 1e6
OWN = "a function of one's own"
UNTOUCHED = "minibert and NumPy as they were"
_FATAL = {ORDINARY, OWN, UNTOUCHED}  # one that fails in these earns nothing


@spelled
def grade(
    *,
    model: PreTrainedModel | None = None,
    reference: Reference | None = None,
    points: float = 1,
    time_limit: float = TIME_LIMIT,
    process: bool | None = None,
    **function: Function,
) -> Grade:
    """Grade a function: ``grade(layer_norm=f)``. Any operation that ``swap`` takes can be graded.

    A derivative too, ``grade(layer_norm_backward=f)``: in the model, on the way back from a loss.

    model, reference: what to run it in, and what the stages are compared with. By default the
    embedded checkpoint in float64 and its reference; with a model alone, and for gradients, its own
    run with our functions. points: what a right function earns. One that fails on ordinary numbers
    earns 0, any other the share of the cases that came out right (the whole model is one of them).
    time_limit: in seconds; a function that takes longer is stopped, earns 0, and is told so.

    process: whether the function runs in a process of its own. That is the default where a process
    can be forked safely (not on Windows and macOS): it costs some milliseconds, takes functions
    that have no importable name, as those of a notebook, and nothing that the function patches,
    changes, starts or exits reaches the caller. What it prints is shown, up to a limit; no more
    functions are graded at once than there are cores. False: it runs here, in a thread, for a
    debugger or for speed. Seeds, streams, folder, environment and replaced attributes are then put
    back, and what cannot be interrupted (C code, a loop that catches everything) goes on.

    An exception of the function does not come through: it is a wrong answer, told in the cause. The
    result holds no number of the right answer. This is no defence against cheats: the function may
    call ours, which is noted. ValueError if it is not one operation that is given, or for a process
    where there is no fork; TypeError if it is no function.
    """
    name, student = _one(function)
    _require(time_limit, process)
    if _is_ours(student, name):
        return _result(name, points, [Found(OWN, f"it is minibert's own {name}, handed in as is")])
    given = model, reference
    known(*given)  # here, where they stay for the next function

    def work(student: Function = student) -> list[Found]:
        with unswapped(), this_thread_only(), np.errstate(all="ignore"):
            alone = try_alone(name, student)
            whole = try_whole(name, student, *given)
            return [*alone, whole] if whole else alone

    if process is False or not HAS_FORK:
        return _result(name, points, _watched(lambda: _in_a_thread(work, time_limit)))
    found = in_a_process(lambda: _watched(work), time_limit)
    if not found:
        work(OPERATIONS[name])  # raises what is wrong with the model
        found = [Found(ORDINARY, "it leaves nothing that could be graded")]
    return _result(name, points, found)


def _one(functions: dict[str, Function]) -> tuple[str, Function]:
    """Return the one function that is to be graded, and its operation."""
    if len(functions) != 1:
        raise ValueError(
            f"grade takes one function, by name, as in gelu=f; given: {len(functions)}"
        )
    swap(**functions)  # refuses what cannot be swapped
    return next(iter(functions.items()))


def _require(time_limit: float, process: bool | None) -> None:
    """Raise ValueError for a limit that is none, and for a process that cannot be had."""
    if not 0 < time_limit <= MAX_TIME_LIMIT:
        raise ValueError(f"time_limit is {time_limit}; needed: seconds, 0 to {MAX_TIME_LIMIT:,.0f}")
    if process and not HAS_FORK:
        raise ValueError("process=True needs a system that forks, such as Linux; leave process out")


def _is_ours(student: Function, name: str) -> bool:
    """Tell whether it is our operation, or what that wraps."""
    ours: Any = OPERATIONS[name]
    while ours is not None and ours is not student:
        ours = getattr(ours, "__wrapped__", None)
    return ours is student


def _watched(work: Work) -> list[Found]:
    """Return what was found, and what the function changed beside its result; that is put back."""
    state, failure = State(), None
    found: list[Found] = []
    try:
        with warnings.catch_warnings():
            found = work()
    except BaseException as error:
        failure = error
    replaced, changed = state.restore()
    if failure and (is_ours(failure) or not replaced):
        raise failure  # not by what the function replaced
    if found and changed:
        note = f"it changes {', '.join(changed)}; put back"
        found = [replace(found[0], note=note), *found[1:]]
    if replaced:
        return [Found(UNTOUCHED, f"it replaces {replaced}, which others use"), *found]
    return found


def _in_a_thread(work: Callable[[], list[Found]], limit: float) -> list[Found]:
    """Return what a function returns in a thread of its own, if that takes no longer.

    A thread cannot be ended from outside, but Python raises an exception in it as soon as it runs
    Python code again: so an endless loop ends, and nobody waits for what does not.
    """
    found: list[list[Found]] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            found.append(work())
        except TimeIsUp:
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
            ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(TimeIsUp))
    if errors:
        raise errors[0]
    return found[0] if found else [late(limit)]


def _result(name: str, points: float, found: list[Found]) -> Grade:
    wrong = [one for one in found if one.cause]
    worth_something = all(one.case not in _FATAL for one in wrong)
    return Grade(
        function=name,
        stage=next((one.stage for one in found if one.stage), None),
        cause=wrong[0].cause if wrong else "",
        points=round(points * (1 - len(wrong) / len(found)) * worth_something, 2),
        out_of=points,
        right=tuple(one.case for one in found if not one.cause),
        wrong=tuple(one.case for one in wrong),
        notes=tuple(one.note for one in found if one.note),
    )
