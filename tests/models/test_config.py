import json

import numpy as np
import pytest

from minibert import BertConfig

SIZES = {
    "vocab_size": 23,
    "hidden_size": 15,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "intermediate_size": 19,
    "max_position_embeddings": 11,
    "type_vocab_size": 7,
}
# what transformers 5.23 prints, without its version and with position_embedding_type
PRINTED = """BertConfig {
  "add_cross_attention": false,
  "attention_probs_dropout_prob": 0.1,
  "bos_token_id": null,
  "classifier_dropout": null,
  "eos_token_id": null,
  "hidden_act": "gelu",
  "hidden_dropout_prob": 0.1,
  "hidden_size": 768,
  "initializer_range": 0.02,
  "intermediate_size": 3072,
  "is_decoder": false,
  "layer_norm_eps": 1e-12,
  "max_position_embeddings": 512,
  "model_type": "bert",
  "num_attention_heads": 12,
  "num_hidden_layers": 12,
  "pad_token_id": 0,
  "position_embedding_type": "absolute",
  "tie_word_embeddings": true,
  "type_vocab_size": 2,
  "use_cache": true,
  "vocab_size": 30522
}
"""


def write(folder, content):
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def read(folder):
    return json.loads((folder / "config.json").read_text())


def test_prints_as_the_course_shows_it():
    assert str(BertConfig()) == repr(BertConfig()) == PRINTED


def test_the_fields_that_all_models_share_have_their_usual_values():
    config = BertConfig()
    assert (config.num_labels, config.id2label) == (2, {0: "LABEL_0", 1: "LABEL_1"})
    assert config.label2id == {"LABEL_0": 0, "LABEL_1": 1}
    assert (config.output_hidden_states, config.output_attentions) == (False, False)
    assert (config.return_dict, config.architectures, config.dtype) == (True, None, None)


@pytest.mark.parametrize(
    "values",
    [
        {},
        SIZES,
        {"num_labels": 3, "dtype": "float16", "output_attentions": True},
        {"id2label": {0: "no", 1: "yes"}, "classifier_dropout": 0.5, "eos_token_id": [3, 5]},
        {"id2label": {0: "no", 1: "yes"}, "label2id": {"LABEL_0": 0, "LABEL_1": 1}},
        {"id2label": {i: f"name {i}" for i in range(13)}, "pad_token_id": None},
        {"pooler_type": "first", "_nested": {"a": [1, None]}, "_name_or_path": "é"},
    ],
    ids=lambda values: "-".join(values) or "default",
)
def test_comes_back_as_it_was_saved(tmp_path, values):
    config = BertConfig(**values)
    config.save_pretrained(tmp_path / "new" / "folder")
    back = BertConfig.from_pretrained(tmp_path / "new" / "folder")
    assert back == config
    assert back.to_dict() == config.to_dict()
    assert read(tmp_path / "new" / "folder") == json.loads(config.to_json_string())
    assert BertConfig.from_dict(config.to_dict()) == config


def test_a_dict_of_a_config_is_a_copy():
    config = BertConfig()
    config.to_dict()["id2label"][2] = "more"
    assert config.num_labels == 2


def test_configs_with_other_values_differ():
    assert BertConfig(**SIZES) != BertConfig(**SIZES, layer_norm_eps=1e-5)
    assert BertConfig(**SIZES) != BertConfig.from_dict({**SIZES, "unknown": 1})


def test_overrides_win_over_the_file(tmp_path):
    write(tmp_path, {"model_type": "bert", "num_hidden_layers": 6, "note": "a", **SIZES})
    config = BertConfig.from_pretrained(tmp_path, num_hidden_layers=10, note="b")
    assert (config.num_hidden_layers, config.hidden_size, config.note) == (10, 15, "b")
    assert read(tmp_path)["num_hidden_layers"] == 3
    assert BertConfig.from_dict({"hidden_size": 24}, hidden_act="relu").hidden_act == "relu"


TWO, THREE = {"0": "a", "1": "b"}, {"0": "x", "1": "y", "2": "z"}
DRAWN = {0: "LABEL_0", 1: "LABEL_1", 2: "LABEL_2"}


