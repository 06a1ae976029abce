"""BERT: its config, the table of its names, and the model.

Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers", arXiv:1810.04805. Numbers
and names follow transformers' modeling_bert.py with eager attention.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from minibert.batch import Batch
from minibert.checkpoint.names import Entry
from minibert.functions import ACTIVATIONS
from minibert.layers import Embeddings
from minibert.models import rules
from minibert.models.base import PreTrainedModel
from minibert.models.bert_checkpoints import ARCHITECTURES, KNOWN_UNUSED
from minibert.models.building import Builder, pair
from minibert.models.config import PretrainedConfig, setting
from minibert.models.head_layers import Pooler
from minibert.models.outputs import BaseModelOutputWithPooling
from minibert.models.stack import Stack
from minibert.runtime.arrays import Array
from minibert.trace import Back, Stage, Trace


@dataclass(init=False, repr=False, eq=False)
class BertConfig(PretrainedConfig):
    """The config of BERT, with the fields and defaults of transformers: bert-base-uncased.

    ValueError for a value that is not allowed, naming the field, the value and what is allowed.
    """

    model_type: ClassVar[str] = "bert"
    known_architectures: ClassVar[str] = ARCHITECTURES
    default_token_type: ClassVar[int] = 0

    vocab_size: int = setting(30522, rules.SIZE)
    hidden_size: int = setting(768, rules.SIZE)
    num_hidden_layers: int = setting(12, rules.LAYERS)
    num_attention_heads: int = setting(12, rules.SIZE)
    intermediate_size: int = setting(3072, rules.SIZE)
    hidden_act: str = setting("gelu", rules.one_of(*ACTIVATIONS))
    max_position_embeddings: int = setting(512, rules.SIZE)
    type_vocab_size: int = setting(2, rules.SIZE)
    layer_norm_eps: float = setting(1e-12, rules.POSITIVE)
    initializer_range: float = setting(
        0.02, rules.NON_NEGATIVE
    )  # standard deviation of drawn weights
    pad_token_id: int | None = setting(
        0, rules.or_null(rules.NATURAL)
    )  # its drawn embedding is zeros
    position_embedding_type: str = setting("absolute", rules.one_of("absolute"))
    is_decoder: bool = setting(False, rules.one_of(False))
    add_cross_attention: bool = setting(False, rules.one_of(False))
    # of training or of generating text: kept, and without effect on a forward pass
    hidden_dropout_prob: float = setting(0.1, rules.PROBABILITY)
    attention_probs_dropout_prob: float = setting(0.1, rules.PROBABILITY)
    classifier_dropout: float | None = setting(None, rules.or_null(rules.PROBABILITY))
    use_cache: bool = setting(True, rules.FLAG)
    tie_word_embeddings: bool = setting(True, rules.FLAG)
    bos_token_id: int | None = setting(None, rules.or_null(rules.NATURAL))
    eos_token_id: int | list[int] | None = setting(None, rules.or_null(rules.TOKEN_IDS))

    @property
    def blank_token_id(self) -> int | None:
        """The token whose embedding is drawn as zeros."""
        return self.pad_token_id

    def dropouts(self) -> dict[str, float]:
        """Return how many of a stage's numbers drop out in training, by the stage's pattern."""
        halves = "layer.{i}.attention.output", "layer.{i}.feed_forward"
        return {
            **dict.fromkeys(("embeddings", *halves), self.hidden_dropout_prob),
            "layer.{i}.attention.probabilities": self.attention_probs_dropout_prob,
        }

    def check(self) -> None:
        """Raise ValueError if fields that are right alone do not fit together."""
        self.must_divide("num_attention_heads", "hidden_size")
        self.must_fit(NAMES, {"i": "num_hidden_layers"})
        pad = self.pad_token_id
        if pad is not None and pad >= self.vocab_size:
            must = f"it must be below 'vocab_size', which is {self.vocab_size}"
            raise ValueError(f"config field 'pad_token_id' is {pad}; {must}")


# ruff: noqa: E501 - a table is read by its columns
# fmt: off
_C, _F = "hidden_size", "intermediate_size"
#: Names in a checkpoint, our fields, shapes. Query, key, value and output are square: that a
#: matrix is not transposed shows in numbers alone.
ENCODER = (
    Entry("embeddings.word_embeddings.weight", "embeddings.word", ("vocab_size", _C)),
    Entry("embeddings.position_embeddings.weight", "embeddings.position", ("max_position_embeddings", _C)),
    Entry("embeddings.token_type_embeddings.weight", "embeddings.token_type", ("type_vocab_size", _C)),
    *pair("embeddings.LayerNorm", "embeddings.norm", _C),
    *pair("encoder.layer.{i}.attention.self.query", "layer.{i}.attention.query", _C, _C),
    *pair("encoder.layer.{i}.attention.self.key", "layer.{i}.attention.key", _C, _C),
    *pair("encoder.layer.{i}.attention.self.value", "layer.{i}.attention.value", _C, _C),
    *pair("encoder.layer.{i}.attention.output.dense", "layer.{i}.attention.output", _C, _C),
    *pair("encoder.layer.{i}.attention.output.LayerNorm", "layer.{i}.attention_norm", _C),
    *pair("encoder.layer.{i}.intermediate.dense", "layer.{i}.feed_forward.intermediate", _F, _C),
    *pair("encoder.layer.{i}.output.dense", "layer.{i}.feed_forward.output", _C, _F),
    *pair("encoder.layer.{i}.output.LayerNorm", "layer.{i}.norm", _C),
)
POOLER = pair("pooler.dense", "pooler.dense", _C, _C)
NAMES = ENCODER + POOLER

#: The stages that a trace sees, their axes, and the module of transformers that shows each.
STAGES = tuple(Stage(*line) for line in (
    ("embeddings.sum", "BTC", "embeddings.LayerNorm", "input"),  # before the norm
    ("embeddings", "BTC", "embeddings", "output"),
    ("layer.{i}.attention.query", "BTC", "encoder.layer.{i}.attention.self.query", "output"),
    ("layer.{i}.attention.key", "BTC", "encoder.layer.{i}.attention.self.key", "output"),
    ("layer.{i}.attention.value", "BTC", "encoder.layer.{i}.attention.self.value", "output"),
    ("layer.{i}.attention.scores", "BHTT", "encoder.layer.{i}.attention.self", "softmax"),  # divided by sqrt(D)
    ("layer.{i}.attention.probabilities", "BHTT", "encoder.layer.{i}.attention.self", "second"),
    ("layer.{i}.attention.context", "BTC", "encoder.layer.{i}.attention.output.dense", "input"),  # heads side by side
    ("layer.{i}.attention.output", "BTC", "encoder.layer.{i}.attention.output.dense", "output"),  # before the residual
    ("layer.{i}.attention", "BTC", "encoder.layer.{i}.attention.output", "output"),  # after the norm
    ("layer.{i}.feed_forward.intermediate", "BTF", "encoder.layer.{i}.intermediate.dense", "output"),
    ("layer.{i}.feed_forward.activation", "BTF", "encoder.layer.{i}.intermediate", "output"),
    ("layer.{i}.feed_forward", "BTC", "encoder.layer.{i}.output.dense", "output"),  # before the residual
    ("layer.{i}", "BTC", "encoder.layer.{i}", "output"),
    ("pooler", "BC", "pooler", "output"),
))
# fmt: on


class BertPreTrainedModel(PreTrainedModel):
    """Base of BertModel and of BERT with a head."""

    config_class = BertConfig
    prefix = "bert."
    counters: ClassVar[dict[str, str]] = {"i": "num_hidden_layers"}
    required = ("embeddings.", "encoder.")  # the pooler and a head may be missing: they are drawn
    known_unused = KNOWN_UNUSED
    config: BertConfig


class BertModel(Stack, BertPreTrainedModel):
    """BERT without a head: ids in, hidden states out.

    A call returns a BaseModelOutputWithPooling.
    """

    output_class = BaseModelOutputWithPooling

    @classmethod
    def names(cls, config: BertConfig) -> tuple[Entry, ...]:
        """Return the table of names."""
        return NAMES

    @classmethod
    def stages(cls) -> tuple[Stage, ...]:
        """Return the table of stages, in network order."""
        return STAGES

    def _assemble(self, arrays: dict[str, Array]) -> None:
        build = Builder(self.config, arrays)
        tables = ("word", "position", "token_type")
        word, position, token_type = (arrays[f"embeddings.{table}"] for table in tables)
        norm = build.norm("embeddings.norm")
        self.embeddings = Embeddings(word, position, token_type, norm, self.config.pad_token_id)
        heads, count = self.config.num_attention_heads, self.config.num_hidden_layers
        self.layers = tuple(build.layer(f"layer.{i}", heads) for i in range(count))
        has_pooler = "pooler.dense.bias" in arrays
        self.pooler = Pooler(build.linear("pooler.dense")) if has_pooler else None

    def pooled(self, x: Array, batch: Batch, trace: Trace) -> Array:
        """Return one vector for each sequence: (N, C) -> (n, C)."""
        assert self.pooler is not None  # who calls this has one
        trace.within("pooler")  # what goes wrong here goes wrong in the pooler
        return trace.of(batch.vectors)("pooler", self.pooler(x, batch))

    def pooled_backward(self, grad: Array, x: Array, batch: Batch, back: Back) -> Array:
        """Return the gradient of the last state: (n, C) -> (N, C)."""
        pooler: Any = self.pooler
        whole: Array = pooler.backward(grad, x, batch, back)
        return whole

    def forward(self, batch: Batch, trace: Trace) -> dict[str, Any]:
        """Run the network: the fields of the output."""
        x, pooled = self.states(batch, trace), None
        if self.pooler is not None:
            pooled = batch.vectors.unpack(self.pooled(x, batch, trace))
        return {"last_hidden_state": batch.unpack(x), "pooler_output": pooled}
