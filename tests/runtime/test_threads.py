import os
import platform
import signal
import threading
import time

import numpy as np
import pytest
import threadpoolctl
from interruptions import EXIT, INTERRUPTED
from processes import in_a_new_process

from minibert import EMBEDDED_CHECKPOINT, BertConfig, BertForMaskedLM, BertModel, functions, swap
from minibert.runtime import threads
from minibert.runtime.threads import (
    by_blas,
    get_num_threads,
    in_turn,
    set_num_threads,
    shares,
    spread,
    this_thread_only,
    turn,
)


@pytest.fixture(autouse=True)
def three_threads():
    before = threads._workers.count
    set_num_threads(3)
    yield
    threads._workers.count = before


@pytest.mark.parametrize(
    ("count", "error", "message"),
    [
        (0, ValueError, "threads is 0; allowed: 1 to 1024"),
        (-2, ValueError, "threads is -2"),
        (1025, ValueError, "threads is 1025; allowed: 1 to 1024"),
        (2.0, TypeError, "threads is 2.0; needed: a whole number"),
        (True, TypeError, "threads is True"),
        ("2", TypeError, "threads is '2'"),
    ],
)
def test_counts_that_are_none(count, error, message):
    with pytest.raises(error, match=message):
        set_num_threads(count)
    assert get_num_threads() == 3


def test_the_largest_count():
    set_num_threads(1024)
    assert get_num_threads() == 1024


def test_a_thread_alone_has_one_thread_and_the_others_all():
    with this_thread_only():
        assert (get_num_threads(), len(shares(12))) == (1, 1)
        with this_thread_only():
            pass
        assert get_num_threads() == 1
        found = []
        other = threading.Thread(target=lambda: found.append(get_num_threads()))
        other.start()
        other.join()
        assert found == [3]
    assert get_num_threads() == 3


@pytest.mark.parametrize("size", [1, 2, 3, 4, 11, 12])
def test_shares_cover_all_and_are_about_equal(size):
    parts = shares(size)
    assert [i for part in parts for i in range(size)[part]] == list(range(size))
    lengths = [part.stop - part.start for part in parts]
    assert len(parts) == min(3, size)
    assert max(lengths) - min(lengths) <= 1


@pytest.mark.parametrize(("least", "count"), [(1, 3), (3, 3), (4, 6), (7, 9), (50, 20)])
def test_as_many_shares_for_each_thread(least, count):
    parts = shares(20, least)
    assert len(parts) == count
    assert [i for part in parts for i in range(20)[part]] == list(range(20))


def test_every_part_is_run_once():
    seen = []
    spread(seen.append, range(100))
    assert sorted(seen) == list(range(100))
    spread(seen.append, [])
    assert len(seen) == 100


def test_parts_run_at_the_same_time():
    meet = threading.Barrier(3, timeout=30)
    spread(lambda part: meet.wait(), range(3))  # would time out if one waited for another


def test_a_spread_within_a_task_stays_in_its_thread():
    found = []

    def outer(part):
        here = threading.get_ident()
        assert len(shares(12)) == 1
        spread(lambda inner: found.append(threading.get_ident() == here), range(4))

    spread(outer, range(3))
    assert found == [True] * 12


def test_an_exception_reaches_the_caller_and_ends_the_work():
    begun = []

    def task(part):
        begun.append(part)
        if part == 0:
            while len(begun) < 3:  # the others are at work, too
                time.sleep(0.001)
            raise LookupError("part 0")
        time.sleep(0.05)

    with pytest.raises(LookupError, match="part 0"):
        spread(task, range(100))
    assert len(begun) <= 6
    spread(begun.append, [7, 8, 9])  # and the threads serve on
    assert {7, 8, 9} <= set(begun)


def test_an_exception_of_another_thread_reaches_the_caller():
    caller = threading.get_ident()
    meet = threading.Barrier(3, timeout=30)

    def task(part):
        meet.wait()
        if threading.get_ident() != caller:
            raise LookupError("not the caller's")

    with pytest.raises(LookupError, match="not the caller's"):
        spread(task, range(3))


def test_what_the_caller_says_of_overflow_holds_in_every_thread():
    meet, large = threading.Barrier(3, timeout=30), np.float32(3e38)

    def task(part):
        meet.wait()
        assert np.isinf(large * large)  # a warning would be an error

    with np.errstate(over="ignore"):
        spread(task, range(3))
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        spread(lambda part: meet.wait() and large * large, range(3))


def blas_threads():
    return {lib["num_threads"] for lib in threadpoolctl.threadpool_info() if "blas" in str(lib)}


def test_blas_has_one_thread_while_somebody_computes_and_then_as_many_as_before():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with turn():
            assert blas_threads() == {1}
            with turn():
                assert blas_threads() == {1}
            assert blas_threads() == {1}
        assert blas_threads() == before
        with pytest.raises(LookupError), turn():
            raise LookupError
        assert blas_threads() == before


