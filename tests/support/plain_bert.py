"""BERT as it is usually written: whole rectangles, an additive mask. Computes nothing by ours."""

import math

import numpy as np

from minibert import BertConfig, BertModel

# a padded batch, the second half of each sequence a second segment
LENGTHS = (9, 5, 7)
COLS = np.arange(9)
MASK = np.array([n > COLS for n in LENGTHS])
SECOND = np.array([(n // 2 <= COLS) & (n > COLS) for n in LENGTHS])
IDS = np.where(MASK, np.random.default_rng(5).integers(3, 40, MASK.shape), 0)
INPUTS = {"input_ids": IDS, "attention_mask": MASK * 1, "token_type_ids": SECOND * 1}
LAST = np.array([n - 1 == COLS for n in LENGTHS])


def erf(x):
    return np.vectorize(math.erf)(x)


def norm(x, layer_norm):
    x = x - x.mean(-1, keepdims=True)
    x = x / np.sqrt((x * x).mean(-1, keepdims=True) + layer_norm.eps)
    return x * layer_norm.weight + layer_norm.bias


def line(x, linear):
    return x @ linear.weight.T + linear.bias


def plain(x):
    return x


def run(model, ids, allowed, types, positions, after_softmax=None, product=plain, dropout=plain):
    """Return all hidden states and the pooler, padding included.

    allowed: what the queries may look at, (B, 1 or T, T). after_softmax: keys (B, T) whose
    probabilities stay. product, dropout: what is done to each product and before each residual.
    """
    parts, heads = model.embeddings, model.config.num_attention_heads
    hidden = parts.word[ids] + parts.position[positions] + parts.token_type[types]
    hidden = norm(hidden, parts.norm)
    states = {"embeddings": hidden}
    size, length, width = hidden.shape

    def split(x):
        return x.reshape(size, length, heads, width // heads).transpose(0, 2, 1, 3)

    bias = np.where(allowed, 0, np.finfo(hidden.dtype).min)[:, None]
    for i, layer in enumerate(model.layers):
        own = layer.attention
        q, k, v = (split(product(line(hidden, part))) for part in (own.query, own.key, own.value))
        scores = product(q @ k.swapaxes(-1, -2)) / math.sqrt(width // heads) + bias
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        if after_softmax is not None:
            weights = weights * after_softmax[:, None, None]
        context = product(weights @ v).transpose(0, 2, 1, 3).reshape(size, length, width)
        attended = dropout(product(line(context, own.output)))
        hidden = norm(hidden + attended, layer.attention_norm)
        wide = product(line(hidden, layer.feed_forward.intermediate))
        wide = wide * (1 + erf(wide / math.sqrt(2))) / 2
        fed = dropout(product(line(wide, layer.feed_forward.output)))
        hidden = norm(hidden + fed, layer.norm)
        states[f"layer.{i}"] = hidden
    return states


def wide_model(folder):
    """Return a model with wide weights, in float64."""
    config = BertConfig(
        vocab_size=41,
        hidden_size=21,
        num_hidden_layers=3,
        num_attention_heads=3,
        intermediate_size=37,
        max_position_embeddings=13,
        initializer_range=0.4,
    )
    made = BertModel(config, seed=3)
    made.save_pretrained(folder)
    return BertModel.from_pretrained(folder, dtype="float64")


def keys(mask):
    return {"allowed": mask[:, None]}
