"""GPT-2: its config, the table of its names, the model, and its heads.

Radford et al., "Language Models are Unsupervised Multitask Learners", 2019. Numbers and names
follow transformers' modeling_gpt2.py with eager attention. What differs from BERT: a norm comes
before each half of a layer and after the last, no token looks ahead, and nothing is pooled.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from minibert import derivatives
from minibert.batch import Batch
from minibert.checkpoint.names import Entry
from minibert.functions import ACTIVATIONS
from minibert.models import outputs, rules
from minibert.models.base import PreTrainedModel
from minibert.models.building import Builder, pair
from minibert.models.config import PretrainedConfig, setting
from minibert.models.stack import Stack
from minibert.runtime.arrays import Array
from minibert.runtime.swap import refuse_swapped
from minibert.trace import Back, Stage, Trace


@dataclass(init=False, repr=False, eq=False)
class GPT2Config(PretrainedConfig):
    """The config of GPT-2, with the fields and defaults of transformers: gpt2, the smallest.

    ValueError for a value that is not allowed, naming the field, the value and what is allowed.
    """

    model_type: ClassVar[str] = "gpt2"
    known_architectures: ClassVar[str] = (
        r"(TF|Flax)?GPT2(Model|LMHeadModel|DoubleHeadsModel|For(Sequence|Token)Classification)"
    )
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "n_embd",
        "num_hidden_layers": "n_layer",
        "num_attention_heads": "n_head",
        "intermediate_size": "n_inner",
        "max_position_embeddings": "n_positions",
        "hidden_act": "activation_function",
        "layer_norm_eps": "layer_norm_epsilon",
    }

    vocab_size: int = setting(50257, rules.SIZE)
    n_embd: int = setting(768, rules.SIZE)
    n_layer: int = setting(12, rules.LAYERS)
    n_head: int = setting(12, rules.SIZE)
    n_inner: int | None = setting(None, rules.or_null(rules.SIZE))  # None: 4 * n_embd
    activation_function: str = setting("gelu_new", rules.one_of(*ACTIVATIONS))
    n_positions: int = setting(1024, rules.SIZE)
    layer_norm_epsilon: float = setting(1e-5, rules.POSITIVE)
    scale_attn_weights: bool = setting(True, rules.FLAG)  # scores divided by sqrt(D)
    scale_attn_by_inverse_layer_idx: bool = setting(False, rules.FLAG)  # and by the layer's number
    initializer_range: float = setting(0.02, rules.NON_NEGATIVE)
    pad_token_id: int | None = setting(None, rules.or_null(rules.NATURAL))
    use_cache: bool = setting(True, rules.FLAG)
    tie_word_embeddings: bool = setting(True, rules.FLAG)
    add_cross_attention: bool = setting(False, rules.one_of(False))
    # of half precision, of training or of generating text: without effect on a forward pass
    reorder_and_upcast_attn: bool = setting(False, rules.FLAG)
    resid_pdrop: float = setting(0.1, rules.PROBABILITY)
    embd_pdrop: float = setting(0.1, rules.PROBABILITY)
    attn_pdrop: float = setting(0.1, rules.PROBABILITY)
    classifier_dropout: float | None = setting(None, rules.or_null(rules.PROBABILITY))
    bos_token_id: int | None = setting(50256, rules.or_null(rules.NATURAL))
    eos_token_id: int | list[int] | None = setting(50256, rules.or_null(rules.TOKEN_IDS))

    @property
    def intermediate_size(self) -> int:
        """The width of the feed-forward network."""
        return 4 * self.n_embd if self.n_inner is None else self.n_inner

    @property
    def type_vocab_size(self) -> int:
        """How many token types there are: each is a word."""
        return self.vocab_size

    @property
    def residual_scale(self) -> float:
        """How much smaller the matrices before a residual are drawn."""
        return 1 / math.sqrt(2 * self.n_layer)

    def attention_scale(self, i: int) -> float:
        """Return what the scores of a layer are multiplied by, besides ``1 / sqrt(D)``."""
        scale = 1.0 if self.scale_attn_weights else math.sqrt(self.n_embd // self.n_head)
        return scale / (i + 1) if self.scale_attn_by_inverse_layer_idx else scale

    def dropouts(self) -> dict[str, float]:
        """Return how many of a stage's numbers drop out in training, by the stage's pattern."""
        halves = "layer.{i}.attention.output", "layer.{i}.feed_forward"
        return {
            "embeddings": self.embd_pdrop,
            "layer.{i}.attention.probabilities": self.attn_pdrop,
            **dict.fromkeys(halves, self.resid_pdrop),
        }

    def check(self) -> None:
        """Raise ValueError if fields that are right alone do not fit together."""
        self.must_divide("n_head", "n_embd")
        self.must_fit(NAMES, {"i": "n_layer"})


# ruff: noqa: E501 - a table is read by its columns
# fmt: off
_C, _F = "n_embd", "intermediate_size"


def _conv1d(name: str, field: str, *shape: str, part: tuple[int, int] = (0, 1)) -> tuple[Entry, Entry]:
    """Return the lines of a matrix that lies as (in, out) in the checkpoint, and of its bias."""
    weight, bias = pair(name, field, *shape)
    return weight._replace(transposed=True, part=part), bias._replace(part=part)


#: Names in a checkpoint, our fields, shapes.
NAMES = (
    Entry("wte.weight", "embeddings.word", ("vocab_size", _C)),
    Entry("wpe.weight", "embeddings.position", ("n_positions", _C)),
    *pair("h.{i}.ln_1", "layer.{i}.attention_norm", _C),
    *_conv1d("h.{i}.attn.c_attn", "layer.{i}.attention.query", _C, _C, part=(0, 3)),
    *_conv1d("h.{i}.attn.c_attn", "layer.{i}.attention.key", _C, _C, part=(1, 3)),
    *_conv1d("h.{i}.attn.c_attn", "layer.{i}.attention.value", _C, _C, part=(2, 3)),
    *_conv1d("h.{i}.attn.c_proj", "layer.{i}.attention.output", _C, _C),
    *pair("h.{i}.ln_2", "layer.{i}.norm", _C),
    *_conv1d("h.{i}.mlp.c_fc", "layer.{i}.feed_forward.intermediate", _F, _C),
    *_conv1d("h.{i}.mlp.c_proj", "layer.{i}.feed_forward.output", _C, _F),
    *pair("ln_f", "norm", _C),
)

#: The stages that a trace sees, their axes, and the module of transformers that shows each.
STAGES = tuple(Stage(*line) for line in (
    ("embeddings", "BTC", "drop", "output"),
    ("layer.{i}.attention.norm", "BTC", "h.{i}.ln_1", "output"),
    ("layer.{i}.attention.query", "BTC", "h.{i}.attn.c_attn", "1 of 3"),
    ("layer.{i}.attention.key", "BTC", "h.{i}.attn.c_attn", "2 of 3"),
    ("layer.{i}.attention.value", "BTC", "h.{i}.attn.c_attn", "3 of 3"),
    ("layer.{i}.attention.scores", "BHTT", "h.{i}.attn", "softmax"),
    ("layer.{i}.attention.probabilities", "BHTT", "h.{i}.attn", "second"),
    ("layer.{i}.attention.context", "BTC", "h.{i}.attn.c_proj", "input"),
    ("layer.{i}.attention.output", "BTC", "h.{i}.attn.c_proj", "output"),  # before the residual
    ("layer.{i}.attention", "BTC", "h.{i}.ln_2", "input"),  # after it
    ("layer.{i}.feed_forward.norm", "BTC", "h.{i}.ln_2", "output"),
    ("layer.{i}.feed_forward.intermediate", "BTF", "h.{i}.mlp.c_fc", "output"),
    ("layer.{i}.feed_forward.activation", "BTF", "h.{i}.mlp.c_proj", "input"),
    ("layer.{i}.feed_forward", "BTC", "h.{i}.mlp.c_proj", "output"),  # before the residual
    ("layer.{i}", "BTC", "h.{i}", "output"),
    ("norm", "BTC", "ln_f", "output"),
))
# fmt: on


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Words + positions, without a norm. A token's type, if it has one, is a word too."""

    word: Array  # (V, C)
    position: Array  # (n_positions, C)
    token_type: Array  # the words

    def __call__(self, batch: Batch, trace: Trace) -> Array:
        """Return the tokens of a batch: -> (N, C)."""
        refuse_swapped("embeddings", "GPT-2")
        x = batch.words(self.word) + self.position[batch.position_ids]
        types = batch.token_type_ids
        return x + self.token_type[types] * (types >= 0)[:, None] if (types >= 0).any() else x

    def backward(self, grad: Array, batch: Batch, back: Back) -> None:
        """Add up the gradients of the tables."""
        typed = batch.token_type_ids >= 0
        for field, ids, rows in (
            ("word", batch.token_ids, slice(None)),
            ("position", batch.position_ids, slice(None)),
            ("token_type", batch.token_type_ids, typed),
        ):
            if ids is not None and (field != "token_type" or typed.any()):
                count = len(getattr(self, field))
                back.add(field, derivatives.lookup_backward(grad[rows], ids[rows], count))


