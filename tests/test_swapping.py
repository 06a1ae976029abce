"""Another's function in place of ours: where it runs, and what is said of a bad one."""

import asyncio
import sys
import threading
from contextlib import closing
from contextvars import copy_context

import numpy as np
import pytest

import minibert
from minibert import SwapError, functions, swap, verify
from minibert.swapping import OPERATIONS

IDS = [[3, 1, 4, 1, 5], [9, 2, 6, 5, 3]]
STAGE = "layer.0.feed_forward"  # where gelu is first called
NOTES = pytest.mark.skipif(sys.version_info < (3, 11), reason="exceptions have no notes yet")


def hidden(model, ids=IDS):
    return model(ids).last_hidden_state


def doubled(x):
    return 2 * x


def halved(x):
    return x / 2


@pytest.fixture(autouse=True)
def one_thread():
    before = minibert.get_num_threads()
    minibert.set_num_threads(1)
    yield
    minibert.set_num_threads(before)


@pytest.fixture
def two_threads(one_thread):
    minibert.set_num_threads(2)


class Again:
    """Calls ours by its name, and keeps what arrived and what left."""

    def __init__(self, name):
        self.name, self.arrived, self.left = name, [], []

    def __call__(self, *args):
        self.arrived.append(args)
        self.left.append(OPERATIONS[self.name](*args))
        return self.left[-1]


# what it does


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_our_own_function_in_our_place_changes_nothing(name, model, reference):
    expected = hidden(model)
    again = Again(name)
    with swap(**{name: again}):
        np.testing.assert_array_equal(hidden(model), expected)
        report = verify(model, reference)
    within = ("scores", "probabilities", "embeddings.sum", ".intermediate", ".activation")
    assert all(row.ok or (row.status == "MISSING" and row.stage.endswith(within))
               for row in report.rows)  # fmt: skip
    used = "layer_norm linear softmax attention gelu erf embeddings pooler feed_forward tanh"
    assert len(again.arrived) > 0 or name not in used.split()


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_another_function_is_called_and_what_it_returns_is_used(name, model):
    before = hidden(model), model(IDS).pooler_output

    def other(*args):
        return OPERATIONS[name](*args) * 2

    with swap(**{name: other}):
        if name in functions.ACTIVATIONS:
            x = np.ones((2, 3))
            expected = 2 * OPERATIONS[name].__wrapped__(x)
            np.testing.assert_array_equal(functions.ACTIVATIONS[name](x), expected)
        elif name == "sigmoid":
            assert functions.silu(np.ones(1)) == 2 * OPERATIONS[name].__wrapped__(np.ones(1))
        elif name == "pooler":
            np.testing.assert_array_equal(model(IDS).pooler_output, 2 * before[1])
        else:
            assert not np.allclose(hidden(model), before[0])
    np.testing.assert_array_equal(hidden(model), before[0])


def test_attention_with_fewer_queries_than_keys():
    config = minibert.BertConfig(
        hidden_size=8, num_attention_heads=2, num_hidden_layers=1, intermediate_size=6
    )
    long, again = minibert.BertModel(config, seed=0), Again("attention")
    ids = [[7] * 300]
    expected = hidden(long, ids)
    with swap(attention=again):
        np.testing.assert_array_equal(hidden(long, ids), expected)
    shapes = {(query.shape, key.shape) for query, key, _ in again.arrived}
    assert ((1, 128, 4), (1, 300, 4)) in shapes
    assert ((1, 44, 4), (1, 300, 4)) in shapes


def test_an_activation_arrives_whole():
    """Ours is applied to blocks of rows; another's need not be a function of rows."""
    again = Again("gelu")
    x = np.ones((1000, 300))
    with swap(gelu=again):
        functions.gelu(x)
    assert [args[0].shape for args in again.arrived] == [(1000, 300)]


def test_within_the_function_its_name_means_ours(model):
    expected = hidden(model)
    with swap(gelu=lambda x: functions.gelu(x)):
        np.testing.assert_array_equal(hidden(model), expected)


def test_within_the_function_other_swaps_hold():
    with swap(erf=halved, gelu=lambda x: functions.erf(x)):
        assert functions.gelu(np.array([3.0])).tolist() == [1.5]


