"""BERT: its config, the table of its names, and the model.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", arXiv:1810.04805. Numbers
and names follow transformers' modeling_bert.py with eager attention.
"""

import copy
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from minibert.batch import Batch, make_batch
from minibert.checkpoint.loading import LoadingReport, float_dtype, load_arrays
from minibert.checkpoint.names import Entry, Parameter, expand, standard_name
from minibert.config import (
    COUNT,
    FLAG,
    LAYERS,
    POSITIVE,
    PROBABILITY,
    SIZE,
    SPREAD,
    TOKEN_IDS,
    PretrainedConfig,
    one_of,
    or_null,
    setting,
)
from minibert.functions import ACTIVATIONS, Array
from minibert.layers import Pooler
from minibert.models.building import Builder, initializer
from minibert.outputs import BaseModelOutputWithPooling
from minibert.trace import Trace

MAX_PARAMETERS = 2**38  # a terabyte in float32


@dataclass(init=False, repr=False, eq=False)
class BertConfig(PretrainedConfig):
    """The config of BERT, with the fields and defaults of transformers: bert-base-uncased.

    ValueError for a value that is not allowed, naming the field, the value and what is allowed.
    """

    model_type: ClassVar[str] = "bert"

    vocab_size: int = setting(30522, SIZE)
    hidden_size: int = setting(768, SIZE)
    num_hidden_layers: int = setting(12, LAYERS)
    num_attention_heads: int = setting(12, SIZE)
    intermediate_size: int = setting(3072, SIZE)
    hidden_act: str = setting("gelu", one_of(*ACTIVATIONS))
    max_position_embeddings: int = setting(512, SIZE)
    type_vocab_size: int = setting(2, SIZE)
    layer_norm_eps: float = setting(1e-12, POSITIVE)
    initializer_range: float = setting(0.02, SPREAD)  # standard deviation of drawn weights
    pad_token_id: int | None = setting(0, or_null(COUNT))  # its drawn embedding is zeros
    position_embedding_type: str = setting("absolute", one_of("absolute"))
    is_decoder: bool = setting(False, one_of(False))
    add_cross_attention: bool = setting(False, one_of(False))
    # of training or of generating text: kept, and without effect on a forward pass
    hidden_dropout_prob: float = setting(0.1, PROBABILITY)
    attention_probs_dropout_prob: float = setting(0.1, PROBABILITY)
    classifier_dropout: float | None = setting(None, or_null(PROBABILITY))
    use_cache: bool = setting(True, FLAG)
    tie_word_embeddings: bool = setting(True, FLAG)
    bos_token_id: int | None = setting(None, or_null(COUNT))
    eos_token_id: int | list[int] | None = setting(None, or_null(TOKEN_IDS))

    def check(self) -> None:
        """Raise ValueError if fields that are right alone do not fit together."""
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"config field 'num_attention_heads' is {self.num_attention_heads}; "
                f"it must divide 'hidden_size', which is {self.hidden_size}"
            )
        if self.pad_token_id is not None and self.pad_token_id >= self.vocab_size:
            raise ValueError(
                f"config field 'pad_token_id' is {self.pad_token_id}; "
                f"it must be below 'vocab_size', which is {self.vocab_size}"
            )
        count = sum(
            math.prod(getattr(self, size) for size in entry.shape)
            * (self.num_hidden_layers if "{i}" in entry.name else 1)
            for entry in NAMES
        )
        if count > MAX_PARAMETERS:
            raise ValueError(
                f"the sizes in the config make {count:.1e} parameters, which no machine can hold; "
                f"allowed: {MAX_PARAMETERS:.1e}. Look at hidden_size, intermediate_size, "
                "vocab_size, max_position_embeddings, type_vocab_size and num_hidden_layers"
            )


_WORDS = ("vocab_size", "hidden_size")
_POSITIONS = ("max_position_embeddings", "hidden_size")
_TYPES = ("type_vocab_size", "hidden_size")
_HIDDEN = ("hidden_size",)
_SQUARE = ("hidden_size", "hidden_size")
_WIDE = ("intermediate_size",)
_WIDEN = ("intermediate_size", "hidden_size")
_NARROW = ("hidden_size", "intermediate_size")

