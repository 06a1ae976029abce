"""How far it is from a model to its mathematics: calls and frames, with one thread."""

import sys
from pathlib import Path

import pytest

import minibert
from minibert import BertConfig, BertModel, functions

PACKAGE = str(Path(minibert.__file__).parent)
SIZES = {"vocab_size": 13, "hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 40}
IDS = [[1, 2, 3]]

pytestmark = pytest.mark.usefixtures("one_thread")


def is_ours(code):
    """Tell whether it is a function of the package; comprehensions are none (Python < 3.12)."""
    return code.co_filename.startswith(PACKAGE) and not code.co_name.startswith("<")


def watched(model, see):
    """Run a model; show every frame of the package's own functions as it is entered."""

    def profile(frame, event, argument):
        if event == "call" and is_ours(frame.f_code):
            see(frame)

    model(IDS)  # what is done once is done
    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        model(IDS)
    finally:
        sys.setprofile(before)


def calls(count):
    """Return the names of the functions that a model with so many layers calls."""
    names = []

    def see(frame):
        names.append(f"{Path(frame.f_code.co_filename).stem}.{frame.f_code.co_name}")

    watched(BertModel(BertConfig(**SIZES, num_hidden_layers=count)), see)
    return names


def test_one_more_layer_takes_few_functions_and_calls():
    """19 operations, each through what lets it be swapped, and 16 times a trace is spoken to."""
    one, two = calls(1), calls(2)
    counts = {name: two.count(name) - one.count(name) for name in dict.fromkeys(two)}
    more = {name: count for name, count in counts.items() if count}
    assert len(more) <= 40, more
    assert sum(more.values()) <= 90, more


def test_a_product_is_few_frames_below_the_call():
    body, chains = functions.linear.__wrapped__, []
    while hasattr(body, "__wrapped__"):
        body = body.__wrapped__

    def see(frame):
        if frame.f_code is not body.__code__:
            return
        chain = []
        while frame.f_code is not BertModel.__call__.__code__:
            chain.append(frame)
            frame = frame.f_back
        chains.append([one.f_code.co_name for one in chain][::-1])  # below the call, without it

    watched(BertModel(BertConfig(**SIZES, num_hidden_layers=1)), see)
    assert len(chains) == 4 + 2 + 1  # attention, feed-forward, pooler
    longest = max(chains, key=len)
    assert len(longest) <= 12, " -> ".join(longest)
