"""BERT with a head: the classes of transformers, with its outputs and names.

Each class gives its table of names, its own layers, and what it makes of the hidden states.
Transformers' modeling_bert.py is what they follow.
"""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minibert.batch import Batch
from minibert.checkpoint.names import Entry
from minibert.layers import Linear
from minibert.models import outputs
from minibert.models.bert import ENCODER, POOLER, STAGES, BertConfig, BertModel, BertPreTrainedModel
from minibert.models.bert_checkpoints import KNOWN_UNUSED
from minibert.models.building import Builder, pair
from minibert.models.head_layers import PredictionHead
from minibert.models.heads import MatrixHead, ModelWithHead
from minibert.runtime.arrays import Array
from minibert.runtime.threads import in_turn
from minibert.trace import Stage, Trace, silent

PREDICTIONS = (
    *pair("cls.predictions.transform.dense", "predictions.dense", "hidden_size", "hidden_size"),
    *pair("cls.predictions.transform.LayerNorm", "predictions.norm", "hidden_size"),
)
TIED = (Entry("cls.predictions.bias", "decoder.bias", ("vocab_size",)),)
UNTIED = pair("cls.predictions.decoder", "decoder", "vocab_size", "hidden_size")
#: What the decoder shares, as transformers ties it: one of the two may be in a file, or both.
SHARED = {
    "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
NEXT_SENTENCE = pair("cls.seq_relationship", "seq_relationship", 2, "hidden_size")

PREDICTION_STAGES = (
    Stage("predictions.intermediate", "BTC", "cls.predictions.transform.dense", "output"),
    Stage("predictions.activation", "BTC", "cls.predictions.transform.LayerNorm", "input"),
    Stage("predictions", "BTC", "cls.predictions.transform", "output"),
    Stage("logits", "BTV", "cls.predictions.decoder", "output"),
)


class BertHeadModel(ModelWithHead, BertPreTrainedModel):
    """Base of all heads: a BertModel in ``bert``, with a pooler where the head reads it."""

    base_class = BertModel
    bert: BertModel


class BertForMaskedLM(BertHeadModel):
    """Logits over the vocabulary for each token; a call returns a MaskedLMOutput.

    The decoder's matrix is that of the word embeddings, unless config.tie_word_embeddings is off
    or a checkpoint has another one: then its config is changed to say so.
    """

    output_class: ClassVar[type[outputs.ModelOutput]] = outputs.MaskedLMOutput
    shared = SHARED
    known_unused: ClassVar[dict[str, str]] = {
        "cls.predictions.decoder.weight": "equal to the word embeddings, which serve",
        "cls.predictions.decoder.bias": "equal to cls.predictions.bias, which serves",
        "cls.predictions.bias": "the decoder has a bias of its own",
        **KNOWN_UNUSED,
    }

    @classmethod
    def names(cls, config: BertConfig) -> tuple[Entry, ...]:
        """Return the table of names."""
        return ENCODER + PREDICTIONS + (TIED if config.tie_word_embeddings else UNTIED)

    @classmethod
    def stages(cls) -> tuple[Stage, ...]:
        """Return the table of stages."""
        return STAGES + PREDICTION_STAGES

    def _assemble(self, arrays: dict[str, Array]) -> None:
        super()._assemble(arrays)
        build = Builder(self.config, arrays)
        dense, norm = build.linear("predictions.dense"), build.norm("predictions.norm")
        self.predictions = PredictionHead(dense, norm, self.config.hidden_act)
        words = arrays.get("decoder.weight", arrays["embeddings.word"])
        self.decoder = Linear(words, arrays["decoder.bias"])

    def word_logits(self, x: Array, trace: Trace) -> Array:
        """Return a score for each word of the vocabulary: (N, C) -> (N, V)."""
        x = trace("predictions", self.predictions(x, trace.within("predictions")))
        return trace("logits", self.decoder(x))

    def forward(self, batch: Batch, trace: Trace) -> dict[str, Any]:
        """Run the network: the fields of the output."""
        x = self.bert.states(batch, trace)
        return {"logits": batch.unpack(self.word_logits(x, trace))}

    def logits_at(self, where: NDArray[np.bool_], **inputs: Any) -> Array:
        """Return the logits (K, V) of the tokens where ``where`` (B, T) is True, in reading order.

        The vocabulary is wide: for a few masks in a long text this saves most of a head's work.
        inputs: those of a call, by name. Padding has no logits.
        """
        batch = self.batch(**inputs)

        def run() -> Array:
            x = self.bert.states(batch, silent)
            return self.word_logits(x[where[batch.mask]], silent)

        return in_turn(run)


class BertForPreTraining(BertForMaskedLM):
    """Both heads of BERT's pre-training; a call returns a BertForPreTrainingOutput."""

    output_class = outputs.BertForPreTrainingOutput

    @classmethod
    def names(cls, config: BertConfig) -> tuple[Entry, ...]:
        """Return the table of names."""
        return super().names(config) + POOLER + NEXT_SENTENCE

    @classmethod
    def stages(cls) -> tuple[Stage, ...]:
        """Return the table of stages."""
        return *super().stages(), Stage("seq_relationship", "BL", "cls.seq_relationship", "output")

    def _assemble(self, arrays: dict[str, Array]) -> None:
        super()._assemble(arrays)
        self.seq_relationship = Builder(self.config, arrays).linear("seq_relationship")

    def forward(self, batch: Batch, trace: Trace) -> dict[str, Any]:
        """Run the network: the fields of the output."""
        x = self.bert.states(batch, trace)
        pooled = self.bert.pooled(x, batch, trace)
        words = batch.unpack(self.word_logits(x, trace))
        follows = trace.of(batch.vectors)("seq_relationship", self.seq_relationship(pooled))
        follows = batch.vectors.unpack(follows)
        return {"prediction_logits": words, "seq_relationship_logits": follows}


class BertMatrixHead(MatrixHead, BertHeadModel):
    """Base of the heads that are one matrix, on the pooler's vectors or on each token."""

    @classmethod
    def base_names(cls, config: BertConfig) -> tuple[Entry, ...]:
        """Return the names of what the head reads: a pooler only if it reads one."""
        return ENCODER + (POOLER if cls.reads_pooler else ())


class BertForNextSentencePrediction(BertMatrixHead):
    """Does the second segment follow the first? Label 0: it does; 1: it is a random one.

    A call returns a NextSentencePredictorOutput.
    """

    output_class = outputs.NextSentencePredictorOutput
    matrix, module, size = "seq_relationship", "cls.seq_relationship", 2
    reads_pooler = True


class BertForSequenceClassification(BertMatrixHead):
    """A label for the whole, from the pooler; a call returns a SequenceClassifierOutput."""

    output_class = outputs.SequenceClassifierOutput
    matrix, module, size = "classifier", "classifier", "num_labels"
    reads_pooler = True


class BertForMultipleChoice(BertMatrixHead):
    """Which of several texts? Inputs are (batch, choices, tokens).

    A call returns a MultipleChoiceModelOutput with logits (batch, choices). position_ids are
    (tokens,) or (batch * choices, tokens); hidden states and attentions come with batch and
    choices as one axis.
    """

    output_class = outputs.MultipleChoiceModelOutput
    matrix, module, size = "classifier", "classifier", 1
    reads_pooler = with_choices = True

    def fields(self, logits: Array, batch: Batch) -> dict[str, Array]:
        """Return the output's fields."""
        return {"logits": logits.reshape(-1, batch.choices)}


class BertForTokenClassification(BertMatrixHead):
    """A label for each token; a call returns a TokenClassifierOutput."""

    output_class = outputs.TokenClassifierOutput
    matrix, module, size = "classifier", "classifier", "num_labels"


class BertForQuestionAnswering(BertMatrixHead):
    """Where an answer begins and ends; a call returns a QuestionAnsweringModelOutput."""

    output_class = outputs.QuestionAnsweringModelOutput
    matrix, module, size = "qa_outputs", "qa_outputs", 2

    def fields(self, logits: Array, batch: Batch) -> dict[str, Array]:
        """Return the output's fields."""
        start, end = logits.transpose(2, 0, 1)
        return {"start_logits": start, "end_logits": end}