@pytest.mark.parametrize(
    ("values", "overrides", "id2label"),
    [
        ({"id2label": THREE}, {}, {0: "x", 1: "y", 2: "z"}),
        ({"num_labels": 3}, {}, DRAWN),
        ({"num_labels": 3, "id2label": THREE}, {}, {0: "x", 1: "y", 2: "z"}),
        ({"num_labels": 3, "id2label": TWO}, {}, DRAWN),
        ({"num_labels": 3, "id2label": None}, {}, DRAWN),
        ({"id2label": TWO, "label2id": {"a": 0, "b": 1}}, {"num_labels": 3}, DRAWN),
        ({"id2label": TWO}, {"num_labels": 2}, {0: "a", 1: "b"}),
        ({"id2label": TWO, "num_labels": 2}, {"id2label": THREE}, {0: "x", 1: "y", 2: "z"}),
        ({"id2label": TWO}, {"id2label": THREE, "num_labels": 2}, {0: "LABEL_0", 1: "LABEL_1"}),
        ({}, {"id2label": {np.int64(0): "one"}}, {0: "one"}),
    ],
)
def test_labels(tmp_path, values, overrides, id2label):
    config = BertConfig.from_pretrained(write(tmp_path, values), **overrides)
    assert config.id2label == id2label
    assert config.label2id == {name: i for i, name in id2label.items()}
    assert config.num_labels == len(id2label)


def test_label2id_of_the_file_is_kept(tmp_path):
    write(tmp_path, {"id2label": TWO, "label2id": {"a": "0", "alias": 0, "b": 1}})
    assert BertConfig.from_pretrained(tmp_path).label2id == {"a": 0, "alias": 0, "b": 1}


def test_setting_num_labels_resets_the_labels():
    config = BertConfig(id2label={0: "a", 1: "b"})
    config.num_labels = 2
    assert config.id2label == {0: "a", 1: "b"}
    config.num_labels = 3
    assert config.id2label == DRAWN


def test_labels_are_numbered_by_text_in_the_file(tmp_path):
    BertConfig(id2label={0: "no", 1: "yes"}).save_pretrained(tmp_path)
    assert read(tmp_path)["id2label"] == {"0": "no", "1": "yes"}
    assert read(tmp_path)["label2id"] == {"no": 0, "yes": 1}


def test_unknown_keys_are_kept_as_attributes(tmp_path):
    write(tmp_path, {"pooler_type": "first_token", "nested": {"deep": [1]}})
    config = BertConfig.from_pretrained(tmp_path)
    assert config.pooler_type == "first_token"
    assert json.loads(config.to_json_string())["nested"] == {"deep": [1]}


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ({"torch_dtype": "float16"}, "float16"),
        ({"dtype": "torch.bfloat16"}, "bfloat16"),
        ({"torch_dtype": "torch.float16"}, "float16"),
        ({"dtype": np.float64}, "float64"),
        ({"dtype": np.dtype("float32")}, "float32"),
        ({"dtype": "float32", "torch_dtype": "float16"}, "float32"),
        ({"dtype": None, "torch_dtype": "float16"}, "float16"),
        ({"dtype": "float32", "torch_dtype": None}, "float32"),
    ],
)
def test_dtype_has_an_older_name(values, dtype):
    config = BertConfig(**values)
    assert config.dtype == BertConfig.from_dict(values).dtype == dtype
    assert "torch_dtype" not in config.to_dict()


def test_an_override_of_the_older_name_wins_too():
    assert BertConfig.from_dict({"dtype": "float32"}, torch_dtype="float16").dtype == "float16"


def test_numbers_of_numpy_are_numbers(tmp_path):
    config = BertConfig(hidden_size=np.int32(24), layer_norm_eps=np.float32(0.5))
    assert (type(config.hidden_size), type(config.layer_norm_eps)) == (int, float)
    config.save_pretrained(tmp_path)
    assert BertConfig.from_pretrained(tmp_path) == config


def test_eps_is_written_with_a_point(tmp_path):
    """Transformers reads no whole number there."""
    assert '"layer_norm_eps": 1.0' in BertConfig(layer_norm_eps=1).to_json_string()


def test_model_type_may_be_missing_but_not_another(tmp_path):
    assert BertConfig.from_pretrained(write(tmp_path, {})).model_type == "bert"
    write(tmp_path, {"model_type": "roberta"})
    with pytest.raises(ValueError, match=r"config\.json.*'roberta'.*'bert'"):
        BertConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("keyword", "near"),
    [
        ("hidden_sise", "hidden_size"),
        ("hiddensize", "hidden_size"),
        ("num_hidden_layer", "num_hidden_layers"),
        ("layer_norm_epsilon", "layer_norm_eps"),
        ("num_label", "num_labels"),
        ("vocab_sizes", "vocab_size"),
        *(("num_layers", "num_hidden_layers"), ("n_heads", "num_attention_heads")),
        *(("d_model", "hidden_size"), ("max_len", "max_position_embeddings")),
        *(("dropout", "hidden_dropout_prob"), ("num_classes", "num_labels")),
    ],
)
def test_a_misspelt_keyword_is_a_type_error(keyword, near):
    with pytest.raises(TypeError, match=f"no field '{keyword}'; did you mean '{near}'"):
        BertConfig(**{keyword: 3})
    with pytest.raises(TypeError, match=f"no field '{keyword}'; did you mean '{near}'"):
        BertConfig.from_dict({}, **{keyword: 3})


