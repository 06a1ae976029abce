"""The network as a table: what each stage is computed from, and by which operation.

Any stage can so be computed alone, from stages that somebody else recorded. Where a recording
lacks an input, the operations before it are run as well, from the nearest stages that are there.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from minibert import functions
from minibert.batch import Batch
from minibert.models.base import PreTrainedModel
from minibert.runtime.arrays import Array
from minibert.verification.packing import Packed, Value

Run: TypeAlias = Callable[..., Value]  # takes a Place and the stages it is computed from
Operation: TypeAlias = tuple[tuple[str, ...], Run]
A = "layer.{i}.attention"
F = "layer.{i}.feed_forward"


@dataclass(frozen=True, eq=False)
class Place:
    """Where an operation runs: the parts of the model there, in one dtype, and the batch."""

    graph: "Graph"
    dtype: Any
    index: int  # of the layer; -1 outside of the layers
    input: Callable[[str], Any]  # any stage that comes before, by name
    shorten: Callable[[Array], Array] | None = None  # what matrix products leave of a matrix

    @property
    def batch(self) -> Batch:
        """The batch, of which every operation gets the rows."""
        return self.graph.batch

    @property
    def layer(self) -> Any:
        """The layer, with its arrays in this dtype."""
        return Parts(self.graph.model.encoder.layers[self.index], self)

    def other(self, index: int) -> "Place":
        """Return the same place with the arrays of another layer."""
        return replace(self, index=index)

    def part(self, name: str) -> Any:
        """Return a part of the model by its attribute, with its arrays in this dtype."""
        return self.shortened(self.graph.part(name, self.dtype))

    def shortened(self, part: Any) -> Any:
        """Return a part with what matrix products leave of its matrices."""
        if self.shorten is None or not is_dataclass(part) or isinstance(part, type):
            return part
        changed = {f.name: getattr(part, f.name) for f in fields(part)}
        for name, value in changed.items():
            is_matrix = isinstance(value, np.ndarray) and value.ndim == 2
            changed[name] = self.shorten(value) if is_matrix else self.shortened(value)
        return replace(part, **changed)

    def sibling(self, name: str) -> Any:
        """Return another stage of this layer."""
        return self.input(f"layer.{self.index}.{name}")


def embedded(place: Place, types: Any = None, positions: Any = None, scale: float = 1) -> Array:
    """Add a token's three vectors: -> (N, C). Only the lines that are used change their dtype."""
    embeddings, batch = place.graph.model.encoder.embeddings, place.batch
    given = batch.words.ndim == 2
    words = batch.words if given else embeddings.word[batch.words]
    types = batch.token_type_ids if types is None else types
    positions = batch.position_ids if positions is None else positions
    total: Array = (
        words.astype(place.dtype) * scale
        + embeddings.token_type[types].astype(place.dtype)
        + embeddings.position[positions].astype(place.dtype)
    )
    return total


def heads(place: Place, x: Array) -> list[Array]:
    """Return each sequence's heads: (N, C) -> (H, T, D) each."""
    count = place.layer.attention.num_heads
    return [functions.split_heads(x[s.rows], count) for s in place.batch.sequences]


def merged(contexts: list[Array]) -> Array:
    """Put the heads side by side again: (H, T, D) for each sequence -> (N, C)."""
    rows = [context.transpose(1, 0, 2).reshape(context.shape[1], -1) for context in contexts]
    return np.concatenate(rows)


def scores(place: Place, query: Array, key: Array) -> Packed:
    """Hold all queries of a sequence against all its keys."""
    pairs = zip(heads(place, query), heads(place, key), strict=True)
    return [functions.attention_scores(q, k) for q, k in pairs]


def context(place: Place, probabilities: Packed, value: Array) -> Array:
    """Average the values by the probabilities."""
    pairs = zip(probabilities, heads(place, value), strict=True)
    return merged([functions.attention_context(p, v) for p, v in pairs])


def activation(place: Place, x: Array) -> Array:
    """Apply the activation that the config names."""
    return functions.ACTIVATIONS[place.layer.feed_forward.activation](x)


def pooled(place: Place, x: Array) -> Array:
    """Make one vector of each sequence's first real token."""
    dense = place.part("pooler").dense
    return functions.pooler(x[place.batch.first_rows()], dense.weight, dense.bias)


