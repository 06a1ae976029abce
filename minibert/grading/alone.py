"""Trying a function by itself, on small inputs."""

from contextvars import copy_context
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.grading.cases import ORDINARY, Case, cases
from minibert.grading.result import Found, in_words, is_ours
from minibert.mistakes.functions import CLOSE, Mistake, error_of
from minibert.mistakes.gradients import of_result
from minibert.mistakes.table import mistakes_of
from minibert.runtime.swap import OPERATIONS, CheckedCall, Function, SwapError, several, swap
from minibert.verification.compare import Tolerance

TWICE = "the same input twice"
KEPT = "inputs that stay as they were"
Results = list[NDArray[Any]]

REMEMBERED = "the result of earlier numbers again, as if remembered"
_CHANCE = "it returns another result each time it is called"


def try_alone(name: str, student: Function) -> list[Found]:
    """Return how each case came out, ordinary numbers first."""
    contained = _contained(student)
    ordinary, *others = [(case, _right(name, case)) for case in cases(name)]
    found = [Found(ORDINARY, _cause(name, contained, *ordinary, ()))]
    remembered = (REMEMBERED, lambda *_, **__: ordinary[1])
    for case, right in others:
        cause = _cause(name, contained, case, right, () if found[0].cause else (remembered,))
        found.append(Found(case.name, cause and f"on {case.name}, {cause}"))
    if not found[0].cause:
        found.append(Found(TWICE, "" if _is_steady(contained, ordinary[0]) else _CHANCE))
        note = _calls_ours(name, contained, ordinary[0])
        found.append(Found(KEPT, _change(name, contained, ordinary[0]), note=note))
    return found


def _contained(student: Function) -> Function:
    """Return the function so that what it sets and swaps for itself (np.seterr) ends with it."""

    @wraps(student)
    def contained(*args: Any, **options: Any) -> Any:
        with np.errstate(all="ignore"):
            return copy_context().run(student, *args, **options)

    return contained


def _right(name: str, case: Case) -> Results:
    return several(OPERATIONS[name](*case.args, **case.options))


def _calls_ours(name: str, student: Function, case: Case) -> str:
    """Return a note of a function that leaves its work to the operation that it replaces."""
    calls = []

    def noted(*args: Any, **options: Any) -> Any:
        calls.append(name)
        return OPERATIONS[name](*args, **options)

    with swap(**{name: noted}):
        _numbers(student, case)
    return f"it calls minibert's own {name}" if calls else ""


def _cause(
    name: str, student: Function, case: Case, right: Results, more: tuple[Mistake, ...]
) -> str:
    """Return what is wrong with the function on a case; nothing if it is right."""
    try:
        call = CheckedCall(name, student, case.args, {**case.options})
        result = call.run()
        call.refuse_form(result)
        call.refuse_nan(result)
    except BaseException as error:
        if is_ours(error):
            raise
        return _mistake(name, student, case, right, more) or in_words(error) + _hint(case)
    results = several(result)
    if _agree(results, right, case.tolerance):
        return ""
    if not _is_steady(student, case):
        return _CHANCE
    known = _mistake(name, student, case, right, more)
    if not known and case.hint:
        return f"its numbers are wrong{_hint(case)}"
    return known or _error(name, results, right)


def _error(name: str, results: Results, right: Results) -> str:
    """Return what is wrong with the first wrong result, as by no mistake of this operation."""
    pairs = enumerate(zip(results, right, strict=True))
    i, pair = next((i, one) for i, one in pairs if not _agree([one[0]], [one[1]], CLOSE))
    known = error_of(*pair) or "its numbers are wrong, as by no mistake that is known"
    return of_result(name, i, known)


def _hint(case: Case) -> str:
    return f", {case.hint}" if case.hint else ""


def _mistake(
    name: str, student: Function, case: Case, right: Results, more: tuple[Mistake, ...]
) -> str:
    """Return the known mistake that gives what the function gives, unless it is right here."""
    given = _numbers(student, case)
    if given is None:
        return ""
    for sentence, mistake in (*mistakes_of(name), *more):
        wrong = _numbers(mistake, case)
        if wrong is not None and _agree(given, wrong, CLOSE) and not _agree(wrong, right, CLOSE):
            return sentence
    return ""


def _numbers(function: Function, case: Case) -> Results | None:
    """Return what a function makes of a case, if it makes numbers of it."""
    args = [value.copy("K") if isinstance(value, np.ndarray) else value for value in case.args]
    try:
        return [x.astype(np.float64) for x in several(function(*args, **case.options))]
    except BaseException as error:
        if is_ours(error):
            raise
        return None


def _agree(found: Results, wanted: Results, tolerance: float) -> bool:
    if [x.shape for x in found] != [x.shape for x in wanted]:
        return False
    bar, pairs = Tolerance(tolerance, tolerance), [*zip(found, wanted, strict=True)]
    return all((bar.allows(x, y) | np.isnan(x) & np.isnan(y)).all() for x, y in pairs)


def _is_steady(student: Function, case: Case) -> bool:
    """Tell whether a function returns the same twice: with dropout left on, it does not."""
    one, other = _numbers(student, case), _numbers(student, case)
    if one is None or other is None:
        return False
    return all(np.array_equal(x, y, equal_nan=True) for x, y in zip(one, other, strict=True))


def _change(name: str, student: Function, case: Case) -> str:
    call = CheckedCall(name, student, case.args, {})
    call.run()
    try:
        call.refuse_changes()
    except SwapError as error:
        return in_words(error)
    return ""
