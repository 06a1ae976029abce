"""Two recordings of the same texts, brought to the same rows and columns.

One may hold a text alone that the other has in a padded batch, or be padded on the other side.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from minibert import arguments
from minibert.models.base import TARGETS
from minibert.runtime.arrays import Array
from minibert.verification.names import INPUTS, axes_in
from minibert.verification.parts import is_gradient
from minibert.verification.reference import Reference
from minibert.verification.shapes import words_of

Row = tuple[int, NDArray[np.intp]]  # a sequence, and the columns of its real tokens


def aligned(a: Reference, b: Reference) -> tuple[Reference, Reference]:
    """Return both as they are if they have the same inputs; else the sequences that both have.

    Of hidden_states that are one fewer than the other's, the first is a layer.
    ValueError if no sequence is in both, or if their tokens have other types or positions.
    """
    layers = max(a.listed, b.listed) - 1
    if min(a.listed, b.listed) == layers > 0:
        a, b = a.of_layers(layers), b.of_layers(layers)
    if _have_same_inputs(a, b):
        return a, b
    _refuse_gradients(a, b)
    theirs = list(_rows(b))
    pairs: list[tuple[Row, Row]] = []
    for row in _rows(a):
        same = (other for other in theirs if _equal(_words(a, row), _words(b, other)))
        if (other := next(same, None)) is not None:
            pairs.append((row, other))
            theirs.remove(other)
    if not pairs:
        raise ValueError(
            "the two recordings have different input_ids: no sequence is in both, whatever its "
            "padding; only recordings of the same inputs can be compared"
        )
    for mine, other in pairs:
        for name in ("token_type_ids", "position_ids"):
            if not _equal(_values(a, name, mine), _values(b, name, other)):
                raise ValueError(
                    f"sequence {mine[0]} of A is sequence {other[0]} of B, with other {name}; they "
                    "are padded differently, perhaps: positions count padding unless they are given"
                )
    return _chosen(a, [mine for mine, _ in pairs]), _chosen(b, [other for _, other in pairs])


def _refuse_gradients(a: Reference, b: Reference) -> None:
    if all(any(map(is_gradient, side.stages)) for side in (a, b)):
        raise ValueError(
            "the two recordings hold gradients, of a loss over the whole batch, and they differ in "
            "its inputs or labels: only those of one batch can be compared"
        )


def _have_same_inputs(a: Reference, b: Reference) -> bool:
    if not np.array_equal(a.real_tokens(), b.real_tokens()):
        return False
    others = (name for name in INPUTS if name != "attention_mask")
    pairs = ((a.inputs.get(name), b.inputs.get(name)) for name in (*others, *TARGETS))
    return all((x is None) == (y is None) and np.array_equal(x, y) for x, y in pairs)  # type: ignore[arg-type]


def _rows(reference: Reference) -> Iterator[Row]:
    for i, real in enumerate(reference.real_tokens()):
        if real.any():
            yield i, np.flatnonzero(real)


def _words(reference: Reference, row: Row) -> NDArray[np.generic]:
    i, columns = row
    found: NDArray[np.generic] = words_of(reference.inputs)[i, columns]
    return found


def _equal(x: NDArray[np.generic], y: NDArray[np.generic]) -> bool:
    return x.shape == y.shape and bool((x == y).all())


def _values(reference: Reference, name: str, row: Row) -> NDArray[np.generic]:
    """Return token types or positions of a row's real tokens, by default those of a call."""
    shape, given = words_of(reference.inputs).shape[:2], reference.inputs.get(name)
    check = arguments.positions if name == "position_ids" else arguments.token_types
    found: NDArray[np.generic] = check(given, shape, 2**31)[row[0], row[1]]
    return found


def _chosen(reference: Reference, rows: list[Row]) -> Reference:
    """Return some sequences of a recording, without their padding but on the right."""
    length = max(len(columns) for _, columns in rows)
    mask = np.array([np.arange(length) < len(columns) for _, columns in rows])
    places = np.array([np.resize(columns, length) for _, columns in rows])  # padding is anything
    which = np.array([i for i, _ in rows])[:, None]
    given = (item for item in reference.inputs.items() if item[0] not in TARGETS)
    inputs = {name: x[which, places] for name, x in given if x.ndim > 1}
    for name in ("position_ids", *({"token_type_ids"} & {*reference.inputs})):
        values = [np.resize(_values(reference, name, row), length) for row in rows]
        inputs[name] = np.array(values)
    there = (item for item in reference.stages.items() if not is_gradient(item[0]))
    stages = {name: _stage(name, x, which, places) for name, x in there}
    inputs["attention_mask"] = mask * 1
    return Reference(inputs, stages, reference.provenance, reference.listed)


def _stage(name: str, x: Array, which: NDArray[np.intp], places: NDArray[np.intp]) -> Array:
    axes, i = axes_in(name, x), which[:, 0]
    if axes == "BHTT":
        found: Array = x[i[:, None, None, None], np.arange(x.shape[1])[:, None, None],
                         places[:, None, :, None], places[:, None, None, :]]  # fmt: skip
        return found
    whole: Array = x[i] if len(axes) == 2 else x[which, places]
    return whole
