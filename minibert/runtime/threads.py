"""How work is spread over the cores: threads of our own, each with one thread of BLAS.

Which thread computes a part does not change its numbers: with the same number of threads, every
run gives the same bits.
"""

import math
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from minibert.runtime.swap import is_swapping
from minibert.trace import here

Part = TypeVar("Part")
Result = TypeVar("Result")
MAX_THREADS = 1024


def set_num_threads(count: int) -> None:
    """Let models use ``count`` threads from now on. TypeError or ValueError for a bad count.

    The default is OMP_NUM_THREADS, or else the number of cores that this process may use.
    """
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"the number of threads is {count!r}; needed: a whole number")
    if not 1 <= count <= MAX_THREADS:
        raise ValueError(f"the number of threads is {count}; allowed: 1 to {MAX_THREADS}")
    _workers.count = count


def get_num_threads() -> int:
    """Return how many threads models use."""
    if _workers.count is None:
        _workers.count = _default_count()
    return 1 if _this_thread.is_alone else _workers.count


def shares(size: int, least: int = 1) -> list[slice]:
    """Split ``range(size)`` into equal slices: at least ``least``, as many for each thread.

    Within a task there is one thread, the task's own.
    """
    threads = 1 if _this_thread.is_busy else get_num_threads()
    count = max(1, min(size, threads * math.ceil(least / threads)))
    ends = [size * i // count for i in range(count + 1)]
    return [slice(*ends[i : i + 2]) for i in range(count)]


def spread(task: Callable[[Part], Result], parts: Sequence[Part]) -> list[Result]:
    """Run the task on every part, over the threads, and return the results when all are done.

    A spread within a task runs in the task's own thread. If a task raises, no further part is
    begun, and the exception is raised here.
    """
    count = min(get_num_threads(), len(parts))
    if count < 2 or _this_thread.is_busy:
        return [task(part) for part in parts]
    results: list[Any] = [None] * len(parts)
    work = task, deque(enumerate(parts)), results
    others = [_workers.submit(_work, *work) for _ in range(count - 1)]
    try:
        _work(*work)
    finally:
        # what has not begun by now (the threads serve another caller) finds nothing left to do
        begun = [other for other in others if not other.cancel()]
        errors = [error for other in begun if (error := other.exception())]
    if errors:
        raise errors[0]
    return results


def _work(task: Callable[[Any], Any], remaining: "deque[Any]", results: list[Any]) -> None:
    """Take parts until none remains; other threads do the same."""
    _this_thread.is_busy = True
    try:
        while remaining:
            try:
                i, part = remaining.popleft()
            except IndexError:  # another was faster
                return
            results[i] = task(part)
    finally:
        _this_thread.is_busy = False
        remaining.clear()  # there are some if the task raised


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
        self.pool: Any = None
        self.size = 0

    def submit(self, function: Callable[..., None], *arguments: Any) -> Any:
        """Return the future of a call in one of the threads."""
        from concurrent.futures import ThreadPoolExecutor  # slow to import

        size = max(1, get_num_threads() - 1)
        with self.lock:
            if self.size != size:
                if self.pool:
                    self.pool.shutdown(wait=False)
                self.pool, self.size = ThreadPoolExecutor(size, "minibert"), size
            return self.pool.submit(copy_context().run, function, *arguments)


_this_thread = _ThisThread()
_workers = _Workers()


class _Blas:
    """Gives BLAS one thread in all of the process while models run: its threads and ours fight."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.limit: Any = None

    def __enter__(self) -> None:
        with self.lock:
            if not self.users:
                with _any_thread_may_set_limits():
                    self.limit = _libraries().limit(limits=1, user_api="blas")
            self.users += 1

    def __exit__(self, *exception: object) -> None:
        with self.lock:
            self.users -= 1
            if not self.users:
                with _any_thread_may_set_limits():
                    self.limit.restore_original_limits()


@contextmanager
def _any_thread_may_set_limits() -> Iterator[None]:
    """Have threadpoolctl listen to this thread: since 3.8 it does so to the first that called."""
    import threadpoolctl

    openblas = getattr(threadpoolctl, "OpenBLASController", None)
    clear = getattr(openblas, "clear_controlling_thread", lambda force: None)
    clear(force=True)
    yield
    clear(force=True)


@cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController  # slow to import, and to look for libraries

    return ThreadpoolController()


@cache
def _keep_memory() -> None:
    """Have the C library keep the memory of large arrays: 7 to 30 % of a forward pass's time.

    Linux's gives it back to the system, until an array of this size has been freed.
    """
    np.empty(32_000_000, np.uint8)  # its pages are never touched


_turns, _blas = threading.Lock(), _Blas()


@contextmanager
def turn() -> Iterator[None]:
    """Wait for a turn, and compute in the block. A block within it is part of the same turn.

    Callers at once would wait for each other at every step, and empty each other's caches. Nobody
    waits for a user's function: while one is swapped in, the block runs at once.
    """
    if _this_thread.has_turn or _this_thread.is_busy:
        yield
        return
    _keep_memory()
    with nullcontext() if is_swapping() else _turns, _blas:
        _this_thread.has_turn, outside = True, here.set("")
        try:
            yield
        finally:
            here.reset(outside)
            _this_thread.has_turn = False


def _forget_threads() -> None:
    """Begin anew in a forked child: its parent's threads are not there, their locks may be."""
    global _workers, _turns, _blas
    _workers, _turns, _blas = _Workers(_workers.count), threading.Lock(), _Blas()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)


def _default_count() -> int:
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if first.isdecimal() and int(first) > 0:
        return min(int(first), MAX_THREADS)
    return cores()


@cache
def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        found = len(os.sched_getaffinity(0))
    else:
        found = os.cpu_count() or 1
    return min(found, _quota())


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