@by_blas()
def fails_by_blas(error):
    assert blas_threads() == {3}
    assert len(shares(12)) == get_num_threads() == 1
    raise error


@pytest.mark.parametrize("error", [LookupError, KeyboardInterrupt])
def test_blas_is_lent_the_threads_and_gives_them_back(error):
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with turn():
            with pytest.raises(error):
                fails_by_blas(error)
            assert blas_threads() == {1}
            assert get_num_threads() == 3
        assert blas_threads() == before


def test_callers_take_turns_each_with_one_thread_of_blas():
    here, most, blas = [], [], []

    def call(i):
        with turn(), turn():  # within a turn, no other is waited for
            here.append(i)
            spread(lambda part: turn().__enter__(), range(3))
            most.append(len(here))
            blas.append(blas_threads())
            time.sleep(0.01)
            here.remove(i)

    callers = [threading.Thread(target=call, args=(i,)) for i in range(7)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert most == [1] * 7
    assert blas == [{1}] * 7


def in_time(*functions):
    """Run each in a thread of its own, and tell whether all ended soon."""
    threads = [threading.Thread(target=function, daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return not any(thread.is_alive() for thread in threads)


def test_blas_is_limited_until_the_last_of_two_overlapping_users_leaves():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before, found = blas_threads(), []
        first, second, left = threading.Event(), threading.Event(), threading.Event()

        def enters_first():
            with swap(relu=abs), turn():  # with a swap, turns overlap
                first.set()
                assert second.wait(30)
            left.set()

        def leaves_last():
            assert first.wait(30)
            with swap(relu=abs), turn():
                second.set()
                assert left.wait(30)
                found.append(blas_threads())

        assert in_time(enters_first, leaves_last)
        assert found == [{1}]
        assert blas_threads() == before


def test_a_user_of_a_swap_and_one_without_share_the_limit_of_blas():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with turn():
            assert in_time(run_swapped)
            assert blas_threads() == {1}
        assert blas_threads() == before


def run_swapped():
    with swap(relu=abs):
        MODEL(IDS[:1])


WIDE = BertConfig(
    vocab_size=97, hidden_size=96, num_hidden_layers=2, num_attention_heads=6, intermediate_size=352
)
MODEL = BertModel(WIDE, seed=3)
RANDOM = np.random.default_rng(0)
MASK = (np.arange(61) < RANDOM.integers(20, 62, (37, 1))).astype(int)
IDS = RANDOM.integers(0, 97, MASK.shape)


@pytest.mark.parametrize("inputs", [(IDS, MASK), (IDS[:1], MASK[:1])], ids=["many", "one"])
def test_the_number_of_threads_changes_no_more_than_rounding(inputs):
    outputs = {}
    for count in (1, 2, 3, 5):
        set_num_threads(count)
        first, again = (MODEL(*inputs).last_hidden_state for _ in range(2))
        np.testing.assert_array_equal(first, again)  # from run to run, bit for bit
        outputs[count] = first
    for count, output in outputs.items():
        np.testing.assert_allclose(output, outputs[1], rtol=0, atol=2e-6, err_msg=str(count))


@pytest.mark.parametrize("inputs", [(IDS, MASK), (IDS[:1], MASK[:1])], ids=["many", "one"])
def test_the_number_of_threads_does_not_change_a_trace(inputs):
    traces = []
    for count in (1, 4):
        set_num_threads(count)
        traces.append({})
        MODEL(*inputs, trace=traces[-1])
    one, four = traces
    assert list(one) == list(four) == list(MODEL.stage_axes())
    for stage in one:
        np.testing.assert_allclose(four[stage], one[stage], rtol=0, atol=5e-6, err_msg=stage)


def test_many_callers_may_share_a_model():
    model = BertForMaskedLM.from_pretrained(EMBEDDED_CHECKPOINT)
    batches = [RANDOM.integers(5, 300, (1 + i % 4, 5 + i)) for i in range(24)]
    expected = [model(ids).logits for ids in batches]
    found = [None] * len(batches)

    def call(i):
        found[i] = model(batches[i]).logits

    callers = [threading.Thread(target=call, args=(i,)) for i in range(len(batches))]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    for output, logits in zip(found, expected, strict=True):
        np.testing.assert_array_equal(output, logits)


def test_a_swapped_function_may_call_a_model_in_a_thread_of_its_own():
    """Nobody has the turn while it runs: it would wait for itself."""
    inner = BertModel.from_pretrained(EMBEDDED_CHECKPOINT)
    outputs = []

    def calls_a_model(x):
        if not outputs:
            assert in_time(lambda: outputs.append(inner([[5, 6, 7]])))
        return functions.gelu(x)

    def call():
        with swap(gelu=calls_a_model):
            MODEL(IDS[:1])

    assert in_time(call)
    expected = inner([[5, 6, 7]]).last_hidden_state
    np.testing.assert_array_equal(outputs[0].last_hidden_state, expected)


def test_a_slow_function_of_a_user_stops_nobody():
    here, gone = threading.Event(), threading.Event()

    def waits(x):
        here.set()
        assert gone.wait(30)
        return functions.gelu(x)

    def slow():
        with swap(gelu=waits):
            MODEL(IDS[:1])

    def other():
        assert here.wait(30)
        MODEL(IDS[:1])
        gone.set()

    assert in_time(slow, other)


IMPORTING = """
import tracemalloc
import numpy as np
tracemalloc.start()
allocated, empty = [], np.empty
np.empty = lambda shape, *rest: allocated.append(np.prod(shape)) or empty(shape, *rest)
import minibert
from minibert.runtime import threads
print(max([0, *allocated]) < 10**6, threads._keep_memory.cache_info().currsize, end=" ")
print(tracemalloc.get_traced_memory()[1] < 16_000_000, end=" ")
model = minibert.BertModel.from_pretrained(minibert.EMBEDDED_CHECKPOINT)
print(threads._keep_memory.cache_info().currsize, end=" ")
model([[1, 2, 3]])
print(max(allocated), threads._keep_memory.cache_info().currsize)
"""


def test_the_first_pass_and_no_import_has_the_c_library_keep_memory():
    assert in_a_new_process(IMPORTING) == "True 0 True 0 32000000 1"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do otherwise")
def test_memory_is_not_given_back_between_two_calls():
    program = """
import resource
import numpy as np
from minibert import BertConfig, BertModel
model = BertModel(BertConfig(vocab_size=13, num_hidden_layers=1))
ids = np.ones((1, 300), int)
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    model(ids)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    assert int(in_a_new_process(program, OMP_NUM_THREADS="1")) < 200  # pages


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_has_threads_of_its_own():
    program = """
import os
import numpy as np
from minibert import BertConfig, BertModel
from minibert.runtime.threads import set_num_threads
set_num_threads(2)
model = BertModel(BertConfig(vocab_size=97, hidden_size=24, num_attention_heads=2))
ids = np.arange(40).reshape(4, 10)
model(ids)  # the parent's threads are there
if child := os.fork():
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
else:
    model(ids)
    os._exit(7)
"""
    assert in_a_new_process(program) == "7"


def test_a_call_in_turn_is_like_a_block():
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        assert in_turn(lambda x, y: (x, y, blas_threads()), 1, y=2) == (1, 2, {1})
        assert in_turn(in_turn, blas_threads) == {1}
        with pytest.raises(LookupError):
            in_turn(lambda: {}[0])
        assert blas_threads() == {2}


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such signals")
def test_what_interrupts_a_pass_leaves_blas_and_locks_as_they_were():
    program = INTERRUPTED.format(handler="raise KeyboardInterrupt", times=150, seed=0)
    assert in_a_new_process(program) == "True True"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such signals")
def test_a_handler_of_a_signal_may_run_a_model_during_a_pass():
    program = INTERRUPTED.format(handler="model(all_ids[:2])", times=150, seed=0)
    assert in_a_new_process(program) == "False True"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no such signals")
def test_a_handler_may_wait_for_a_thread_that_runs_a_model(monkeypatch):
    """The turn that this waits for is that of the pass in which the signal came."""
    monkeypatch.setattr(threads, "PATIENCE", 0.2)
    ran = []
    with turn():
        assert in_time(lambda: ran.append(MODEL(IDS[:1])))
    assert len(ran) == 1


def test_a_swapped_function_within_a_turn_may_wait_for_a_thread_that_runs_a_model(monkeypatch):
    monkeypatch.setattr(threads, "PATIENCE", 0.2)

    def waits(x):
        assert in_time(lambda: MODEL(IDS[:1]))
        return functions.gelu(x)

    with turn(), swap(gelu=waits):
        functions.gelu(np.ones((2, 2)))


@pytest.mark.parametrize("before", [True, False])
def test_a_pass_as_the_interpreter_exits(before):
    lines = in_a_new_process(EXIT.format(before=before)).splitlines()
    assert sorted(lines) == [f"{x} (64, 20, 96) True" for x in ("atexit", "finalize", "threads")]


def test_where_no_thread_can_be_started_the_callers_own_does_the_work(monkeypatch):
    def refuse(*args):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "_workers", threads._Workers(3))
    monkeypatch.setattr(threads, "start_new_thread", refuse)
    seen = []
    spread(lambda part: seen.append((part, threading.get_ident())), range(9))
    assert seen == [(i, threading.get_ident()) for i in range(9)]
