"""BERT with a head: the classes of transformers, with its outputs and names.

Each class gives its table of names, its own layers, and what it makes of the hidden states.
Transformers' modeling_bert.py is what they follow.
"""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.names import Entry, expand
from minibert.models.base import Forward
from minibert.models.bert import ENCODER, POOLER, BertConfig, BertModel, BertPreTrainedModel
from minibert.models.building import Builder
from minibert.models.outputs import (
    BertForPreTrainingOutput,
    MaskedLMOutput,
    ModelOutput,
    MultipleChoiceModelOutput,
    NextSentencePredictorOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)
from minibert.runtime.arrays import Array
from minibert.runtime.threads import turn


def _linear(name: str, field: str, size: int | str) -> tuple[Entry, Entry]:
    """Return the names of a matrix that reads hidden states, and of its bias."""
    return (
        Entry(f"{name}.weight", f"{field}.weight", (size, "hidden_size")),
        Entry(f"{name}.bias", f"{field}.bias", (size,)),
    )


PREDICTIONS = (
    *_linear("cls.predictions.transform.dense", "predictions.dense", "hidden_size"),
    Entry(
        "cls.predictions.transform.LayerNorm.weight", "predictions.norm.weight", ("hidden_size",)
    ),
    Entry("cls.predictions.transform.LayerNorm.bias", "predictions.norm.bias", ("hidden_size",)),
)
TIED = (Entry("cls.predictions.bias", "predictions.decoder.bias", ("vocab_size",)),)
UNTIED = _linear("cls.predictions.decoder", "predictions.decoder", "vocab_size")
NEXT_SENTENCE = _linear("cls.seq_relationship", "seq_relationship", 2)
LABELS = _linear("classifier", "classifier", "num_labels")
CHOICE = _linear("classifier", "classifier", 1)
SPAN = _linear("qa_outputs", "qa_outputs", 2)

# the stages that heads add, with their axes: L is labels
PREDICTION_STAGES = {
    "predictions.intermediate": "BTC",  # before the activation
    "predictions.activation": "BTC",
    "predictions": "BTC",  # after the norm
    "logits": "BTV",
}


class BertHeadModel(BertPreTrainedModel):
    """Base of all heads: a BertModel in ``bert``, with a pooler where the head reads it."""

    head: ClassVar[tuple[Entry, ...]]
    head_stages: ClassVar[dict[str, str]]
    pooled: ClassVar[bool] = False
    bert: BertModel

    @classmethod
    def names(cls, config: BertConfig) -> tuple[Entry, ...]:
        """Return the table of names."""
        return ENCODER + (POOLER if cls.pooled else ()) + cls.head

    def _assemble(self, arrays: dict[str, Array]) -> None:
        self.bert = BertModel.__new__(BertModel)
        self.bert.config, self.bert.loading_report = self.config, self.loading_report
        self.bert._assemble(arrays)
        self._assemble_head(Builder(self.config, arrays))

    def _assemble_head(self, build: Builder) -> None:
        """Build the head's own layers."""
        raise NotImplementedError

    @property
    def encoder(self) -> BertModel:
        """The model that runs the layers."""
        return self.bert

    def state_dict(self) -> dict[str, Array]:
        """Return the tensors under the names of transformers: ``bert.`` before the encoder's."""
        encoder = {name for name, *_ in expand(ENCODER + POOLER, self.config)}
        tensors = super().state_dict()
        return {f"bert.{k}" if k in encoder else k: v for k, v in tensors.items()}

    def stage_axes(self) -> dict[str, str]:
        """Return the axes of every stage that a trace receives, in network order."""
        return {**self.bert.stage_axes(), **self.head_stages}

    def _pool(self, forward: Forward) -> Array:
        assert self.bert.pooler is not None  # the class is ``pooled``
        return self.bert.pooler(forward.rows, forward.batch, forward.trace)


class BertForMaskedLM(BertHeadModel):
    """Logits over the vocabulary for each token; a call returns a MaskedLMOutput.

    The decoder's matrix is that of the word embeddings, unless config.tie_word_embeddings is off.
    """

    output_class = MaskedLMOutput
    head_stages: ClassVar[dict[str, str]] = PREDICTION_STAGES

    @classmethod
    def names(cls, config: BertConfig) -> tuple[Entry, ...]:
        """Return the table of names."""
        return ENCODER + PREDICTIONS + (TIED if config.tie_word_embeddings else UNTIED)

    def _assemble_head(self, build: Builder) -> None:
        self.predictions = build.predictions("predictions")

    def _finish(self, forward: Forward) -> dict[str, Any]:
        logits = self.predictions(forward.rows, forward.trace)
        return {"logits": forward.batch.unpack(logits)}

    def logits_at(self, where: NDArray[np.bool_], **inputs: Any) -> Array:
        """Return the logits (K, V) of the tokens where ``where`` (B, T) is True, in reading order.

        The vocabulary is wide: for a few masks in a long text this saves most of a head's work.
        inputs: those of a call, by name. Padding has no logits.
        """
        names = ("input_ids", "attention_mask", "token_type_ids", "position_ids", "inputs_embeds")
        batch = self._batch(*(inputs.get(name) for name in names))
        with turn():
            forward = self._forward(batch)
            return self.predictions(forward.rows[where[batch.mask]], forward.trace)


