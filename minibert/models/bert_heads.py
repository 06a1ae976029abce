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
from minibert.models import labels, outputs
from minibert.models.bert import ENCODER, POOLER, STAGES, BertConfig, BertModel, BertPreTrainedModel
from minibert.models.bert_checkpoints import KNOWN_UNUSED
from minibert.models.building import Builder, pair
from minibert.models.head_layers import PredictionHead
from minibert.models.heads import AnswerHead, MatrixHead, ModelWithHead
from minibert.models.labels import LossOf
from minibert.runtime.arrays import Array
from minibert.runtime.threads import in_turn
from minibert.trace import Back, Stage, Trace, silent

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
    loss_of: ClassVar[LossOf] = staticmethod(labels.of_tokens)
    chosen_by = staticmethod(labels.labelled)
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

    def word_logits(self, x: Array, batch: Batch, trace: Trace) -> Array:
        """Return a score for each word of the vocabulary: (N, C) -> (N, V)."""
        x, trace = batch.share(batch.scored, x), trace.of(batch.scored)
        x = trace("predictions", self.predictions(x, trace.within("predictions")))
        return trace("logits", self.decoder(x))

    def head_logits(self, x: Array, batch: Batch, trace: Trace) -> Any:
        """Return a score for each word of the vocabulary: (N, C) -> (N, V)."""
        return self.word_logits(x, batch, trace)

    def fields(self, logits: Any, batch: Batch) -> dict[str, Any]:
        """Return the output's fields."""
        return {"logits": batch.unpack(logits)}

    def head_backward(self, grad: Any, x: Array, batch: Batch, back: Back) -> Array:
        """Return the gradient of the last state: (N, V) -> (N, C)."""
        x, there = batch.share(batch.scored, x), back.of(batch.scored)
        given = there("logits", grad), there.kept("predictions"), there.within("decoder")
        grad = there("predictions", self.decoder.backward(*given))
        grad = self.predictions.backward(grad, x, there.within("predictions"))
        return batch.gather([batch.scored], [grad])

    def logits_at(self, where: NDArray[np.bool_], **inputs: Any) -> Array:
        """Return the logits (K, V) of the tokens where ``where`` (B, T) is True, in reading order.

        The vocabulary is wide: for a few masks in a long text this saves most of a head's work.
        inputs: those of a call, by name. Padding has no logits.
        """
        batch = self.batch(**inputs)

        def run() -> Array:
            x = self.bert.states(batch, silent)
            return self.word_logits(x, batch.choosing(where), silent)

        return in_turn(run)


class BertForPreTraining(BertForMaskedLM):
    """Both heads of BERT's pre-training; a call returns a BertForPreTrainingOutput."""

    output_class = outputs.BertForPreTrainingOutput
    targets = ("labels", "next_sentence_label")

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

    def head_logits(self, x: Array, batch: Batch, trace: Trace) -> tuple[Array, Array]:
        """Return a score for each word, and whether the second sentence follows: (N, V), (n, 2)."""
        pooled = self.bert.pooled(x, batch, trace)
        words, there = self.word_logits(x, batch, trace), trace.of(batch.vectors)
        follows = self.seq_relationship(there("head", pooled))
        return words, there("seq_relationship", follows)

    def fields(self, logits: tuple[Array, Array], batch: Batch) -> dict[str, Any]:
        """Return the output's fields."""
        words, follows = logits
        fields = "prediction_logits", "seq_relationship_logits"
        unpacked = batch.unpack(words), batch.vectors.unpack(follows)
        return dict(zip(fields, unpacked, strict=True))

    def loss(self, logits: tuple[Array, Array], batch: Batch) -> tuple[float, Any]:
        """Return the sum of the two losses, and the gradients of both heads' rows."""
        given: Any = batch.targets
        words, follows = logits
        masked, of_words = labels.of_tokens(words, batch.scored, given["labels"])
        next_one, of_follows = labels.of_pairs(follows, batch, given["next_sentence_label"])
        return masked + next_one, (of_words, of_follows)

    def head_backward(self, grad: tuple[Array, Array], x: Array, batch: Batch, back: Back) -> Array:
        """Return the gradient of the last state."""
        words, follows = grad
        there, inner = back.of(batch.vectors), back.within("seq_relationship")
        given = there("seq_relationship", follows), there.kept("head"), inner
        pooled = there("head", self.seq_relationship.backward(*given))
        whole = self.bert.pooled_backward(pooled, x, batch, back)
        return super().head_backward(words, x, batch, back) + whole


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
    loss_of = staticmethod(labels.of_pairs)
    matrix, module, size = "seq_relationship", "cls.seq_relationship", 2
    reads_pooler = True


class BertForSequenceClassification(BertMatrixHead):
    """A label for the whole, from the pooler; a call returns a SequenceClassifierOutput."""

    output_class = outputs.SequenceClassifierOutput
    dropped = ("head",)
    loss_of = staticmethod(labels.of_sequences)
    has_problems = True
    matrix, module, size = "classifier", "classifier", "num_labels"
    reads_pooler = True


class BertForMultipleChoice(BertMatrixHead):
    """Which of several texts? Inputs are (batch, choices, tokens).

    A call returns a MultipleChoiceModelOutput with logits (batch, choices). position_ids are
    (tokens,) or (batch * choices, tokens); hidden states and attentions come with batch and
    choices as one axis.
    """

    output_class = outputs.MultipleChoiceModelOutput
    dropped = ("head",)
    loss_of = staticmethod(labels.of_choices)
    matrix, module, size = "classifier", "classifier", 1
    reads_pooler = with_choices = True

    def fields(self, logits: Array, batch: Batch) -> dict[str, Any]:
        """Return the output's fields."""
        return {"logits": batch.vectors.unpack(logits).reshape(-1, batch.choices)}


class BertForTokenClassification(BertMatrixHead):
    """A label for each token; a call returns a TokenClassifierOutput."""

    output_class = outputs.TokenClassifierOutput
    dropped = ("head",)
    loss_of = staticmethod(labels.of_tokens)
    matrix, module, size = "classifier", "classifier", "num_labels"


class BertForQuestionAnswering(AnswerHead, BertMatrixHead):
    """Where an answer begins and ends; a call returns a QuestionAnsweringModelOutput."""

    output_class = outputs.QuestionAnsweringModelOutput