# ruff: noqa: E501 - a table is read by its columns
# fmt: off
#: Names in a checkpoint, our fields, shapes. Query, key, value and output are square: that a
#: matrix is not transposed shows in numbers alone.
NAMES = tuple(Entry(*line) for line in (
    ("embeddings.word_embeddings.weight", "embeddings.word", _WORDS),
    ("embeddings.position_embeddings.weight", "embeddings.position", _POSITIONS),
    ("embeddings.token_type_embeddings.weight", "embeddings.token_type", _TYPES),
    ("embeddings.LayerNorm.weight", "embeddings.norm.weight", _HIDDEN),
    ("embeddings.LayerNorm.bias", "embeddings.norm.bias", _HIDDEN),
    ("encoder.layer.{i}.attention.self.query.weight", "layer.{i}.attention.query.weight", _SQUARE),
    ("encoder.layer.{i}.attention.self.query.bias", "layer.{i}.attention.query.bias", _HIDDEN),
    ("encoder.layer.{i}.attention.self.key.weight", "layer.{i}.attention.key.weight", _SQUARE),
    ("encoder.layer.{i}.attention.self.key.bias", "layer.{i}.attention.key.bias", _HIDDEN),
    ("encoder.layer.{i}.attention.self.value.weight", "layer.{i}.attention.value.weight", _SQUARE),
    ("encoder.layer.{i}.attention.self.value.bias", "layer.{i}.attention.value.bias", _HIDDEN),
    ("encoder.layer.{i}.attention.output.dense.weight", "layer.{i}.attention.output.weight", _SQUARE),
    ("encoder.layer.{i}.attention.output.dense.bias", "layer.{i}.attention.output.bias", _HIDDEN),
    ("encoder.layer.{i}.attention.output.LayerNorm.weight", "layer.{i}.attention.norm.weight", _HIDDEN),
    ("encoder.layer.{i}.attention.output.LayerNorm.bias", "layer.{i}.attention.norm.bias", _HIDDEN),
    ("encoder.layer.{i}.intermediate.dense.weight", "layer.{i}.feed_forward.intermediate.weight", _WIDEN),
    ("encoder.layer.{i}.intermediate.dense.bias", "layer.{i}.feed_forward.intermediate.bias", _WIDE),
    ("encoder.layer.{i}.output.dense.weight", "layer.{i}.feed_forward.output.weight", _NARROW),
    ("encoder.layer.{i}.output.dense.bias", "layer.{i}.feed_forward.output.bias", _HIDDEN),
    ("encoder.layer.{i}.output.LayerNorm.weight", "layer.{i}.norm.weight", _HIDDEN),
    ("encoder.layer.{i}.output.LayerNorm.bias", "layer.{i}.norm.bias", _HIDDEN),
    ("pooler.dense.weight", "pooler.weight", _SQUARE),
    ("pooler.dense.bias", "pooler.bias", _HIDDEN),
))
# fmt: on
REQUIRED = ("embeddings.", "encoder.")  # the pooler may be missing: it is then drawn

#: Beginnings of names that checkpoints of BERT have besides, and what they are.
KNOWN_UNUSED = {
    "embeddings.position_ids": "a buffer that counts 0, 1, 2, ...",
    "embeddings.token_type_ids": "a buffer of zeros",
    "cls.predictions.": "belongs to a masked-language-model head",
    "cls.seq_relationship.": "belongs to a next-sentence head",
    "classifier.": "belongs to a classification head",
    "qa_outputs.": "belongs to a question-answering head",
}


