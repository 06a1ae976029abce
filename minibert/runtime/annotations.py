"""Whether an argument is what its annotation says, and what that is in words."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from numbers import Integral, Real
from types import UnionType
from typing import Any, Union, get_args, get_origin

import numpy as np

_WORDS: dict[Any, str] = {str: "a text", int: "a whole number", float: "a number"}
_WORDS |= {bool: "True or False", type(None): "None", os.PathLike: "a path"}
_KINDS: dict[Any, str] = {np.floating: "floating-point numbers", np.integer: "whole numbers"}
_KINDS |= {np.bool_: "True and False"}
_MANY = 1000  # of a list's items are looked at


def fits(value: object, hint: Any) -> bool:
    """Tell whether a value is what an annotation says; True for what cannot be told."""
    if _is_union(hint):
        return any(fits(value, one) for one in get_args(hint))
    kind: Any = {int: Integral, float: Real}.get(hint, get_origin(hint) or hint)
    try:
        if kind is Any or not isinstance(kind, type):  # a type variable, a Literal, a text
            return True
        return isinstance(value, kind) and not any(True for _ in strangers(value, hint))
    except TypeError:  # a protocol
        return True


def strangers(value: Any, hint: Any) -> Iterator[object]:
    """Yield what an annotation does not allow inside of a list, a dict or an array."""
    hints = get_args(hint) if _is_union(hint) else [hint]
    hint = next((h for h in hints if isinstance(value, get_origin(h) or ())), None)
    inner = get_args(hint)
    if isinstance(value, np.ndarray):
        if (kind := _kind(hint)) and not issubclass(value.dtype.type, kind):
            yield value.dtype
    elif isinstance(value, Mapping):
        for pair in islice(value.items(), _MANY):
            yield from (x for x, of in zip(pair, inner, strict=False) if not fits(x, of))
    elif isinstance(value, Iterable) and not isinstance(value, Iterator | tuple):
        yield from (x for x in islice(value, _MANY) for of in inner if not fits(x, of))


def in_words(hint: Any) -> str:
    """Return what an annotation allows: ``a text or None``."""
    if _is_union(hint):
        return " or ".join(dict.fromkeys(map(in_words, get_args(hint))))
    kind: Any = get_origin(hint) or hint
    if kind is np.ndarray:
        return f"a NumPy array of {_KINDS.get(_kind(hint), 'numbers')}"
    if kind is Callable:
        return "a function"
    if kind in _WORDS or not isinstance(kind, type):
        return _WORDS.get(kind, "something else")
    inner = [in_words(of) for of in get_args(hint) if of not in (Any, ...)]
    if issubclass(kind, Mapping):
        return f"a dict from {' to '.join(map(_plural, inner))}" if inner else "a dict"
    if issubclass(kind, Iterable) and inner:
        is_tuple = kind is tuple
        return f"a tuple ({', '.join(inner)})" if is_tuple else f"a list of {_plural(inner[0])}"
    return f"a {kind.__name__}"


def _plural(words: str) -> str:
    noun, of, what = words.partition(" ")[2].partition(" of ")
    return f"{noun}s{of}{what}"


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)


def _kind(hint: Any) -> Any:
    """Return the kind of numbers of ``NDArray[...]``: np.floating, np.integer, np.bool_ or None."""
    numbers = [get_args(of) for of in get_args(hint) if get_origin(of) is np.dtype]
    kind = numbers and (get_origin(numbers[0][0]) or numbers[0][0])
    return next((k for k in _KINDS if isinstance(kind, type) and issubclass(kind, k)), None)
