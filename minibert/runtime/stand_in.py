"""What watches over another's function while it stands in for one of ours (see swapping.py)."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.runtime.swap import SwapError, swapped

Function = Callable[..., Any]

# The shape of what each operation returns; of those not named, it is that of the first argument.
_SHAPES: dict[str, Callable[..., tuple[int, ...]]] = {
    "linear": lambda x, weight, bias: (*x.shape[:-1], len(weight)),
    "split_heads": lambda x, num_heads: (num_heads, len(x), x.shape[-1] // num_heads),
    "attention_scores": lambda query, key: (*query.shape[:-1], key.shape[-2]),
    "attention_context": lambda probabilities, value: (*probabilities.shape[:-1], value.shape[-1]),
    "embeddings": lambda ids, _types, _positions, word, *_: (*ids.shape, word.shape[-1]),
    "feed_forward": lambda x, _wide, _bias, narrow, *_: (*x.shape[:-1], len(narrow)),
    "pooler": lambda first, weight, bias: (*first.shape[:-1], len(weight)),
}


class Call:
    """One call of another's function in place of ours."""

    def __init__(
        self, name: str, ours: Function, other: Function, args: Any, kwargs: dict[str, Any]
    ) -> None:
        from inspect import signature  # slow to import

        self.name, self.ours, self.other = name, ours, other
        form = signature(ours)
        self.args: tuple[Any, ...] = form.bind(*args, **kwargs).args
        self.parameters = list(form.parameters)[: len(self.args)]
        own = getattr(other, "__name__", type(other).__name__)
        named = f" ({own})" if own.isidentifier() else ""
        self.title = f"the function in place of {name}{named}"

    def result(self) -> NDArray[Any]:
        """Return what the function makes of the arguments: an array that is nobody else's.

        SwapError if it does not have the form of ours, or if the arguments were changed.
        """
        found = self.run()
        self.refuse_changes()
        self.refuse_form(found)
        result = np.array(found, order="K")  # the engine will add to it
        self.refuse_nan(result)
        return result

    def run(self) -> Any:
        """Call the function, and return whatever it returns."""
        # it gets copies, so that whatever it does, the engine's own numbers stay
        self.given = [
            value.copy(order="K") if _is_writable(value) else value for value in self.args
        ]
        token = swapped.set((*swapped.get(), {self.name: None}))  # within it, the name means ours
        try:
            return self.other(*self.given)
        except SwapError:  # of a function within this one: said already
            raise
        except Exception as error:
            noted = self._noted(error)
            if noted is error:
                raise
            raise noted from error
        finally:
            swapped.reset(token)

    def _noted(self, error: Exception) -> Exception:
        note = f"{self.title} raised this, {self._received()}."
        if "read-only" in str(error):
            note += " It may have tried to change an input in place; compute a new array instead."
        if not hasattr(error, "add_note"):  # Python 3.10
            return SwapError("", f"{note} {type(error).__name__}: {error}")
        error.add_note(note)
        vars(error)["stage_of_swap"] = ""  # for locate
        return error

    def _error(self, problem: str) -> SwapError:
        return SwapError(self.title, problem)

    def _received(self) -> str:
        forms = [
            f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else repr(value)
            for value in self.args
        ]
        pairs = zip(self.parameters, forms, strict=True)
        return "called with " + ", ".join(f"{name} {form}" for name, form in pairs)

    def refuse_changes(self) -> None:
        """Raise SwapError if an array is not what it was before the call."""
        for name, before, after in zip(self.parameters, self.args, self.given, strict=True):
            if after is before:  # no array, or one that cannot be written
                continue
            if after.shape != before.shape or not np.array_equal(before, after, equal_nan=True):
                raise self._error(
                    f"changes its input {name} in place, and others still need it; "
                    "compute a new array instead, or work on a copy"
                )

    def refuse_form(self, found: Any) -> None:
        """Raise SwapError for a result of another type, shape or dtype than ours has."""
        if found is None:
            raise self._error("returned nothing; is the return missing?")
        if not isinstance(found, np.ndarray):
            kind = type(found).__name__
            raise self._error(f"returned a {kind}; needed: a NumPy array")
        shape = _SHAPES[self.name](*self.args) if self.name in _SHAPES else self.args[0].shape
        if found.shape != shape:
            raise self._error(
                f"returned an array of shape {found.shape}; needed: {shape}. "
                f"It was {self._received()}"
            )
        dtype = next(
            x.dtype for x in self.args if isinstance(x, np.ndarray) and x.dtype.kind == "f"
        )
        if found.dtype != dtype:
            hint = _PROMOTED if found.dtype == np.float64 else ""
            raise self._error(f"returned {found.dtype}; needed: {dtype}, as it was given{hint}")

    def refuse_nan(self, result: NDArray[Any]) -> None:
        """Raise SwapError for NaN and infinity where ours has neither."""
        odd = ~np.isfinite(result)
        if not odd.any():
            return
        token = swapped.set(())
        try:
            odd &= np.isfinite(self.ours(*self.args))
        finally:
            swapped.reset(token)
        if odd.any():
            place = tuple(np.argwhere(odd)[0].tolist())
            kind = "NaN" if np.isnan(result[place]) else "infinite"
            raise self._error(
                f"returned {int(odd.sum())} of {odd.size} numbers that are NaN or "
                f"infinite where there is no reason for it; the first, at {list(place)}, is {kind}"
            )


_PROMOTED = (
    ". NumPy's own numbers and new arrays (those of np.sqrt or np.ones) are float64 and make the "
    "rest so; Python's numbers (those of math.sqrt) do not"
)


def _is_writable(value: Any) -> bool:
    """Tell whether to copy it: of weights that lie in a file and cannot change, there is one."""
    return isinstance(value, np.ndarray) and value.flags.writeable