@pytest.mark.parametrize("name", ["colour", "x", "my_field", "learning_rate"])
def test_a_keyword_that_is_no_field_is_refused(name):
    with pytest.raises(TypeError, match=f"no field '{name}'.*from_dict takes whatever"):
        BertConfig(**{name: 3})
    assert vars(BertConfig.from_dict({name: 3}))[name] == 3


def test_an_attribute_under_a_name_of_others_is_refused_and_an_own_one_kept():
    config = BertConfig()
    with pytest.raises(AttributeError, match="no field 'n_layers'; did you mean 'num_hidden_layer"):
        config.n_layers = 3
    with pytest.raises(AttributeError, match="no 'n_layers'; did you mean 'num_hidden_layers'"):
        config.n_layers  # noqa: B018
    config.note = "kept"
    assert config.to_dict()["note"] == "kept"
    assert BertConfig.from_dict({"n_layers": 3}).n_layers == 3


def test_what_an_older_config_holds_besides_is_no_misspelling():
    assert BertConfig(transformers_version="4.0.0", _attn_implementation_autoset=True)


@pytest.mark.parametrize(
    ("written", "dtype"),
    [
        *((word, "float32") for word in ("torch.float", "fp32", "single", np.float32, "<f4")),
        *((word, "float16") for word in ("half", "torch.half", "fp16", np.dtype("float16"))),
        *((word, "float64") for word in ("double", float)),
        *(("bf16", "bfloat16"), ("auto", None)),
    ],
    ids=str,
)
def test_a_dtype_is_read_however_it_is_written(written, dtype):
    assert BertConfig.from_dict({"torch_dtype": written}).dtype == dtype


def test_an_override_of_nothing_is_a_type_error():
    with pytest.raises(TypeError, match=r"no field 'colour'\. There is nothing to override"):
        BertConfig.from_dict({"shade": 1}, colour=3)


@pytest.mark.parametrize("name", ["to_dict", "check", "_fill", "__class__", "__deepcopy__"])
def test_a_file_cannot_replace_what_a_config_does(name):
    with pytest.raises(ValueError, match=f"'{name}' has a name that this class keeps"):
        BertConfig.from_dict({name: 3})


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path):
    resource = pytest.importorskip("resource", reason="limits on file sizes are a thing of Unix")
    BertConfig(**SIZES).save_pretrained(tmp_path)
    before = (tmp_path / "config.json").read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.raises(OSError, match="large"):
            BertConfig().save_pretrained(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]
    assert (tmp_path / "config.json").read_bytes() == before


def test_a_place_that_cannot_be_written_gets_no_stray_file(tmp_path):
    (tmp_path / "config.json").mkdir()
    with pytest.raises(OSError, match="directory"):
        BertConfig().save_pretrained(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            {"architectures": ["OtherBertModel"]},
            "names the architecture OtherBertModel; it is read",
        ),
        ({"architectures": ["BertForNER", "\x1b[2J"]}, r"the architecture BertForNER, \\x1b\[2J;"),
        ({"architectures": ["RobertaModel"]}, "names the architecture RobertaModel"),
        ({"auto_map": {"AutoModel": "own.Model"}}, "auto_map {'AutoModel': 'own.Model'}, code"),
        ({"auto_map": "own"}, "names auto_map own, code"),
    ],
)
def test_a_class_that_may_compute_something_else_is_told(tmp_path, found, said):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **found}))
    with pytest.warns(UserWarning, match=said):
        BertConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "found",
    [
        *({"architectures": [name]} for name in ("BertLMHeadModel", "TFBertForMaskedLM")),
        {"architectures": ["Other", "FlaxBertModel"]},
        {"architectures": None, "auto_map": {}},
        {"auto_map": {"AutoTokenizer": ["own.Tokenizer", None]}},
    ],
)
def test_the_classes_of_transformers_are_no_matter(tmp_path, found):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", **found}))
    assert BertConfig.from_pretrained(tmp_path).architectures == found.get("architectures")
