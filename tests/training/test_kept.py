"""What is kept of the way there: what the way back reads, until it has."""

import pytest
from learning import KINDS, read, told, wide

from minibert.training.kept import Gradients, Kept

#: What is not read: the last state, which the head has, and what a pre-norm adds to the residual.
LEFT = {"Bert": {"layer.1"}, "Bart": {"encoder.layer.1", "decoder.layer.2"}}
ADDED = "attention.output", "feed_forward"
LEFT["GPT2"] = {"norm", *(f"layer.{i}.{x}" for i in range(3) for x in ADDED)}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_kept_is_read_once_and_then_forgotten(kind):
    model, inputs, kept = wide(kind), read(kind), Kept()
    model.learn(model.batch(**inputs, **told(kind, inputs)), kept, Gradients(kept))
    assert {name for _, name in kept.stages} == LEFT[kind[:4]]
