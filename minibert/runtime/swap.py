"""Running the engine with somebody else's function in place of one of ours.

    with minibert.swap(gelu=my_gelu):
        model(ids)

Every operation of functions.py can be swapped, in this thread and context only (the threads that
share in the model's work see it too). What arrives, always in this order and never by keyword; the
letters are those of functions.py, N is the number of rows at hand, and rows are real tokens only:

    linear(x, weight, bias)             (N, in), (out, in), (out,) -> (N, out)
    layer_norm(x, weight, bias, eps)    (N, C), (C,), (C,), a float -> (N, C)
    softmax(x)                          (h, q, k) -> (h, q, k)
    split_heads(x, num_heads)           (N, h * D), an int h -> (h, N, D)
    attention_scores(query, key)        (h, q, D), (h, k, D) -> (h, q, k)
    attention_context(probabilities, value)    (h, q, k), (h, k, D) -> (h, q, D)
    attention(query, key, value)        (h, q, D), (h, k, D), (h, k, D) -> (h, q, D)
    gelu(x) and every other activation  (N, f) -> (N, f); erf, sigmoid: any shape
    tanh(x)                             (B, C) -> (B, C)
    embeddings(input_ids, token_type_ids, position_ids, word, token_type, position, weight, bias,
        eps)                            (N,) each, tables (V, C), (.., C), (.., C) -> (N, C)
    feed_forward(x, intermediate_weight, intermediate_bias, output_weight, output_bias,
        activation)                     (N, C), (f, C), (f,), (C, f), (C,), a name -> (N, C)
    pooler(first, weight, bias)         (B, C), (C, C), (C,) -> (B, C)

Each thread takes some heads of an attention, from projection to what they add to its output, and
computes them in blocks: h of the H heads, q of the queries, and all k tokens of one sequence.
Likewise it takes f of the F wide numbers of a feed-forward network, and what they add. So h, q and
f vary from call to call, a linear may have h * D or f in place of C or F, and the bias of an output
is zeros for all parts but the first. Where our function is cut into blocks of rows or spread over
threads by itself (linear, layer_norm, activations), another's gets the whole. With more than one
thread, the function may be called in several at once.

The function may call ours by its name: within it, the name means ours again. The result must have
the shape and the dtype of ours, without NaN where ours has none. Arrays that arrive are copies
(or read-only, if the weights are), and what is returned is copied; a function that changes what it
was given is told so. Of an operation that is swapped whole (attention, embeddings, feed_forward),
the stages within it are not in the trace.
"""

from collections.abc import Callable
from contextlib import ContextDecorator
from contextvars import ContextVar
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
Functions = dict[str, Callable[..., Any] | None]  # None: ours

#: What is swapped in this context, the innermost block last.
swapped: ContextVar[tuple[Functions, ...]] = ContextVar("swapped", default=())
#: The operations by name.
OPERATIONS: dict[str, Callable[..., Any]] = {}


class SwapError(ValueError):
    """Another's function does not do what the engine needs.

    ``function`` says which, ``problem`` what is wrong, and ``stage`` where in the network it was
    called (None outside of the layers).
    """

    def __init__(self, function: str, problem: str) -> None:
        super().__init__(function, problem)
        self.function, self.problem = function, problem
        self.stage: str | None = None

    def __str__(self) -> str:
        place = f" (in {self.stage})" if self.stage else ""
        return f"{self.function} {self.problem}".strip() + place


def operation(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function one that can be swapped."""
    name, active = function.__name__, swapped.get

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if not active() or (other := stand_in(name)) is None:
            return function(*args, **kwargs)
        from minibert.runtime.stand_in import Call

        kwargs.pop("record", None)  # of what lies within an operation, only ours tells the trace
        result: Any = Call(name, function, other, args, kwargs).result()
        return cast(R, result)

    OPERATIONS[name] = call
    return call


def stand_in(name: str) -> Callable[..., Any] | None:
    """Return what is to be called in place of one of our operations, if anything."""
    return next((block[name] for block in reversed(swapped.get()) if name in block), None)


class swap(ContextDecorator):  # noqa: N801
    """Let the engine call other functions in place of its own, within the block.

    ``with swap(gelu=f, softmax=g):`` or, before a function, ``@swap(gelu=f)``. Blocks nest, the
    inner one wins, and each undoes no more than itself. What arrives at each operation and what it
    must return is said above, in ``minibert.runtime.swap``.

    ValueError for a name that is no operation, TypeError for a value that cannot be called. Within
    the block: SwapError, a ValueError, for a result of another type, shape or dtype, for NaN where
    ours has none, and for changed inputs. An exception of the function's own passes through with a
    note of where it was called (Python 3.10 has no notes: there it becomes a SwapError).
    """

    def __init__(self, **functions: Callable[..., Any]) -> None:
        for name, function in functions.items():
            if name not in OPERATIONS:
                raise ValueError(_unknown(name))
            if not callable(function):
                raise TypeError(
                    f"{name} is to be swapped for a {type(function).__name__}; needed: a function"
                )
        self.functions: Functions = {**functions}

    def __enter__(self) -> None:
        swapped.set((*swapped.get(), self.functions))

    def __exit__(self, *exception: object) -> None:
        # not simply the last: blocks in generators may be left in any order
        blocks = list(swapped.get())
        for i in reversed(range(len(blocks))):
            if blocks[i] is self.functions:
                del blocks[i]
                break
        swapped.set(tuple(blocks))


def _unknown(name: str) -> str:
    from difflib import get_close_matches  # slow to import

    near = get_close_matches(name, OPERATIONS)
    hint = f"; do you mean {' or '.join(near)}?" if near else "."
    return f"there is no operation {name!r}{hint} Those there are: {', '.join(sorted(OPERATIONS))}"


def tells_where(
    method: Callable[Concatenate[S, P], R],
) -> Callable[Concatenate[S, P], R]:
    """Let a layer add its name to what another's function raised within it."""

    @wraps(method)
    def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            locate(error, getattr(self, "name", type(self).__name__.lower()))
            raise

    return call


def locate(error: Exception, stage: str) -> None:
    """Say of what another's function raised, unless it is said, at which stage it was."""
    if isinstance(error, SwapError):
        error.stage = error.stage or stage
    elif vars(error).get("stage_of_swap") == "" and hasattr(error, "add_note"):
        vars(error)["stage_of_swap"] = stage
        error.add_note(f"That was in {stage}.")


def stage_of(error: Exception) -> str | None:
    """Return the stage at which another's function raised this."""
    return error.stage if isinstance(error, SwapError) else vars(error).get("stage_of_swap")
