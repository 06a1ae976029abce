"""Grading a function that is to do what one of our operations does.

    result = minibert.grade(gelu=my_gelu)
    assert result, result

The function is tried twice: by itself, on small inputs (see cases.py), and in the engine, in place
of ours, against what transformers computed with torch. Both find what the other does not.
"""

import numpy as np

from minibert.grading.alone import try_alone
from minibert.grading.cases import ORDINARY
from minibert.grading.result import Found, Grade
from minibert.grading.whole import try_whole
from minibert.models.base import PreTrainedModel
from minibert.runtime.stand_in import Function
from minibert.runtime.swap import swap, swapped
from minibert.runtime.threads import this_thread_only, turn
from minibert.verification import Reference


def grade(
    *,
    model: PreTrainedModel | None = None,
    reference: Reference | None = None,
    points: float = 1,
    **function: Function,
) -> Grade:
    """Grade a function: ``grade(layer_norm=f)``. Any operation that ``swap`` takes can be graded.

    model, reference: what to run it in, and what the stages are compared with. By default the
    embedded checkpoint in float64 and its reference; with a model alone, its own run with our
    functions. points: what a right function earns. One that fails on ordinary numbers earns 0, any
    other the share of the cases that came out right (the whole model is one of them).

    An exception of the function does not come through: it is a wrong answer, told in the cause. The
    result holds no number of the right answer. This is no defence against cheats: the function may
    call ours. ValueError if it is not one operation that is given, TypeError if it is no function.
    """
    if len(function) != 1:
        raise ValueError(f"grade takes one function, by name, as in gelu=f; given: {len(function)}")
    swap(**function)  # refuses what cannot be swapped
    ((name, student),) = function.items()
    token = swapped.set(())  # in a block of swap, too, ours is ours
    try:
        with this_thread_only(), turn(), np.errstate(all="ignore"):
            alone = try_alone(name, student)
            whole = try_whole(name, student, model, reference)
    finally:
        swapped.reset(token)
    return _result(name, points, alone, whole)


def _result(name: str, points: float, alone: list[Found], whole: Found | None) -> Grade:
    found = [*alone, whole] if whole else alone
    wrong = [one for one in found if one.cause]
    share = 1 - len(wrong) / len(found)
    if any(one.case == ORDINARY for one in wrong):
        share = 0
    return Grade(
        function=name,
        stage=whole.stage if whole else None,
        cause=wrong[0].cause if wrong else "",
        points=round(points * share, 2),
        out_of=points,
        right=tuple(one.case for one in found if not one.cause),
        wrong=tuple(one.case for one in wrong),
    )
