"""A user's function in place of ours: what it does, and where it holds."""

import asyncio
import threading
from contextlib import closing
from contextvars import copy_context

import numpy as np
import pytest
from swaps import IDS, Again, doubled, halved, hidden

import minibert
from minibert import SwapError, derivatives, functions, swap, verify
from minibert.runtime import blocks
from minibert.runtime.swap import OPERATIONS, is_swapping, unswapped

pytestmark = pytest.mark.usefixtures("one_thread")
DERIVATIVES = sorted(name for name in OPERATIONS if name.endswith("_backward"))
FORWARD = sorted({*OPERATIONS} - {*DERIVATIVES})


# what it does


@pytest.mark.parametrize("name", FORWARD)
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


def test_a_call_and_a_verification_leave_no_place_behind(model, reference):
    model(IDS, trace={})
    assert SwapError("f", "is wrong").stage is None
    verify(model, reference)
    assert SwapError("f", "is wrong").stage is None


@pytest.mark.parametrize("name", FORWARD)
def test_another_function_is_called_and_what_it_returns_is_used(name, model):
    before = hidden(model), model(IDS).pooler_output

    def other(*args):
        return OPERATIONS[name](*args) * 2

    with swap(**{name: other}):
        keys = [key for key, f in functions.ACTIVATIONS.items() if f is OPERATIONS[name]]
        if keys:
            x = np.ones((2, 3))
            expected = 2 * OPERATIONS[name].__wrapped__(x)
            for key in keys:
                np.testing.assert_array_equal(functions.ACTIVATIONS[key](x), expected)
        elif name == "pooler":
            np.testing.assert_array_equal(model(IDS).pooler_output, 2 * before[1])
        else:
            assert not np.allclose(hidden(model), before[0])
    np.testing.assert_array_equal(hidden(model), before[0])


def test_the_form_of_each_operation_is_in_its_docstring():
    assert (len(FORWARD), len(DERIVATIVES)) == (29, 30)
    for name, operation in OPERATIONS.items():
        assert operation is getattr(derivatives if name in DERIVATIVES else functions, name)
        assert operation.__doc__.endswith(f"\n\n{operation.form.text}")
        assert operation.__doc__.startswith(operation.__wrapped__.__doc__)


def test_long_sequences_arrive_whole(monkeypatch):
    """Ours is applied to blocks of queries and of heads."""
    monkeypatch.setattr(blocks, "BLOCK", 1000)
    config = minibert.BertConfig(
        hidden_size=8, num_attention_heads=2, num_hidden_layers=1, intermediate_size=6
    )
    long, again, ids = minibert.BertModel(config, seed=0), Again("attention"), [[7] * 300]
    expected = hidden(long, ids)
    with swap(attention=again):
        np.testing.assert_allclose(hidden(long, ids), expected, rtol=0, atol=1e-6)
    assert [query.shape for query, _, _ in again.arrived] == [(2, 300, 4)]
    softmax = Again("softmax")
    with swap(softmax=softmax):
        hidden(long, ids)
    assert [scores.shape for (scores,) in softmax.arrived] == [(2, 300, 300)]


@pytest.mark.usefixtures("two_threads")
def test_layers_stay_whole_and_a_batch_is_shared(model):
    for ids, rows in ((IDS[:1], [5]), (IDS, [5, 5])):
        again = Again("feed_forward")
        with swap(feed_forward=again):
            hidden(model, ids)
        assert [len(x) for x, *_ in again.arrived] == rows * 2  # layers
        assert {wide.shape for _, wide, *_ in again.arrived} == {(37, 21)}


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


def test_ours_are_ours_whatever_is_swapped_around():
    x = np.ones(1)
    assert not is_swapping()
    with swap(relu=doubled):
        assert is_swapping()
        with unswapped():
            assert not is_swapping()
            assert functions.relu(x) == 1
            with swap(gelu=halved):
                assert is_swapping()
                assert (functions.relu(x), functions.gelu(x)) == (1, 0.5)
        assert functions.relu(x) == 2
    assert not is_swapping()


class Falsy:
    """A function that is not true: it holds nothing yet."""

    def __len__(self):
        return 0

    def __call__(self, x):
        return 3 * x


def test_a_function_need_not_be_true():
    with swap(relu=Falsy()):
        assert is_swapping()
        assert functions.relu(np.ones(1)) == 3


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
@pytest.mark.parametrize("name", ["embeddings", "feed_forward"])
def test_the_threads_that_share_the_work_see_it(name, model):
    names, both = set(), threading.Barrier(2, timeout=60)

    def other(*args):
        thread = threading.current_thread().name
        if thread not in names:
            names.add(thread)
            both.wait()  # until the other thread is here, too
        return OPERATIONS[name](*args)

    with swap(**{name: other}):
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
