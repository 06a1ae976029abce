"""How layers and matrices are applied: shares for threads, shapes for BLAS.

Where there are sequences enough, each thread runs the whole network on a share of them
(``over_sequences``), and all below runs in that thread. Where there are not, threads share a layer,
some heads or some of its width each (``adds_up``), and outside of the layers the outputs of a
matrix (``by_outputs``). Of a single row they are left to BLAS's own threads (``pass_in_turn``).
Either way functions are applied to blocks (blocks.py). While a user's function is swapped in,
layers stay whole for it.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import reduce, wraps
from operator import add
from typing import Any, ParamSpec, Protocol, TypeVar

import numpy as np

from minibert.runtime.arrays import Array
from minibert.runtime.swap import is_swapping
from minibert.runtime.threads import by_blas, get_num_threads, in_turn, shares, spread
from minibert.trace import Back, Trace

P = ParamSpec("P")
R = TypeVar("R")

SMALL = 1_000_000  # multiplications that are done before another thread has woken up
MIN_ROWS, MAX_ROWS = 200, 1024  # of a thread's share of a batch
READ = 12  # multiplications that take as long as to read one number of a matrix from memory
FEW_ROWS, FEW_NUMBERS = 48, 125_000  # BLAS would take longer to rearrange a matrix than to use it
OUTPUTS, INPUTS = 8, 64  # of a piece that OpenBLAS multiplies as it lies, so few the rows


class Rows(Protocol):
    """A batch of sequences as rows (see minibert.batch)."""

    @property
    def sequences(self) -> Any:
        """Those that have a real token."""

    def only(self, indices: list[int]) -> Any:
        """Return the share that has these sequences."""

    def share(self, share: Any, rows: Array) -> Array:
        """Return the rows of a share."""

    def gather(self, shares: Any, rows: list[Array]) -> Array:
        """Put the rows of shares together."""


# a batch among threads


def pass_in_turn(run: Callable[..., R], batch: Rows, *args: Any) -> R:
    """Wait for a turn, and return what a network makes of a batch.

    Of a single row, the next word of a text, BLAS's threads share each product: a part of it takes
    about as long as one of ours to wake up, and these stay awake.
    """
    is_single = len(batch.sequences) == 1 and len(batch.sequences[0].columns) == 1
    return in_turn(by_blas()(run) if is_single else run, batch, *args)


def over_sequences(run: Callable[[Any, Trace], Array], batch: Rows, trace: Trace) -> Array:
    """Run a network, (batch, trace) -> (N, C), each thread on a share of the sequences."""
    parts = deal(batch, get_num_threads())
    if len(parts) == 1:
        return run(batch, trace)
    rows: list[Any] = [None] * len(parts)

    def one(i: int) -> None:
        rows[i] = run(parts[i], trace.of(parts[i]))

    spread(one, range(len(parts)))
    return batch.gather(parts, rows)


def back_over_sequences(
    run: Callable[[Array, Any, Back], R], batch: Rows, grad: Array, back: Back
) -> list[tuple[Any, R]]:
    """Go back through a network, ((N, C), batch, back), each thread in its shares: return those.

    Each share comes with what was returned of it.
    """
    parts = deal(batch, get_num_threads())
    if len(parts) == 1:
        return [(batch, run(grad, batch, back))]
    found: list[Any] = [None] * len(parts)
    back.expect(parts)

    def one(i: int) -> None:
        found[i] = parts[i], run(batch.share(parts[i], grad), parts[i], back.of(parts[i]))

    spread(one, range(len(parts)))
    back.expect(())
    return found


def deal(batch: Rows, count: int) -> list[Any]:
    """Deal the sequences out to shares of equal size: at least ``count``, or a single one.

    More than ``count`` if these would be too large to stay in the cache; one if they would be
    unequal, or so small that reading the weights takes longest.
    """
    total = sum(len(sequence.columns) for sequence in batch.sequences)
    if total < count * MIN_ROWS:
        return [batch]
    count *= max(1, round(total / (count * MAX_ROWS)))
    hands: list[list[int]] = [[] for _ in range(count)]
    loads = [0] * count
    for sequence in sorted(batch.sequences, key=lambda s: -len(s.columns)):
        least = loads.index(min(loads))
        hands[least].append(sequence.index)
        loads[least] += len(sequence.columns)
    if count == 1 or max(loads) * count >= 1.1 * total:
        return [batch]
    return [batch.only(sorted(hand)) for hand in hands]


# a layer among threads


def adds_up(
    size: Callable[[Any], int], part: Callable[[Any, slice], Any]
) -> Callable[[Callable[..., Array]], Callable[..., Array]]:
    """Let threads share a layer whose parts' outputs add up: ``part(layer, slice)`` of its size."""
    # threads meet twice a layer so; if each function shared its own work, they would eight times

    def decorate(call: Callable[..., Array]) -> Callable[..., Array]:
        @wraps(call)
        def apply(layer: Any, x: Array, trace: Trace, *args: Any) -> Array:
            is_large = (len(x) + READ) * x.shape[-1] ** 2 > SMALL
            slices = shares(size(layer)) if is_large and not trace.is_whole else []
            if len(slices) < 2 or is_swapping():
                return call(layer, x, trace, *args)
            count = size(layer)
            outputs: list[Any] = [None] * len(slices)

            def one(i: int) -> None:
                inner = trace.columns(slices[i], count)
                some = [arg.columns(slices[i], count) for arg in args]  # a batch, if anything
                outputs[i] = call(part(layer, slices[i]), x, inner, *some)

            spread(one, range(len(slices)))
            return reduce(add, outputs)

        return apply

    return decorate


