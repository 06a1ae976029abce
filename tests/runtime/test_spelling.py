from collections import OrderedDict
from typing import ClassVar

import numpy as np
import pytest

from minibert.runtime.spelling import Spelled, a_kind, nearest, refuse_unknown, spelled


@spelled
def measure(length, width=1, *, unit="m", **more):
    return length + width


class Ruler(Spelled):
    hints: ClassVar = {"bend": "it is of steel"}
    synonyms: ClassVar = {"size": "length"}

    def __init__(self):
        self.width = 1

    def length(self):
        return 3


def test_a_call_that_fits_is_left_alone():
    assert measure(1, width=2, colour="red") == 3


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: measure(), "measure needs length. measure takes length, width, unit"),
        (lambda: measure(1, 2, 3), "measure got 3 arguments by place, which are too many"),
        (lambda: measure(1, length=2), "measure got length twice"),
        (lambda: measure(1, "a"), "unsupported operand"),  # its own error stays as it is
        (lambda: refuse_unknown(measure, {"lenght": 1}), "'lenght'; did you mean 'length'"),
    ],
)
def test_a_call_that_does_not_fit_is_told(call, says):
    with pytest.raises(TypeError, match=says):
        call()


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("lenght", "a Ruler has no 'lenght'; did you mean 'length'?"),
        ("widht", "a Ruler has no 'widht'; did you mean 'width'?"),
        ("size", "a Ruler has no 'size'; did you mean 'length'?"),
        ("bend", r"a Ruler has no bend\(\): it is of steel"),
        ("xyz", "a Ruler has no 'xyz'; it has length, width"),
        ("__odd__", "a Ruler has no '__odd__'$"),
    ],
)
def test_an_attribute_that_is_not_there(name, says):
    assert not hasattr(Ruler(), name)
    with pytest.raises(AttributeError, match=says):
        getattr(Ruler(), name)
    with pytest.raises(AttributeError, match="Ruler has no"):
        getattr(Ruler, name)


def test_the_nearest_name():
    assert nearest("stagse", ["layer", "stages"]) == "; did you mean 'stages'?"
    assert nearest("mask", ["input_ids", "attention_mask"]) == "; did you mean 'attention_mask'?"
    assert nearest("zzz", ["stage"]) == ""


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        *[(7, "an int"), ([], "a list"), (None, "None"), (1.5, "a float"), (Ruler(), "a Ruler")],
        *[(OrderedDict(), "an OrderedDict"), (np.uint8(1), "a uint8"), (int, "a type")],
    ],
)
def test_what_a_value_is_in_words(value, kind):
    assert a_kind(value) == kind
