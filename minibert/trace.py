"""What looks at a forward pass: ``x = trace("name", x)`` is all that a layer says to it.

A trace keeps a stage, or puts a known one in its place: the network goes on with what it returns.
A stage comes in pieces, of a thread's sequences or columns, or of a block of scores. They are kept
without a copy, since no layer changes an array, and put together when somebody asks.

A stage's name is a path, ``layer.3.attention.scores``; in an architecture's table of stages it is a
pattern, ``layer.{i}.attention.scores``, where ``{i}`` counts layers.
"""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from contextvars import ContextVar
from copy import copy
from itertools import groupby
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Place = TypeVar("Place", bound="Silent")
Part = TypeVar("Part", bound="Recording")

#: The part of the network that a recording entered last: where a user's function went wrong.
here: ContextVar[str] = ContextVar("here", default="")

#: A number in a name, between dots.
NUMBER = re.compile(r"(?<![^.])(0|[1-9]\d{0,4})(?![^.])")


def pattern_of(stage: str) -> str:
    """Return the pattern of a stage: ``layer.3.attention`` -> ``layer.{i}.attention``."""
    return NUMBER.sub("{i}", stage)


def layer_of(stage: str) -> int:
    """Return the number of the layer that a stage belongs to; -1 outside of the layers."""
    number = NUMBER.search(stage)
    return int(number[0]) if number else -1


class Stage(NamedTuple):
    """A line of an architecture's table of stages."""

    name: str  # or pattern
    axes: str  # a letter each, as in functions.py; L labels
    module: str  # of transformers, that shows it
    shown: str  # as its "input", its "output", the "second" output, or what "softmax" is given


def expand_stages(table: Iterable[Stage], counts: Mapping[str, int]) -> list[Stage]:
    """Return the stages of a model, in network order.

    counts: what comes before ``layer.{i}`` in the names of a stack -> how many layers it has.
    """
    found: list[Stage] = []
    for start, lines in groupby(table, key=_stack_of):
        group = list(lines)
        for i in range(1 if start is None else counts[start]):
            found += [Stage(n.format(i=i), axes, m.format(i=i), s) for n, axes, m, s in group]
    return found


def _stack_of(stage: Stage) -> str | None:
    """Return what comes before the layer in a stage's name; None outside of the layers."""
    start, layer, _ = stage.name.partition("layer.{i}")
    return start if layer else None


class Where(Protocol):
    """Which part of a batch a piece belongs to: a batch, a sequence, a block of scores ..."""

    def place(self, x: Array, columns: tuple[slice, int] | None) -> tuple[Any, tuple[int, ...]]:
        """Return where a piece lies in its stage, as an index, and the shape of the stage."""


class Silent:
    """Looks at nothing: the network runs."""

    is_whole = False  # whether it sees a layer as a whole: threads do not share it then

    def __call__(self, name: str, x: Array) -> Array:
        """Show a stage; return what the network goes on with."""
        return x

    def within(self: Place, *part: Any, **more: Any) -> Place:
        """Return the trace of a part of the network, of the batch, of columns, or of the scores."""
        return self

    of = columns = block = within


Trace = Silent  # the other traces are of this kind
silent = Silent()


class Onward(Silent):
    """The way back: ``grad = back("name", grad)`` says the gradient of a stage, by the same names.

    This one keeps nothing of the way there and no gradient: a derivative is computed by itself.
    """

    def again(self, name: str, x: Array) -> Array:
        """Return a stage that is computed a second time, as it was on the way there."""
        return x

    def left(self, name: str, x: Array) -> Array:
        """Return what was left of such a stage: numbers may have dropped out."""
        return x

    def kept(self, name: str) -> Array:
        """Return a stage, as it was on the way there. Each is read once."""
        raise KeyError(name)

    def expect(self, shares: Iterable[Any]) -> None:
        """Prepare for the gradients of shares of a batch."""

    def add(self, field: str, grad: Array) -> None:
        """Add to the gradient of an array of a part."""


Back = Onward  # the others are of this kind
onward = Onward()


class Recording(Silent):
    """Keeps the stages of a batch by name; ``only`` says which, None all."""

    def __init__(self, where: Where, only: Container[str] | None = None) -> None:
        self.prefix, self.where, self.only = "", where, only
        self.group: tuple[slice, int] | None = None
        self.pieces: dict[str, list[tuple[Any, tuple[int, ...], Array]]] = {}  # shared by all parts

    def __call__(self, name: str, x: Array) -> Array:
        """Keep a stage, if it is wanted."""
        name = self.prefix + name
        if self.only is None or name in self.only:
            self.pieces.setdefault(name, []).append((*self.where.place(x, self.group), x))
        return x

    def within(self: Part, name: str) -> Part:
        """Return the trace of a part of the network: its stages' names begin with ``name``."""
        here.set(self.prefix + name)
        return self._part(prefix=f"{self.prefix}{name}.")

    def of(self: Part, where: Where) -> Part:
        """Return the trace of a part of the batch."""
        return self._part(where=where)

    def columns(self: Part, part: slice, count: int) -> Part:
        """Return the trace of some of ``count`` equal groups of columns, heads for instance."""
        return self._part(group=(part, count))

    def block(self: Part, *part: Any) -> Part:
        """Return the trace of a block of scores."""
        return self._part(where=self.where.block(*part))  # type: ignore[attr-defined]

    def _part(self: Part, **changes: Any) -> Part:
        part = copy(self)
        vars(part).update(changes)
        return part

    def __iter__(self) -> Iterator[str]:
        return iter(self.pieces)

    def __contains__(self, name: object) -> bool:
        return name in self.pieces

    def __getitem__(self, name: str) -> Array:
        """Put a stage together: (B, T, ...), (B, H, T, T) or (B, ...), zeros at padding."""
        _, shape, first = self.pieces[name][0]
        whole = np.zeros(shape, first.dtype)
        for place, _, piece in self.pieces[name]:
            whole[place] = piece
        return whole

    def take(self, name: str) -> Array:
        """Put a stage together, and forget its pieces."""
        whole = self[name]
        del self.pieces[name]
        return whole


class Replacing(Recording):
    """Lets the network go on from known stages (name -> whole array), and keeps what it computed.

    A missing stage is computed from the last known ones. ``misfits``: those of another shape.
    """

    def __init__(
        self, where: Where, known: Mapping[str, Array], only: Container[str] | None = None
    ) -> None:
        super().__init__(where, known if only is None else only)
        self.known = known
        self.misfits: dict[str, tuple[int, ...]] = {}  # name -> the network's shape

    def __call__(self, name: str, x: Array) -> Array:
        """Keep what was computed, and return what is known in its place."""
        super().__call__(name, x)
        return self.given(self.prefix + name, x)

    def given(self, name: str, x: Array) -> Array:
        """Return what is known in the place of a piece of a stage, or else the piece."""
        known = self.known.get(name)
        if known is not None:
            place, shape = self.where.place(x, self.group)
            if known.shape == shape:
                x = known[place].astype(x.dtype, copy=False)
            else:
                self.misfits[name] = shape
        return x
