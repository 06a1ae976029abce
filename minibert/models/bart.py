"""BART: its config, the table of its names, and the model.

Lewis et al., "BART: Denoising Sequence-to-Sequence Pre-training", arXiv:1910.13461. Numbers and
names follow transformers' modeling_bart.py with eager attention. What differs from BERT: there are
two stacks, and the second one looks at no token ahead and at what the first one made of its text.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from minibert import derivatives
from minibert.batch import Batch
from minibert.checkpoint.names import Entry
from minibert.functions import ACTIVATIONS
from minibert.layers import LayerNorm
from minibert.models import outputs, rules
from minibert.models.bart_names import COUNTERS, NAMES, OFFSET, STAGES, base_names
from minibert.models.building import Builder
from minibert.models.config import PretrainedConfig, setting
from minibert.models.seq2seq import EncoderDecoderModel, encoder_state
from minibert.models.stack import Stack
from minibert.runtime.arrays import Array
from minibert.runtime.swap import refuse_swapped
from minibert.trace import Back, Stage, Trace


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

    def dropouts(self) -> dict[str, float]:
        """Return how many of a stage's numbers drop out in training, by the stage's pattern."""
        rates = {
            "embeddings": self.dropout,
            "layer.{i}.attention.probabilities": self.attention_dropout,
            "layer.{i}.attention.output": self.dropout,
            "layer.{i}.cross_attention.probabilities": self.attention_dropout,
            "layer.{i}.cross_attention.output": self.dropout,
            "layer.{i}.feed_forward.activation": self.activation_dropout,
            "layer.{i}.feed_forward": self.dropout,
        }
        sides = {"encoder": [x for x in rates if "cross" not in x], "decoder": [*rates]}
        return {f"{side}.{x}": rates[x] for side, stages in sides.items() for x in stages}

    def check(self) -> None:
        """Raise ValueError if fields that are right alone do not fit together."""
        self.must_divide("encoder_attention_heads", "d_model")
        self.must_divide("decoder_attention_heads", "d_model")
        self.must_fit(NAMES, COUNTERS)
        for name in ("pad_token_id", "decoder_start_token_id"):
            if (token := getattr(self, name)) is not None and token >= self.vocab_size:
                must = f"it must be below 'vocab_size', which is {self.vocab_size}"
                raise ValueError(f"config field {name!r} is {token}; {must}")


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Words, scaled if the config says so, + positions, then a norm."""

    word: Array  # (V, C)
    position: Array  # (max_position_embeddings + 2, C)
    norm: LayerNorm
    scale: float
    blank: int | None  # the id of padding: its vector is not trained

    def __call__(self, batch: Batch, trace: Trace) -> Array:
        """Return the tokens of a batch: -> (N, C)."""
        refuse_swapped("embeddings", "BART")
        words = batch.words(self.word)
        if self.scale != 1 and batch.token_embeddings is None:
            words = words * self.scale
        return self.norm(trace("sum", words + self.position[batch.position_ids + OFFSET]))

    def backward(self, grad: Array, batch: Batch, back: Back) -> None:
        """Add up the gradients of the tables and the norm."""
        grad = self.norm.backward(grad, back.kept("sum"), back.within("norm"))
        grad, positions = back("sum", grad), batch.position_ids + OFFSET
        back.add("position", derivatives.lookup_backward(grad, positions, len(self.position)))
        if batch.token_ids is not None:
            words = derivatives.lookup_backward(grad, batch.token_ids, len(self.word))
            if self.blank is not None:
                words[self.blank] = 0
            back.add("word", words * self.scale)


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
        self.embeddings = Embeddings(word, position, norm, scale, config.pad_token_id)
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
        return self.decoder.states(batch, trace.within("decoder"))

    def states_backward(self, grad: Array, batch: Batch, back: Back) -> None:
        """Go back through both stacks."""
        source: Any = batch.source
        grad = self.decoder.states_backward(grad, batch, back.within("decoder"))
        self.encoder.states_backward(grad, source, back.of(source).within("encoder"))

    def forward(self, batch: Batch, trace: Trace) -> dict[str, Any]:
        """Run the network: the fields of the output."""
        batch = self.encoded(batch, trace)
        return {
            "last_hidden_state": batch.unpack(self.states(batch, trace)),
            **encoder_state(batch),
        }
