"""Configs, held against transformers'."""

import json

import pytest

from minibert import BertConfig

transformers = pytest.importorskip("transformers", reason="compares with transformers' BertConfig")

VALUES = [
    {},
    {"num_hidden_layers": 10, "hidden_size": 15, "num_attention_heads": 5, "vocab_size": 23},
    {"hidden_act": "gelu_new", "layer_norm_eps": 1.0, "pad_token_id": None},
    {"id2label": {0: "no", 1: "yes"}, "label2id": {"no": 0, "yes": 1}, "dtype": "float16"},
    {"num_labels": 3, "classifier_dropout": 0.5, "eos_token_id": [3, 5]},
    {"id2label": {i: f"name {i}" for i in range(13)}, "pooler_type": "first_token"},
    {"architectures": ["BertForMaskedLM"], "problem_type": "regression"},
    {"output_attentions": True, "output_hidden_states": True, "return_dict": False},
]
each_values = pytest.mark.parametrize("values", VALUES, ids=lambda v: "-".join(v) or "default")


def printed(config):
    """Return what a config prints, without what only one of the two has."""
    name, _, text = str(config).partition(" ")
    values = json.loads(text)
    only = ("transformers_version", "position_embedding_type", "label2id")
    return name, {key: value for key, value in values.items() if key not in only}


def test_the_default_prints_the_same_lines():
    only = ("transformers_version", "position_embedding_type")
    ours, theirs = (
        [line for line in str(config).splitlines() if not any(name in line for name in only)]
        for config in (BertConfig(), transformers.BertConfig())
    )
    assert ours == theirs


@each_values
def test_transformers_reads_what_we_save(tmp_path, values):
    config = BertConfig(**values)
    config.save_pretrained(tmp_path)
    theirs = transformers.BertConfig.from_pretrained(tmp_path)
    assert printed(theirs) == printed(config)
    assert (theirs.num_labels, theirs.id2label) == (config.num_labels, config.id2label)


@each_values
def test_we_read_what_transformers_saves(tmp_path, values):
    theirs = transformers.BertConfig(**values)
    theirs.save_pretrained(tmp_path)
    config = BertConfig.from_pretrained(tmp_path)
    assert printed(config) == printed(theirs)
    assert (config.num_labels, config.id2label) == (theirs.num_labels, theirs.id2label)


@pytest.mark.parametrize(
    "values",
    [
        {"num_labels": 3},
        {"num_labels": 3, "id2label": {"0": "a", "1": "b"}},
        {"num_labels": 2, "id2label": {"0": "a", "1": "b"}},
        {"num_labels": 3, "id2label": None},
        {"id2label": {"0": "a", "1": "b", "2": "c"}, "label2id": {"a": 0, "b": 1, "c": 2}},
        {"torch_dtype": "float16"},
    ],
    ids=str,
)
@pytest.mark.parametrize("overrides", [{}, {"num_labels": 3}, {"num_labels": 5}], ids=str)
def test_labels_and_overrides_mean_the_same(tmp_path, values, overrides):
    (tmp_path / "config.json").write_text(json.dumps(values))
    ours = BertConfig.from_pretrained(tmp_path, **overrides)
    theirs = transformers.BertConfig.from_pretrained(tmp_path, **overrides)
    assert (ours.num_labels, ours.id2label) == (theirs.num_labels, theirs.id2label)
    assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