def some_heads(attention: Any, heads: slice) -> Any:
    """Return the attention of some heads: what it computes adds up to the whole."""
    size = len(attention.query.bias) // attention.num_heads
    columns = slice(heads.start * size, heads.stop * size)
    return replace(
        attention,
        query=some_outputs(attention.query, columns),
        key=some_outputs(attention.key, columns),
        value=some_outputs(attention.value, columns),
        output=some_inputs(attention.output, columns),
        num_heads=heads.stop - heads.start,
    )


def some_width(feed_forward: Any, wide: slice) -> Any:
    """Return the feed-forward network of a slice of its width."""
    return replace(
        feed_forward,
        intermediate=some_outputs(feed_forward.intermediate, wide),
        output=some_inputs(feed_forward.output, wide),
    )


def some_outputs(linear: Any, part: slice) -> Any:
    """Return the matrix and the bias of some outputs."""
    return replace(linear, weight=linear.weight[part], bias=linear.bias[part])


def some_inputs(linear: Any, part: slice) -> Any:
    """Return what some inputs add to the outputs. Only the first of them bring the bias."""
    bias = linear.bias if part.start == 0 else np.zeros_like(linear.bias)
    return replace(linear, weight=linear.weight[:, part], bias=bias)


# a product in the shape that BLAS likes


def by_outputs(linear: Callable[[Array, Array, Array], Array]) -> Callable[..., Array]:
    """Apply a matrix and a bias, each thread to some of the outputs, in shapes that BLAS likes."""

    @wraps(linear)
    def apply(x: Array, weight: Array, bias: Array) -> Array:
        if x.size * len(weight) > SMALL and len(parts := shares(len(weight))) > 1:
            return _of_parts(apply, parts, x, weight, bias)
        # OpenBLAS rearranges a matrix before it multiplies, unless there is one row or the matrix
        # is small: to a few rows it goes as a stack of such, with axes in the order that .T makes
        is_few = x.ndim == 2 and 1 < len(x) <= FEW_ROWS and x.size <= FEW_NUMBERS
        if is_few and weight.strides[0] == weight.itemsize:
            if x.shape[1] % INPUTS == 0 and len(x) <= FEW_ROWS // 2:
                return _of_stacked_inputs(linear, x, weight, bias)
        elif is_few and len(weight) >= OUTPUTS:
            if rest := len(weight) % OUTPUTS:
                return _of_parts(apply, [slice(-rest), slice(-rest, None)], x, weight, bias)
            stack = weight.reshape(-1, OUTPUTS, x.shape[1]).transpose(1, 2, 0)
            products = linear(x, stack, bias.reshape(-1, 1, OUTPUTS))  # (stack, rows, outputs)
            return products.transpose(1, 0, 2).reshape(len(x), len(weight))
        # of one shape with the product, which has no name, NumPy adds the bias in place
        whole = bias if len(x) == 1 else np.broadcast_to(bias, (*x.shape[:-1], len(weight)))
        return linear(x, weight, whole)

    return apply


def by_outputs_backward(gradient: Callable[..., Any]) -> Callable[..., Any]:
    """Apply the derivative of ``linear``, each thread to some outputs; those of x add up."""

    @wraps(gradient)
    def apply(grad: Array, x: Array, weight: Array) -> tuple[Array, Array, Array]:
        parts = shares(len(weight)) if x.size * len(weight) > SMALL else []
        if len(parts) < 2:
            found: tuple[Array, Array, Array] = gradient(grad, x, weight)
            return found
        inputs: list[Any] = [None] * len(parts)
        of_weight, of_bias = np.empty(weight.shape, x.dtype), np.empty(len(weight), x.dtype)

        def part(i: int) -> None:
            some = parts[i]
            inputs[i], of_weight[some], of_bias[some] = gradient(grad[:, some], x, weight[some])

        spread(part, range(len(parts)))
        return reduce(add, inputs), of_weight, of_bias

    return apply


def _of_stacked_inputs(linear: Any, x: Array, weight: Array, bias: Array) -> Array:
    """Multiply by some inputs of a matrix at a time, (in, out) in memory, and add up."""
    count = x.shape[1] // INPUTS
    stack = weight.reshape(len(weight), count, INPUTS).transpose(0, 2, 1)
    parts = x.reshape(len(x), count, INPUTS).transpose(1, 0, 2)
    products: Array = linear(parts, stack, np.zeros((), bias.dtype))  # the bias comes once
    total: Array = products.sum(axis=0) + bias
    return total


def _of_parts(
    apply: Callable[..., Array], parts: list[slice], x: Array, weight: Array, bias: Array
) -> Array:
    out = np.empty((*x.shape[:-1], len(weight)), x.dtype)

    def part(outputs: slice) -> None:
        out[..., outputs] = apply(x, weight[outputs], bias[outputs])

    spread(part, parts)
    return out


def keys_first(scores: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """Exchange the arguments of a function that this transposes, and transpose its result.

    In memory keys come before queries: NumPy takes maxima and sums of columns faster than of rows.
    """

    @wraps(scores)
    def apply(query: Array, key: Array) -> Array:
        return scores(key, query).transpose(0, 2, 1)

    return apply
