"""BART with a head: the classes of transformers, with its outputs and names.

Transformers' modeling_bart.py is what they follow.
"""

from typing import Any, ClassVar

import numpy as np

from minibert.batch import Batch
from minibert.checkpoint.load import Weights
from minibert.checkpoint.names import Entry, Parameter
from minibert.layers import Linear
from minibert.losses import IGNORED
from minibert.models import labels, outputs
from minibert.models.bart import BartConfig, BartModel, BartPreTrainedModel
from minibert.models.bart_names import STAGES, base_names
from minibert.models.building import Builder, pair
from minibert.models.generation import Seq2SeqGenerationMixin
from minibert.models.head_layers import ClassificationHead
from minibert.models.heads import AnswerHead, MatrixHead, ModelWithHead
from minibert.models.seq2seq import encoder_state
from minibert.runtime.arrays import Array, Integers, number_array
from minibert.trace import Back, Stage, Trace, silent

BIAS = "final_logits_bias"  # a buffer, (1, V)


class BartHeadModel(ModelWithHead, BartPreTrainedModel):
    """Base of all heads: a BartModel in ``model``."""

    base_class = BartModel
    model: BartModel

    def forward(self, batch: Batch, trace: Trace) -> dict[str, Any]:
        """Run the network: the fields of the output."""
        batch = self.model.encoded(batch, trace)
        return {**super().forward(batch, trace), **encoder_state(batch)}


class BartForConditionalGeneration(Seq2SeqGenerationMixin, MatrixHead, BartHeadModel):
    """A score for each word to come next; a call returns a Seq2SeqLMOutput.

    The head's matrix is that of the words, unless config.tie_word_embeddings is off or a
    checkpoint has another one: then its config is changed to say so.
    """

    output_class = outputs.Seq2SeqLMOutput
    loss_of = staticmethod(labels.of_tokens)
    chosen_by = staticmethod(labels.labelled)
    lm_head: Linear
    buffers = (BIAS,)
    matrix, module, size, axes, has_bias = "lm_head", "lm_head", "vocab_size", "BTV", False
    shared: ClassVar[dict[str, str]] = {
        **BartPreTrainedModel.shared,
        "lm_head.weight": "shared.weight",
    }
    known_unused: ClassVar[dict[str, str]] = {
        "lm_head.weight": "equal to shared.weight, which serves",
        **BartPreTrainedModel.known_unused,
    }

    @classmethod
    def names(cls, config: BartConfig) -> tuple[Entry, ...]:
        """Return the table of names."""
        table = base_names(config) if config.tie_word_embeddings else super().names(config)
        return *table, Entry(BIAS, BIAS, (1, "vocab_size"))

    @classmethod
    def fitted(cls, config: Any, weights: Weights, dtype: np.dtype[Any]) -> list[Parameter]:
        """Return the parameters by the names that the file has; without a bias it is zeros."""
        has_bias = any(name.endswith(BIAS) for name in weights.tensors)
        found = super().fitted(config, weights, dtype)
        return [p for p in found if p.name != BIAS or has_bias]

    @classmethod
    def stages(cls) -> tuple[Stage, ...]:
        """Return the table of stages: the bias is added outside of the head."""
        head = Stage("lm_head", "BTV", "lm_head", "output")
        return *STAGES, head, Stage("logits", "BTV", "", "output")  # the model itself

    def _assemble(self, arrays: dict[str, Array]) -> None:
        super()._assemble(arrays)
        zeros = self.lm_head.bias[np.newaxis]
        self.final_logits_bias = arrays.get(BIAS, zeros)

    def word_logits(self, x: Array, trace: Trace) -> Array:
        """Return a score for each word of the vocabulary: (N, C) -> (N, V)."""
        return trace("logits", trace("lm_head", self.lm_head(x)) + self.final_logits_bias)

    def head_logits(self, x: Array, batch: Batch, trace: Trace) -> Array:
        """Return a score for each word of the vocabulary: (N, C) -> (N, V)."""
        return self.word_logits(batch.share(batch.scored, x), trace.of(batch.scored))

    def head_backward(self, grad: Array, x: Array, batch: Batch, back: Back) -> Array:
        """Return the gradient of the last state: (N, V) -> (N, C)."""
        x, there = batch.share(batch.scored, x), back.of(batch.scored)
        grad = there("lm_head", there("logits", grad))
        grad = self.lm_head.backward(grad, x, there.within("lm_head"))
        return batch.gather([batch.scored], [grad])

    def _read(self, input_ids: Any, labels: Any) -> Integers:
        """Return what the decoder reads by default: the labels, or else what the encoder read."""
        if labels is None:
            return super()._read(input_ids, labels)
        pad, ids = self.config.pad_token_id, number_array("labels", labels)
        if pad is None and (ids == IGNORED).any():
            raise ValueError(f"labels have {IGNORED}, and the config no pad_token_id to read there")
        return self._shifted(np.where(ids == IGNORED, pad or 0, ids), "labels")

    def num_parameters(self) -> int:
        """Return how many numbers the model has learnt: the bias is none of them."""
        return super().num_parameters() - self.config.vocab_size

    def next_logits(self, batch: Batch) -> Array:
        """Return a score for each word to come after the last token of each sequence: (n, V)."""
        states = self.model.states(self.model.encoded(batch, silent), silent)
        return self.word_logits(states[batch.last_rows()], silent)


