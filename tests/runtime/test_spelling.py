import sys
from collections import OrderedDict
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest

from minibert.runtime.spelling import Spelled, SpelledModule, a_kind, nearest, spelled


@spelled
def measure(length, width=1, *, unit="m", **more):
    return length + width


@spelled
def weigh(stones: list[int] | None, times: int = 1) -> int:
    return times * sum(stones)


class Ruler(Spelled):
    hints: ClassVar = {"bend": "it is of steel"}
    synonyms: ClassVar = {"size": "length"}

    def __init__(self):
        self.width = 1

    def length(self):
        return 3

    def cut(self, at: float):
        return self.width - at

    @classmethod
    def of(cls, width: int):
        return width + 1


def test_a_call_that_fits_is_left_alone():
    assert measure(1, width=2, colour="red") == 3


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: measure(), "measure needs length. measure takes length, width, unit"),
        (lambda: measure(1, 2, 3), "measure got 3 arguments by place, more than it takes"),
        (lambda: measure(1, length=2), "measure got length twice"),
        (lambda: measure(1, "a"), "unsupported operand"),  # its own error stays as it is
        (lambda: weigh("a"), "weigh: stones is a str; needed: a list of whole numbers or None"),
        (lambda: weigh([1, "a"]), "weigh: stones is a list with a str in it; needed: a list of wh"),
        (lambda: weigh([1], 2, colour="red"), "weigh has no argument 'colour'. weigh takes stones"),
        (lambda: Ruler().cut("a"), "Ruler.cut: at is a str; needed: a number"),
        (lambda: Ruler(3), "Ruler got 1 argument by place, more than it takes"),
        (lambda: Ruler.of(None), "Ruler.of: width is None; needed: a whole number"),
        (lambda: weigh([1], **{"x" * 999: 1}), "no argument 'x{80}'. weigh takes"),
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
        ("xyz", "a Ruler has no 'xyz'; it has cut, length, of, width"),
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


def test_what_works_is_left_alone_whatever_the_annotations_say():
    assert weigh((1, 2)) == 3
    assert weigh(np.array([1, 2]), times=np.float64(1.5)) == 4.5
    assert Ruler().cut(np.float32(0.5)) == 0.5


def test_an_error_that_is_not_of_the_arguments_types_stays_as_it_is():
    with pytest.raises(TypeError, match="NoneType"):
        weigh(None)

    @spelled
    def careful(count: int) -> None:
        raise ValueError("count is odd")

    with pytest.raises(ValueError, match=r"^count is odd$"):
        careful(3)


def test_a_module_names_the_nearest_of_its_names_and_so_do_those_within_it(monkeypatch):
    outer, inner = ModuleType("outer"), ModuleType("outer.inner")
    inner.measure, inner._hidden, inner.sys = measure, 1, sys
    outer.inner = inner
    SpelledModule.of(outer)
    outer.later = ModuleType("outer.later")
    for module, name, says in [
        (inner, "mesure", "'outer.inner' has no attribute 'mesure'; did you mean 'measure'"),
        (inner, "xyz", "'outer.inner' has no attribute 'xyz'; it has measure$"),
        (outer, "iner", "module 'outer' has no attribute 'iner'; did you mean 'inner'"),
    ]:
        with pytest.raises(AttributeError, match=says):
            getattr(module, name)
    assert type(outer.later) is SpelledModule
    monkeypatch.setitem(sys.modules, "outer.kept", kept := ModuleType("outer.kept"))
    assert outer.kept is kept  # as after an import that was interrupted
    assert type(kept) is SpelledModule
    assert type(sys) is ModuleType  # of somebody else
    assert dir(inner) == ["measure"]
