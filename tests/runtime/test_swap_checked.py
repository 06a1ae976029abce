"""What is said of a user's function that does not fit, and whose arrays are whose."""

import sys

import numpy as np
import pytest
from swaps import IDS, Again, doubled, hidden

from minibert import SwapError, functions, swap
from minibert.runtime.swap import stage_of

pytestmark = pytest.mark.usefixtures("one_thread")
STAGE = "layer.0.feed_forward"  # where gelu is first called
NOTES = pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes yet")


# what is refused


def test_a_name_that_is_no_operation():
    with pytest.raises(ValueError, match=r"no operation 'layernorm'; do you mean layer_norm\?"):
        swap(layernorm=doubled)
    with pytest.raises(ValueError, match=r"no operation 'xyz'\. Those there are: attention, att"):
        swap(xyz=doubled)


def test_a_value_that_is_no_function():
    with pytest.raises(TypeError, match="gelu is to be swapped for a str; needed: a function"):
        swap(gelu="gelu_new")


def returned_list(x):
    return x.tolist()


def in_place(x):
    x *= 2
    return x


def in_place_through_a_view(x):
    x[:, ::2].T[0] = 0
    return x.copy()


def reshaped_in_place(x):
    x.resize(x.size, refcheck=False)
    return x.reshape(len(x), -1)


