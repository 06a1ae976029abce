"""Variations of a whole layer: tried where nothing within it is recorded."""

from typing import Any

from minibert.runtime.arrays import Array
from minibert.verification.graph import ENCODER, A, F, Place, Run
from minibert.verification.packing import Value
from minibert.verification.variations import before


def through(at: Place, rows: Array) -> Array:
    """Run the layer on other rows."""
    found: dict[str, Any] = {"{before}": rows}
    for name, (inputs, run) in ENCODER.items():
        if "{i}" in name:
            found[name] = run(at, *(found[x] for x in inputs))
    result: Array = found["layer.{i}"]
    return result


def _first(pattern: str, norm: str) -> Run:
    """Normalise what goes into an operation."""

    def run(at: Place, x: Array) -> Value:
        owner = at.layer if norm == "layer" else at.layer.attention
        return ENCODER[pattern][1](at, owner.norm(x))

    return run


def _sum(at: Place, x: Array, y: Array) -> Array:
    return x + y


def _pre_norm(second: str) -> dict[str, Run]:
    parts = (f"{A}.query", f"{A}.key", f"{A}.value")
    return {
        **{name: _first(name, "attention") for name in parts},
        A: _sum,
        f"{F}.intermediate": _first(f"{F}.intermediate", second),
        "layer.{i}": _sum,
    }


def _no_residual(at: Place, x: Array, y: Array) -> Array:
    owner = at.layer
    result: Array = owner.norm(x)
    return result


#: What the layer does, and its operations.
LAYOUTS: tuple[tuple[str, dict[str, Run]], ...] = (
    ("a layer that is skipped", {"layer.{i}": lambda at, x, y: at.input(before(at.index))}),
    (
        "a layer that runs twice",
        {"layer.{i}": lambda at, x, y: through(at, at.layer.norm(x + y))},
    ),
    ("norms before each half instead of after (pre-norm)", _pre_norm("layer")),
    (
        "keys and values swapped",
        {
            f"{A}.key": lambda at, x: at.layer.attention.value(x),
            f"{A}.value": lambda at, x: at.layer.attention.key(x),
        },
    ),
    (
        "both residuals missing",
        {A: lambda at, x, y: at.layer.attention.norm(x), "layer.{i}": _no_residual},
    ),
    (
        "the feed-forward half left out",
        {"layer.{i}": lambda at, x, y: y},
    ),
    (
        "the attention half left out",
        {A: lambda at, x, y: y},
    ),
)
