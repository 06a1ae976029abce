"""Replace an operation of the engine with your own function.

    with minibert.swap(gelu=my_gelu):
        model(ids)

Every operation of functions.py can be swapped, and every derivative of derivatives.py (as
``softmax_backward``), in this thread and context only (the threads that share the model's work see
it too). It is called with positional arguments, in the order of ours; shapes are in the docstring
of each (``help(minibert.functions.gelu)``), with rows for real tokens only. While anything is
swapped, an operation is given whole layers and whole sequences; a batch is still shared among
threads, so N varies and the function may run in several of them at once.

The function may call ours by its name: within it, the name means ours again. The result must have
the shape and the dtype of ours, without NaN where ours has none. Arrays are copies (or read-only,
as the weights are), and what is returned is copied; a function that changes its input is told so.
Of an operation that is swapped whole (attention, embeddings, feed_forward) the stages inside are
not in a trace, unless the function has a parameter named ``trace`` (in a derivative: ``back``) and
shows them itself.
"""

from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from minibert.runtime.forms import Form
from minibert.runtime.spelling import BARE, Spelled, a_kind, explain
from minibert.trace import here

P = ParamSpec("P")
R = TypeVar("R")
Function = Callable[..., Any]

#: What is swapped in this context, the innermost block last; None stands for our own function.
_blocks: ContextVar[tuple[dict[str, Function | None], ...]] = ContextVar("blocks", default=())
#: The operations by name.
OPERATIONS: dict[str, Function] = {}


class SwapError(ValueError):
    """A user's ``function`` does not do what the engine needs: ``problem`` says what is wrong.

    ``stage`` is the part of the network in which it was called (None outside of a model).
    """

    def __init__(self, function: str, problem: str) -> None:
        super().__init__(function, problem)
        self.function, self.problem = function, problem
        self.stage: str | None = here.get() or None

    def __str__(self) -> str:
        place = f" (in {self.stage})" if self.stage else ""
        return f"{self.function} {self.problem}".strip() + place


