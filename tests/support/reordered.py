"""The same network with its columns in another order: every sum then rounds in another way."""

import copy
from dataclasses import replace

import numpy as np

from minibert.layers import Embeddings, Layer
from minibert.models.head_layers import Pooler


def reordered(model, random):
    """Return a BertModel with hidden and wide columns shuffled, and how to put stages back."""
    hidden = random.permutation(model.config.hidden_size)
    wide = random.permutation(model.config.intermediate_size)
    other, own = copy.copy(model), model.embeddings
    tables = (table[:, hidden] for table in (own.word, own.position, own.token_type))
    other.embeddings = Embeddings(*tables, outputs(own.norm, hidden))
    other.layers = tuple(_layer(layer, hidden, wide) for layer in model.layers)
    other.pooler = Pooler(inputs(model.pooler.dense, hidden))

    def put_back(name, stage):
        order = hidden if _is_hidden(name) else wide if _is_wide(name) else None
        return stage if order is None else stage[..., np.argsort(order)]

    return other, put_back


def outputs(part, order):
    return replace(part, weight=part.weight[order], bias=part.bias[order])


def inputs(part, order):
    return replace(part, weight=np.ascontiguousarray(part.weight[:, order]))


def _layer(layer, hidden, wide):
    attention, feed_forward = layer.attention, layer.feed_forward
    return Layer(
        replace(
            attention,
            query=inputs(attention.query, hidden),
            key=inputs(attention.key, hidden),
            value=inputs(attention.value, hidden),
            output=outputs(attention.output, hidden),
        ),
        outputs(layer.attention_norm, hidden),
        replace(
            feed_forward,
            intermediate=outputs(inputs(feed_forward.intermediate, hidden), wide),
            output=outputs(inputs(feed_forward.output, wide), hidden),
        ),
        outputs(layer.norm, hidden),
    )


def _is_hidden(name):
    ends = (".output", ".attention", ".feed_forward")
    is_state = name.startswith("layer.") and name.count(".") == 1
    return is_state or name.startswith("embeddings") or name.endswith(ends)


def _is_wide(name):
    return name.endswith((".intermediate", ".activation"))
