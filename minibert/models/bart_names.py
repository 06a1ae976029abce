"""BART's names in a checkpoint, and its stages: tables of the two stacks."""

from typing import Any

from minibert.checkpoint.names import Entry
from minibert.models.building import pair
from minibert.trace import Stage

OFFSET = 2  # rows of a table of positions before that of the first

# ruff: noqa: E501 - a table is read by its columns
# fmt: off
_C = "d_model"
COUNTERS = {"i": "encoder_layers", "j": "decoder_layers"}


def _attention(name: str, field: str) -> tuple[Entry, ...]:
    parts = {"q_proj": "query", "k_proj": "key", "v_proj": "value", "out_proj": "output"}
    return tuple(e for n, f in parts.items() for e in pair(f"{name}.{n}", f"{field}.{f}", _C, _C))


def _stack(side: str, i: str) -> tuple[Entry, ...]:
    """Return the names of a stack, whose layers a letter counts."""
    name, field, wide = f"{side}.layers.{{{i}}}", f"{side}.layer.{{{i}}}", f"{side}_ffn_dim"
    across = (
        *_attention(f"{name}.encoder_attn", f"{field}.cross_attention"),
        *pair(f"{name}.encoder_attn_layer_norm", f"{field}.cross_attention_norm", _C),
    )
    return (
        Entry(f"{side}.embed_positions.weight", f"{side}.embeddings.position", (f"max_position_embeddings + {OFFSET}", _C)),
        *pair(f"{side}.layernorm_embedding", f"{side}.embeddings.norm", _C),
        *_attention(f"{name}.self_attn", f"{field}.attention"),
        *pair(f"{name}.self_attn_layer_norm", f"{field}.attention_norm", _C),
        *(across if side == "decoder" else ()),
        *pair(f"{name}.fc1", f"{field}.feed_forward.intermediate", wide, _C),
        *pair(f"{name}.fc2", f"{field}.feed_forward.output", _C, wide),
        *pair(f"{name}.final_layer_norm", f"{field}.norm", _C),
    )


#: Names in a checkpoint, our fields, shapes.
NAMES = (
    Entry("shared.weight", "embeddings.word", ("vocab_size", _C)),
    *_stack("encoder", "i"),
    *_stack("decoder", "j"),
)
#: Where the words are not shared each stack has its own, and nothing uses the others.
OWN_WORDS = tuple(
    Entry(f"{side}.embed_tokens.weight", f"{side}.embeddings.word", ("vocab_size", _C))
    for side in ("encoder", "decoder")
)


def base_names(config: Any) -> tuple[Entry, ...]:
    """Return the table of names of a model without a head."""
    return NAMES if config.tie_word_embeddings else NAMES + OWN_WORDS


def _attention_stages(part: str, module: str, norm: str, t: str, s: str) -> tuple[Stage, ...]:
    """Return the stages of an attention whose queries are of tokens t, its keys of tokens s."""
    return tuple(Stage(*line) for line in (
        (f"{part}.query", f"B{t}C", f"{module}.q_proj", "output"),
        (f"{part}.key", f"B{s}C", f"{module}.k_proj", "output"),
        (f"{part}.value", f"B{s}C", f"{module}.v_proj", "output"),
        (f"{part}.scores", f"BH{t}{s}", module, "softmax"),  # divided by sqrt(D)
        (f"{part}.probabilities", f"BH{t}{s}", module, "second"),
        (f"{part}.context", f"B{t}C", f"{module}.out_proj", "input"),  # heads side by side
        (f"{part}.output", f"B{t}C", f"{module}.out_proj", "output"),  # before the residual
        (part, f"B{t}C", norm, "output"),  # after the norm
    ))


def _stages(side: str, t: str) -> tuple[Stage, ...]:
    """Return the stages of a stack: its tokens' letter is T, or S in what is read."""
    name, module = f"{side}.layer.{{i}}", f"{side}.layers.{{i}}"
    own, across = f"{module}.self_attn", f"{module}.encoder_attn"
    looks = _attention_stages(f"{name}.cross_attention", across, f"{across}_layer_norm", "T", "S")
    return (
        Stage(f"{side}.embeddings.sum", f"B{t}C", f"{side}.layernorm_embedding", "input"),
        Stage(f"{side}.embeddings", f"B{t}C", f"{side}.layernorm_embedding", "output"),
        *_attention_stages(f"{name}.attention", own, f"{own}_layer_norm", t, t),
        *(looks if side == "decoder" else ()),
        Stage(f"{name}.feed_forward.intermediate", f"B{t}F", f"{module}.fc1", "output"),
        Stage(f"{name}.feed_forward.activation", f"B{t}F", f"{module}.fc2", "input"),
        Stage(f"{name}.feed_forward", f"B{t}C", f"{module}.fc2", "output"),  # before the residual
        Stage(name, f"B{t}C", module, "output"),
    )


#: The stages that a trace sees, their axes, and the module of transformers that shows each.
STAGES = (*_stages("encoder", "S"), *_stages("decoder", "T"))
# fmt: on
