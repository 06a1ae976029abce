"""How work is spread over the cores: threads of our own, each with one thread of BLAS.

Which thread computes a part does not change its numbers: with the same number of threads, every
run gives the same bits.

Ctrl-C, or any handler of a signal that raises, may end the main thread's work between any two
steps, and a handler may itself run a model there. So what is shared between threads changes in
single steps of C code (a queue, a deque), a lock may be taken twice by one thread, what is undone
may be undone twice, and nobody waits without end for a turn, or for a thread that has not begun.
"""

import math
import os
import threading
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import Context, copy_context
from functools import cache, partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

import numpy as np

from minibert.runtime.blas import Blas
from minibert.runtime.cores import MAX_THREADS, default_count
from minibert.runtime.spelling import spelled
from minibert.runtime.swap import is_swapping
from minibert.trace import here

Part = TypeVar("Part")
P = ParamSpec("P")
R = TypeVar("R")

PATIENCE = 10.0  # seconds that a caller waits for its turn; who has it may be waiting for this one


@spelled
def set_num_threads(count: int) -> None:
    """Let models use ``count`` threads from now on. TypeError or ValueError for a bad count.

    The default is OMP_NUM_THREADS, or else the number of cores that this process may use.
    """
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"the number of threads is {count!r}; needed: a whole number")
    if not 1 <= count <= MAX_THREADS:
        raise ValueError(f"the number of threads is {count}; allowed: 1 to {MAX_THREADS}")
    _workers.count = count


@spelled
def get_num_threads() -> int:
    """Return how many threads models use."""
    if _this_thread.is_alone:
        return 1
    if _workers.count is None:
        _workers.count = default_count()
    return _workers.count


