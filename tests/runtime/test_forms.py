"""The forms of operations, and the shapes that follow from them."""

import numpy as np
import pytest

from minibert.grading.cases import cases
from minibert.runtime.forms import Form
from minibert.runtime.swap import OPERATIONS, several

A = np.empty


@pytest.mark.parametrize(
    ("form", "args", "shape"),
    [
        ("(..., in), (out, in), (out,) -> (..., out)", (A((2, 5, 3)), A((7, 3)), A(7)), (2, 5, 7)),
        ("(..., in), (out, in), (out,) -> (..., out)", (A(3), A((7, 3)), A(7)), (7,)),
        ("(...) -> (...)", (A((2, 3, 5)),), (2, 3, 5)),
        ("(...) -> (...)", (A(()),), ()),
        ("(T, C), H -> (H, T, C/H)", (A((5, 21)), 3), (3, 5, 7)),
        ("(H, T, D) -> (T, H*D)", (A((3, 5, 7)),), (5, 21)),
        ("(H, Q, D), (H, K, D) -> (H, Q, K)", (A((3, 2, 7)), A((3, 5, 7))), (3, 2, 5)),
        ("(...), (V, C), eps -> (..., C)", (A((2, 3)), A((9, 5)), 0.1), (2, 3, 5)),
        ("(B, C), eps -> (B, C*C)", (A((0, 4)), 0.1), (0, 16)),
    ],
)
def test_the_shape_of_a_result(form, args, shape):
    assert Form(form).results(args) == [shape]


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_the_form_of_an_operation_is_what_it_returns(name):
    operation = OPERATIONS[name]
    for case in cases(name):
        found = several(operation(*case.args, **case.options))
        assert operation.form.results(case.args) == [x.shape for x in found], case.name


def test_a_form_that_the_arguments_do_not_have():
    with pytest.raises(ValueError, match="argument 2 is longer"):
        Form("(T, C), H -> (H, T, C/H)").results((A((5, 21)), 3, 4))
