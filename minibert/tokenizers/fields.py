"""Fields of a tokenizer's files: the type of each is checked where it is read."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import NoneType
from typing import Any

from minibert.checkpoint.files import visible

_SURROGATE = re.compile("[\ud800-\udfff]")  # half of a pair: no file in UTF-8 can hold it


def typed(values: Any, name: str, default: Any, *kinds: type) -> Any:
    """Return a field of an object; ValueError if it, or the object, is of another type.

    A bool is no int. A text that could not be saved is refused too.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{values!r:.60} is no object, so it has no {name}")
    value, name = values.get(name, default), visible(name, 60)
    if type(value) not in kinds:
        needed = " or ".join("null" if kind is NoneType else kind.__name__ for kind in kinds)
        raise ValueError(f"{name} is {value!r:.60}; needed: {needed}")
    return require_utf8(name, value) if isinstance(value, str) else value


def typed_list(values: Any, name: str, *kinds: type) -> list[Any]:
    """Return a field that is a list, [] if absent or null; ValueError for another type in it."""
    entries, one = typed(values, name, [], list, NoneType) or [], f"an entry of {name}"
    return [typed({one: entry}, one, None, *kinds) for entry in entries]


def require_utf8(name: str, value: str) -> str:
    """Return a text; ValueError if it holds half of a surrogate pair."""
    if _SURROGATE.search(value):
        raise ValueError(f"{name} is {value!r:.60}: a lone surrogate is no character")
    return value


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Put the path of the file before what a ValueError says."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from None
