"""Trying a function by itself, on small inputs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.grading.cases import ORDINARY, Case, cases
from minibert.grading.result import Found, in_words
from minibert.mistakes.table import mistakes_of
from minibert.runtime.swap import OPERATIONS, CheckedCall, Function, SwapError
from minibert.verification.compare import Tolerance

TWICE = "the same input twice"
KEPT = "inputs that stay as they were"
CLOSE = 1e-6  # so far apart are a function and the mistake that it makes
_CHANCE = "it returns another result each time it is called"


def try_alone(name: str, student: Function) -> list[Found]:
    """Return how each case came out, ordinary numbers first."""
    ordinary, *others = cases(name)
    found = [Found(ORDINARY, _cause(name, student, ordinary))]
    for case in others:
        cause = _cause(name, student, case)
        found.append(Found(case.name, cause and f"on {case.name}, {cause}"))
    if not found[0].cause:
        found.append(Found(TWICE, "" if _is_steady(student, ordinary) else _CHANCE))
        found.append(Found(KEPT, _change(name, student, ordinary)))
    return found


def _cause(name: str, student: Function, case: Case) -> str:
    """Return what is wrong with the function on a case; nothing if it is right."""
    call = CheckedCall(name, student, case.args, {})
    try:
        result = call.run()
        call.refuse_form(result)
        call.refuse_nan(result)
    except (Exception, SystemExit) as error:
        return _mistake(name, student, case) or in_words(error)
    if _agree(result, OPERATIONS[name](*case.args), case.tolerance):
        return ""
    if not _is_steady(student, case):
        return _CHANCE
    return _mistake(name, student, case) or "its numbers are wrong, as by no mistake that is known"


def _mistake(name: str, student: Function, case: Case) -> str:
    """Return the known mistake that gives what the function gives, unless it is right here."""
    right, given = OPERATIONS[name](*case.args), _numbers(student, case)
    if given is None:
        return ""
    for sentence, mistake in mistakes_of(name):
        wrong = _numbers(mistake, case)
        if wrong is not None and _agree(given, wrong, CLOSE) and not _agree(wrong, right, CLOSE):
            return sentence
    return ""


def _numbers(function: Function, case: Case) -> NDArray[Any] | None:
    """Return what a function makes of a case, if it makes numbers of it."""
    args = [value.copy("K") if isinstance(value, np.ndarray) else value for value in case.args]
    try:
        found: NDArray[np.float64] = function(*args).astype(np.float64)
        return found
    except (Exception, SystemExit):
        return None


def _agree(found: NDArray[Any], wanted: NDArray[Any], tolerance: float) -> bool:
    if found.shape != wanted.shape:
        return False
    close = Tolerance(tolerance, tolerance).allows(found, wanted)
    return bool((close | np.isnan(found) & np.isnan(wanted)).all())


def _is_steady(student: Function, case: Case) -> bool:
    """Tell whether a function returns the same twice: with dropout left on, it does not."""
    one, other = _numbers(student, case), _numbers(student, case)
    return one is not None and other is not None and np.array_equal(one, other, equal_nan=True)


def _change(name: str, student: Function, case: Case) -> str:
    call = CheckedCall(name, student, case.args, {})
    call.run()
    try:
        call.refuse_changes()
    except SwapError as error:
        return in_words(error)
    return ""