BAD = {
    "shape": (lambda x: x[:1], r"shape \(1, 37\); needed: \(10, 37\). It was called with x \(10"),
    "turned": (lambda x: x.T, r"shape \(37, 10\); needed: \(10, 37\)"),
    "float64": (lambda x: np.float64(2) * x.astype(float), "float64; needed: float32.*math.sqrt"),
    "float16": (lambda x: x.astype(np.float16), "returned float16; needed: float32, as it was"),
    "integers": (lambda x: x.astype(int), "returned int64; needed: float32"),
    "nothing": (lambda x: None, r"returned nothing; is the return missing\?"),
    "list": (returned_list, r"\(returned_list\) returned a list; needed: a NumPy array"),
    "number": (lambda x: 1.0, "returned a float; needed: a NumPy array"),
    "nan": (lambda x: np.where(x > 0, x, np.float32("nan")), r"numbers that are NaN.*is NaN"),
    "infinite": (lambda x: np.full_like(x, np.inf), r"370 of 370 .* at \[0, 0\], is infinite"),
    "in place": (in_place, r"\(in_place\) changes its input x in place"),
    "view": (in_place_through_a_view, "changes its input x in place"),
    "resize": (reshaped_in_place, "changes its input x in place|raised this"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_function_is_named_with_the_place(case, model):
    other, message = BAD[case]
    with swap(gelu=other), pytest.raises(ValueError, match=message) as caught:
        hidden(model)
    if isinstance(caught.value, SwapError):
        assert caught.value.stage == STAGE
        assert str(caught.value).endswith(f"(in {STAGE})")
        assert caught.value.function.startswith("the function in place of gelu")


@pytest.mark.parametrize(
    ("name", "stage"),
    [
        ("embeddings", "embeddings"),
        ("layer_norm", "embeddings"),
        ("linear", "layer.0.attention"),
        ("softmax", "layer.0.attention"),
        ("attention", "layer.0.attention"),
        ("feed_forward", STAGE),
        ("pooler", "pooler"),
    ],
)
@pytest.mark.parametrize("ids", [IDS, IDS[:1]], ids=["many", "one"])
@pytest.mark.usefixtures("two_threads")
def test_the_place_is_right_in_every_thread(ids, name, stage, model):
    with swap(**{name: lambda *args: None}), pytest.raises(SwapError) as caught:
        hidden(model, ids)
    assert caught.value.stage == stage


def test_the_place_of_what_goes_wrong_late(model):
    calls = []

    def other(x):
        calls.append(x)
        return functions.gelu(x) if len(calls) == 1 else None

    with swap(gelu=other), pytest.raises(SwapError) as caught:
        hidden(model, IDS[:1])
    assert caught.value.stage == "layer.1.feed_forward"


def test_a_call_outside_of_the_layers_has_no_place():
    with swap(gelu=lambda x: None), pytest.raises(SwapError, match=r"return missing\?$") as caught:
        functions.gelu(np.ones(1))
    assert caught.value.stage is None


def test_a_writer_of_weights_is_caught(model):
    def other(x, weight, bias):
        bias += 1
        return x @ weight.T + bias

    with swap(linear=other), pytest.raises(ValueError, match=r"in place|read-only") as caught:
        hidden(model)
    assert isinstance(caught.value, SwapError) or "in place" in " ".join(caught.value.__notes__)


@NOTES
def test_an_exception_carries_where_it_was(model):
    with swap(gelu=lambda x: 1 // 0), pytest.raises(ZeroDivisionError) as caught:
        hidden(model)
    assert caught.value.__cause__ is None
    assert caught.value.__notes__ == [
        "the function in place of gelu raised this, called with x (10, 37) float32.",
        f"That was in {STAGE}.",
    ]


class NotelessError(Exception):
    """As all exceptions are on Python 3.10."""

    @property
    def add_note(self):
        raise AttributeError


def raise_without_notes(x):
    raise NotelessError("no luck")


def test_an_exception_without_notes_becomes_one_that_says_where_it_was(model):
    with swap(gelu=raise_without_notes), pytest.raises(SwapError) as caught:
        hidden(model)
    assert isinstance(caught.value.__cause__, NotelessError)
    assert str(caught.value) == (
        "the function in place of gelu (raise_without_notes) raised this, called with "
        f"x (10, 37) float32. NotelessError: no luck (in {STAGE})"
    )


def test_other_exceptions_are_left_alone(model):
    with pytest.raises(ValueError, match="input_ids") as caught, swap(gelu=doubled):
        model([[10**9]])
    assert not hasattr(caught.value, "__notes__")


def test_nan_that_ours_has_too_is_no_fault():
    x = np.array([np.nan, 1.0])
    with swap(gelu=lambda x: functions.gelu(x) * 1):
        assert np.isnan(functions.gelu(x)).tolist() == [True, False]


def test_nan_of_another_swap_is_no_excuse():
    def nan(x):
        return np.full_like(x, np.nan)

    with swap(gelu=nan, erf=nan), pytest.raises(SwapError, match="in place of gelu"):
        functions.gelu(np.ones(2))


# whose arrays they are


def test_what_is_kept_stays_as_it_was(model):
    again = Again("feed_forward")
    with swap(feed_forward=again):
        hidden(model)
    for args, left in zip(again.arrived, again.left, strict=True):
        np.testing.assert_array_equal(functions.feed_forward(*args), left)


def test_a_result_that_is_the_input_is_no_fault(model):
    def other(x, weight, bias):
        return x @ weight.T + bias

    with swap(gelu=lambda x: x):
        expected = hidden(model)
    with swap(gelu=lambda x: x[:]):
        np.testing.assert_array_equal(hidden(model), expected)
    with swap(feed_forward=lambda x, *_: x):
        trace = {}
        model(IDS, trace=trace)
    np.testing.assert_array_equal(trace[STAGE], trace["layer.0.attention"])


def test_attention_swapped_whole_hides_its_stages(model):
    trace = {}
    with swap(attention=Again("attention")):
        model(IDS, trace=trace)
        with pytest.raises(ValueError, match="output_attentions is on, and attention is swapped"):
            model(IDS, output_attentions=True)
    assert "layer.0.attention.context" in trace
    assert "layer.0.attention.scores" not in trace
    assert "layer.0.attention.probabilities" not in trace


def test_a_function_with_a_trace_shows_the_stages_itself(model):
    expected, found, shown = {}, {}, []
    model(IDS, trace=expected)

    def other(query, key, value, trace):
        shown.append(query.shape)
        return functions.attention(query, key, value, trace=trace)

    with swap(attention=other):
        model(IDS, trace=found)
        output = model(IDS, output_attentions=True)
        model(IDS)  # nobody looks
    assert shown == [(3, 5, 7)] * 2 * 2 * 3
    assert list(found) == list(expected)
    for stage, array in expected.items():
        np.testing.assert_array_equal(found[stage], array)
    np.testing.assert_array_equal(output.attentions[0], found["layer.0.attention.probabilities"])


def test_the_result_is_checked_by_the_form_of_the_operation(model):
    """The shapes that are needed follow from what the function is given."""
    for name, shape, message in (
        (
            "split_heads",
            (3, 5, 8),
            r"\(3, 5, 8\); needed: \(3, 5, 7\). It was called with x \(5, 21",
        ),
        ("pooler", (2, 22), r"\(2, 22\); needed: \(2, 21\)"),
        ("embeddings", (10, 1, 21), r"needed: \(10, 21\)"),
    ):
        wrong = np.zeros(shape, np.float32)
        with swap(**{name: lambda *_, wrong=wrong: wrong}), pytest.raises(SwapError, match=message):
            hidden(model)


def test_the_stage_of_an_exception():
    error = SwapError("f", "is wrong")
    error.stage = "layer.1"
    assert stage_of(error) == "layer.1"
    assert stage_of(ValueError()) is None


@NOTES
def test_the_stage_of_any_exception_of_a_function(model):
    with swap(pooler=lambda *_: 1 // 0), pytest.raises(ZeroDivisionError) as caught:
        hidden(model)
    assert stage_of(caught.value) == "pooler"
