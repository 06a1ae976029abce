"""The mistakes of operations as functions: of the same form as ours, and of other numbers."""

import inspect

import numpy as np
import pytest
from students import as_given, ours

from minibert import functions
from minibert.grading.cases import cases
from minibert.mistakes.activations import ACTIVATIONS
from minibert.mistakes.functions import MATRICES, with_arrays
from minibert.mistakes.table import mistakes_of
from minibert.runtime.swap import OPERATIONS, several

ALL = [(name, *mistake) for name in sorted(OPERATIONS) for mistake in mistakes_of(name)]
EACH = pytest.mark.parametrize(("name", "phrase", "mistake"), ALL)
#: Their input has another shape than their result.
NOT_ADDED = {"attention_context", "attention_scores", "embeddings", "merge_heads", "split_heads"}


def takes(mistake, options):
    """Return those of the options that a mistake takes."""
    return {k: x for k, x in options.items() if k in inspect.signature(mistake).parameters}


@EACH
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # what overflows is one of the mistakes
def test_a_mistake_takes_what_ours_takes_and_returns_another_number(name, phrase, mistake):
    """On ordinary numbers, or else on one of the other cases."""
    different = 0
    for case in cases(name):
        try:
            found = several(as_given(mistake)(*case.args, **takes(mistake, case.options)))
        except ValueError:  # the shapes do not go together here
            continue
        pairs = zip(found, several(ours(name)(*case.args, **case.options)), strict=True)
        different += any(x.shape != y.shape or not np.allclose(x, y, 1e-7, 1e-7) for x, y in pairs)
    assert different or (name in NOT_ADDED and phrase == "the input added to the result")


@EACH
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_mistake_changes_nothing_that_it_is_given(name, phrase, mistake):
    args = cases(name)[0].args
    copies = [x.copy() if isinstance(x, np.ndarray) else x for x in args]
    try:
        mistake(*copies)
    except ValueError:
        assert name in NOT_ADDED
    for copy, given in zip(copies, args, strict=True):
        np.testing.assert_array_equal(copy, given)


def test_a_mistake_with_a_trace_shows_what_lies_inside():
    for name, stages in (("attention", {"scores", "probabilities"}), ("embeddings", {"sum"})):
        tracing = [
            mistake
            for _, mistake in mistakes_of(name)
            if "trace" in inspect.signature(mistake).parameters
        ]
        assert len(tracing) >= 6
        for mistake in tracing:
            shown = {}

            def trace(stage, x, shown=shown):
                shown[stage] = x
                return x

            trace.block = lambda *_, trace=trace: trace
            mistake(*cases(name)[0].args, trace=trace)
            assert set(shown) == stages


def test_matrices_are_changed_before_any_operation():
    x, weight, bias = cases("linear")[0].args
    for _, change in MATRICES:
        changed = functions.linear(x, *change(weight, bias))
        found = with_arrays(change, functions.linear)(x, weight, bias)
        np.testing.assert_array_equal(found, changed)
    wide = np.arange(6.0).reshape(2, 3)
    turned, _ = dict(MATRICES)["the weight matrix transposed"](wide, 0)
    assert turned.tolist() == wide.reshape(3, 2).T.tolist()


def test_every_other_activation_may_be_taken_for_one():
    found = {function for _, function in ACTIVATIONS}
    assert set(functions.ACTIVATIONS.values()) <= found
