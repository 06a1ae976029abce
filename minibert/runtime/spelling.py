"""Misspelt names: of an argument, an attribute or a file. The nearest right one is named.

Python's own messages name what is wrong, but not what there is: ``spelled`` is for functions that
people call, ``Spelled`` is the base of classes whose methods they call.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

#: What transformers calls an argument that has another name here.
_OTHERS = {"pretrained_model_name_or_path": "name", "input": "input_ids", "mask": "attention_mask"}
_OTHERS |= {"save_directory": "folder", "sentences": "texts", "batch_text_or_text_pairs": "text"}


def nearest(name: str, known: Iterable[str], other: Mapping[str, str] = _OTHERS) -> str:
    """Return ``; did you mean 'x'?`` with the nearest known name, or nothing if none is near.

    other: from names that are not alike to what they mean.
    """
    from difflib import get_close_matches  # few need it, and all would wait for it

    names = list(known)
    meant = [other[name]] if other.get(name) in names else get_close_matches(name, names, 1, 0.6)
    return f"; did you mean {meant[0]!r}?" if meant else ""


def a_kind(value: object) -> str:
    """Return what a value is, in words: "an int", "a list", "None"."""
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeioAEIO' else 'a'} {name}"


def spelled(function: Callable[P, R]) -> Callable[P, R]:
    """Let a call with arguments that do not fit say which ones there are."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except TypeError as error:
            inside = error.__traceback__ and error.__traceback__.tb_next
            if inside is not None or not hasattr(function, "__code__"):
                raise  # what was called raised it
        raise TypeError(_misfit(function, args, kwargs))

    return call


def refuse_unknown(function: Callable[..., Any], unknown: dict[str, Any]) -> None:
    """Raise TypeError if there is any: keywords of a call that would rather not be wrapped."""
    if unknown:
        raise TypeError(_misfit(function, (), unknown))


def _misfit(function: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]) -> str:
    from inspect import Parameter, signature  # slow to import

    name = function.__qualname__.removesuffix(".__call__").removesuffix(".__init__")
    found = {n: p for n, p in signature(function).parameters.items() if n not in ("self", "cls")}
    known = [n for n, p in found.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    further = [f"{n}=..." for n, p in found.items() if p.kind is p.VAR_KEYWORD and n != "unknown"]
    takes = f"{name} takes {', '.join([*known, *further]) or 'nothing'}"
    for word in given:
        if word not in known:
            return f"{name} has no argument {word!r}{nearest(word, known)} {takes}"
    needed = [n for n in known if found[n].default is Parameter.empty and n not in given]
    counted = len(args) - (len(signature(function).parameters) - len(found))
    missing = [n for n in needed if known.index(n) >= counted]
    if missing:
        return f"{name} needs {' and '.join(missing)}. {takes}"
    twice = [n for n in known[:counted] if n in given]
    what = f"{twice[0]} twice" if twice else f"{counted} arguments by place, which are too many"
    return f"{name} got {what}. {takes}"


@dataclass(frozen=True, repr=False)
class _NoAttribute:
    """The message of an AttributeError, put into words if it is read: many only ask."""

    owner: str
    name: str
    of: Any  # the object, or the class

    def __str__(self) -> str:
        if self.name.startswith("_"):  # Python asks for these, and so may a library
            return f"{self.owner} has no {self.name!r}"
        kind: Any = self.of if isinstance(self.of, type) else type(self.of)
        if self.name in kind.hints:
            return f"{self.owner} has no {self.name}(): {kind.hints[self.name]}"
        own = {"hints", "synonyms"}
        public = [word for word in dir(self.of) if not word.startswith("_") and word not in own]
        others = f"; it has {', '.join(public)}"
        near = nearest(self.name, public, kind.synonyms)
        return f"{self.owner} has no {self.name[:80]!r}{near or others}"

    __repr__ = __str__


class _SpelledType(type):
    if not TYPE_CHECKING:  # for a type checker there is nothing but what is there

        def __getattr__(cls, name: str) -> NoReturn:
            raise AttributeError(_NoAttribute(cls.__name__, name, cls))


class Spelled(metaclass=_SpelledType):
    """Base of classes that name the nearest attribute in place of one that is not there."""

    #: What to do in place of a method that other libraries have, by its name.
    hints: ClassVar[Mapping[str, str]] = {}
    #: From names that others give an attribute to its own.
    synonyms: ClassVar[Mapping[str, str]] = {}

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(_NoAttribute(a_kind(self), name, self))
