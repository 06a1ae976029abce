"""How many threads BLAS has: one while models run, since its threads and ours would fight."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any


class Blas:
    """Gives BLAS one thread, in all of the process, while it has users."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.users: set[object] = set()
        self.before: list[tuple[Any, int]] = []  # the libraries, and how many threads each had

    def enter(self, user: object) -> None:
        """Let BLAS have one thread until this user leaves."""
        with self.lock:
            self.users.add(user)
            if not self.before:
                with _any_thread_may_set_limits():
                    blas = [x for x in _libraries().lib_controllers if x.user_api == "blas"]
                    self.before = [(library, library.get_num_threads()) for library in blas]
                    for library in blas:
                        library.set_num_threads(1)

    def lend(self, count: int) -> None:
        """Let BLAS have so many threads while it has users."""
        with self.lock, _any_thread_may_set_limits():
            for library, _ in self.before:
                library.set_num_threads(count)

    def leave(self, user: object) -> None:
        """Give BLAS its threads again, if nobody is left. A user may leave twice."""
        with self.lock:
            self.users.discard(user)
            if self.before and not self.users:
                with _any_thread_may_set_limits():
                    for library, count in self.before:
                        library.set_num_threads(count)
                self.before = []


@contextmanager
def _any_thread_may_set_limits() -> Iterator[None]:
    """Have threadpoolctl listen to this thread: since 3.8 it does so to the first that called."""
    import threadpoolctl

    openblas = getattr(threadpoolctl, "OpenBLASController", None)
    clear = getattr(openblas, "clear_controlling_thread", lambda force: None)
    clear(force=True)
    try:
        yield
    finally:
        clear(force=True)


@cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController  # slow to import, and to look for libraries

    return ThreadpoolController()
