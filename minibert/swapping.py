"""Running the engine with somebody else's function in place of one of ours.

    with minibert.swap(gelu=my_gelu):
        model(ids)

Every operation of functions.py can be swapped, in this thread and context only.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_swapped: ContextVar[dict[str, Callable[..., Any]]] = ContextVar("swapped", default={})  # noqa: B039
#: The operations by name.
OPERATIONS: dict[str, Callable[..., Any]] = {}


def operation(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function one that can be swapped."""
    name = function.__name__

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        other = _swapped.get().get(name)
        if other is None:
            return function(*args, **kwargs)
        kwargs.pop("record", None)  # of what lies within an operation, only ours tells the trace
        found: R = other(*args, **kwargs)
        return found

    OPERATIONS[name] = call
    return call


@contextmanager
def swap(**functions: Callable[..., Any]) -> Iterator[None]:
    """Let the engine call other functions in place of its own, within the block."""
    token = _swapped.set(_swapped.get() | functions)
    try:
        yield
    finally:
        _swapped.reset(token)
