"""Models of two stacks: an encoder reads a text, and a decoder looks at what it made of it.

The encoder's tokens are the source, (B, S); those of the decoder are (B, T).
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from minibert import arguments
from minibert.batch import Batch
from minibert.cache import Cache
from minibert.models.encoder import Encoder
from minibert.models.heads import Tied
from minibert.models.stack import Stack
from minibert.runtime.arrays import Array, Integers, number_array
from minibert.trace import Trace

PARTS = "last_hidden_state", "hidden_states", "attentions"


class EncoderDecoderModel(Tied):
    """Base of the models of two stacks: the base model has them in ``encoder`` and ``decoder``."""

    depths: ClassVar[dict[str, str]] = {"encoder.": "encoder_layers", "decoder.": "decoder_layers"}

    @property
    def stacks(self) -> dict[str, Stack]:
        """The encoder and the decoder, by what the names of their stages begin with."""
        return {"encoder.": self.base_model.encoder, "decoder.": self.base_model.decoder}

    def __call__(  # type: ignore[override]  # with the arguments of these models
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        decoder_input_ids: Any = None,
        decoder_attention_mask: Any = None,
        encoder_outputs: Any = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Any = None,
        decoder_inputs_embeds: Any = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
        trace: dict[str, Array] | None = None,
        *,
        labels: Any = None,
        start_positions: Any = None,
        end_positions: Any = None,
    ) -> Any:
        """Run the model on a batch.

        input_ids: (B, S), what the encoder reads, or inputs_embeds (B, S, C) in its place.
        attention_mask: (B, S), 1 for a real token (the default), 0 for padding, in any pattern.
        decoder_input_ids: (B, T), or decoder_inputs_embeds (B, T, C); by default the input_ids
        shifted to the right, behind config.decoder_start_token_id. decoder_attention_mask: as
        attention_mask, and 1 by default for padding, too.
        encoder_outputs: what ``get_encoder()`` returned of the same batch, a tuple that begins
        with the states, or these alone, (B, S, C): then the encoder does not run.
        past_key_values: what an earlier call returned; it is extended, decoder_attention_mask, if
        given, is of all tokens, and the encoder's part need not be passed again.
        labels, start_positions, end_positions: what a head is to say; then the output has a loss.
        A head that writes reads its labels, shifted, where no decoder_input_ids are given.
        All others are as in BertModel.

        Returns the class's output, or its tuple if return_dict is False. Padding is not computed:
        there are zeros in its place. TypeError or ValueError for a bad argument.
        """
        words = input_ids, attention_mask, decoder_input_ids, decoder_attention_mask
        others = encoder_outputs, inputs_embeds, decoder_inputs_embeds
        given = labels, start_positions, end_positions
        targets = dict(zip(("labels", "start_positions", "end_positions"), given, strict=True))
        cache = self._cache(past_key_values, use_cache)
        batch = self.batch(*words, *others, cache=cache, **targets)
        shown = self._shown(output_hidden_states, output_attentions)
        known = {} if _is_unread(batch) else self._known(encoder_outputs, shown)
        return self._run(batch, shown, trace, return_dict, **known)

    @staticmethod
    def _known(encoder_outputs: Any, shown: dict[str, list[str]]) -> dict[str, Any]:
        """Return the fields of the output that a caller has passed; they are shown by no stage."""
        names = "encoder_last_hidden_state", "encoder_hidden_states", "encoder_attentions"
        parts = dict(zip(names, _parts(encoder_outputs), strict=True))
        return {x: part for x, part in parts.items() if shown.pop(x, True)}

    def _shown(self, states: bool | None, attentions: bool | None) -> dict[str, list[str]]:
        shown: dict[str, list[str]] = {}
        for start, stack in self.stacks.items():
            layers = [f"{start}layer.{i}" for i in range(len(stack.layers))]
            seen = layers if self._wants("output_attentions", attentions) else []
            hidden = [f"{start}embeddings", *layers]
            side = start.removesuffix(".")
            hidden = hidden if self._wants("output_hidden_states", states) else []
            shown[f"{side}_hidden_states"] = hidden
            shown[f"{side}_attentions"] = [f"{x}.attention.probabilities" for x in seen]
        shown["cross_attentions"] = [f"{x}.cross_attention.probabilities" for x in seen]
        return shown

    # the inputs

    def batch(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        decoder_input_ids: Any = None,
        decoder_attention_mask: Any = None,
        encoder_outputs: Any = None,
        inputs_embeds: Any = None,
        decoder_inputs_embeds: Any = None,
        *,
        cache: Any = None,
        **targets: Any,
    ) -> Batch:
        """Check the inputs of a call, and pack them: the decoder's batch, with its source."""
        source, read = None, (input_ids, inputs_embeds, encoder_outputs)
        is_read = any(x is not None for x in read)
        if not (is_read or _is_filled(cache)):
            what = "pass either input_ids or inputs_embeds, or encoder_outputs"
            raise ValueError(f"{what}: a decoder looks at what an encoder has read")
        if is_read:
            source = self.source(input_ids, attention_mask, inputs_embeds, encoder_outputs)
        if decoder_input_ids is None and decoder_inputs_embeds is None:
            decoder_input_ids = self._read(input_ids, targets.get("labels"))
        decoder = decoder_input_ids, decoder_attention_mask, decoder_inputs_embeds
        batch = self.decoder_batch(source, *decoder, cache=cache)
        return replace(batch, targets=self.checked(targets))

    def _read(self, input_ids: Any, labels: Any) -> Integers:
        """Return what the decoder reads by default: what was read before it, shifted."""
        return self._shifted(input_ids)

    def source(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        inputs_embeds: Any = None,
        encoder_outputs: Any = None,
    ) -> Batch:
        """Check what the encoder reads, and pack it; with its states if they are given."""
        states = self._states(encoder_outputs)
        if states is not None and input_ids is None and inputs_embeds is None:
            inputs_embeds = states  # they are as good for packing
        source = super().batch(input_ids, attention_mask, inputs_embeds=inputs_embeds)
        if source.allowed is not None:
            raise ValueError("attention_mask has an axis for queries; needed here: (batch, tokens)")
        if states is None:
            return source
        if states.shape[:2] != source.mask.shape:
            what = f"encoder_outputs is of another batch: its states are {states.shape}"
            raise ValueError(f"{what}, and the input is {source.mask.shape}")
        return replace(source, states=states[source.mask])

    def _states(self, encoder_outputs: Any) -> Array | None:
        states = _parts(encoder_outputs)[0]
        if states is None:
            return None
        array, width = number_array("encoder_outputs", states), self.config.hidden_size
        if array.ndim != 3 or array.shape[2] != width or array.dtype.kind != "f":
            what = f"encoder_outputs has states of {array.dtype} and of the shape {array.shape}"
            raise ValueError(f"{what}; needed: floating-point numbers, (batch, tokens, {width})")
        return array.astype(self.dtype, copy=False)

    def _shifted(self, input_ids: Any, name: str = "input_ids") -> Integers:
        """Return what the decoder reads by default: (B, S) -> (B, S)."""
        start, count = self.config.decoder_start_token_id, self.config.vocab_size
        hint = "pass decoder_input_ids or decoder_inputs_embeds"
        if input_ids is None:
            raise ValueError(f"there are no input_ids, which would be the decoder's, too: {hint}")
        if start is None:
            raise ValueError(f"the config has no decoder_start_token_id: set it, or {hint}")
        ids = arguments.indices(name, input_ids, count, "vocab_size")
        return np.insert(ids[:, :-1], 0, start, axis=1)

    def decoder_batch(
        self,
        source: Batch | None,
        decoder_input_ids: Any = None,
        decoder_attention_mask: Any = None,
        decoder_inputs_embeds: Any = None,
        position_ids: Any = None,
        *,
        cache: Any = None,
    ) -> Batch:
        """Check what the decoder reads, and pack it. source: None if ``cache`` is filled."""
        decoder: Any = decoder_input_ids, decoder_attention_mask, None, position_ids
        source = self._source(source, cache)
        with _named_for_decoder():
            batch = super().batch(*decoder, decoder_inputs_embeds, cache=cache)
        if len(source.mask) != len(batch.mask):
            what = f"the decoder's input is of {len(batch.mask)} sequences"
            raise ValueError(f"{what}, the encoder's of {len(source.mask)}")
        lost = batch.mask.any(axis=1) & ~source.mask.any(axis=1)
        if lost.any():
            what = f"sequence {int(lost.argmax())} is padding alone by attention_mask"
            raise ValueError(
                f"{what}: the decoder has nothing to look at. Leave it out, or let "
                "decoder_attention_mask be 0 there, too"
            )
        if cache is not None and not _is_filled(cache):
            cache.source = self.reserved(replace(source, cache=Cache())).cache
            cache.source.mask = source.mask
        return replace(batch, source=source)

    def _source(self, source: Batch | None, cache: Cache | None) -> Batch:
        """Return the source; without states, if the cache has keys and values of them."""
        if cache is None or not _is_filled(cache):
            if source is None:
                raise ValueError("there is no source: the cache is empty")
            return source
        if cache.source is None:
            raise ValueError("past_key_values is of a model without an encoder")
        kept = cache.source.mask
        if source is not None and not np.array_equal(source.mask, kept):
            what = f"past_key_values is of another batch, {kept.shape} tokens were read"
            raise ValueError(f"{what}, and now they are {source.mask.shape}, or other padding")
        nothing = np.zeros(0, np.int64)
        return Batch(kept, nothing, nothing)

    # the network

    def read(self, source: Batch, trace: Trace) -> Batch:
        """Return the source with the states that the encoder gives it."""
        inner = trace.of(source).within("encoder")
        return replace(source, states=self.stacks["encoder."].states(source, inner))

    def encoded(self, batch: Batch, trace: Trace) -> Batch:
        """Return the decoder's batch, its source with states: the encoder runs if need be."""
        if not _is_unread(batch):
            return batch
        source: Any = batch.source
        return replace(batch, source=self.read(source, trace))

    def get_encoder(self) -> Encoder:
        """Return what runs the encoder alone."""
        return Encoder(self)