class BartForQuestionAnswering(AnswerHead, BartHeadModel):
    """Where an answer begins and ends; a call returns a Seq2SeqQuestionAnsweringModelOutput."""

    output_class = outputs.Seq2SeqQuestionAnsweringModelOutput


class BartForSequenceClassification(BartHeadModel):
    """A label for the whole; a call returns a Seq2SeqSequenceClassifierOutput.

    It is told from what the decoder makes of the column in which input_ids have their last
    config.eos_token_id: what is read and what the decoder gets must be equally long.
    """

    output_class = outputs.Seq2SeqSequenceClassifierOutput
    dropped = ("head", "classifier.activation")
    loss_of = staticmethod(labels.of_sequences)
    has_problems = True
    HEAD = "classification_head"

    @classmethod
    def names(cls, config: BartConfig) -> tuple[Entry, ...]:
        """Return the table of names."""
        dense = pair(f"{cls.HEAD}.dense", "classifier.dense", "d_model", "d_model")
        return (
            *base_names(config),
            *dense,
            *pair(f"{cls.HEAD}.out_proj", "classifier.output", "num_labels", "d_model"),
        )

    @classmethod
    def stages(cls) -> tuple[Stage, ...]:
        """Return the table of stages."""
        return (
            *STAGES,
            Stage("classifier.intermediate", "BC", f"{cls.HEAD}.dense", "output"),
            Stage("classifier.activation", "BC", f"{cls.HEAD}.out_proj", "input"),
            Stage("logits", "BL", f"{cls.HEAD}.out_proj", "output"),
        )

    def _assemble(self, arrays: dict[str, Array]) -> None:
        super()._assemble(arrays)
        build = Builder(self.config, arrays)
        self.classifier = ClassificationHead(
            *map(build.linear, ("classifier.dense", "classifier.output"))
        )

    def head_logits(self, x: Array, batch: Batch, trace: Trace) -> Array:
        """Return a score for each label: (N, C) -> (n, L)."""
        trace = trace.of(batch.vectors)
        ends = trace("head", x[self._rows(batch)])
        return trace("logits", self.classifier(ends, trace.within("classifier")))

    def fields(self, logits: Array, batch: Batch) -> dict[str, Any]:
        """Return the output's fields."""
        return {"logits": batch.vectors.unpack(logits)}

    def head_backward(self, grad: Array, x: Array, batch: Batch, back: Back) -> Array:
        """Return the gradient of the last state: (n, L) -> (N, C)."""
        whole, there = np.zeros_like(x), back.of(batch.vectors)
        given = there("logits", grad), there.kept("head"), there.within("classifier")
        whole[self._rows(batch)] = there("head", self.classifier.backward(*given))
        return whole

    def _rows(self, batch: Batch) -> Integers:
        """Return the row of the last end of each sequence that has a real token."""
        places = batch.vectors.indices, self._ends(batch)
        if not batch.mask[places].all():
            i = batch.vectors.indices[int(batch.mask[places].argmin())]
            what = f"the last eos_token_id of input_ids[{i}] is in a column"
            raise ValueError(f"{what} that decoder_attention_mask says to be padding")
        return batch.rows_at(places)

    def _ends(self, batch: Batch) -> Integers:
        """Return the column of the last end of each sequence that has a real token."""
        source, ends = batch.source, self.config.eos_token_id
        if source is None or source.token_ids is None:
            raise ValueError("pass input_ids: where their last eos_token_id is tells the label")
        if source.mask.shape != batch.mask.shape:
            what = f"input_ids are {source.mask.shape}, what the decoder reads {batch.mask.shape}"
            raise ValueError(f"{what}; the label is told from the same column, so make them equal")
        ids = np.full(source.mask.shape, -1)
        ids[source.mask] = source.token_ids
        found = np.isin(ids, [] if ends is None else ends)[batch.vectors.indices]
        counts = found.sum(axis=1)
        if (counts == 0).any() or (counts != counts[:1]).any():
            what = f"the sequences of input_ids have {counts.tolist()} tokens that are eos_token_id"
            raise ValueError(f"{what} ({ends}); needed: at least one, and equally many in each")
        columns: Integers = found.shape[1] - 1 - found[:, ::-1].argmax(axis=1)
        return columns
