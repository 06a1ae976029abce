"""A model's arrays: by field, as the layers have them, and by name, as a checkpoint has them."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from minibert.checkpoint.load import Weights
from minibert.checkpoint.names import Entry, Parameter, expand, reason, stored
from minibert.runtime.arrays import Array
from minibert.runtime.spelling import Spelled


class WithArrays(Spelled):
    """Base of what has a table of names."""

    prefix: ClassVar[str]  # what the names in a checkpoint may begin with besides
    counters: ClassVar[dict[str, str]]  # letter of the table of names -> field of the config
    known_unused: ClassVar[dict[str, str]]  # beginnings of other names -> what they are
    buffers: ClassVar[tuple[str, ...]] = ()  # fields that training leaves as they are
    config: Any

    @classmethod
    def names(cls, config: Any) -> tuple[Entry, ...]:
        """Return the table of names of a model with this config."""
        raise NotImplementedError

    @classmethod
    def parameters_of(cls, config: Any) -> list[Parameter]:
        """Return the arrays that a model with this config needs, in network order."""
        return expand(cls.names(config), config, cls.counters)

    @classmethod
    def fitted(cls, config: Any, weights: Weights, dtype: np.dtype[Any]) -> list[Parameter]:
        """Return the parameters by the names that the file has; a head may change the config."""
        return cls.parameters_of(config)

    @classmethod
    def why_unused(cls, name: str, config: Any) -> str | None:
        """Say why a tensor of a checkpoint is not used; None if the results would be others."""
        return reason(name, cls.names(config), config, cls.counters, cls.known_unused)

    @property
    def base_model(self) -> Any:
        """The model with the embeddings and the layers: this one, or the one that a head reads."""
        return getattr(self, self.prefix.removesuffix("."), self)

    def state_dict(self) -> dict[str, Array]:
        """Return the tensors by field as they are now, under their standard names."""
        return self.by_name({p.field: self.array(p.field) for p in self.parameters_of(self.config)})

    def learnt(self) -> list[str]:
        """Return the fields of the arrays that training changes."""
        return [p.field for p in self.parameters_of(self.config) if p.field not in self.buffers]

    def by_name(self, fields: Mapping[str, Array]) -> dict[str, Array]:
        """Return arrays, known by the model's fields, under the names of the checkpoint."""
        return stored([p for p in self.parameters_of(self.config) if p.field in fields], fields)

    def array(self, field: str) -> Array:
        """Return an array by its field, as ``layer.0.attention.query.weight``."""
        part: Any = self if field.split(".")[0] in vars(self) else self.base_model
        for step in field.replace("layer.", "layers.", 1).split("."):
            part = part[int(step)] if step.isdecimal() else getattr(part, step)
        return np.asarray(part)

    def num_parameters(self) -> int:
        """Return how many numbers the model has learnt."""
        return sum(math.prod(p.shape) for p in self.parameters_of(self.config))