#: A stage's inputs and its operation. ``{before}`` is what goes into the layer.
ENCODER: dict[str, Operation] = {
    "embeddings.sum": ((), embedded),
    "embeddings": (("embeddings.sum",), lambda at, x: at.part("embeddings.norm")(x)),
    f"{A}.query": (("{before}",), lambda at, x: at.layer.attention.query(x)),
    f"{A}.key": (("{before}",), lambda at, x: at.layer.attention.key(x)),
    f"{A}.value": (("{before}",), lambda at, x: at.layer.attention.value(x)),
    f"{A}.scores": ((f"{A}.query", f"{A}.key"), scores),
    f"{A}.probabilities": (
        (f"{A}.scores",),
        lambda _, found: [functions.softmax(x) for x in found],
    ),
    f"{A}.context": ((f"{A}.probabilities", f"{A}.value"), context),
    f"{A}.output": ((f"{A}.context",), lambda at, x: at.layer.attention.output(x)),
    A: ((f"{A}.output", "{before}"), lambda at, x, y: at.layer.attention.norm(x + y)),
    f"{F}.intermediate": ((A,), lambda at, x: at.layer.feed_forward.intermediate(x)),
    f"{F}.activation": ((f"{F}.intermediate",), activation),
    F: ((f"{F}.activation",), lambda at, x: at.layer.feed_forward.output(x)),
    "layer.{i}": ((F, A), lambda at, x, y: at.layer.norm(x + y)),
    "pooler": (("{last}",), pooled),
}
PREDICTIONS: dict[str, Operation] = {
    "predictions.intermediate": (("{last}",), lambda at, x: at.part("predictions.dense")(x)),
    "predictions.activation": (
        ("predictions.intermediate",),
        lambda at, x: functions.ACTIVATIONS[at.graph.model.predictions.activation](x),
    ),
    "predictions": (("predictions.activation",), lambda at, x: at.part("predictions.norm")(x)),
    "logits": (("predictions",), lambda at, x: at.part("predictions.decoder")(x)),
}
SCORERS = ("seq_relationship", "classifier", "qa_outputs")  # heads that are one matrix


class Graph:
    """The operations of a model on one batch, by the names of the stages, in network order."""

    def __init__(self, model: PreTrainedModel, batch: Batch) -> None:
        self.model, self.batch = model, batch
        self.axes = model.stage_axes()
        count = len(model.encoder.layers)
        operations = {**dict(_encoder(count)), **dict(_head(model, f"layer.{count - 1}"))}
        self.operations = {name: operations[name] for name in self.axes if name in operations}
        self.in_dtype = lru_cache(maxsize=24)(in_dtype)

    def part(self, name: str, dtype: Any) -> Any:
        """Return a part of the model by its path, with its arrays in a dtype."""
        inside = name.startswith(("embeddings.", "pooler"))
        part: Any = self.model.encoder if inside else self.model
        for step in name.split("."):
            part = getattr(part, step)
        return in_dtype(part, dtype)

    def shape(self, stage: str) -> tuple[int, ...]:
        """Return the shape of a stage on this batch."""
        c = self.model.config
        sizes = dict(zip("BT", self.batch.shape, strict=True))
        sizes |= {"C": c.hidden_size, "H": c.num_attention_heads, "F": c.intermediate_size}
        sizes |= {"V": c.vocab_size, "L": self._labels()}
        return tuple(sizes[letter] for letter in self.axes[stage])

    def _labels(self) -> int:
        parts = [getattr(self.model, name) for name in SCORERS if hasattr(self.model, name)]
        return len(parts[0].bias) if parts else 0

    def run(
        self, stage: str, dtype: Any, value_of: Callable[[str], Any], run: Run | None = None
    ) -> Any:
        """Compute one stage from others; ``run`` in place of its own operation, if given."""
        inputs, own = self.operations[stage]
        place = Place(self, dtype, layer_index(stage), value_of)
        return (run or own)(place, *(value_of(name) for name in inputs))


