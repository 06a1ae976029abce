"""What all models with a head share, and the heads that are one matrix."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from minibert.batch import Batch, Vectors
from minibert.checkpoint.load import Weights
from minibert.checkpoint.names import Entry, Parameter, expand, standard_names
from minibert.layers import Linear
from minibert.models import labels
from minibert.models.base import PreTrainedModel
from minibert.models.building import pair
from minibert.models.labels import ChosenBy, LossOf
from minibert.runtime.arrays import Array
from minibert.trace import Back, Stage, Trace


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
        return [p._replace(name=names.get(p.name, p.name)) for p in cls.parameters_of(config)]


class ModelWithHead(Tied):
    """Base of all heads. The model without one is in a field of the prefix's name, as ``bert``."""

    base_class: ClassVar[type[PreTrainedModel]]
    targets: ClassVar[tuple[str, ...]] = ("labels",)
    dropped: ClassVar[tuple[str, ...]] = ()  # stages of the head of which numbers drop out
    loss_of: ClassVar[LossOf]  # what is lost, of logits and targets
    chosen_by: ClassVar[ChosenBy | None] = None  # which tokens are scored to learn; None: all
    has_problems: ClassVar[bool] = False  # whether config.problem_type says what labels are

    def forward(self, batch: Batch, trace: Trace) -> dict[str, Any]:
        """Run the network: the fields of the output."""
        logits, _, batch = self.go_there(batch, trace)
        fields = self.fields(logits, batch)
        return {"loss": self.loss(logits, batch)[0], **fields} if batch.targets else fields

    def head_logits(self, x: Array, batch: Batch, trace: Trace) -> Any:
        """Return what the head makes of the last state, as rows: (N, C) -> (N or n, L)."""
        raise NotImplementedError

    def fields(self, logits: Any, batch: Batch) -> dict[str, Any]:
        """Return the fields of the output, of the head's rows."""
        raise NotImplementedError

    def dropouts(self) -> dict[str, float]:
        """Return how many of a stage's numbers drop out in training, by the stage's pattern."""
        return {**super().dropouts(), **dict.fromkeys(self.dropped, self._head_dropout())}

    def _head_dropout(self) -> float:
        config = self.config
        given: float | None = config.classifier_dropout
        return getattr(config, "hidden_dropout_prob", 0.1) if given is None else given

    def loss(self, logits: Any, batch: Batch) -> tuple[float, Any]:
        """Return the loss of a batch's targets, and the gradient of the head's rows."""
        more = {"problem": self.config.problem_type} if self.has_problems else {}
        return self.loss_of(logits, batch.scored, **{**(batch.targets or {}), **more})

    def learn(self, batch: Batch, kept: Trace, back: Back) -> float:
        """Go there and back: the loss of a batch's targets; the gradients are added up in back."""
        return self.go_back(*self.go_there(self.choosing(batch), kept), back)

    def go_there(self, batch: Batch, trace: Trace) -> tuple[Any, Array, Batch]:
        """Return the head's rows, the last state, and the batch with what an encoder made of it."""
        batch = self.base_model.encoded(batch, trace)
        x = self.base_model.states(batch, trace)
        return self.head_logits(x, batch, trace), x, batch

    def go_back(self, logits: Any, x: Array, batch: Batch, back: Back) -> float:
        """Go back from what was computed on the way there: the loss."""
        loss, grad = self.loss(logits, batch)
        self.base_model.states_backward(self.head_backward(grad, x, batch, back), batch, back)
        return loss

    def choosing(self, batch: Batch) -> Batch:
        """Return the batch with the tokens that are scored to learn from it."""
        if self.chosen_by is None:
            return batch
        given = (batch.targets or {})["labels"]
        return batch.choosing(self.chosen_by(batch, given, self.config.vocab_size))

    def head_backward(self, grad: Any, x: Array, batch: Batch, back: Back) -> Array:
        """Return the gradient of the last state: (N or n, L) -> (N, C)."""
        raise NotImplementedError

    def _assemble(self, arrays: dict[str, Array]) -> None:
        base = self.base_class.__new__(self.base_class)
        base.config, base.loading_report = self.config, self.loading_report
        base._assemble(arrays)
        setattr(self, self.prefix.removesuffix("."), base)

    def by_name(self, fields: Mapping[str, Array]) -> dict[str, Array]:
        """Return arrays under the names of transformers: the prefix before the base's."""
        table = self.base_class.names(self.config)
        inside = {name for name, *_ in expand(table, self.config, self.counters)}
        tensors = super().by_name(fields)
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

    def where(self, batch: Batch) -> Batch | Vectors:
        """Return where the rows of the logits stood: of tokens, or of sequences."""
        return batch.vectors if self.reads_pooler else batch.scored

    def head_logits(self, x: Array, batch: Batch, trace: Trace) -> Array:
        """Return what the head makes of the last state, as rows: (N, C) -> (N or n, L)."""
        pooled = self.base_model.pooled(x, batch, trace) if self.reads_pooler else None
        x = batch.share(batch.scored, x) if pooled is None else pooled
        trace = trace.of(self.where(batch))
        logits: Array = trace("logits", getattr(self, self.matrix)(trace("head", x)))
        return logits

    def fields(self, logits: Array, batch: Batch) -> dict[str, Any]:
        """Return the output's fields."""
        return {"logits": self.where(batch).unpack(logits)}

    def head_backward(self, grad: Array, x: Array, batch: Batch, back: Back) -> Array:
        """Return the gradient of the last state: (N or n, L) -> (N, C)."""
        there, matrix = back.of(self.where(batch)), getattr(self, self.matrix)
        given = there("logits", grad), there.kept("head"), back.within(self.matrix)
        grad = there("head", matrix.backward(*given))
        whole: Array = (
            self.base_model.pooled_backward(grad, x, batch, back)
            if self.reads_pooler
            else batch.gather([batch.scored], [grad])
        )
        return whole


class AnswerHead(MatrixHead):
    """Base of the heads that say where in a text an answer begins and ends."""

    loss_of = staticmethod(labels.of_answers)
    matrix, module, size = "qa_outputs", "qa_outputs", 2
    targets = ("start_positions", "end_positions")

    def fields(self, logits: Array, batch: Batch) -> dict[str, Any]:
        """Return the output's fields."""
        start, end = batch.unpack(logits).transpose(2, 0, 1)
        return {"start_logits": start, "end_logits": end}
