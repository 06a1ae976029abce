"""How work is spread over the cores: threads of our own, each with one thread of BLAS.

Which thread computes a part does not change its numbers: with the same number of threads, every
run gives the same bits.
"""

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from numpy.typing import NDArray

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

Part = TypeVar("Part")

SMALL = 1_000_000  # so many multiplications are done before another thread has woken up


def set_num_threads(count: int) -> None:
    """Let models use so many threads from now on. TypeError or ValueError for a bad count.

    The default is OMP_NUM_THREADS, or else the number of cores that this process may use.
    """
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"the number of threads is {count!r}; needed: a whole number")
    if count < 1:
        raise ValueError(f"the number of threads is {count}; it must be 1 or above")
    _workers.count = count


def get_num_threads() -> int:
    """Return how many threads models use."""
    if _this_thread.is_alone:
        return 1
    if _workers.count is None:
        _workers.count = _default_count()
    return _workers.count


def shares(size: int, least: int = 1) -> list[slice]:
    """Cut ``range(size)`` into at least so many slices, equal, and as many for each thread.

    Within a task, that is for the task's own thread. None is empty, but for a size of 0.
    """
    threads = 1 if _this_thread.is_busy else get_num_threads()
    count = max(1, min(size, threads * math.ceil(least / threads)))
    ends = [size * i // count for i in range(count + 1)]
    return [slice(*ends[i : i + 2]) for i in range(count)]


def shares_of_work(size: int, multiplications: int) -> list[slice]:
    """Cut ``range(size)`` into a slice for each thread, or into one if there is little to do."""
    return shares(size) if multiplications > SMALL else [slice(0, size)]


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
    others = [_workers.submit(_work_busily, task, remaining) for _ in range(count - 1)]
    try:
        _work_busily(task, remaining)
    finally:
        # what has not begun by now (the threads serve another caller) finds nothing left to do
        begun = [other for other in others if not other.cancel()]
        errors = [error for other in begun if (error := other.exception())]
    if errors:
        raise errors[0]


def add_up(task: Callable[[slice], NDArray[Any]], parts: list[slice]) -> NDArray[Any]:
    """Run the task on every part, over the threads, and return the sum of what it returns.

    The first part's result is what the others are added to, always in the same order.
    """
    results: dict[int, NDArray[Any]] = {}

    def run(index: int) -> None:
        results[index] = task(parts[index])

    spread(run, range(len(parts)))
    total = results[0]
    for index in range(1, len(parts)):
        total += results[index]
    return total


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
    """Let what this thread computes in the block use no other, whatever the number of threads."""
    before, _this_thread.is_alone = _this_thread.is_alone, True
    try:
        yield
    finally:
        _this_thread.is_alone = before


class _ThisThread(threading.local):
    is_busy = False  # with the part of a task
    is_alone = False  # see this_thread_only
    has_turn = False


class _Workers:
    """The threads beside the caller's, made when they are first needed."""

    def __init__(self, count: int | None = None) -> None:
        self.count = count  # with the caller's
        self.lock = threading.Lock()
        self.pool: ThreadPoolExecutor | None = None
        self.size = 0

    def submit(self, function: Callable[..., None], *arguments: Any) -> "Future[None]":
        from concurrent.futures import ThreadPoolExecutor  # slow to import

        size = max(1, get_num_threads() - 1)
        with self.lock:
            if self.pool is None or self.size != size:
                if self.pool is not None:
                    self.pool.shutdown(wait=False)
                self.pool, self.size = ThreadPoolExecutor(size, "minibert"), size
            return self.pool.submit(copy_context().run, function, *arguments)


_this_thread = _ThisThread()
_workers = _Workers()
_turns = threading.Lock()


@cache
def _blas_libraries() -> Any:
    from threadpoolctl import ThreadpoolController  # slow to import, and to look for libraries

    return ThreadpoolController()


@contextmanager
def turn() -> Iterator[None]:
    """Wait for a turn, and compute in the block. A block within it is part of the same turn.

    Callers at once would take longer than one after the other, each with all threads: they would
    wait for each other at every step, and empty each other's caches. Meanwhile BLAS has one thread,
    in all of the process, for its threads and ours would fight.
    """
    if _this_thread.has_turn or _this_thread.is_busy:
        yield
        return
    with _turns, _blas_libraries().limit(limits=1, user_api="blas"):
        _this_thread.has_turn = True
        try:
            yield
        finally:
            _this_thread.has_turn = False


def _forget_threads() -> None:
    """Begin anew in a forked child: its parent's threads are not there, their locks may be."""
    global _workers, _turns
    _workers, _turns = _Workers(_workers.count), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def _default_count() -> int:
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdecimal() and int(first) > 0:
        return int(first)
    return _cores()


@cache
def _cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return min(cores, _quota())


CGROUP = Path("/sys/fs/cgroup")


def _quota() -> int:
    """Return how many cores a Linux container may keep busy; many if nothing limits it."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            text = " ".join((CGROUP / file).read_text("ascii") for file in files)
            quota, period = map(int, text.split())
        except (OSError, ValueError):  # no such group, or "max": no limit
            continue
        if quota > 0:
            return max(1, math.ceil(quota / period))
    return 1 << 16