def operation(form: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function one that can be swapped. ``form``: "(..., in), (out, in) -> (..., out)"."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        name, shapes = function.__name__, Form(form)

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                if not _blocks.get() or (other := replacement_for(name)) is None:
                    return function(*args, **kwargs)
                return cast(R, CheckedCall(name, other, args, kwargs).result())
            except BARE as error:
                explain(error, function, args, kwargs, partial(_in_words, error, shapes))
                raise

        call.__doc__ = f"{function.__doc__}\n\n{form}"
        vars(call)["form"] = shapes
        OPERATIONS[name] = call
        return call

    return decorate


def _in_words(error: Exception, form: Form, named: dict[str, Any]) -> str:
    """Return what is wrong with the shapes or, if no function of a user's is at work, the error."""
    text = form.misfit(named)
    return text if text or _blocks.get() else f"it takes {form.text}, and failed: {error}"


def replacement_for(name: str) -> Function | None:
    """Return what is to be called in place of one of our operations, if anything."""
    return next((block[name] for block in reversed(_blocks.get()) if name in block), None)


def is_swapping() -> bool:
    """Tell whether any operation is swapped here."""
    if not _blocks.get():
        return False
    names = {name for block in _blocks.get() for name in block}
    return any(replacement_for(name) is not None for name in names)


class swap(Spelled, ContextDecorator):  # noqa: N801
    """Let the engine call your functions in place of its own, within the block.

    ``with swap(gelu=f, softmax=g):`` or, before a function, ``@swap(gelu=f)``. Blocks nest, and the
    inner one wins. What a function is given and must return is said in ``minibert.runtime.swap``.

    ValueError for a name that is no operation, TypeError for a value that cannot be called. Within
    the block: SwapError, a ValueError, for a result of another type, shape or dtype, for NaN where
    ours has none, and for changed inputs. The function's own exceptions pass through with a note of
    where it was called (Python 3.10 has no notes: there they become a SwapError).
    """

    def __init__(self, **functions: Function) -> None:
        for name, function in functions.items():
            if name not in OPERATIONS:
                raise ValueError(_unknown(name))
            found = type(function).__name__
            if not callable(function):
                raise TypeError(f"{name} is to be swapped for a {found}; needed: a function")
        self.functions: dict[str, Function | None] = {**functions}

    def __enter__(self) -> None:
        _blocks.set((*_blocks.get(), self.functions))

    def __exit__(self, *exception: object) -> None:
        # not simply the last: blocks in generators may be left in any order
        blocks = _blocks.get()
        ours = [i for i, block in enumerate(blocks) if block is self.functions]
        _blocks.set(tuple(block for i, block in enumerate(blocks) if i not in ours[-1:]))


def unswapped() -> swap:
    """Return a block in which the operations are ours, whatever is swapped around it."""
    block = swap()
    block.functions = dict.fromkeys(OPERATIONS)
    return block


def _unknown(name: str) -> str:
    from difflib import get_close_matches  # slow to import

    is_derivative = "backward" in name
    alike = sorted(x for x in OPERATIONS if x.endswith("_backward") == is_derivative)
    near = get_close_matches(name, alike)
    hint = f"; do you mean {' or '.join(near)}?" if near else "."
    more = "" if is_derivative else "; and derivatives, as softmax_backward"
    return f"there is no operation {name!r}{hint} Those there are: {', '.join(alike)}{more}"


class CheckedCall:
    """One call of a user's function in place of ours."""

    def __init__(
        self, name: str, other: Function, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        from inspect import signature, unwrap  # slow to import

        self.name, self.ours, self.other = name, OPERATIONS[name], other
        options = {name: kwargs.pop(name, None) for name in ("trace", "back", "allowed")}
        parameters = signature(self.ours)
        self.args: tuple[Any, ...] = parameters.bind(*args, **kwargs).args
        self.parameters = list(parameters.parameters)[: len(self.args)]
        code = getattr(unwrap(other), "__code__", None)
        takes = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if code else ()
        self.options = {k: v for k, v in options.items() if v is not None and k in takes}
        own = getattr(other, "__name__", type(other).__name__)
        named = f" ({own})" if own.isidentifier() else ""
        self.title = f"the function in place of {name}{named}"
        if options["allowed"] is not None and "allowed" not in takes:
            raise self._error(
                "has no parameter named allowed, which says at which keys (axis 1) each query "
                "(axis 0) may look: attention_mask has an axis for queries, or no token looks ahead"
            )

    def result(self) -> Any:
        """Return the function's result, copied; SwapError for another form or changed arguments."""
        found = self.run()
        self.refuse_changes()
        self.refuse_form(found)
        # the function may keep its own, and change it later
        results = [np.array(array, order="K") for array in several(found)]
        self.refuse_nan(results)
        return tuple(results) if isinstance(found, tuple) else results[0]

    def run(self) -> Any:
        """Call the function, and return whatever it returns."""
        # copies, so that the engine's own numbers stay; of weights, which cannot change, none
        self.given = [
            x.copy(order="K") if isinstance(x, np.ndarray) and x.flags.writeable else x
            for x in self.args
        ]
        token = _blocks.set((*_blocks.get(), {self.name: None}))  # within it, the name means ours
        try:
            return self.other(*self.given, **self.options)
        except SwapError:  # of a function within this one: said already
            raise
        except Exception as error:
            self._note(error)
            raise
        finally:
            _blocks.reset(token)

    def _note(self, error: Exception) -> None:
        note = f"{self.title} raised this, {self._received()}."
        if "read-only" in str(error):
            note += " It may have tried to change an input in place; compute a new array instead."
        if not hasattr(error, "add_note"):  # Python 3.10
            raise SwapError("", f"{note} {type(error).__name__}: {error}") from error
        error.add_note(note)
        stage = here.get()
        if stage and "stage_of_swap" not in vars(error):
            error.add_note(f"That was in {stage}.")
            vars(error)["stage_of_swap"] = stage

    def _error(self, problem: str) -> SwapError:
        return SwapError(self.title, problem)

    def _received(self) -> str:
        forms = [
            f"{x.shape} {x.dtype}" if isinstance(x, np.ndarray) else repr(x) for x in self.args
        ]
        return "called with " + ", ".join(map(" ".join, zip(self.parameters, forms, strict=True)))

    def refuse_changes(self) -> None:
        """Raise SwapError if an array is not what it was before the call."""
        for name, before, after in zip(self.parameters, self.args, self.given, strict=True):
            if after is before:  # no array, or one that cannot be written
                continue
            if after.shape != before.shape or not np.array_equal(before, after, equal_nan=True):
                hint = "others still need it; compute a new array instead, or work on a copy"
                raise self._error(f"changes its input {name} in place, and {hint}")

    def refuse_form(self, found: Any) -> None:
        """Raise SwapError for a result of another type, shape or dtype than ours has."""
        if found is None:
            raise self._error("returned nothing; is the return missing?")
        shapes = vars(self.ours)["form"].results(self.args)
        if len(shapes) > 1 and not (isinstance(found, tuple) and len(found) == len(shapes)):
            length = f" of {len(found)}" if isinstance(found, tuple) else ""
            what = f"returned {a_kind(found)}{length}; needed: a tuple of {len(shapes)} arrays"
            raise self._error(f"{what}, of shapes {', '.join(map(str, shapes))}")
        for array, shape in zip(found if len(shapes) > 1 else (found,), shapes, strict=True):
            self._refuse_array(array, shape)

    def _refuse_array(self, found: Any, shape: tuple[int, ...]) -> None:
        if not isinstance(found, np.ndarray):
            raise self._error(f"returned {a_kind(found)}; needed: a NumPy array")
        if found.shape != shape:
            what = f"returned an array of shape {found.shape}; needed: {shape}"
            raise self._error(f"{what}. It was {self._received()}")
        arrays = (x for x in self.args if isinstance(x, np.ndarray))
        dtype = next(x.dtype for x in arrays if x.dtype.kind == "f")
        if found.dtype != dtype:
            hint = _PROMOTED if found.dtype == np.float64 else ""
            raise self._error(f"returned {found.dtype}; needed: {dtype}, as it was given{hint}")

    def refuse_nan(self, results: Any) -> None:
        """Raise SwapError for NaN and infinity where ours has neither."""
        if all(np.isfinite(result).all() for result in several(results)):
            return
        with unswapped():
            ours = several(self.ours(*self.args))
        for result, right in zip(several(results), ours, strict=True):
            odd = ~np.isfinite(result) & np.isfinite(right)
            if odd.any():
                place = tuple(np.argwhere(odd)[0].tolist())
                kind = "NaN" if np.isnan(result[place]) else "infinite"
                what = f"{int(odd.sum())} of {odd.size} numbers that are NaN or infinite"
                first = f"the first, at {list(place)}, is {kind}"
                raise self._error(f"returned {what} where there is no reason for it; {first}")


def several(results: Any) -> "list[NDArray[Any]]":
    """Return the results of an operation, of which there may be one alone, as a list."""
    return [results] if isinstance(results, np.ndarray) else [*results]


def refuse_swapped(name: str, who: str) -> None:
    """Raise ValueError if an operation is swapped that a part of a model does not call."""
    if replacement_for(name):
        raise ValueError(
            f"{name} is swapped, and {who} does not call it: it would have no effect. "
            "Leave it out of swap, or run a BERT"
        )


_PROMOTED = (
    ". NumPy's own numbers and new arrays (those of np.sqrt or np.ones) are float64 and make the "
    "rest so; Python's numbers (those of math.sqrt) do not"
)


def stage_of(error: BaseException) -> str | None:
    """Return the part of the network in which a user's function raised this."""
    return error.stage if isinstance(error, SwapError) else vars(error).get("stage_of_swap")
