import dataclasses
import math
import re

import pytest

from minibert import BertConfig, BertModel

SIZES = {
    "vocab_size": 23,
    "hidden_size": 15,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "intermediate_size": 19,
    "max_position_embeddings": 11,
    "type_vocab_size": 7,
}
HUGE = 10**5000

WHOLE = "a whole number from 1 to "
KNOWN = '"gelu", "gelu_python", .*"relu", .*"tanh", .*"linear"'
NO_SIZE = (-1, 0, 2.5, 2.0, True, "12", [3], math.nan, math.inf, 10**30, HUGE)
NO_EPS = (
    math.nan,
    math.inf,
    -math.inf,
    -1e-12,
    0,
    1e-40,
    1e300,
    True,
    "1e-12",
    None,
    10**400,
    HUGE,
)
REFUSED = [
    *((field, value, WHOLE) for field in [*SIZES, "num_labels"] for value in NO_SIZE),
    *(("layer_norm_eps", value, "a number from 1e-37 to 100000") for value in NO_EPS),
    *(("initializer_range", value, "a number from 0 to 100000") for value in (-0.1, 1e300)),
    ("hidden_act", "foo", KNOWN),
    ("hidden_act", ["gelu"], KNOWN),
    ("position_embedding_type", "relative_key", '"absolute"'),
    ("is_decoder", True, "false"),
    ("add_cross_attention", True, "false"),
    ("is_encoder_decoder", True, "false"),
    ("num_attention_heads", 7, "must divide 'hidden_size', which is 15"),
    ("pad_token_id", 23, "must be below 'vocab_size', which is 23"),
    ("pad_token_id", -1, "or null"),
    ("num_labels", 10**12, WHOLE),
    ("num_hidden_layers", 2**31 - 1, WHOLE),
    ("dtype", "int8", '"float32", "float64", "float16", "bfloat16", null'),
    ("hidden_dropout_prob", 1.5, "a number from 0 to 1"),
    ("hidden_dropout_prob", HUGE, "a number from 0 to 1"),
    ("eos_token_id", [3, "a"], "a token id or a list of them"),
    ("output_attentions", 1, "true, false"),
    ("architectures", "BertModel", "a list of texts, or null"),
    ("id2label", {"a": "b"}, "from the numbers of the labels to their names"),
    ("id2label", {}, "from the numbers of the labels to their names"),
    ("id2label", {"9" * 5000: "a"}, "from the numbers of the labels to their names"),
    ("id2label", {0: ["a"]}, "from the numbers of the labels to their names"),
    ("label2id", {"a": "b"}, "from the names of the labels to their numbers"),
    ("label2id", {1: 0}, "from the names of the labels to their numbers"),
    ("problem_type", "guess", '"regression", .* null'),
    ("pruned_heads", {"0": [1]}, "pruned heads are not computed here"),
    ("pruned_heads", {0: [], 1: [0]}, "pruned heads are not computed here"),
    ("pruned_heads", [0], "pruned heads are not computed here"),
    ("_unknown", {1, 2}, "what JSON can hold"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "allowed"), REFUSED, ids=lambda x: "huge" if x is HUGE else str(x)[:20]
)
def test_refuses(field, value, allowed):
    """With the field, the value and what is allowed, as a keyword and in a file."""
    found = "thousands of digits" if value is HUGE else re.escape(repr(value)[:9])
    sentence = rf"config field '{field}' is .*{found}.*; .*{allowed}"
    with pytest.raises(ValueError, match=sentence):
        BertConfig(**{**SIZES, field: value})
    with pytest.raises(ValueError, match=sentence):
        BertConfig.from_dict({**SIZES, field: value})


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(BertConfig)])
def test_no_field_takes_anything(field):
    config = BertConfig()
    with pytest.raises(ValueError, match=f"config field '{field}' is b'x'; allowed: "):
        setattr(config, field, b"x")
    assert config == BertConfig()


def test_fields_that_do_not_fit_together_are_refused_by_the_model():
    config = BertConfig(**SIZES)
    config.num_attention_heads = 7
    with pytest.raises(ValueError, match="'num_attention_heads' is 7"):
        BertModel(config)


@pytest.mark.parametrize(
    "sizes",
    [
        {"vocab_size": 2**31 - 1},
        {"hidden_size": 12 * 2**20, "vocab_size": 1, "intermediate_size": 1},
        {"max_position_embeddings": 2**31 - 1},
        {"num_hidden_layers": 2**14, "intermediate_size": 2**20},
        {"type_vocab_size": 2**31 - 1},
        {"intermediate_size": 2**31 - 1},
    ],
    ids=lambda sizes: next(iter(sizes)),
)
def test_sizes_that_no_machine_holds_are_refused(sizes):
    with pytest.raises(ValueError, match=r"parameters, which no machine .*hidden_size, .*layers"):
        BertConfig(**sizes)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[1]", "holds an array, not an object"),
        (b"3", "holds a number, not an object"),
        (b"{'a': 1}", "is not JSON"),
        (b"", "an empty file"),
        (b"<html>", "an HTML page"),
        ('{"a": "é"}'.encode("latin-1"), "not UTF-8: see line 1"),
        ('{"a": 1}'.encode("utf-16"), "not UTF-8: see line 1"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested more than 64 deep"),
        (b'{"a": ' + b"[" * 500 + b"]" * 500 + b"}", "nested more than 64 deep"),
        (b'{"a": ' + b'{"b": ' * 500 + b"1" + b"}" * 500 + b"}", "nested more than 64 deep"),
        (b'{"vocab_size": 1' + b"0" * 4000 + b"}", "'vocab_size' is 1000"),
        (b'{"layer_norm_eps": 1' + b"0" * 4000 + b"}", "'layer_norm_eps' is 1000"),
        (b'{"layer_norm_eps": NaN}', "'layer_norm_eps' is nan"),
        (b'{"layer_norm_eps": 1e999}', "'layer_norm_eps' is inf"),
        (b'{"vocab_size": 1' + b"0" * 5000 + b"}", "digits"),
        (b'{"num_hidden_layers": -3}', "'num_hidden_layers' is -3"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_file_is_named_with_what_is_wrong(tmp_path, content, sentence):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=rf"config\.json'.*{sentence}"):
        BertConfig.from_pretrained(tmp_path)


def test_a_file_or_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no file '.*config\.json'"):
        BertConfig.from_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no folder '.*nowhere'"):
        BertConfig.from_pretrained(tmp_path / "nowhere")


@pytest.mark.parametrize("none", [{}, None, {"0": []}])
def test_heads_that_were_not_pruned_are_no_matter(none):
    assert BertConfig(pruned_heads=none).pruned_heads == none
