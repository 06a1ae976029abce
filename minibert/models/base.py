"""What all models share: drawn or read, called, counted, and their tensors by standard names."""

import copy
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from minibert.batch import Batch, make_batch
from minibert.checkpoint.loading import LoadingReport, float_dtype, load_arrays
from minibert.checkpoint.names import Entry, expand
from minibert.checkpoint.source import find_folder
from minibert.models.building import initializer
from minibert.models.config import PretrainedConfig
from minibert.models.outputs import ModelOutput
from minibert.runtime.arrays import Array
from minibert.runtime.threads import turn
from minibert.trace import Trace

Model = TypeVar("Model", bound="PreTrainedModel")


@dataclass(frozen=True, eq=False)
class Forward:
    """What the layers leave for a pooler, a head and the output."""

    batch: Batch
    trace: Trace
    rows: Array  # (N, C), after the last layer
    hidden_states: tuple[str, ...]  # the stages that make up this output, if it was asked for
    attentions: tuple[str, ...]
    last: str  # the stage of the last layer

    def last_hidden_state(self) -> Array:
        """Return the rows as (B, T, C): the recorded stage, if it is there."""
        recorded = self.trace.stages.get(self.last)
        return self.batch.unpack(self.rows) if recorded is None else recorded

    def output(self, kind: Callable[..., ModelOutput], fields: dict[str, Any]) -> ModelOutput:
        """Return the fields, with the hidden states and attentions that were asked for."""
        stages = self.trace.stages
        if not stages.keys() >= {*self.attentions}:
            raise ValueError(
                "output_attentions is on, and attention is swapped for another function, which "
                "shows no probabilities; swap softmax, or leave output_attentions off"
            )
        return kind(
            **fields,
            hidden_states=tuple(stages[name] for name in self.hidden_states) or None,
            attentions=tuple(stages[name] for name in self.attentions) or None,
        )