class BertForNextSentencePrediction(BertHeadModel):
    """Does the second segment follow the first? Label 0: it does; 1: it is a random one.

    A call returns a NextSentencePredictorOutput.
    """

    output_class = NextSentencePredictorOutput
    head = NEXT_SENTENCE
    head_stages: ClassVar[dict[str, str]] = {"logits": "BL"}
    pooled = True

    def _assemble_head(self, build: Builder) -> None:
        self.seq_relationship = build.linear("seq_relationship")

    def _finish(self, forward: Forward) -> dict[str, Any]:
        logits = self.seq_relationship(self._pool(forward))
        forward.trace.pooled("logits", logits)
        return {"logits": forward.batch.unpack_sequences(logits)}


class BertForPreTraining(BertHeadModel):
    """Both heads of BERT's pre-training; a call returns a BertForPreTrainingOutput."""

    output_class = BertForPreTrainingOutput
    head_stages: ClassVar[dict[str, str]] = {**PREDICTION_STAGES, "seq_relationship": "BL"}
    pooled = True

    @classmethod
    def names(cls, config: BertConfig) -> tuple[Entry, ...]:
        """Return the table of names."""
        return BertForMaskedLM.names(config) + POOLER + NEXT_SENTENCE

    def _assemble_head(self, build: Builder) -> None:
        self.predictions = build.predictions("predictions")
        self.seq_relationship = build.linear("seq_relationship")

    def _finish(self, forward: Forward) -> dict[str, Any]:
        pooled = self._pool(forward)
        logits = self.predictions(forward.rows, forward.trace)
        follows = self.seq_relationship(pooled)
        forward.trace.pooled("seq_relationship", follows)
        return {
            "prediction_logits": forward.batch.unpack(logits),
            "seq_relationship_logits": forward.batch.unpack_sequences(follows),
        }


class BertForSequenceClassification(BertHeadModel):
    """A label for the whole, from the pooler; a call returns a SequenceClassifierOutput."""

    output_class: ClassVar[type[ModelOutput]] = SequenceClassifierOutput
    head = LABELS
    head_stages: ClassVar[dict[str, str]] = {"logits": "BL"}
    pooled = True

    def _assemble_head(self, build: Builder) -> None:
        self.classifier = build.linear("classifier")

    def _finish(self, forward: Forward) -> dict[str, Any]:
        logits = self.classifier(self._pool(forward))
        forward.trace.pooled("logits", logits)
        return {"logits": forward.batch.unpack_sequences(logits)}


class BertForMultipleChoice(BertForSequenceClassification):
    """Which of several texts? Inputs are (batch, choices, tokens).

    A call returns a MultipleChoiceModelOutput with logits (batch, choices).
    """

    output_class = MultipleChoiceModelOutput
    head = CHOICE

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
        """Run the model on a batch: like any other, each input with an axis for the choices.

        position_ids are (tokens,) or (batch * choices, tokens). Hidden states and attentions come
        with batch and choices as one axis.
        """
        words, mask, types = (
            _with_choices(name, value, 3)
            for name, value in (
                ("input_ids", input_ids),
                ("attention_mask", attention_mask),
                ("token_type_ids", token_type_ids),
            )
        )
        embeds = _with_choices("inputs_embeds", inputs_embeds, 4)
        inputs = (_merged(words), _merged(mask), _merged(types), position_ids, _merged(embeds))
        output = super().__call__(*inputs, output_hidden_states, output_attentions, True, trace)
        count = (words if words is not None else embeds).shape[1]  # one is there, by now
        output = replace(output, logits=output.logits.reshape(-1, count))
        wanted = self.config.return_dict if return_dict is None else return_dict
        return output if wanted else output.to_tuple()


def _with_choices(name: str, value: Any, dimensions: int) -> Any:
    if value is None:
        return None
    array = np.asarray(value)
    if array.ndim != dimensions:
        raise ValueError(
            f"{name} has {array.ndim} dimension(s), shape {array.shape}; needed: {dimensions}, "
            "(batch, choices, tokens)" + (", width" if dimensions == 4 else "")
        )
    return array


def _merged(array: Any) -> Any:
    """Make one axis of batch and choices."""
    return None if array is None else array.reshape(-1, *array.shape[2:])


class BertForTokenClassification(BertHeadModel):
    """A label for each token; a call returns a TokenClassifierOutput."""

    output_class = TokenClassifierOutput
    head = LABELS
    head_stages: ClassVar[dict[str, str]] = {"logits": "BTL"}

    def _assemble_head(self, build: Builder) -> None:
        self.classifier = build.linear("classifier")

    def _finish(self, forward: Forward) -> dict[str, Any]:
        logits = self.classifier(forward.rows)
        forward.trace.rows("logits", logits)
        return {"logits": forward.batch.unpack(logits)}


class BertForQuestionAnswering(BertHeadModel):
    """Where an answer begins and ends; a call returns a QuestionAnsweringModelOutput."""

    output_class = QuestionAnsweringModelOutput
    head = SPAN
    head_stages: ClassVar[dict[str, str]] = {"logits": "BTL"}

    def _assemble_head(self, build: Builder) -> None:
        self.qa_outputs = build.linear("qa_outputs")

    def _finish(self, forward: Forward) -> dict[str, Any]:
        logits = self.qa_outputs(forward.rows)
        forward.trace.rows("logits", logits)
        start, end = forward.batch.unpack(logits).transpose(2, 0, 1)
        return {"start_logits": start, "end_logits": end}
