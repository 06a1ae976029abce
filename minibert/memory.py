"""Arrays for what is computed on the way, used again within a forward pass.

A new array costs more than it seems: the system hands its pages out one by one, cleared, and no
cache has seen them. What one layer is done with, the next layer takes.
"""

import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray


class _ThisThread(threading.local):
    arrays: "defaultdict[Any, list[NDArray[Any]]] | None" = None  # by shape and dtype


_this_thread = _ThisThread()


@contextmanager
def reused_arrays() -> Iterator[None]:
    """Let ``empty`` give out arrays again in the block, in this thread, once nobody has them."""
    before, _this_thread.arrays = _this_thread.arrays, defaultdict(list)
    try:
        yield
    finally:
        _this_thread.arrays = before


def empty(shape: tuple[int, ...], dtype: "np.dtype[Any]") -> NDArray[Any]:
    """Return an array that holds anything, as np.empty does."""
    if _this_thread.arrays is None:
        return np.empty(shape, dtype)
    arrays = _this_thread.arrays[shape, dtype]
    for array in arrays:
        if sys.getrefcount(array) == 3:  # the list, this variable, and the call that counts
            return array
    arrays.append(np.empty(shape, dtype))
    return arrays[-1]
