"""What heads learn from in tests: small configs, inputs with padding, and labels of every kind."""

import copy

import numpy as np

import minibert

PAD, START, END = 0, 1, 2
#: Sizes that differ from each other, so that no two axes can be mistaken.
SIZES = {
    "Bert": {
        "vocab_size": 51,
        "hidden_size": 45,
        "num_hidden_layers": 2,
        "num_attention_heads": 5,
        "intermediate_size": 67,
        "max_position_embeddings": 29,
        "type_vocab_size": 3,
    },
    "GPT2": {
        "vocab_size": 53,
        "n_embd": 45,
        "n_layer": 3,
        "n_head": 5,
        "n_inner": 67,
        "n_positions": 29,
        "bos_token_id": START,
        "eos_token_id": END,
    },
    "Bart": {
        "vocab_size": 47,
        "d_model": 45,
        "encoder_layers": 2,
        "decoder_layers": 3,
        "encoder_attention_heads": 5,
        "decoder_attention_heads": 3,
        "encoder_ffn_dim": 67,
        "decoder_ffn_dim": 37,
        "max_position_embeddings": 29,
        "bos_token_id": START,
        "eos_token_id": END,
        "decoder_start_token_id": END,
        "forced_eos_token_id": END,
    },
}
KINDS = (
    *("BertForMaskedLM", "BertForPreTraining", "BertForNextSentencePrediction"),
    *("BertForSequenceClassification", "BertForTokenClassification"),
    *("BertForQuestionAnswering", "BertForMultipleChoice"),
    *("GPT2LMHeadModel", "GPT2ForSequenceClassification", "GPT2ForTokenClassification"),
    *("BartForConditionalGeneration", "BartForSequenceClassification"),
    "BartForQuestionAnswering",
)
POOLED = {f"BertFor{x}" for x in ("PreTraining", "NextSentencePrediction", "MultipleChoice")}
POOLED |= {"BertForSequenceClassification"}
LABELS = 5


def family(kind):
    """Return the beginning of a class's name."""
    return next(x for x in SIZES if kind.startswith(x))


def sizes(kind, **options):
    """Return the config of a model; options override it."""
    labels = {} if kind.endswith(("Answering", "Prediction")) else {"num_labels": LABELS}
    return {**SIZES[family(kind)], "pad_token_id": PAD, **labels, **options}


def read(kind, padding="right", shape=(4, 13), seed=1):
    """Return what a model reads: ids that repeat, the padding's among the real ones.

    padding: of the second and third row, "right", "left" or "holes"; "none": there is none.
    """
    random = np.random.default_rng(seed)
    ids, mask = random.integers(3, 17, shape), np.ones(shape, int)
    places = {"right": (slice(8, None), slice(4, None)), "left": (slice(5), slice(2)), "none": ()}
    for row, hidden in enumerate(places.get(padding, ([2, 3, 7], [0, 5, 12])), 1):
        mask[row, hidden] = 0
    ids[0, 3] = PAD
    found = {"input_ids": np.where(mask, ids, PAD), "attention_mask": mask}
    if kind.startswith("Bert"):
        found["token_type_ids"] = random.integers(0, 3, shape)
    if kind == "BartForSequenceClassification":  # one end each, as told from in its column
        ends = np.arange(shape[0]), np.resize([6, 1, 1, 9], shape[0])
        found["input_ids"][ends], found["attention_mask"][ends] = END, 1
    if kind == "BartForQuestionAnswering":
        found["decoder_input_ids"] = random.integers(3, 47, (shape[0], 11))
    if kind == "BertForMultipleChoice":  # texts, and the same in another order
        found = {name: np.stack([x, x[::-1]], 1) for name, x in found.items()}
    return found


def told(kind, inputs, problem=None, seed=2):
    """Return the labels of what was read, some of them ignored. problem: a problem_type."""
    random, mask = np.random.default_rng(seed), inputs["attention_mask"] != 0
    size = len(mask)
    ids, pairs = inputs["input_ids"], np.arange(size) % 2
    if kind.endswith(("MaskedLM", "PreTraining")):
        labels = {"labels": np.where(mask & (random.random(mask.shape) < 0.4), ids, -100)}
        return {**labels, **({"next_sentence_label": pairs} if "Pre" in kind else {})}
    if kind.endswith("TokenClassification"):
        some = mask & (random.random(mask.shape) < 0.8)
        return {"labels": np.where(some, random.integers(0, LABELS, mask.shape), -100)}
    if kind.endswith("QuestionAnswering"):  # one begins beyond the tokens, one before the first
        places = [1, 6, 40, -3], [5, 6, 2, 1]
        names = "start_positions", "end_positions"
        return {name: np.resize(some, size) for name, some in zip(names, places, strict=True)}
    if kind == "GPT2LMHeadModel":
        behind = np.pad(mask[:, :-1], ((0, 0), (1, 0)))  # it is told from the token before
        return {"labels": np.where(mask & behind, ids, -100)}
    if kind == "BartForConditionalGeneration":
        written = random.integers(3, 47, (size, 9))
        written[1, 5:] = -100
        return {"labels": written}
    if kind.endswith("SequenceClassification") and problem == "regression":
        return {"labels": random.standard_normal((size, LABELS))}
    if kind.endswith("SequenceClassification") and problem:
        return {"labels": random.random((size, LABELS)).round()}
    if kind.endswith("SequenceClassification"):
        return {"labels": np.resize([0, 4, -100, 2], size)}
    return {"labels": pairs}


def wide(kind, dtype="float64", seed=0, **options):
    """Return a model of minibert of which every weight is wide: scales are not 1, shifts not 0."""
    cls, random = getattr(minibert, kind), np.random.default_rng(seed)
    model = cls(cls.config_class(**sizes(kind, **options)))
    return rebuilt(
        model,
        {
            p.field: (p.field.endswith("norm.weight") + random.normal(0, 0.2, p.shape)).astype(
                dtype
            )
            for p in model.parameters_of(model.config)
        },
    )


def rebuilt(model, fields):
    """Return a model with this one's config, and other arrays."""
    other = copy.copy(model)
    other._assemble(fields)
    return other


def arrays(model):
    """Return the arrays of a model by field."""
    return {p.field: model.array(p.field) for p in model.parameters_of(model.config)}