def shares(size: int, least: int = 1) -> list[slice]:
    """Split ``range(size)`` into equal slices: at least ``least``, as many for each thread.

    Within a task there is one thread, the task's own.
    """
    threads = 1 if _this_thread.is_busy else get_num_threads()
    count = max(1, min(size, threads * math.ceil(least / threads)))
    ends = [size * i // count for i in range(count + 1)]
    return [slice(*ends[i : i + 2]) for i in range(count)]


def spread(task: Callable[[Part], None], parts: Iterable[Part]) -> None:
    """Run the task on every part, over the threads, and return when all are done.

    A spread within a task runs in the task's own thread. If a task raises, no further part is
    begun, and the exception is raised here.
    """
    remaining = deque(parts)
    count = min(get_num_threads(), len(remaining))
    if count < 2 or _this_thread.is_busy:
        _work(task, remaining)
        return
    seats, done = deque(range(count - 1)), SimpleQueue[BaseException | None]()
    try:
        for _ in range(count - 1):
            _workers.submit(partial(_help, seats, done, task, remaining))
        _work_busily(task, remaining)
    except BaseException:
        remaining.clear()
        raise
    finally:
        # who has no seat by now (the threads serve another caller) finds nothing left to do
        begun = count - 1 - _take_all(seats)
        errors = [error for _ in range(begun) if (error := done.get())]
    if errors:
        raise errors[0]


def _help(
    seats: "deque[int]",
    done: "SimpleQueue[BaseException | None]",
    task: Callable[[Part], None],
    remaining: "deque[Part]",
) -> None:
    """Take a seat, if the caller has left any, and work until no part remains."""
    if not _take(seats):
        return
    try:
        _work_busily(task, remaining)
    except BaseException as error:
        done.put(error)
    else:
        done.put(None)


def _take(seats: "deque[int]") -> bool:
    try:
        seats.pop()
    except IndexError:
        return False
    return True


def _take_all(seats: "deque[int]") -> int:
    count = 0
    while _take(seats):
        count += 1
    return count


def _work(task: Callable[[Part], None], remaining: "deque[Part]") -> None:
    """Take parts until none remains; another thread may do the same."""
    while remaining:
        try:
            part = remaining.popleft()
        except IndexError:  # the other was faster
            return
        try:
            task(part)
        except BaseException:
            remaining.clear()
            raise


def _work_busily(task: Callable[[Part], None], remaining: "deque[Part]") -> None:
    _this_thread.is_busy = True
    try:
        _work(task, remaining)
    finally:
        _this_thread.is_busy = False


@contextmanager
def this_thread_only() -> Iterator[None]:
    """Let what this thread computes in the block use no other, BLAS's included."""
    before, _this_thread.is_alone, user = _this_thread.is_alone, True, object()
    try:
        _blas.enter(user)
        yield
    finally:
        _this_thread.is_alone = before
        _blas.leave(user)


@contextmanager
def by_blas() -> Iterator[None]:
    """Let the threads of BLAS share each product in the block, and ours nothing."""
    before, count = _this_thread.is_alone, get_num_threads()
    try:
        _this_thread.is_alone = True
        _blas.lend(count)
        yield
    finally:
        _this_thread.is_alone = before
        _blas.lend(1)


class _ThisThread(threading.local):
    is_busy = False  # with the part of a task
    is_alone = False  # see this_thread_only and by_blas
    has_turn = False


class _Workers:
    """The threads beside the caller's, made when they are first needed."""

    def __init__(self, count: int | None = None) -> None:
        self.count = count  # with the caller's
        self.jobs: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self.size = 0

    def submit(self, job: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # no more threads, or none any more: the interpreter exits
            while self.size < get_num_threads() - 1:
                start_new_thread(_serve, (self.jobs,))
                self.size += 1
        self.jobs.put(partial(_as_here, np.geterr(), copy_context(), job))


def _as_here(errors: Any, context: Context, job: Callable[[], None]) -> None:
    """Do a job with the caller's variables, and its errors of arithmetic, a thread's in 1.26."""
    with np.errstate(**errors):
        context.run(job)


def _serve(jobs: "SimpleQueue[Callable[[], None]]") -> None:
    while True:
        jobs.get()()


_this_thread = _ThisThread()
_workers = _Workers()
_turns = threading.RLock()


_blas = Blas()


@cache
def _keep_memory() -> None:
    """Have the C library keep the memory of large arrays, once a model runs.

    Linux's gives it back to the system, which hands it out again page by page, cleared: 7 to 30 %
    of a forward pass's time. Once an array of this size has been freed, the library keeps as much
    for what comes next. The array's own pages are never touched.
    """
    np.empty(32_000_000, np.uint8)


def in_turn(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Wait for a turn, and return what a function does then. A call within it is part of the turn.

    Callers at once would take longer than one after the other, each with all threads: they would
    wait for each other at every step, and empty each other's caches. Nobody waits for a user's
    function: while one is swapped in, the function runs at once.
    """
    outside, is_first = here.get(), not (_this_thread.has_turn or _this_thread.is_busy)
    user = object()
    try:
        here.set("")
        if is_first:
            _begin(user)
        return function(*args, **kwargs)
    finally:
        try:
            if is_first:
                _end(user)
        except BaseException:  # a signal came between
            _end(user)
            raise
        finally:
            here.set(outside)


@contextmanager
def turn() -> Iterator[None]:
    """Compute in the block as ``in_turn``; a signal that comes as the block ends may undo less."""
    outside, is_first = here.set(""), not (_this_thread.has_turn or _this_thread.is_busy)
    user = object()
    try:
        if is_first:
            _begin(user)
        yield
    finally:
        if is_first:
            _end(user)
        here.reset(outside)


def _begin(user: object) -> None:
    _keep_memory()
    _this_thread.has_turn = True  # before it waits: a handler of a signal is part of its turn
    if not is_swapping():
        _turns.acquire(timeout=PATIENCE)
    _blas.enter(user)


def _end(user: object) -> None:
    """End the turn; what has been undone already stays so."""
    _blas.leave(user)
    _this_thread.has_turn = False
    with suppress(RuntimeError):  # it was not taken
        _turns.release()


def _forget_threads() -> None:
    """Begin anew in a forked child: its parent's threads are not there, their locks may be."""
    global _workers, _turns, _blas
    _workers, _turns, _blas = _Workers(_workers.count), threading.RLock(), Blas()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
