"""BART: its config, the table of its names, and the model.

Lewis et al., "BART: Denoising Sequence-to-Sequence Pre-training", arXiv:1910.13461. Numbers and
names follow transformers' modeling_bart.py with eager attention. What differs from BERT: there are
two stacks, and the second one looks at no token ahead and at what the first one made of its text.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from minibert.batch import Batch
from minibert.checkpoint.names import Entry
from minibert.functions import ACTIVATIONS
from minibert.layers import LayerNorm, Stack
from minibert.models import outputs, rules
from minibert.models.building import Builder, pair
from minibert.models.config import PretrainedConfig, setting
from minibert.models.seq2seq import EncoderDecoderModel, encoder_state
from minibert.runtime.arrays import Array
from minibert.runtime.parallel import over_sequences
from minibert.runtime.swap import refuse_swapped
from minibert.trace import Stage, Trace

OFFSET = 2  # rows of a table of positions before that of the first


@dataclass(init=False, repr=False, eq=False)
class BartConfig(PretrainedConfig):
    """The config of BART, with the fields and defaults of transformers: bart-large.

    ValueError for a value that is not allowed, naming the field, the value and what is allowed.
    """

    model_type: ClassVar[str] = "bart"
    known_architectures: ClassVar[str] = (
        r"(TF|Flax)?Bart(Model|For(ConditionalGeneration|SequenceClassification|QuestionAnswering))"
    )
    attribute_map: ClassVar[dict[str, str]] = {
        "hidden_size": "d_model",
        "num_hidden_layers": "encoder_layers",
        "num_attention_heads": "encoder_attention_heads",
    }
    usual_labels: ClassVar[int] = 3
    layer_norm_eps: ClassVar[float] = 1e-5
    type_vocab_size: ClassVar[int] = 0
    constants: ClassVar[dict[str, rules.Rule]] = {
        "normalize_before": rules.one_of(False),
        "normalize_embedding": rules.one_of(True),
        "add_final_layer_norm": rules.one_of(False),
        "static_position_embeddings": rules.one_of(False),
        "add_bias_logits": rules.one_of(False),
        "extra_pos_embeddings": rules.one_of(OFFSET),
    }

    vocab_size: int = setting(50265, rules.SIZE)
    max_position_embeddings: int = setting(1024, rules.SIZE)
    d_model: int = setting(1024, rules.SIZE)
    encoder_layers: int = setting(12, rules.LAYERS)
    encoder_attention_heads: int = setting(16, rules.SIZE)
    encoder_ffn_dim: int = setting(4096, rules.SIZE)
    decoder_layers: int = setting(12, rules.LAYERS)
    decoder_attention_heads: int = setting(16, rules.SIZE)
    decoder_ffn_dim: int = setting(4096, rules.SIZE)
    activation_function: str = setting("gelu", rules.one_of(*ACTIVATIONS))
    scale_embedding: bool = setting(False, rules.FLAG)  # words times sqrt(d_model)
    init_std: float = setting(0.02, rules.NON_NEGATIVE)  # of drawn weights
    pad_token_id: int | None = setting(1, rules.or_null(rules.NATURAL))  # drawn as zeros
    eos_token_id: int | list[int] | None = setting(2, rules.or_null(rules.TOKEN_IDS))
    decoder_start_token_id: int | None = setting(2, rules.or_null(rules.NATURAL))
    use_cache: bool = setting(True, rules.FLAG)
    is_encoder_decoder: bool = setting(True, rules.one_of(True))
    is_decoder: bool = setting(False, rules.one_of(False))
    tie_word_embeddings: bool = setting(True, rules.FLAG)
    # of training or of generating text: without effect on a forward pass
    encoder_layerdrop: float = setting(0.0, rules.PROBABILITY)
    decoder_layerdrop: float = setting(0.0, rules.PROBABILITY)
    dropout: float = setting(0.1, rules.PROBABILITY)
    attention_dropout: float = setting(0.0, rules.PROBABILITY)
    activation_dropout: float = setting(0.0, rules.PROBABILITY)
    classifier_dropout: float | None = setting(0.0, rules.or_null(rules.PROBABILITY))
    bos_token_id: int | None = setting(0, rules.or_null(rules.NATURAL))
    forced_bos_token_id: int | None = setting(None, rules.or_null(rules.NATURAL))
    forced_eos_token_id: int | list[int] | None = setting(2, rules.or_null(rules.TOKEN_IDS))

    @property
    def hidden_act(self) -> str:
        """The activation, as other models call it."""
        return self.activation_function

    @property
    def initializer_range(self) -> float:
        """The standard deviation of drawn weights, as other models call it."""
        return self.init_std

    @property
    def blank_token_id(self) -> int | None:
        """The token whose embedding is drawn as zeros."""
        return self.pad_token_id

    def check(self) -> None:
        """Raise ValueError if fields that are right alone do not fit together."""
        self.must_divide("encoder_attention_heads", "d_model")
        self.must_divide("decoder_attention_heads", "d_model")
        self.must_fit(NAMES, COUNTERS)
        for name in ("pad_token_id", "decoder_start_token_id"):
            if (token := getattr(self, name)) is not None and token >= self.vocab_size:
                must = f"it must be below 'vocab_size', which is {self.vocab_size}"
                raise ValueError(f"config field {name!r} is {token}; {must}")


# ruff: noqa: E501 - a table is read by its columns
# fmt: off
_C = "d_model"
COUNTERS = {"i": "encoder_layers", "j": "decoder_layers"}


def _attention(name: str, field: str) -> tuple[Entry, ...]:
    parts = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "output"}
    return tuple(e for n, f in parts.items() for e in pair(f"{name}.{n}", f"{field}.{f}", _C, _C))


def _stack(side: str, i: str) -> tuple[Entry, ...]:
    """Return the names of a stack, whose layers a letter counts."""
    name, field, wide = f"{side}.layers.{{{i}}}", f"{side}.layer.{{{i}}}", f"{side}_ffn_dim"
    across = (
        *_attention(f"{name}.encoder_attn", f"{field}.cross_attention"),
        *pair(f"{name}.encoder_attn_layer_norm", f"{field}.cross_attention_norm", _C),
    )
    return (
        Entry(f"{side}.embed_positions.weight", f"{side}.embeddings.position", (f"max_position_embeddings + {OFFSET}", _C)),
        *pair(f"{side}.layernorm_embedding", f"{side}.embeddings.norm", _C),
        *_attention(f"{name}.self_attn", f"{field}.attention"),
        *pair(f"{name}.self_attn_layer_norm", f"{field}.attention_norm", _C),
        *(across if side == "decoder" else ()),
        *pair(f"{name}.fc1", f"{field}.feed_forward.intermediate", wide, _C),
        *pair(f"{name}.fc2", f"{field}.feed_forward.output", _C, wide),
        *pair(f"{name}.final_layer_norm", f"{field}.norm", _C),
    )


#: Names in a checkpoint, our fields, shapes.
NAMES = (
    Entry("shared.weight", "embeddings.word", ("vocab_size", _C)),
    *_stack("encoder", "i"),
    *_stack("decoder", "j"),
)
#: Where the words are not shared each stack has its own, and nothing uses the others.
OWN_WORDS = tuple(
    Entry(f"{side}.embed_tokens.weight", f"{side}.embeddings.word", ("vocab_size", _C))
    for side in ("encoder", "decoder")
)


def base_names(config: BartConfig) -> tuple[Entry, ...]:
    """Return the table of names of a model without a head."""
    return NAMES if config.tie_word_embeddings else NAMES + OWN_WORDS


def _attention_stages(part: str, module: str, norm: str, t: str, s: str) -> tuple[Stage, ...]:
    """Return the stages of an attention whose queries are of tokens t, its keys of tokens s."""
    return tuple(Stage(*line) for line in (
        (f"{part}.query", f"B{t}C", f"{module}.q_proj", "output"),
        (f"{part}.key", f"B{s}C", f"{module}.k_proj", "output"),
        (f"{part}.value", f"B{s}C", f"{module}.v_proj", "output"),
        (f"{part}.scores", f"BH{t}{s}", module, "softmax"),  # divided by sqrt(D)
        (f"{part}.probabilities", f"BH{t}{s}", module, "second"),
        (f"{part}.context", f"B{t}C", f"{module}.out_proj", "input"),  # heads side by side
        (f"{part}.output", f"B{t}C", f"{module}.out_proj", "output"),  # before the residual
        (part, f"B{t}C", norm, "output"),  # after the norm
    ))


def _stages(side: str, t: str) -> tuple[Stage, ...]:
    """Return the stages of a stack: its tokens' letter is T, or S in what is read."""
    name, module = f"{side}.layer.{{i}}", f"{side}.layers.{{i}}"
    own, across = f"{module}.self_attn", f"{module}.encoder_attn"
    looks = _attention_stages(f"{name}.cross_attention", across, f"{across}_layer_norm", "T", "S")
    return (
        Stage(f"{side}.embeddings.sum", f"B{t}C", f"{side}.layernorm_embedding", "input"),
        Stage(f"{side}.embeddings", f"B{t}C", f"{side}.layernorm_embedding", "output"),
        *_attention_stages(f"{name}.attention", own, f"{own}_layer_norm", t, t),
        *(looks if side == "decoder" else ()),
        Stage(f"{name}.feed_forward.intermediate", f"B{t}F", f"{module}.fc1", "output"),
        Stage(f"{name}.feed_forward.activation", f"B{t}F", f"{module}.fc2", "input"),
        Stage(f"{name}.feed_forward", f"B{t}C", f"{module}.fc2", "output"),  # before the residual
        Stage(name, f"B{t}C", module, "output"),
    )


