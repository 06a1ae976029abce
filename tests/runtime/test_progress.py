"""One line about slow work, on a terminal alone."""

import io
import threading
from contextvars import copy_context
from types import SimpleNamespace

import pytest

from minibert.runtime.progress import progress, work


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def screen(monkeypatch):
    terminal = Terminal()
    # pytest puts its own stderr in place between the fixtures and the test
    monkeypatch.setattr("minibert.runtime.progress.sys", SimpleNamespace(stderr=terminal))
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    return terminal


def shown(text):
    """Return what a terminal shows in the end."""
    line, place = "", 0
    for c in text:
        if c == "\r":
            place = 0
        else:
            line, place = line[:place] + c + line[place + 1 :], place + 1
    return line.rstrip()


def test_nothing_is_said_for_two_seconds(screen, clock):
    with work("verify", clock):
        progress("stage 1 of 9")
        clock.now += 1.9
        progress("stage 2 of 9")
        assert screen.getvalue() == ""
        clock.now += 0.2
        progress("stage 3 of 9")
        assert shown(screen.getvalue()) == "verify: stage 3 of 9 ..."
    assert shown(screen.getvalue()) == ""
    assert "\n" not in screen.getvalue()


def test_a_line_is_written_over_and_not_too_often(screen, clock):
    with work("verify", clock):
        clock.now += 3
        progress("a cause of layer.10")
        progress("too soon")
        assert shown(screen.getvalue()) == "verify: a cause of layer.10 ..."
        clock.now += 0.2
        progress("short")
        assert shown(screen.getvalue()) == "verify: short ..."


def test_a_line_fits_the_terminal_and_obeys_no_name(screen, clock):
    with work("verify", clock):
        clock.now += 3
        progress("layer.\x1b[2J" + "x" * 90)
        assert len(shown(screen.getvalue())) == 39
        assert "\x1b" not in screen.getvalue()


def test_work_inside_of_work_has_one_line(screen, clock):
    with work("record", clock):
        clock.now += 3
        with work("verify", clock):
            progress("stage 1")
        assert shown(screen.getvalue()) == "record: stage 1 ..."


def test_what_fails_leaves_no_line(screen, clock):
    def fail():
        with work("verify", clock):
            clock.now += 3
            progress("stage 1")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert shown(screen.getvalue()) == ""
    progress("stage 2")
    assert shown(screen.getvalue()) == ""


def test_a_thread_of_the_work_may_tell(screen, clock):
    with work("verify", clock):
        clock.now += 3
        context = copy_context()
        thread = threading.Thread(target=context.run, args=(progress, "stage 1"))
        thread.start()
        thread.join()
        assert shown(screen.getvalue()) == "verify: stage 1 ..."


@pytest.mark.parametrize("stream", [io.StringIO(), None])
def test_a_file_or_nothing_is_left_alone(monkeypatch, clock, stream):
    monkeypatch.setattr("sys.stderr", stream)
    with work("verify", clock):
        clock.now += 3
        progress("stage 1")
    assert stream is None or stream.getvalue() == ""


def test_a_dumb_terminal_is_left_alone(screen, clock, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    with work("verify", clock):
        clock.now += 3
        progress("stage 1")
    assert screen.getvalue() == ""


def test_a_notebook_is_told(monkeypatch, clock):
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr("sys.stderr", stream)
    with work("verify", clock):
        clock.now += 3
        progress("stage 1")
        assert shown(stream.getvalue()) == "verify: stage 1 ..."
    assert shown(stream.getvalue()) == ""


def test_a_stream_that_closes_is_no_fault(screen, clock):
    with work("verify", clock):
        clock.now += 3
        screen.close()
        progress("stage 1")
