"""Misspelt names, of an argument, an attribute or a file, and arguments of a wrong type.

Python's own messages name what is wrong, but not what there is: ``spelled`` is for functions that
people call, ``Spelled`` is the base of classes whose methods they call, and every module of the
package is a ``SpelledModule``. Nothing is looked at before a call has failed.
"""

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from opcode import opmap
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, ParamSpec, TypeVar

from minibert.runtime.annotations import fits, in_words, strangers

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

#: What a call with wrong arguments raises sooner or later.
BARE = (AttributeError, LookupError, TypeError, ValueError, ZeroDivisionError)

MANY = 40  # names that a message lists
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
    """Let a call with arguments that do not fit say which one it is, and what it takes."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BARE as error:
            explain(error, function, args, kwargs)
            raise

    return call


def spelled_methods(cls: type[T]) -> type[T]:
    """Let the public methods that a class defines be ``spelled``."""
    for name, method in list(vars(cls).items()):
        if name.startswith("_") and name not in ("__call__", "__getitem__"):
            continue
        if isinstance(method, staticmethod | classmethod):
            setattr(cls, name, type(method)(spelled(method.__func__)))
        elif isinstance(method, FunctionType):
            setattr(cls, name, spelled(method))
    return cls


def explain(
    error: Exception,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    given: dict[str, Any],
    further: Callable[[dict[str, Any]], str] = lambda _: "",
) -> None:
    """Raise TypeError for a call whose arguments do not fit the names or types of a function.

    error: what the call raised; if it is a sentence of ours, there is no more to say. The types are
    the annotations, and they are looked at only now: what works with others is left alone.
    further: says what is wrong with arguments that fit, by name, if anything: a ValueError.
    """
    if _is_said(error):
        return
    from inspect import Parameter, signature  # slow to import

    title, parameters = _title(function, args), signature(function).parameters
    try:
        bound = signature(function).bind(*args, **given).arguments
    except TypeError:
        raise TypeError(_misfit(function, args, given)) from None
    untold = (Parameter.VAR_KEYWORD, Parameter.VAR_POSITIONAL)
    for name, value in bound.items():
        hint = parameters[name].annotation
        is_told = hint is not Parameter.empty and parameters[name].kind not in untold
        if is_told and not fits(value, hint):
            what = f"{title}: {name} is {_found(value, hint)}; needed: {in_words(hint)}"
            raise TypeError(what) from error
    if text := further(bound):
        raise ValueError(f"{title}: {text}") from error


def _found(value: object, hint: Any) -> str:
    inside = [*islice(strangers(value, hint), 1)]
    if inside and hasattr(value, "dtype"):
        return f"an array of {inside[0]}"
    return a_kind(value) + (f" with {a_kind(inside[0])} in it" if inside else "")


def _is_said(error: Exception) -> bool:
    """Tell whether a raise statement of this package raised it, not Python or a library."""
    last = error.__traceback__
    while last and last.tb_next:
        last = last.tb_next
    if last is None or not str(last.tb_frame.f_globals.get("__name__")).startswith("minibert"):
        return False
    return last.tb_frame.f_code.co_code[last.tb_lasti] == opmap["RAISE_VARARGS"]


def _title(function: Callable[..., Any], args: tuple[Any, ...]) -> str:
    """Return what people call the function by: with its class, or a part of that."""
    name = function.__qualname__
    if args and "." in name and function.__code__.co_varnames[:1] in (("self",), ("cls",)):
        kind = args[0] if isinstance(args[0], type) else type(args[0])
        name = f"{kind.__name__}.{function.__name__}"
    return re.sub(r"\.__\w+__$", "", name)


def _misfit(function: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]) -> str:
    from inspect import Parameter, signature  # slow to import

    name = _title(function, args)
    found = {n: p for n, p in signature(function).parameters.items() if n not in ("self", "cls")}
    known = [n for n, p in found.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    further = [f"{n}=..." for n, p in found.items() if p.kind is p.VAR_KEYWORD and n != "unknown"]
    takes = f"{name} takes {', '.join([*known, *further]) or 'nothing'}"
    for word in given:
        if word not in known:
            return f"{name} has no argument {word[:80]!r}{nearest(word, known) or '.'} {takes}"
    needed = [n for n in known if found[n].default is Parameter.empty and n not in given]
    counted = len(args) - (len(signature(function).parameters) - len(found))
    missing = [n for n in needed if known.index(n) >= counted]
    if missing:
        return f"{name} needs {' and '.join(missing)}. {takes}"
    twice = [n for n in known[:counted] if n in given]
    many = f"{counted} argument{'s' * (counted > 1)} by place, more than it takes so"
    what = f"{twice[0]} twice" if twice else many
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
        more = [f"and {len(public) - MANY} more"] if len(public) > MANY else []
        others = f"; it has {', '.join([*public[:MANY], *more])}"
        hidden = (n for n in vars(self.of) if n[0] != "_") if kind is SpelledModule else ()
        near = nearest(self.name, [*public, *hidden], kind.synonyms)
        what = "attribute " if kind is SpelledModule else ""
        return f"{self.owner} has no {what}{self.name[:80]!r}{near or others}"

    __repr__ = __str__


class _SpelledType(type):
    if not TYPE_CHECKING:  # for a type checker there is nothing but what is there

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().__call__(*args, **kwargs)
            except BARE as error:
                explain(error, cls.__init__, (cls, *args), kwargs)
                raise

        def __getattr__(cls, name: str) -> NoReturn:
            raise AttributeError(_NoAttribute(cls.__name__, name, cls))


class Spelled(metaclass=_SpelledType):
    """Base of classes that name the nearest attribute in place of one that is not there."""

    #: What to do in place of a method that other libraries have, by its name.
    hints: ClassVar[Mapping[str, str]] = {}
    #: From names that others give an attribute to its own.
    synonyms: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls) -> None:
        spelled_methods(cls)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(_NoAttribute(a_kind(self), name, self))


class SpelledModule(ModuleType):
    """A module that names the nearest of its names; so do all modules within it."""

    hints: ClassVar[Mapping[str, str]] = {}
    synonyms: ClassVar[Mapping[str, str]] = {}

    @classmethod
    def of(cls, module: ModuleType) -> None:
        """Make a module one of these."""
        module.__class__ = cls
        for name, value in list(vars(module).items()):
            setattr(module, name, value)

    def __setattr__(self, name: str, value: object) -> None:
        if type(value) is ModuleType and value.__name__ == f"{self.__name__}.{name}":
            self.of(value)  # it was imported
        super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        found = vars(self).items()
        names = [name for name, value in found if not isinstance(value, ModuleType)]
        public = [name for name in names if not name.startswith("_")] or vars(self)
        return sorted(vars(self).get("__all__", public))

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> ModuleType:
            # of an import that Ctrl-C ended, Python keeps what was done, and does not tie it again
            if within := sys.modules.get(f"{self.__name__}.{name}"):
                setattr(self, name, within)
                return within
            raise AttributeError(_NoAttribute(f"module {self.__name__!r}", name, self))
