"""The checkpoint of the tests shows what it is for: each operation, and each size."""

import numpy as np
from wide import WIDE


def test_the_weights_are_wide_enough(model, reference):
    """At the usual spread of 0.02 it would be hidden which GELU it is."""
    for i in range(model.config.num_hidden_layers):
        assert np.abs(reference.stages[f"layer.{i}.feed_forward.intermediate"]).max() > 3


def test_the_sizes_differ(model, reference):
    c = model.config
    sizes = [c.vocab_size, c.hidden_size, c.num_attention_heads, c.intermediate_size]
    sizes += [c.max_position_embeddings, c.type_vocab_size, c.hidden_size // c.num_attention_heads]
    sizes += reference.inputs["input_ids"].shape
    assert len(set(sizes)) == len(sizes)
    assert all(size % 2 for size in sizes)


def test_the_checkpoint_is_small():
    assert sum(path.stat().st_size for path in WIDE.iterdir()) < 300_000