class PreTrainedModel:
    """Base of all models.

    ``Model(config, seed)`` draws its weights as transformers does, in float32: matrices and
    embeddings from a normal distribution with the standard deviation ``config.initializer_range``,
    biases 0, norms 1 and 0. A model is never changed by a call: threads may share it.
    """

    config_class: ClassVar[type[PretrainedConfig]]
    output_class: ClassVar[type[ModelOutput]]
    required: ClassVar[tuple[str, ...]]  # beginnings of the names that a checkpoint must have
    config: Any
    loading_report: LoadingReport | None

    def __init__(self, config: Any, seed: int = 0) -> None:
        name = type(self).__name__
        if not isinstance(config, self.config_class):
            found = config.__name__ if isinstance(config, type) else f"a {type(config).__name__}"
            raise TypeError(
                f"{name} takes a {self.config_class.__name__}, found {found}; "
                f"to open a folder or a Hub id, call {name}.from_pretrained(...)"
            )
        config = copy.deepcopy(config)
        config.check()
        initialize = initializer(config, seed, np.dtype(np.float32))
        arrays = {p.field: initialize(p) for p in expand(self.names(config), config)}
        self.config, self.loading_report = config, None
        self._assemble(arrays)

    @classmethod
    def from_pretrained(
        cls: type[Model],
        name: str | os.PathLike[str],
        dtype: DTypeLike = "float32",
        ignore_mismatched_sizes: bool = False,
        **options: Any,
    ) -> Model:
        """Open a checkpoint, a folder or a Hub id: config.json, and safetensors or PyTorch files.

        dtype: "float32" or "float64"; what the file holds is widened or narrowed to it.
        ignore_mismatched_sizes: draw a head anew if its shape in the file is not the config's.
        options: revision, token, cache_dir, local_files_only, force_download of a Hub id; all
        others override the config.
        OSError for what is missing, ValueError or TypeError for what is wrong, in a sentence.
        """
        dtype = float_dtype(options.pop("torch_dtype", dtype))  # as it was called for years
        folder, overrides = find_folder(name, ("config", "weights"), options)
        config: Any = cls.config_class.from_pretrained(folder, **overrides)
        model = cls.__new__(cls)
        arrays, report = load_arrays(
            folder,
            expand(cls.names(config), config),
            cls.required,
            initializer(config, 0, dtype),
            lambda name: cls.why_unused(name, config),
            dtype,
            ignore_mismatched_sizes,
        )
        model.config, model.loading_report = config, report
        model._assemble(arrays)
        return model

    @classmethod
    def names(cls, config: Any) -> tuple[Entry, ...]:
        """Return the table of names of a model with this config."""
        raise NotImplementedError

    @classmethod
    def why_unused(cls, name: str, config: Any) -> str:
        """Say why a tensor of a checkpoint is not used, where that is known."""
        raise NotImplementedError

    def _assemble(self, arrays: dict[str, Array]) -> None:
        """Build the layers from arrays, known by field."""
        raise NotImplementedError

    @property
    def encoder(self) -> Any:
        """The model with the embeddings and the layers, itself or a part of it."""
        raise NotImplementedError

    def _finish(self, forward: Forward) -> dict[str, Any]:
        """Return the output's own fields, from what the layers leave."""
        raise NotImplementedError

    def stage_axes(self) -> dict[str, str]:
        """Return the axes of every stage that a trace receives, in network order."""
        raise NotImplementedError

    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        token_type_ids: Any = None,
        position_ids: Any = None,
        inputs_embeds: Any = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        trace: dict[str, Array] | None = None,
    ) -> Any:
        """Run the model on a batch.

        input_ids: (B, T), lists or whole numbers, 0 to vocab_size - 1.
        attention_mask: (B, T), 1 for a real token (the default), 0 for padding, in any pattern.
        token_type_ids: (B, T), the segment of each token; 0 by default.
        position_ids: (T,) or (B, T); 0, 1, 2, ... by default, padding counted.
        inputs_embeds: (B, T, C), in place of input_ids.
        output_hidden_states, output_attentions, return_dict: None means what the config says.
        trace: a dict that receives every stage (see ``stage_axes``) as an array.

        Returns the class's output, or its tuple if return_dict is False. Padding is not computed:
        there are zeros in its place. TypeError or ValueError for a bad argument.
        """
        config = self.config
        batch = self._batch(input_ids, attention_mask, token_type_ids, position_ids, inputs_embeds)
        with turn():
            forward = self._forward(
                batch,
                _either(output_hidden_states, config.output_hidden_states),
                _either(output_attentions, config.output_attentions),
                trace,
            )
            output = forward.output(self.output_class, self._finish(forward))
        return output if _either(return_dict, config.return_dict) else output.to_tuple()

    def _batch(self, *inputs: Any) -> Batch:
        return make_batch(self.config, self.dtype, *inputs)

    def _forward(
        self,
        batch: Batch,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        trace: dict[str, Array] | None = None,
    ) -> Forward:
        """Run the embeddings and the layers, and record what is asked for."""
        encoder = self.encoder
        names = [layer.name for layer in encoder.layers]
        hidden_states = ("embeddings", *names) if output_hidden_states else ()
        attentions = [f"{name}.attention.probabilities" for name in names if output_attentions]
        wanted = {*hidden_states, *attentions} if trace is None else None
        recorder = Trace(batch, {} if trace is None else trace, wanted)
        rows = encoder.run_layers(batch, recorder)
        return Forward(batch, recorder, rows, hidden_states, tuple(attentions), names[-1])

    def state_dict(self) -> dict[str, Array]:
        """Return the tensors by field as they are now, under their standard names."""
        parameters = expand(self.names(self.config), self.config)
        return {p.name: self._tensor(p.field) for p in parameters}

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        *,
        safe_serialization: bool = True,
        max_shard_size: int | str = "50GB",
    ) -> None:
        """Write config.json and model.safetensors into a folder, made if need be.

        safe_serialization: False writes pytorch_model.bin, which torch.load reads. max_shard_size:
        what is larger becomes shards and an index. A crash leaves the old checkpoint or the new
        one. ValueError for a bad size; OSError if the folder cannot be written.
        """
        from minibert.checkpoint.save import save_checkpoint  # few need it, and all would wait

        config = copy.deepcopy(self.config)
        config.architectures, config.dtype = [type(self).__name__], self.dtype.name
        save_checkpoint(
            folder,
            config,
            self.state_dict(),
            safe_serialization=safe_serialization,
            max_shard_size=max_shard_size,
        )

    def _tensor(self, field: str) -> Array:
        part: Any = self.encoder if field.startswith(("embeddings.", "layer.", "pooler.")) else self
        for step in field.split("."):
            name = "layers" if step == "layer" else step
            part = part[int(step)] if step.isdecimal() else getattr(part, name)
        array: Array = part
        return array

    @property
    def dtype(self) -> "np.dtype[np.floating[Any]]":
        """The dtype of the weights and of all that is computed."""
        dtype: np.dtype[np.floating[Any]] = self.encoder.embeddings.word.dtype
        return dtype

    def num_parameters(self) -> int:
        """Return how many numbers the model has learnt."""
        return sum(math.prod(p.shape) for p in expand(self.names(self.config), self.config))

    def __repr__(self) -> str:
        c = self.config
        return (
            f"{type(self).__name__}({c.num_hidden_layers} layers, hidden {c.hidden_size}, "
            f"{c.num_attention_heads} heads, {self.num_parameters():,} parameters, {self.dtype})"
        )


def _either(argument: bool | None, configured: bool) -> bool:
    return configured if argument is None else argument
