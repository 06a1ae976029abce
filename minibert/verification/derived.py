"""What may have been done at a gradient in place of this model's derivative, ready to be run."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minibert.mistakes.gradient_table import GRADIENTS
from minibert.mistakes.table import mistakes_of
from minibert.runtime.swap import OPERATIONS, several, swap
from minibert.trace import pattern_of
from minibert.verification.isolate import Isolation
from minibert.verification.parts import WEIGHT
from minibert.verification.trials import Trial

WHOLES = ("attention_backward", "embeddings_backward", "feed_forward_backward", "pooler_backward")


def of_gradient(side: Isolation, stage: str) -> Iterator[list[Trial]]:
    """Yield what may go wrong in a derivative: one operation swapped, wherever it runs.

    First the operations by themselves, then those that put others together.
    """
    reaching = _reaching(side, stage)
    for wholes in (False, True):
        yield [
            Trial((stage,), phrase, {name: function})
            for name in reaching
            if (name in WHOLES) is wholes
            for phrase, function in mistakes_of(name)
        ]


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
