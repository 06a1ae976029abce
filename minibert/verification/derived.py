"""What may have been done at a gradient in place of this model's derivative, ready to be run."""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from minibert.layers import Linear
from minibert.mistakes.gradient_table import GRADIENTS
from minibert.mistakes.table import mistakes_of
from minibert.runtime.arrays import Array
from minibert.runtime.swap import OPERATIONS, several, swap
from minibert.trace import pattern_of
from minibert.verification.isolate import Isolation
from minibert.verification.parts import GRAD, WEIGHT
from minibert.verification.trials import Trial

WHOLES = ("attention_backward", "embeddings_backward", "feed_forward_backward", "pooler_backward")


def of_gradient(side: Isolation, stage: str) -> Iterator[list[Trial]]:
    """Yield what may go wrong in a derivative: one operation swapped, wherever it runs.

    First the operations by themselves, then those that put others together.
    """
    yield list(_of_shared(side, stage))
    reaching = _reaching(side, stage)
    for wholes in (False, True):
        yield [
            Trial((stage,), phrase, {name: function})
            for name in reaching
            if (name in WHOLES) is wholes
            for phrase, function in mistakes_of(name)
        ]


class Within:
    """A part whose derivative runs with other operations."""

    def __init__(self, swaps: Mapping[str, Callable[..., Any]], part: Any) -> None:
        self.swaps, self.part = swaps, part

    def __getattr__(self, name: str) -> Any:
        return getattr(self.part, name)

    def __call__(self, *given: Any) -> Any:
        """Go there as ever."""
        return self.part(*given)

    def backward(self, *given: Any) -> Any:
        """Go back with the operations swapped."""
        with swap(**self.swaps):
            return self.part.backward(*given)


def _of_shared(side: Isolation, stage: str) -> Iterator[Trial]:
    """Yield a table that a head shares, of which the gradient is counted at one place alone."""
    heads = [x for x in ("decoder", "lm_head") if isinstance(getattr(side.model, x, None), Linear)]
    words = side.model.by_name({"embeddings.word": side.model.array("embeddings.word")})
    if not heads or stage not in {f"{WEIGHT}{name}" for name in words}:
        return
    for phrase, name, operation, i in (
        ("a shared matrix counted where words are looked up alone", heads[0], "linear", 1),
        ("a shared matrix counted at the head alone", "embeddings", "lookup", 0),
    ):
        swaps = {f"{operation}_backward": _without(f"{operation}_backward", i)}
        yield Trial((stage,), phrase, parts={name: partial(Within, swaps)})


def _without(name: str, i: int) -> Callable[..., Any]:
    def without(*given: Any) -> Any:
        found = several(OPERATIONS[name](*given))
        found[i] = np.zeros_like(found[i])
        return tuple(found) if len(found) > 1 else found[0]

    return without


_SUM = re.compile(r"grad\.((en|de)coder\.)?(embeddings|layer\.\d+(\.(cross_)?attention)?)")


def around(side: Isolation, stage: str, enough: float) -> list[Trial]:
    """Return what explains a gradient that goes around a part and through it."""
    made = ((phrase, side.error(stage, x)) for phrase, x in _joined(side, stage))
    found = (phrase for phrase, error in made if side.excess(stage, error) <= enough)
    return [Trial((stage,), phrase) for phrase in found][:1]


def _joined(side: Isolation, stage: str) -> Iterator[tuple[str, Array]]:
    """Yield what becomes of a gradient that goes around a part and through it: phrase, numbers.

    Around it goes what comes in at the part's output.
    """
    there = list(side.model.stage_axes())
    after = there[there.index(stage.removeprefix(GRAD)) + 1 :] if _SUM.fullmatch(stage) else []
    name = next((x for x in after if x.endswith((".output", ".feed_forward"))), None)
    if name is None:
        return
    around, whole = side.stage(f"{GRAD}{name}"), side.computed(stage)
    yield "no gradient around the part (residual)", whole - around
    yield "the gradient around the part (residual) alone", around
    yield "the gradient around the part (residual) counted twice", whole + around


def _reaching(side: Isolation, stage: str) -> list[str]:
    """Return the derivatives that a gradient is made by: if they double, it changes."""
    kind = f"reaching {stage if stage.startswith(WEIGHT) else pattern_of(stage)}"
    if kind not in side.gaps:
        ours = side.computed(stage)
        found = (name for name in GRADIENTS if _changes(side, stage, name, ours))
        side.gaps[kind] = list(found)
    return side.gaps[kind]


def _changes(side: Isolation, stage: str, name: str, ours: Any) -> bool:
    try:
        with swap(**{name: _doubled(name)}):
            return not np.array_equal(side.computed(stage), ours)
    except ValueError:  # it lies inside
        return False


def _doubled(name: str) -> Callable[..., Any]:
    def doubled(*given: Any, allowed: Any = None) -> Any:
        options = {} if allowed is None else {"allowed": allowed}
        found = tuple(2 * x for x in several(OPERATIONS[name](*given, **options)))
        return found if len(found) > 1 else found[0]

    return doubled
