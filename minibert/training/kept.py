"""The way there and the way back: what a pass keeps for its derivative, and the gradients found.

Both are traces, so that a layer is the same whether anybody learns from it or not. On the way there
a ``Kept`` keeps each stage as it is shown, rows and all; on the way back a ``Gradients`` hands it
out again. Where sequences are dealt to threads, each share has a place of its own in both.
"""

from collections import deque
from collections.abc import Iterable
from copy import copy
from threading import Lock
from typing import Any, TypeVar

from minibert.runtime.arrays import Array
from minibert.trace import Back, Silent, Trace, here, silent
from minibert.training.dropout import Dropout, none

Part = TypeVar("Part", bound="_Place")
Key = tuple[tuple[int, ...], str]  # which sequences, and the stage's name


class _Place(Silent):
    """A place in the network and in the batch, which another trace looks at besides."""

    def __init__(self, beside: Trace) -> None:
        self.prefix, self.beside = "", beside
        self.share: tuple[int, ...] = ()  # sequences that are computed at a time; none: all
        self.spot: tuple[int, ...] = ()  # within these: a sequence, and a block of its scores

    def key(self, name: str) -> Key:
        """Return what a stage is kept under."""
        return self.share, self.prefix + name

    def within(self: Part, name: str) -> Part:
        """Go into a part of the network: where a user's function is, if it goes wrong."""
        here.set(self.prefix + name)
        return self._at(prefix=f"{self.prefix}{name}.", beside=self.beside.within(name))

    def of(self: Part, where: Any) -> Part:
        """Go to a part of the batch: some sequences, or a single one."""
        beside = self.beside.of(where)
        if hasattr(where, "indices"):  # one vector for each sequence
            return self._at(beside=beside)
        if not hasattr(where, "sequences"):
            return self._at(spot=(where.index,), beside=beside)
        return self._at(share=tuple(one.index for one in where.sequences), beside=beside)

    def block(self: Part, heads: slice, queries: slice, num_heads: int) -> Part:
        """Go to a block of scores."""
        spot = *self.spot, heads.start, heads.stop, queries.start
        return self._at(spot=spot, beside=self.beside.block(heads, queries, num_heads))

    def _at(self: Part, **changes: Any) -> Part:
        part = copy(self)
        vars(part).update(changes)
        return part


class Kept(_Place):
    """The way there: keeps the stages, and drops some of their numbers out."""

    is_whole = True

    def __init__(self, dropout: Dropout = none, beside: Trace = silent) -> None:
        super().__init__(beside)
        self.dropout = dropout
        self.stages: dict[Key, Array] = {}

    def __call__(self, name: str, x: Array) -> Array:
        """Keep a stage; return what is left of it."""
        x = self.dropout(self.prefix + name, self.beside(name, x), self.share, self.spot)
        if not self.spot:  # scores and probabilities are computed again
            self.stages[self.key(name)] = x
        return x


class Gradients(_Place, Back):
    """The way back: hands out what was kept, and adds up the gradients of the weights by field."""

    def __init__(self, kept: Kept, beside: Trace = silent) -> None:
        super().__init__(beside)
        self.there, self.lock = kept, Lock()
        self.order: list[tuple[int, ...]] = []  # of the shares; none: the batch is one
        self.waiting: dict[str, deque[Array | None]] = {}  # field -> those of shares
        self.found: dict[str, Array] = {}

    def __call__(self, name: str, grad: Array) -> Array:
        """Return the gradient of a stage as it was before numbers dropped out, and show it."""
        here.set(self.prefix + name)
        return self.beside(name, self.left(name, grad))

    def left(self, name: str, x: Array) -> Array:
        """Return what was left of a stage that is computed again, or of its gradient."""
        return self.there.dropout(self.prefix + name, x, self.share, self.spot)

    def kept(self, name: str) -> Array:
        """Return a stage, as it was on the way there."""
        return self.there.stages[self.key(name)]

    def expect(self, shares: Iterable[Any]) -> None:
        """Prepare for the gradients of shares of a batch, which are added in this order.

        After them, expect none: then the batch is one again.
        """
        self.order[:] = [tuple(one.index for one in share.sequences) for share in shares]
        self.waiting.clear()

    def add(self, field: str, grad: Array) -> None:
        """Add to the gradient of an array: of shares in their order, whichever thread is faster.

        So every run gives the same bits.
        """
        field, order = self.prefix + field, self.order or [self.share]
        with self.lock:
            waiting = self.waiting.setdefault(field, deque(None for _ in order))
            waiting[order.index(self.share) - len(order)] = grad  # counted from the end
            while waiting and (first := waiting[0]) is not None:
                found = self.found.setdefault(field, first)
                found += first if found is not first else 0
                waiting.popleft()
            if not waiting:
                del self.waiting[field]
