"""What a function may change beside its result, kept as it was: seeds, streams, other's attributes.

A seed or a folder that has changed is put back and noted. An attribute of NumPy or of minibert that
was replaced is put back, too, but is a fault: nothing that was compared since means anything.
"""

import contextlib
import os
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from operator import setitem
from typing import Any

import numpy as np
import threadpoolctl  # noqa: F401  (adds to the environment, so before that is looked at)

from minibert.activation_derivatives import ACTIVATION_DERIVATIVES
from minibert.functions import ACTIVATIONS
from minibert.runtime.swap import OPERATIONS


def _set_environment(values: dict[str, str]) -> None:
    for name in os.environ.keys() - values.keys():
        del os.environ[name]
    os.environ.update(values)


#: What it is called, how it is read, how it is put back.
_STATE: tuple[tuple[str, Callable[[], Any], Callable[[Any], Any]], ...] = (
    ("the state of np.random", np.random.get_state, np.random.set_state),
    ("the state of random", random.getstate, random.setstate),
    ("np.seterr", np.geterr, lambda kinds: np.seterr(**kinds)),
    ("np.set_printoptions", np.get_printoptions, lambda all_: np.set_printoptions(**all_)),
    ("the environment", lambda: dict(os.environ), _set_environment),
    ("the working directory", os.getcwd, os.chdir),
    ("sys.stdout", lambda: sys.stdout, lambda stream: setattr(sys, "stdout", stream)),
    ("sys.stderr", lambda: sys.stderr, lambda stream: setattr(sys, "stderr", stream)),
    ("sys.path", lambda: list(sys.path), lambda path: sys.path.__setitem__(slice(None), path)),
    ("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
)


class State:
    """What was there when this was made."""

    def __init__(self) -> None:
        self.values = [_read(read) for _, read, _ in _STATE]
        self.owners = [(name, owner, dict(_names(owner))) for name, owner in _owners()]

    def restore(self) -> tuple[str, tuple[str, ...]]:
        """Put all back; return what a function must not replace, if it did, and what else changed.

        What was added stays: modules add attributes to themselves.
        """
        replaced, changed = "", []
        for name, owner, before in self.owners:
            now = _names(owner)
            for key in [k for k, v in before.items() if now.get(k) is not v and _counts(v)]:
                replaced = replaced or f"{name}.{key}"
                (setitem if isinstance(owner, dict) else setattr)(owner, key, before[key])
        for (name, read, put_back), value in zip(_STATE, self.values, strict=True):
            if not _same(_read(read), value):
                changed.append(name)
                with contextlib.suppress(OSError):  # a folder that is gone
                    put_back(value)
        return replaced, tuple(changed)


def _read(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except OSError:  # no working directory
        return None


def _same(found: Any, before: Any) -> bool:
    if isinstance(before, tuple):
        return len(found) == len(before) and all(map(_same, found, before))
    if isinstance(before, np.ndarray):
        return np.array_equal(found, before)
    return found is before or bool(found == before)


def _owners() -> Iterator[tuple[str, Any]]:
    """Yield whose attributes are looked after: NumPy's, minibert's, a few of Python's own."""
    yield from (("OPERATIONS", OPERATIONS), ("ACTIVATIONS", ACTIVATIONS))
    yield "ACTIVATION_DERIVATIVES", ACTIVATION_DERIVATIVES
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in ("numpy", "minibert", "math", "builtins") and module is not None:
            yield name, module
            if name.startswith("minibert."):
                yield from ((c.__qualname__, c) for c in vars(module).values() if _is_in(c, name))


def _names(owner: Any) -> Mapping[str, Any]:
    return owner if isinstance(owner, dict) else vars(owner)


def _is_in(value: Any, module: str) -> bool:
    return isinstance(value, type) and value.__module__ == module


def _counts(value: Any) -> bool:
    """Tell whether it is to stay: functions, classes and constants, not what modules keep."""
    return callable(value) or isinstance(value, float)
