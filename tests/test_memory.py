import threading
import tracemalloc

import numpy as np
import pytest

from minibert import BertConfig, BertModel, memory
from minibert.memory import by_blocks, empty, reused_arrays
from minibert.threads import get_num_threads, set_num_threads

F4 = np.dtype(np.float32)


def address(array):
    return array.__array_interface__["data"][0]


def test_an_array_that_nobody_has_is_given_again():
    with reused_arrays():
        first = address(empty((3, 5), F4))
        assert address(empty((3, 5), F4)) == first


def test_an_array_that_somebody_has_is_not():
    with reused_arrays():
        first = empty((3, 5), F4)
        view = empty((3, 5), F4)[1:, ::2]
        third = empty((3, 5), F4)
        assert len({address(first), address(view.base), address(third)}) == 3
        kept = address(view.base)
        del view
        assert address(empty((3, 5), F4)) == kept


def test_an_array_of_another_shape_or_dtype_is_not():
    with reused_arrays():
        first = address(empty((3, 5), F4))
        assert address(empty((5, 3), F4)) != first
        other = empty((3, 5), np.dtype(np.float64))
        assert other.dtype == np.float64
        assert address(other) != first


def test_nothing_is_kept_outside_a_block():
    empty((3, 5), F4)
    assert memory._this_thread.arrays is None
    with reused_arrays():
        kept = empty((3, 5), F4)
    assert memory._this_thread.arrays is None
    assert kept.shape == (3, 5)


def test_threads_do_not_share_arrays():
    with reused_arrays():
        empty((3, 5), F4)
        seen = []
        thread = threading.Thread(target=lambda: seen.append(memory._this_thread.arrays))
        thread.start()
        thread.join()
    assert seen == [None]


@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (11, 3, 5), (29, 2), (0, 5), ()])
def test_blocks_change_nothing(monkeypatch, shape):
    monkeypatch.setattr(memory, "BLOCK", 10)
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