class Parts:
    """A layer whose matrices and norms are given out in a dtype, each when it is asked for."""

    def __init__(self, owner: Any, place: Place) -> None:
        self.owner, self.place = owner, place

    def __getattr__(self, name: str) -> Any:
        part: Any = getattr(self.owner, name)
        if not is_dataclass(part):
            return part
        if any(is_dataclass(getattr(part, f.name)) for f in fields(part)):
            return Parts(part, self.place)
        found: Any = self.place.graph.in_dtype(part, self.place.dtype)  # type: ignore[arg-type]
        return self.place.shortened(found)


def layer_index(stage: str) -> int:
    """Return the number of the layer that a stage belongs to; -1 outside of the layers."""
    kind, _, rest = stage.partition(".")
    number = rest.partition(".")[0]
    return int(number) if kind == "layer" and number.isdecimal() else -1


def in_dtype(part: Any, dtype: Any) -> Any:
    """Return a layer with all its arrays in a dtype."""
    if isinstance(part, np.ndarray):
        return part.astype(dtype, copy=False)
    if is_dataclass(part) and not isinstance(part, type):
        changed = {f.name: in_dtype(getattr(part, f.name), dtype) for f in fields(part)}
        return replace(part, **changed)
    return part


def _encoder(count: int) -> Iterator[tuple[str, Operation]]:
    for i in range(count):
        before = f"layer.{i - 1}" if i else "embeddings"
        for pattern, (inputs, run) in ENCODER.items():
            names = tuple(name.format(i=i, before=before, last="") for name in inputs)
            if "{i}" in pattern:
                yield pattern.format(i=i), (names, run)
    for pattern, (inputs, run) in ENCODER.items():
        if "{i}" not in pattern:
            yield pattern, (tuple(name.format(last=f"layer.{count - 1}") for name in inputs), run)


def _head(model: Any, last: str) -> Iterator[tuple[str, Operation]]:
    if hasattr(model, "predictions"):
        for name, (inputs, run) in PREDICTIONS.items():
            yield name, (tuple(x.format(last=last) for x in inputs), run)
    axes: Mapping[str, str] = model.stage_axes()
    for part in SCORERS:
        if hasattr(model, part):
            name = part if part in axes else "logits"
            source = "pooler" if axes[name] == "BL" else last
            yield name, ((source,), lambda at, x, part=part: at.part(part)(x))


class Pass:
    """Computes stages from the known ones of a recording, in one dtype."""

    def __init__(self, graph: Graph, known: Mapping[str, Value], dtype: Any) -> None:
        self.graph, self.known, self.dtype = graph, known, dtype
        self.composed: dict[str, Any] = {}  # what had to be computed where nothing was recorded

    def value(self, stage: str) -> Any:
        """Return a stage as it was recorded; otherwise compute it from what comes before."""
        if stage in self.known:
            return as_dtype(self.known[stage], self.dtype)
        if stage not in self.composed:
            self.composed[stage] = self.compute(stage)
        return self.composed[stage]

    def compute(self, stage: str) -> Any:
        """Compute a stage, recorded or not, from its inputs."""
        return self.graph.run(stage, self.dtype, self.value)

    def varied(self, stage: str, runs: Mapping[str, Run]) -> Any:
        """Compute a stage with other operations at some stages that are not recorded, or at it."""
        found: dict[str, Any] = {}

        def value_of(name: str) -> Any:
            if name in self.known or not self._reaches(name, runs):
                return self.value(name)
            if name not in found:
                found[name] = self.graph.run(name, self.dtype, value_of, runs.get(name))
            return found[name]

        return self.graph.run(stage, self.dtype, value_of, runs.get(stage))

    def _reaches(self, stage: str, runs: Mapping[str, Run]) -> bool:
        return stage in runs or any(name in runs for name in self.gap(stage))

    def gap(self, stage: str) -> list[str]:
        """Return the stages before one that are not recorded, back to those that are."""
        found: list[str] = []
        waiting = list(self.graph.operations[stage][0])
        while waiting:
            name = waiting.pop()
            if name not in self.known and name not in found:
                found.append(name)
                waiting += self.graph.operations[name][0]
        return [name for name in self.graph.operations if name in found]


def as_dtype(value: Value, dtype: Any) -> Any:
    """Return a packed stage in a dtype."""
    if isinstance(value, list):
        return [x.astype(dtype, copy=False) for x in value]
    return value.astype(dtype, copy=False)