#: The stages that a trace sees, their axes, and the module of transformers that shows each.
STAGES = (*_stages("encoder", "S"), *_stages("decoder", "T"))
# fmt: on


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Words, scaled if the config says so, + positions, then a norm."""

    word: Array  # (V, C)
    position: Array  # (max_position_embeddings + 2, C)
    norm: LayerNorm
    scale: float

    def __call__(self, batch: Batch, trace: Trace) -> Array:
        """Return the tokens of a batch: -> (N, C)."""
        refuse_swapped("embeddings", "BART")
        words = batch.words(self.word)
        if self.scale != 1 and batch.token_embeddings is None:
            words = words * self.scale
        return self.norm(trace("sum", words + self.position[batch.position_ids + OFFSET]))


class BartStack(Stack):
    """The encoder or the decoder."""

    def __init__(self, build: Builder, side: str) -> None:
        config, arrays = build.config, build.arrays
        word = arrays.get(f"{side}.embeddings.word", arrays["embeddings.word"])
        position, norm = (
            arrays[f"{side}.embeddings.position"],
            build.norm(f"{side}.embeddings.norm"),
        )
        scale = math.sqrt(config.d_model) if config.scale_embedding else 1.0
        self.embeddings = Embeddings(word, position, norm, scale)
        count, heads = (getattr(config, f"{side}_{x}") for x in ("layers", "attention_heads"))
        names = (f"{side}.layer.{i}" for i in range(count))
        self.layers = tuple(build.layer(x, heads, causal=side == "decoder") for x in names)


class BartPreTrainedModel(EncoderDecoderModel):
    """Base of BartModel and of BART with a head."""

    config_class = BartConfig
    prefix = "model."
    counters: ClassVar[dict[str, str]] = COUNTERS
    required = ("shared.", "encoder.", "decoder.")
    shared: ClassVar[dict[str, str]] = {
        "encoder.embed_tokens.weight": "shared.weight",
        "decoder.embed_tokens.weight": "shared.weight",
    }
    known_unused: ClassVar[dict[str, str]] = {
        "encoder.embed_tokens.weight": "equal to shared.weight, which serves",
        "decoder.embed_tokens.weight": "equal to shared.weight, which serves",
        "encoder.version": "a buffer that says how old the file is",
        "decoder.version": "a buffer that says how old the file is",
        "encoder.": "belongs to the encoder",
        "decoder.": "belongs to the decoder",
        "lm_head.": "belongs to a language-model head",
        "final_logits_bias": "belongs to a language-model head",
        "classification_head.": "belongs to a head for sequences",
        "qa_outputs.": "belongs to a question-answering head",
    }
    config: BartConfig


class BartModel(BartPreTrainedModel):
    """BART without a head: ids in, hidden states out. A call returns a Seq2SeqModelOutput."""

    output_class = outputs.Seq2SeqModelOutput

    @classmethod
    def names(cls, config: BartConfig) -> tuple[Entry, ...]:
        """Return the table of names."""
        return base_names(config)

    @classmethod
    def stages(cls) -> tuple[Stage, ...]:
        """Return the table of stages, in network order."""
        return STAGES

    def _assemble(self, arrays: dict[str, Array]) -> None:
        build = Builder(self.config, arrays)
        self.encoder, self.decoder = BartStack(build, "encoder"), BartStack(build, "decoder")
        self.embeddings = replace(self.encoder.embeddings, word=arrays["embeddings.word"])

    def states(self, batch: Batch, trace: Trace) -> Array:
        """Return the last hidden state of the decoder: the tokens of an encoded batch -> (N, C)."""
        return over_sequences(self.decoder.encode, batch, trace.within("decoder"))

    def forward(self, batch: Batch, trace: Trace) -> dict[str, Any]:
        """Run the network: the fields of the output."""
        batch = self.encoded(batch, trace)
        return {
            "last_hidden_state": batch.unpack(self.states(batch, trace)),
            **encoder_state(batch),
        }
