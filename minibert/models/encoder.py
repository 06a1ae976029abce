"""The encoder of a model of two stacks, called alone."""

from dataclasses import dataclass
from itertools import chain
from typing import Any

from minibert.models.outputs import BaseModelOutput
from minibert.models.shown import record_no_scores, seen_in
from minibert.runtime.spelling import Spelled
from minibert.runtime.threads import in_turn
from minibert.trace import Recording


@dataclass(frozen=True, eq=False)
class Encoder(Spelled):
    """The encoder of a model: a call returns a BaseModelOutput."""

    model: Any  # an EncoderDecoderModel

    def __call__(
        self,
        input_ids: Any = None,
        attention_mask: Any = None,
        inputs_embeds: Any = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
    ) -> BaseModelOutput:
        """Run the encoder on a batch: the arguments are those of the model."""
        model, source = self.model, self.model.source(input_ids, attention_mask, inputs_embeds)
        fields = model._shown(output_hidden_states, output_attentions).items()
        side = "encoder_"
        shown = {x.removeprefix(side): names for x, names in fields if x.startswith(side)}
        recording = Recording(source, {*chain(*shown.values())})
        source = in_turn(model.read, source, recording)
        if not source.sequences:
            record_no_scores(model, source, recording)
        states: Any = source.states
        return BaseModelOutput(source.unpack(states), **seen_in(recording, shown))
