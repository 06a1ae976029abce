"""What several tests of verification look at."""

import io
from types import SimpleNamespace

import pytest


@pytest.fixture
def terminal(monkeypatch):
    """A terminal in place of standard error, on which progress shows at once."""
    stream = io.StringIO()
    stream.isatty = lambda: True
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("minibert.runtime.progress.sys", SimpleNamespace(stderr=stream))
    monkeypatch.setattr("minibert.runtime.progress.PATIENCE", 0)
    monkeypatch.setattr("minibert.runtime.progress.STEP", 0)
    return stream
