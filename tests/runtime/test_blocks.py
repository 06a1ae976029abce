import os
import platform
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from minibert import BertConfig, BertModel
from minibert.runtime import blocks
from minibert.runtime.blocks import by_blocks
from minibert.runtime.threads import get_num_threads, set_num_threads


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (11, 3, 5), (29, 2), (0, 5), ()])
def test_blocks_change_nothing(monkeypatch, shape):
    monkeypatch.setattr(blocks, "BLOCK", 10)
    lengths = []

    @by_blocks
    def scaled(x, factor, *, shift):
        lengths.append(x.size)
        return x * factor + shift

    x = np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape)
    np.testing.assert_array_equal(scaled(x, 3, shift=1), x * 3 + 1)
    assert max(lengths) <= max(10, x.size // max(1, len(np.atleast_1d(x))))


def test_512_tokens_take_little_beside_the_weights():
    """Of BERT-base's width: 40 MB in all, for any number of layers."""
    model = BertModel(BertConfig(vocab_size=13, num_hidden_layers=3))
    ids = np.ones((1, 512), int)
    before = get_num_threads()
    try:
        for count in (1, 2):
            set_num_threads(count)
            model(ids)
            tracemalloc.start()
            model(ids)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 40e6, count
    finally:
        set_num_threads(before)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do otherwise")
def test_memory_is_not_given_back_between_two_calls():
    program = """
import resource
import numpy as np
from minibert import BertConfig, BertModel
model = BertModel(BertConfig(vocab_size=13, num_hidden_layers=1))
ids = np.ones((1, 300), int)
for _ in range(3):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    model(ids)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", program]
    found = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
    assert int(found.stdout) < 200  # pages
