"""How far slow work is: one line on a terminal or in a notebook, gone when the work is done.

``with work("verify"):`` is around it, and inside, anywhere, ``progress("stage 40 of 75")``.
"""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

PATIENCE = 2.0  # seconds without a word
STEP = 0.1  # seconds, at least, between two


class Line:
    """A line on a stream that is written again and again, and then cleared."""

    def __init__(self, name: str, stream: Any, clock: Callable[[], float]) -> None:
        self.name, self.stream, self.clock = name, stream, clock
        self.next, self.length = clock() + PATIENCE, 0
        self.lock = threading.Lock()  # the threads of a pass tell their stages

    def show(self, message: str) -> None:
        """Write how far the work is, if it has taken long enough."""
        with self.lock:
            if self.clock() >= self.next:
                self.next = self.clock() + STEP
                width = shutil.get_terminal_size().columns - 1  # a full line would be wrapped
                text = f"{self.name}: {message} ..."[:width]
                self._write("".join(c if c.isprintable() else "?" for c in text))

    def clear(self) -> None:
        """Leave nothing of the line."""
        with self.lock:
            if self.length:
                self._write("")
                self.next = float("inf")

    def _write(self, text: str) -> None:
        with suppress(OSError, ValueError):  # whoever closed the stream does not want to know
            self.stream.write(f"\r{text}{' ' * (self.length - len(text))}{'' if text else chr(13)}")
            self.stream.flush()
        self.length = len(text)


_line: ContextVar[Line | None] = ContextVar("line", default=None)


@contextmanager
def work(name: str, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Show what ``progress`` tells inside, after two seconds; work inside of work has one line.

    Silent where standard error is neither a terminal nor a notebook's.
    """
    if _line.get() is not None or not _is_watched(sys.stderr):
        yield
        return
    line = Line(name, sys.stderr, clock)
    before = _line.set(line)
    try:
        yield
    finally:
        _line.reset(before)
        line.clear()


def progress(message: str) -> None:
    """Tell how far the work is that is under way in this context, if anybody watches."""
    if (line := _line.get()) is not None:
        line.show(message)


def _is_watched(stream: Any) -> bool:
    with suppress(AttributeError, ValueError):  # there may be none, or a closed one
        is_terminal = stream.isatty() and os.environ.get("TERM") != "dumb"
        return is_terminal or type(stream).__module__.startswith("ipykernel")
    return False
