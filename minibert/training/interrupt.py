"""Ctrl-C while something must not be half done: it is held back, and told."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held() -> Iterator[list[int]]:
    """Hold Ctrl-C back in the block; the list is not empty once it came. A second one ends at once.

    Outside of the main thread, where signals do not arrive, nothing is held.
    """
    came: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = signal.signal(signal.SIGINT, handle)
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, before)