class GPT2PreTrainedModel(PreTrainedModel):
    """Base of GPT2Model and of GPT-2 with a head."""

    config_class = GPT2Config
    prefix = "transformer."
    counters: ClassVar[dict[str, str]] = {"i": "n_layer"}
    required = ("wte.", "wpe.", "h.", "ln_f.")
    known_unused: ClassVar[dict[str, str]] = {
        "h.{i}.attn.bias": "a buffer that says that no token looks ahead",
        "h.{i}.attn.masked_bias": "a buffer: what a score is where it does not count",
        "h.": "belongs to the layers",
        "lm_head.": "belongs to a language-model head",
        "score.": "belongs to a head for sequences",
        "classifier.": "belongs to a head for tokens",
        "multiple_choice_head.": "belongs to a multiple-choice head",
    }
    last_state = "norm"
    config: GPT2Config


class GPT2Model(Stack, GPT2PreTrainedModel):
    """GPT-2 without a head: ids in, hidden states out.

    A call returns a BaseModelOutputWithPastAndCrossAttentions.
    """

    output_class = outputs.BaseModelOutputWithPastAndCrossAttentions

    @classmethod
    def names(cls, config: GPT2Config) -> tuple[Entry, ...]:
        """Return the table of names."""
        return NAMES

    @classmethod
    def stages(cls) -> tuple[Stage, ...]:
        """Return the table of stages, in network order."""
        return STAGES

    def _assemble(self, arrays: dict[str, Array]) -> None:
        build, config = Builder(self.config, arrays), self.config
        word, position = (arrays[f"embeddings.{table}"] for table in ("word", "position"))
        self.embeddings = Embeddings(word, position, word)
        kind = {"pre_norm": True, "causal": True}
        self.layers = tuple(
            build.layer(f"layer.{i}", config.n_head, **kind, scale=config.attention_scale(i))
            for i in range(config.n_layer)
        )
        self.norm = build.norm("norm")

    def forward(self, batch: Batch, trace: Trace) -> dict[str, Any]:
        """Run the network: the fields of the output."""
        return {"last_hidden_state": batch.unpack(self.states(batch, trace))}