def encoder_state(batch: Batch) -> dict[str, Array]:
    """Return the field of an output that has the states of a batch's source, if they are known."""
    source = batch.source
    if source is None or source.states is None:
        return {}
    return {"encoder_last_hidden_state": source.unpack(source.states)}


def _is_filled(cache: Cache | None) -> bool:
    """Tell whether a cache holds the tokens of an earlier call, and its source."""
    return cache is not None and cache.get_seq_length() > 0


def _is_unread(batch: Batch) -> bool:
    """Tell whether the encoder has to run."""
    return batch.source is not None and batch.source.states is None and not _is_filled(batch.cache)


def _parts(encoder_outputs: Any) -> tuple[Any, Any, Any]:
    """Return the last states of an encoder, its hidden states and its attentions, or None."""
    if hasattr(encoder_outputs, PARTS[0]):
        encoder_outputs = tuple(getattr(encoder_outputs, name, None) for name in PARTS)
    if not isinstance(encoder_outputs, tuple):
        return encoder_outputs, None, None
    last, states, attentions, *_ = *encoder_outputs, None, None, None
    return last, states, attentions


@contextmanager
def _named_for_decoder() -> Iterator[None]:
    """Let errors name the decoder's arguments."""
    try:
        yield
    except (TypeError, ValueError) as error:
        names = r"\b(input_ids|attention_mask|inputs_embeds)\b"
        raise type(error)(re.sub(names, r"decoder_\1", str(error))) from None