def test_keywords_of_a_direct_call_arrive_in_order():
    again = Again("layer_norm")
    x, one = np.arange(3.0), np.ones(3)
    with swap(layer_norm=again):
        functions.layer_norm(x, bias=one, eps=0.5, weight=2 * one)
    assert [np.max(value) for value in again.arrived[0]] == [2, 2, 1, 0.5]


# where it holds


def test_blocks_nest():
    x = np.ones(1)
    with swap(gelu=doubled):
        with swap(gelu=halved, relu=halved):
            assert functions.gelu(x) == functions.relu(x) == 0.5
        assert functions.gelu(x) == 2
        assert functions.relu(x) == 1
    assert functions.gelu(x) < 1


def test_the_same_block_twice():
    block, x = swap(relu=doubled), np.ones(1)
    with block:
        with block:
            assert functions.relu(x) == 2
        assert functions.relu(x) == 2
    assert functions.relu(x) == 1


def test_an_exception_ends_the_block():
    with pytest.raises(KeyError), swap(relu=doubled):
        raise KeyError
    assert functions.relu(np.ones(1)) == 1


def test_as_a_decorator():
    @swap(relu=doubled)
    def run(x):
        return functions.relu(x)

    assert run(np.ones(1)) == 2
    assert functions.relu(np.ones(1)) == 1


def test_two_threads_with_two_functions_at_once(model):
    alone = {}
    for other in (doubled, halved):
        with swap(gelu=other):
            alone[other] = hidden(model)
    found, barrier = {doubled: [], halved: []}, threading.Barrier(2)

    def run(other):
        with swap(gelu=other):
            barrier.wait()
            found[other] += [hidden(model) for _ in range(20)]

    threads = [threading.Thread(target=run, args=[other]) for other in found]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    for other, arrays in found.items():
        assert len(arrays) == 20
        assert all(np.array_equal(array, alone[other]) for array in arrays)


def test_a_new_thread_knows_nothing_of_it():
    seen = []
    with swap(relu=doubled):
        thread = threading.Thread(target=lambda: seen.append(functions.relu(np.ones(1)).item()))
        thread.start()
        thread.join()
    assert seen == [1]


@pytest.mark.usefixtures("two_threads")
def test_the_threads_that_share_the_work_see_it(model):
    names, both = set(), threading.Barrier(2, timeout=60)

    def other(*args):
        name = threading.current_thread().name
        if name not in names:
            names.add(name)
            both.wait()  # until the other thread is here, too
        return OPERATIONS["embeddings"](*args)

    with swap(embeddings=other):
        hidden(model)
    assert len(names) == 2


def test_tasks_of_asyncio_each_have_their_own():
    async def run(other):
        with swap(relu=other):
            await asyncio.sleep(0)
            first = functions.relu(np.ones(1)).item()
            await asyncio.sleep(0)
            return first, functions.relu(np.ones(1)).item()

    async def main():
        results = await asyncio.gather(run(doubled), run(halved))
        return *results, functions.relu(np.ones(1)).item()

    assert asyncio.run(main()) == ((2, 2), (0.5, 0.5), 1)


def test_a_copied_context_keeps_what_it_copied():
    with swap(relu=doubled):
        context = copy_context()
    assert context.run(functions.relu, np.ones(1)) == 2
    assert functions.relu(np.ones(1)) == 1


def test_generators_may_leave_their_blocks_in_any_order():
    def steps(other):
        with swap(relu=other):
            yield

    with closing(steps(doubled)) as first, closing(steps(halved)) as second:
        next(first)
        next(second)
        next(first, None)  # leaves the block that was entered first
        assert functions.relu(np.ones(1)) == 0.5
        next(second, None)
        assert functions.relu(np.ones(1)) == 1


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
@pytest.mark.usefixtures("two_threads")
def test_the_place_is_right_in_every_thread(name, stage, model):
    with swap(**{name: lambda *args: None}), pytest.raises(SwapError) as caught:
        hidden(model)
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
    """The engine adds residuals in place, to its own copy."""
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
    with swap(feed_forward=lambda x, *_: x):  # output += x, were it x itself, would double x, too
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