class BertModel:
    """BERT without a head: ids in, hidden states out.

    ``BertModel(config, seed)`` draws its weights as transformers does, in float32: matrices and
    embeddings from a normal distribution with the standard deviation ``config.initializer_range``,
    biases 0, norms 1 and 0. The model is never changed by a call: threads may share it.
    """

    def __init__(self, config: BertConfig, seed: int = 0) -> None:
        config = copy.deepcopy(config)
        config.check()
        initialize = _initializer(config, seed, np.dtype(np.float32))
        arrays = {p.field: initialize(p) for p in expand(NAMES, config)}
        self._assemble(config, arrays, None)

    @classmethod
    def from_pretrained(
        cls, folder: str | os.PathLike[str], dtype: DTypeLike = "float32", **config_overrides: Any
    ) -> "BertModel":
        """Open a checkpoint: config.json, and safetensors or PyTorch files.

        dtype: "float32" or "float64"; what the file holds is widened or narrowed to it.
        OSError for what is missing, ValueError or TypeError for what is wrong, in a sentence.
        """
        dtype = float_dtype(dtype)
        config = BertConfig.from_pretrained(folder, **config_overrides)
        arrays, report = load_arrays(
            folder,
            expand(NAMES, config),
            REQUIRED,
            _initializer(config, 0, dtype),
            lambda name: why_unused(name, config),
            dtype,
        )
        model = cls.__new__(cls)
        model._assemble(config, arrays, report)
        return model

    def _assemble(
        self, config: BertConfig, arrays: dict[str, Array], report: LoadingReport | None
    ) -> None:
        eps, heads = config.layer_norm_eps, config.num_attention_heads
        build = Builder(arrays, eps, heads, config.hidden_act)
        self.config = config
        self.loading_report = report
        self.embeddings = build.embeddings()
        self.layers = tuple(build.layer(f"layer.{i}") for i in range(config.num_hidden_layers))
        self.pooler = Pooler(build.linear("pooler"))
        self._num_parameters = sum(array.size for array in arrays.values())

    @property
    def dtype(self) -> "np.dtype[np.floating[Any]]":
        """The dtype of the weights and of all that is computed."""
        return self.embeddings.word.dtype

    def num_parameters(self) -> int:
        """Return how many numbers the model has learnt."""
        return self._num_parameters

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
        trace: a dict that receives every stage of trace.STAGES, as (B, T, ...) or (B, H, T, T).

        Returns a BaseModelOutputWithPooling, or its tuple if return_dict is False. Padding is not
        computed: there are zeros in its place. TypeError or ValueError for a bad argument.
        """
        batch = make_batch(
            self.config,
            self.dtype,
            input_ids,
            attention_mask,
            token_type_ids,
            position_ids,
            inputs_embeds,
        )
        layers = [layer.name for layer in self.layers]
        hidden_states = ["embeddings", *layers]
        attentions = [f"{name}.attention.probabilities" for name in layers]
        if not _either(output_hidden_states, self.config.output_hidden_states):
            hidden_states = []
        if not _either(output_attentions, self.config.output_attentions):
            attentions = []
        stages: dict[str, Array] = {} if trace is None else trace
        wanted = {layers[-1], "pooler", *hidden_states, *attentions} if trace is None else None
        self._run(batch, Trace(batch, stages, wanted))
        output = BaseModelOutputWithPooling(
            last_hidden_state=stages[layers[-1]],
            pooler_output=stages["pooler"],
            hidden_states=tuple(stages[name] for name in hidden_states) or None,
            attentions=tuple(stages[name] for name in attentions) or None,
        )
        return output if _either(return_dict, self.config.return_dict) else output.to_tuple()

    def _run(self, batch: Batch, trace: Trace) -> None:
        rows = self.embeddings(batch, trace)
        for layer in self.layers:
            rows = layer(rows, batch, trace)
        self.pooler(rows, batch, trace)

    def __repr__(self) -> str:
        c = self.config
        return (
            f"{type(self).__name__}({c.num_hidden_layers} layers, hidden {c.hidden_size}, "
            f"{c.num_attention_heads} heads, {self.num_parameters():,} parameters, {self.dtype})"
        )


def _either(argument: bool | None, configured: bool) -> bool:
    return configured if argument is None else argument


def _initializer(
    config: BertConfig, seed: int, dtype: "np.dtype[Any]"
) -> Callable[[Parameter], Array]:
    return initializer(config.initializer_range, config.pad_token_id, seed, dtype)


def why_unused(name: str, config: BertConfig) -> str:
    """Say why a tensor of a checkpoint is not used, where that is known."""
    standard = standard_name(name)
    layer = re.match(r"encoder\.layer\.(\d+)\.", standard)
    if layer and int(layer[1]) >= config.num_hidden_layers:
        return f"the config has {config.num_hidden_layers} layers, counted from 0"
    known = (why for start, why in KNOWN_UNUSED.items() if standard.startswith(start))
    return next(known, "no tensor of BERT has this name")
