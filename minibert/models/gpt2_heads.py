"""GPT-2 with a head: the classes of transformers, with its outputs and names.

Transformers' modeling_gpt2.py is what they follow.
"""

from typing import Any, ClassVar

import numpy as np

from minibert.batch import Batch
from minibert.checkpoint.names import Entry
from minibert.layers import Linear
from minibert.losses import Loss
from minibert.models import labels, outputs
from minibert.models.generation import GenerationMixin
from minibert.models.gpt2 import NAMES, GPT2Config, GPT2Model, GPT2PreTrainedModel
from minibert.models.heads import MatrixHead
from minibert.runtime.arrays import Array, Integers
from minibert.trace import silent


class GPT2MatrixHead(MatrixHead, GPT2PreTrainedModel):
    """Base of the heads: a GPT2Model in ``transformer``, and a matrix on each token."""

    base_class = GPT2Model
    transformer: GPT2Model


class GPT2LMHeadModel(GenerationMixin, GPT2MatrixHead):
    """A score for each word to come next; a call returns a CausalLMOutputWithCrossAttentions.

    The head's matrix is that of the words, unless config.tie_word_embeddings is off or a
    checkpoint has another one: then its config is changed to say so.
    """

    output_class = outputs.CausalLMOutputWithCrossAttentions
    loss_of = staticmethod(labels.of_next_tokens)
    chosen_by = staticmethod(labels.before_labelled)
    lm_head: Linear
    matrix, module, size, axes, has_bias = "lm_head", "lm_head", "vocab_size", "BTV", False
    shared: ClassVar[dict[str, str]] = {"lm_head.weight": "wte.weight"}
    known_unused: ClassVar[dict[str, str]] = {
        "lm_head.weight": "equal to the word embeddings, which serve",
        **GPT2PreTrainedModel.known_unused,
    }

    @classmethod
    def names(cls, config: GPT2Config) -> tuple[Entry, ...]:
        """Return the table of names."""
        return NAMES if config.tie_word_embeddings else super().names(config)

    def next_logits(self, batch: Batch) -> Array:
        """Return a score for each word to come after the last token of each sequence: (n, V)."""
        x: Array = self.lm_head(self.transformer.states(batch, silent)[batch.last_rows()])
        return x


class GPT2ForTokenClassification(GPT2MatrixHead):
    """A label for each token; a call returns a TokenClassifierOutput."""

    output_class = outputs.TokenClassifierOutput
    dropped = ("head",)
    loss_of = staticmethod(labels.of_tokens)
    matrix, module, size = "classifier", "classifier", "num_labels"


class GPT2ForSequenceClassification(GPT2MatrixHead):
    """A label for the whole, from the last real token whose id is not config.pad_token_id.

    A call returns a SequenceClassifierOutputWithPast.
    """

    output_class = outputs.SequenceClassifierOutputWithPast
    loss_of = staticmethod(labels.of_sequences)
    has_problems = True
    matrix, module, size, has_bias = "score", "score", "num_labels", False

    def fields(self, logits: Array, batch: Batch) -> dict[str, Any]:
        """Return the output's fields."""
        whole = batch.unpack(logits)
        return {"logits": whole[np.arange(len(whole)), self._last(batch)]}

    def loss(self, logits: Array, batch: Batch) -> Loss:
        """Return the loss of a batch's targets, and the gradient of the head's rows."""
        sequences = batch.vectors.indices
        rows = batch.rows_at((sequences, self._last(batch)[sequences]))
        loss, grad = super().loss(logits[rows], batch)
        whole = np.zeros_like(logits)
        whole[rows] = grad
        return loss, whole

    def _last(self, batch: Batch) -> Integers:
        """Return the column of each sequence's last token."""
        pad, told = self.config.pad_token_id, batch.mask.copy()
        if pad is None and len(told) > 1 and batch.mask.all():
            raise ValueError(
                "the config has no pad_token_id, and there is no attention_mask that says where "
                "sequences end: pass one, or set model.config.pad_token_id"
            )
        if pad is not None and batch.token_ids is not None:
            told[batch.mask] = batch.token_ids != pad
        columns: Integers = (np.arange(told.shape[1]) * told).argmax(axis=1)
        return columns
