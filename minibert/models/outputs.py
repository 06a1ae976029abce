"""What a model returns: named arrays that answer to attribute, key, index and slice."""

from dataclasses import dataclass, field, fields
from typing import Any, NoReturn

from minibert.cache import Cache
from minibert.runtime.arrays import Array
from minibert.runtime.spelling import Spelled, a_kind


@dataclass(frozen=True, eq=False)
class ModelOutput(Spelled):
    """Base of all outputs, after transformers' class of that name.

    Fields that were not asked for are None; keys, indices and slices pass over them. loss: of the
    labels that the call was given.
    """

    def keys(self) -> tuple[str, ...]:
        """Return the names of the fields that are there, in order."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is not None)

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the fields that are there, in order."""
        return tuple(getattr(self, key) for key in self.keys())

    values = to_tuple

    def items(self) -> tuple[tuple[str, Any], ...]:
        """Return (name, field) for the fields that are there."""
        return tuple(zip(self.keys(), self.to_tuple(), strict=True))

    def __getitem__(self, key: str | int | slice) -> Any:
        if isinstance(key, int) and not -len(self) <= key < len(self):
            raise IndexError(f"this output has {len(self)} fields, {', '.join(self.keys())}")
        if not isinstance(key, str):
            return self.to_tuple()[key]
        if key in self:
            return getattr(self, key)
        raise KeyError(f"this output has no {key!r}; it has {', '.join(self.keys())}")

    def __contains__(self, key: object) -> bool:
        return key in self.keys()

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> NoReturn:
        what = "cannot be unpacked or looped over (transformers would give names, not arrays)"
        hint = "use .to_tuple(), or call the model with return_dict=False"
        raise TypeError(f"{a_kind(self)} {what}: {hint}")


@dataclass(frozen=True, eq=False)
class BaseModelOutputWithPooling(ModelOutput):
    """What BertModel returns; the last two fields are those of every output.

    hidden_states: L + 1 arrays (B, T, C): the embeddings, then the output of each layer.
    attentions: L arrays (B, H, T, T), attention probabilities, queries by keys.
    """

    last_hidden_state: Array  # (B, T, C), zeros where the mask is 0
    pooler_output: Array  # (B, C), zeros for a row that is all padding
    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array, ...] | None = None


@dataclass(frozen=True, eq=False)
class BaseModelOutputWithPastAndCrossAttentions(ModelOutput):
    """What GPT2Model returns. The last hidden state is what the last norm makes of it."""

    last_hidden_state: Array  # (B, T, C), zeros where the mask is 0
    past_key_values: Cache | None = None
    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array, ...] | None = None


@dataclass(frozen=True, eq=False)
class LogitsOutput(ModelOutput):
    """What a head with a single result returns."""

    loss: float | None = field(default=None, kw_only=True)
    logits: Array
    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array, ...] | None = None


@dataclass(frozen=True, eq=False)
class CausalLMOutputWithCrossAttentions(ModelOutput):
    """logits: (B, T, V), of the word after each token; zeros where the mask is 0."""

    loss: float | None = field(default=None, kw_only=True)
    logits: Array
    past_key_values: Cache | None = None
    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array, ...] | None = None


class SequenceClassifierOutputWithPast(CausalLMOutputWithCrossAttentions):
    """logits: (B, num_labels)."""


class MaskedLMOutput(LogitsOutput):
    """logits: (B, T, V), zeros where the mask is 0."""


class NextSentencePredictorOutput(LogitsOutput):
    """logits: (B, 2); label 0 says that the second segment follows the first."""


class SequenceClassifierOutput(LogitsOutput):
    """logits: (B, num_labels)."""


class MultipleChoiceModelOutput(LogitsOutput):
    """logits: (batch, choices)."""


class TokenClassifierOutput(LogitsOutput):
    """logits: (B, T, num_labels), zeros where the mask is 0."""


@dataclass(frozen=True, eq=False)
class BertForPreTrainingOutput(ModelOutput):
    """prediction_logits: (B, T, V); seq_relationship_logits: (B, 2)."""

    loss: float | None = field(default=None, kw_only=True)
    prediction_logits: Array
    seq_relationship_logits: Array
    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array, ...] | None = None


@dataclass(frozen=True, eq=False)
class QuestionAnsweringModelOutput(ModelOutput):
    """start_logits and end_logits: (B, T), zeros where the mask is 0."""

    loss: float | None = field(default=None, kw_only=True)
    start_logits: Array
    end_logits: Array
    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array, ...] | None = None


@dataclass(frozen=True, eq=False)
class BaseModelOutput(ModelOutput):
    """What an encoder alone returns, and a model with a decoder takes as ``encoder_outputs``."""

    last_hidden_state: Array  # (B, S, C), zeros where the mask is 0
    hidden_states: tuple[Array, ...] | None = None
    attentions: tuple[Array, ...] | None = None


@dataclass(frozen=True, eq=False)
class Seq2SeqModelOutput(ModelOutput):
    """What BartModel returns: S tokens are read, T are the decoder's.

    The encoder's fields are None where it did not run, since past_key_values has what it said.
    cross_attentions: arrays (B, H, T, S), one for each layer of the decoder.
    """

    last_hidden_state: Array  # (B, T, C), zeros where the mask is 0
    past_key_values: Cache | None = None
    decoder_hidden_states: tuple[Array, ...] | None = None
    decoder_attentions: tuple[Array, ...] | None = None
    cross_attentions: tuple[Array, ...] | None = None
    encoder_last_hidden_state: Array | None = None  # (B, S, C)
    encoder_hidden_states: tuple[Array, ...] | None = None
    encoder_attentions: tuple[Array, ...] | None = None


@dataclass(frozen=True, eq=False)
class Seq2SeqLMOutput(ModelOutput):
    """logits: (B, T, V), of the word after each token; zeros where the mask is 0."""

    loss: float | None = field(default=None, kw_only=True)
    logits: Array
    past_key_values: Cache | None = None
    decoder_hidden_states: tuple[Array, ...] | None = None
    decoder_attentions: tuple[Array, ...] | None = None
    cross_attentions: tuple[Array, ...] | None = None
    encoder_last_hidden_state: Array | None = None
    encoder_hidden_states: tuple[Array, ...] | None = None
    encoder_attentions: tuple[Array, ...] | None = None


class Seq2SeqSequenceClassifierOutput(Seq2SeqLMOutput):
    """logits: (B, num_labels)."""


@dataclass(frozen=True, eq=False)
class Seq2SeqQuestionAnsweringModelOutput(ModelOutput):
    """start_logits and end_logits: (B, T), zeros where the mask is 0."""

    loss: float | None = field(default=None, kw_only=True)
    start_logits: Array
    end_logits: Array
    past_key_values: Cache | None = None
    decoder_hidden_states: tuple[Array, ...] | None = None
    decoder_attentions: tuple[Array, ...] | None = None
    cross_attentions: tuple[Array, ...] | None = None
    encoder_last_hidden_state: Array | None = None
    encoder_hidden_states: tuple[Array, ...] | None = None
    encoder_attentions: tuple[Array, ...] | None = None
