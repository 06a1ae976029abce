"""Running what a student wrote in a process of its own: it can be ended, and takes all with it.

The process is a fork. So a function needs no name by which another process could import it, as one
of a notebook has none, and models are there already. The child answers in JSON, never in pickles,
which could run anything in the process that asked.
"""

import contextlib
import faulthandler
import io
import json
import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

from minibert.grading.cases import ORDINARY
from minibert.grading.result import Found, in_words, late
from minibert.runtime.cores import cores

Work = Callable[[], list[Found]]

#: Elsewhere there is no fork (Windows), or none that the system's own libraries survive (macOS).
HAS_FORK = hasattr(os, "fork") and sys.platform != "darwin"
MAX_PRINTED = 20_000  # characters that are shown of what a function prints
MAX_ANSWER = 1 << 20  # bytes of a message
GRACE = 5.0  # seconds after which a child ends itself, if nobody is left to end it
CUT = "\n[... more was printed than is shown]\n"


def in_a_process(work: Work, limit: float) -> list[Found]:
    """Return what ``work`` returns in a child, which is killed after ``limit`` seconds.

    The list is empty if ``work`` raised: the fault is not the function's.
    """
    with _a_core(limit):
        ours, theirs = Pipe(duplex=False)
        sys.stdout.flush()
        with warnings.catch_warnings():  # of threads: the child takes no lock of theirs
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if not child:
            _be_the_child(work, theirs, limit)
        try:
            theirs.close()
            return _answer(ours, child, limit)
        finally:
            _end(child)
            ours.close()


def _answer(ours: "Connection[bytes, bytes]", child: int, limit: float) -> list[Found]:
    """Show what the child prints until it says what it found."""
    deadline = time.monotonic() + limit
    while ours.poll(max(0.0, deadline - time.monotonic())):
        try:
            message = json.loads(ours.recv_bytes(MAX_ANSWER))
            if "found" in message:
                return [Found(**one) for one in message["found"]]
            for stream, text in message.items():
                getattr(sys, stream).write(text)
        except EOFError:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            how = f"with status {status}" if status >= 0 else f"by {signal.Signals(-status).name}"
            return [Found(ORDINARY, f"it ends the process that it runs in, {how}")]
    return [late(limit)]


def _end(child: int) -> None:
    """Kill the child and whatever it has started, unless they are gone."""
    for kill, number in ((os.killpg, child), (os.kill, child)):  # it may have no group as yet
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(number, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


def _be_the_child(work: Work, theirs: "Connection[bytes, bytes]", limit: float) -> None:
    """Do the work, send what was found, and end without what a Python process does at its end."""
    status = 1
    try:
        faulthandler.disable()
        os.setpgid(0, 0)  # one group with what it starts
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, limit + GRACE)
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        sys.stdin = io.StringIO()
        sys.stdout, sys.stderr = _Printed("stdout", theirs), _Printed("stderr", theirs)
        try:
            found = work()
        except KeyboardInterrupt as error:  # its own: Ctrl-C goes to the parent's group
            found = [Found(ORDINARY, in_words(error))]
        except BaseException:
            found = []
        theirs.send_bytes(json.dumps({"found": [asdict(one) for one in found]}).encode())
        status = 0
    finally:
        os._exit(status)


class _Printed(io.TextIOBase):
    """Sends what is printed to the parent, as long as it is not too much."""

    def __init__(self, stream: str, theirs: "Connection[bytes, bytes]") -> None:
        self.stream, self.theirs, self.left = stream, theirs, MAX_PRINTED
        self.lock = threading.Lock()

    def write(self, text: str) -> int:
        with self.lock:
            if self.left > 0:
                shown = text[: self.left] + CUT * (len(text) > self.left)
                self.left -= len(text)
                self.theirs.send_bytes(json.dumps({self.stream: shown}).encode())
        return len(text)


@contextlib.contextmanager
def _a_core(limit: float) -> Iterator[None]:
    """Wait until fewer functions are graded on this machine than it has cores.

    A lock of a file stands for a core; the system lets go of it when a process ends, however it
    does. The file's time says when the function in it will have been ended: who waits does so as
    long as anybody keeps to that. (A notebook that was suspended keeps its core, and does not.)
    """
    with contextlib.ExitStack() as held:
        while _wait_until(held, limit) + GRACE > time.time():
            time.sleep(0.02)
        yield


def _wait_until(held: contextlib.ExitStack, limit: float) -> float:
    """Take a core, if one is free; return until when to wait for one, 0 if that need not be."""
    import fcntl  # not on Windows

    folder, ends = Path(tempfile.gettempdir()), [0.0]
    for i in range(cores()):
        try:
            name = folder / f"minibert-grade-{os.getuid()}-{i}"
            file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError:  # none can be counted
            return 0
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            ends.append(os.fstat(file).st_mtime)
            os.close(file)
            continue
        held.callback(os.close, file)
        os.utime(file, (time.time() + limit,) * 2)
        return 0
    return max(ends)
