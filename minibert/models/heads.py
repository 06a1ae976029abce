"""What all models with a head share, and the heads that are one matrix."""

from typing import Any, ClassVar

import numpy as np

from minibert.batch import Batch, Vectors
from minibert.checkpoint.load import Weights
from minibert.checkpoint.names import Entry, Parameter, expand, standard_names
from minibert.layers import Linear
from minibert.models.base import PreTrainedModel
from minibert.models.building import pair
from minibert.runtime.arrays import Array
from minibert.trace import Stage, Trace


class Tied(PreTrainedModel):
    """Base of the models of which tensors share their numbers."""

    #: What shares its numbers with another tensor: one of the two may be in a file, or both.
    shared: ClassVar[dict[str, str]] = {}

    @classmethod
    def fitted(cls, config: Any, weights: Weights, dtype: np.dtype[Any]) -> list[Parameter]:
        """Return the parameters by the names that the file has: what it holds is used.

        Where it holds a matrix or a bias that differs from the one to share, that is used and not
        shared, whatever the config says; where it holds one of the two, it serves as both.
        """
        names: dict[str, str] = {}
        found: dict[str, str] = {}
        if cls.shared and config.tie_word_embeddings:
            wanted = [entry.name for entry in cls.names(config)]
            standard, _ = standard_names(weights.tensors, wanted, cls.prefix)
            found = {name: key for key, name in standard.items()}
        for copy, source in cls.shared.items():
            first = names.get(source, source)  # or a copy that serves for it
            there = [weights.tensors[found[n]] for n in (copy, first) if n in found]
            if len(there) == 1:
                names |= {source: copy} if copy in found else {copy: first}
            elif there and not np.array_equal(there[0].read(dtype), there[1].read(dtype)):
                config.tie_word_embeddings &= copy.endswith("bias")
                names |= {source: copy} if copy.endswith("bias") else {}
        return [p._replace(name=names.get(p.name, p.name)) for p in cls._parameters(config)]


class ModelWithHead(Tied):
    """Base of all heads. The model without one is in a field of the prefix's name, as ``bert``."""

    base_class: ClassVar[type[PreTrainedModel]]

    def _assemble(self, arrays: dict[str, Array]) -> None:
        base = self.base_class.__new__(self.base_class)
        base.config, base.loading_report = self.config, self.loading_report
        base._assemble(arrays)
        setattr(self, self.prefix.removesuffix("."), base)

    def state_dict(self) -> dict[str, Array]:
        """Return the tensors under the names of transformers: the prefix before the base's."""
        table = self.base_class.names(self.config)
        inside = {name for name, *_ in expand(table, self.config, self.counters)}
        tensors = super().state_dict()
        return {f"{self.prefix}{k}" if k in inside else k: v for k, v in tensors.items()}


class MatrixHead(ModelWithHead):
    """Base of the heads that are one matrix, on the pooler's vectors or on each token."""

    matrix: ClassVar[str]  # its field
    module: ClassVar[str]  # its name in a checkpoint
    size: ClassVar[int | str]  # how many numbers it returns, or the field of the config that says
    axes: ClassVar[str] = "BTL"
    has_bias: ClassVar[bool] = True
    reads_pooler: ClassVar[bool] = False

    @classmethod
    def base_names(cls, config: Any) -> tuple[Entry, ...]:
        """Return the names of what the head reads."""
        return cls.base_class.names(config)

    @classmethod
    def names(cls, config: Any) -> tuple[Entry, ...]:
        """Return the table of names."""
        weight, bias = pair(cls.module, cls.matrix, cls.size, "hidden_size")
        return *cls.base_names(config), weight, *([bias] * cls.has_bias)

    @classmethod
    def stages(cls) -> tuple[Stage, ...]:
        """Return the table of stages."""
        axes = "BL" if cls.reads_pooler else cls.axes
        return *cls.base_class.stages(), Stage("logits", axes, cls.module, "output")

    def _assemble(self, arrays: dict[str, Array]) -> None:
        super()._assemble(arrays)
        weight = arrays.get(f"{self.matrix}.weight", arrays["embeddings.word"])
        bias = arrays.get(f"{self.matrix}.bias", np.zeros(len(weight), weight.dtype))
        setattr(self, self.matrix, Linear(weight, bias))

    def forward(self, batch: Batch, trace: Trace) -> dict[str, Any]:
        """Run the network: the fields of the output."""
        where: Batch | Vectors = batch
        x = self.base_model.states(batch, trace)
        if self.reads_pooler:
            x, where = self.base_model.pooled(x, batch, trace), batch.vectors
        logits = trace.of(where)("logits", getattr(self, self.matrix)(x))
        return self.fields(where.unpack(logits), batch)

    def fields(self, logits: Array, batch: Batch) -> dict[str, Array]:
        """Return the output's fields."""
        return {"logits": logits}
