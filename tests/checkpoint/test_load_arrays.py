"""From tensors to the arrays of a model, and the report of what went where."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from minibert.checkpoint.load import LoadingReport, load_arrays, open_weights
from minibert.checkpoint.names import expand
from minibert.models.bert import NAMES, BertConfig, BertModel

ALL_FORMS = [
    f"{form}{how}" for form in ("safetensors", "zip", "legacy") for how in ("", "-sharded")
]


@pytest.fixture
def write(tmp_path, make):
    """Return what writes a checkpoint of given arrays and returns its folder."""

    def write(arrays, form="safetensors"):
        (tmp_path / "config.json").write_text(json.dumps(make.sizes | {"model_type": "bert"}))
        make.write_weights(tmp_path, form, arrays)
        return tmp_path

    return write


def load(folder, dtype="float32"):
    """Return the arrays of a BERT by field, and the report."""
    config = BertConfig.from_pretrained(folder)

    def draw(parameter):
        return np.zeros(parameter.shape, dtype)

    def reason(name):
        return BertModel.why_unused(name, config)

    parameters = expand(NAMES, config, BertModel.counters)
    prefix, required = BertModel.prefix, BertModel.required
    return load_arrays(open_weights(folder), parameters, prefix, required, draw, reason, dtype)


@pytest.mark.parametrize("form", ALL_FORMS)
def test_every_form_makes_the_same_model(write, arrays, form):
    loaded, report = load(write(arrays, form))
    assert set(report.loaded) == set(arrays)
    assert set(report.loaded.values()) == set(loaded)
    assert (report.renamed, report.newly_initialized, report.unused) == ({}, (), {})
    for name, field in report.loaded.items():
        assert loaded[field].tobytes() == arrays[name].tobytes(), name
        assert loaded[field].shape == arrays[name].shape, name
        assert not loaded[field].flags.writeable, name


def test_safetensors_are_mapped_and_not_copied(write, arrays):
    folder = write(arrays)
    loaded, _ = load(folder)
    assert not any(array.flags.owndata for array in loaded.values())
    maps = Path("/proc/self/maps")
    if maps.exists():  # on Linux, the word of the kernel
        assert str(folder / "model.safetensors") in maps.read_text()


def test_in_float64_the_numbers_are_the_same(write, arrays):
    loaded, report = load(write(arrays), "float64")
    for name, field in report.loaded.items():
        assert loaded[field].dtype == np.float64
        np.testing.assert_array_equal(loaded[field], arrays[name])


# --- names


def old_names(name):
    name = name.replace("LayerNorm.weight", "LayerNorm.gamma")
    return f"bert.{name.replace('LayerNorm.bias', 'LayerNorm.beta')}"


def test_old_names_are_renamed_and_reported(write, arrays):
    loaded, report = load(write({old_names(name): array for name, array in arrays.items()}))
    assert report.renamed == {old_names(name): name for name in arrays}
    np.testing.assert_array_equal(
        loaded["layer.1.norm.weight"], arrays["encoder.layer.1.output.LayerNorm.weight"]
    )


def test_all_missing_tensors_in_one_error(write, arrays):
    missing = ["embeddings.LayerNorm.bias", "encoder.layer.1.output.dense.weight"]
    kept = {name: array for name, array in arrays.items() if name not in missing}
    folder = write(kept | {"other": np.ones(3, np.float32)})
    sentence = rf"^2 tensors are missing in '{folder}': {', '.join(missing)}\. .* not used: other$"
    with pytest.raises(ValueError, match=sentence):
        load(folder)


def test_a_model_of_another_kind_misses_everything(write, arrays):
    with pytest.raises(ValueError, match=r"^37 tensors .* and 32 more\. .* not used: gpt_emb"):
        load(write({f"gpt_{name}": array for name, array in arrays.items()}))


def test_a_missing_pooler_is_drawn_with_one_warning(write, arrays):
    pooler = ("pooler.dense.weight", "pooler.dense.bias")
    folder = write({name: array for name, array in arrays.items() if name not in pooler})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = BertModel.from_pretrained(folder)
    (warning,) = caught
    assert ", ".join(pooler) in str(warning.message)
    assert warning.filename == __file__
    assert model.loading_report.newly_initialized == pooler
    assert model.pooler.dense.weight.std() > 0


def test_unused_tensors_are_reported_with_a_reason(write, arrays):
    unused = {
        "bert.embeddings.position_ids": "a buffer that counts 0, 1, 2, ...",
        "embeddings.token_type_ids": "a buffer of zeros",
        "cls.predictions.bias": "belongs to a masked-language-model head",
        "cls.seq_relationship.weight": "belongs to a next-sentence head",
        "classifier.weight": "belongs to a classification head",
        "qa_outputs.bias": "belongs to a question-answering head",
        "encoder.layer.2.output.dense.bias": "the config has 2 layers, counted from 0",
        "encoder.layer.10.output.dense.bias": "the config has 2 layers, counted from 0",
        "optimizer.state.exp_avg": "belongs to the training",
        "encoder.layer.7.adapter.weight": "the config has 2 layers, counted from 0",
    }
    extra = {name: np.ones(3, np.float32) for name in unused}
    _, report = load(write(arrays | extra))
    assert report.unused == unused


@pytest.mark.parametrize(
    "name",
    [
        "encoder.layer.1.output.adapters.task.adapter_down.0.weight",
        "encoder.layer.0.attention.self.query.lora_A.default.weight",
        "encoder.layer.0.attention.self.distance_embedding.weight",
        "encoder.relative_attention_bias.weight",
        "embeddings.LayerNorm_2.weight",
        "embeddings.LayerNorm_2.gamma",
        "pooler.norm.bias",
        "bert.final_norm.weight",
    ],
)
def test_a_tensor_that_would_change_the_results_is_refused(write, arrays, name):
    folder = write(arrays | {name: np.ones(3, np.float32)})
    with pytest.raises(ValueError, match=rf"does not have: {name}\. .*merge_and_unload"):
        load(folder)


@pytest.mark.parametrize("name", ["crf.transitions", "final.LayerNorm.gamma", "my_gamma.weight"])
def test_a_tensor_beside_the_model_is_told(write, arrays, name):
    folder = write(arrays | {name: np.ones(3, np.float32)})
    with pytest.warns(UserWarning, match=f"^not used: {name}"):
        _, report = load(folder)
    assert report.unused == {name: "the model has no tensor of this name"}


# --- a prefix before all names


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "0.auto_model.", "model.", "a.b.c.", "module.bert.", "x."]
)
def test_a_prefix_before_all_names_is_read_and_reported(write, arrays, prefix):
    extra = {"embeddings.position_ids": np.ones(3, np.float32)}
    folder = write({f"{prefix}{name}": array for name, array in (arrays | extra).items()})
    loaded, report = load(folder)
    assert report.prefix == prefix.removesuffix("bert.")
    assert str(report).endswith(f"before the names   {report.prefix}")
    assert report.unused == {
        f"{prefix}embeddings.position_ids": "a buffer that counts 0, 1, 2, ..."
    }
    assert set(report.loaded) == set(arrays)
    for name, field in report.loaded.items():
        np.testing.assert_array_equal(loaded[field], arrays[name])


def test_a_prefix_before_a_model_and_its_head(write, arrays):
    names = {f"module.bert.{name}": array for name, array in arrays.items()}
    _, report = load(write(names | {"module.classifier.bias": np.ones(2, np.float32)}))
    assert report.prefix == "module."
    assert report.unused == {"module.classifier.bias": "belongs to a classification head"}


def test_a_model_in_a_field_beside_other_fields(write, arrays):
    names = {f"model.bert.{name}": array for name, array in arrays.items()}
    others = {"classifier.bias": np.ones(2, np.float32), "loss.weight": np.ones(2, np.float32)}
    loaded, report = load(write(names | others))
    assert report.prefix == "model."
    assert set(report.unused) == set(others)
    for name, field in report.loaded.items():
        np.testing.assert_array_equal(loaded[field], arrays[name])


def test_a_wrapper_before_some_of_the_names(write, arrays):
    halves = ("module." * ("layer.1" in name) + name for name in arrays)
    _, report = load(write(dict(zip(halves, arrays.values(), strict=True))))
    assert set(report.loaded) == set(arrays)
    assert not report.unused


def test_an_unknown_tensor_within_a_field_is_inside_the_model(write, arrays):
    names = {f"net.bert.{name}": array for name, array in arrays.items()}
    with pytest.raises(ValueError, match=r"inside the model .*adapter\.LayerNorm\.gamma"):
        load(write(names | {"net.bert.adapter.LayerNorm.gamma": np.ones(2, np.float32)}))


def test_two_models_in_one_file(write, arrays):
    both = {f"{who}.{name}": array for who in ("q", "d") for name, array in arrays.items()}
    with pytest.raises(
        ValueError, match=r"two models are there, under 'q\.' and under 'd\.': save"
    ):
        load(write(both))


@pytest.mark.parametrize("prefix", ["roberta.", "model.electra."])
def test_the_prefix_of_a_model_that_computes_something_else(write, arrays, prefix):
    names = {f"{prefix}{name}": array for name, array in arrays.items()}
    with pytest.raises(ValueError, match=f"begin with '{prefix}': these are the weights of"):
        load(write(names))


# --- shapes that another config would make


@pytest.mark.parametrize(
    ("sizes", "hint"),
    [
        ({"vocab_size": 31}, "they fit vocab_size=31:"),
        ({"max_position_embeddings": 9}, "they fit max_position_embeddings=9:"),
        ({"type_vocab_size": 1, "vocab_size": 40}, "they fit vocab_size=40, type_vocab_size=1:"),
        ({"hidden_size": 30}, "they fit hidden_size=30:"),
    ],
)
def test_the_fields_that_would_fit_are_named_with_their_numbers(write, make, sizes, hint):
    config = BertConfig(**make.sizes | sizes)
    folder = write(dict(BertModel(config).state_dict()))
    with pytest.raises(ValueError, match=hint):
        BertModel.from_pretrained(folder)
    assert BertModel.from_pretrained(folder, **sizes).config == config


def test_rows_that_were_cut_are_no_other_size(write, arrays):
    for name in ("query", "key", "value"):
        for end in ("weight", "bias"):
            full = f"encoder.layer.0.attention.self.{name}.{end}"
            arrays[full] = np.ascontiguousarray(arrays[full][:10])
    with pytest.raises(ValueError, match=r"the hidden_size of the config, .* heads are pruned"):
        load(write(arrays))


def test_a_transposed_matrix_is_neither(write, arrays):
    name = "encoder.layer.0.intermediate.dense.weight"
    arrays[name] = np.ascontiguousarray(arrays[name].T)
    with pytest.raises(ValueError, match="expected") as caught:
        load(write(arrays))
    assert str(caught.value).endswith("dense.weight' is (15, 29), expected (29, 15)")


def test_two_names_for_one_field(write, arrays):
    twice = {"bert.pooler.dense.bias": arrays["pooler.dense.bias"]}
    with pytest.raises(ValueError, match=r"both mean 'pooler.dense.bias': remove one of them"):
        load(write(arrays | twice))


def test_a_weight_of_whole_numbers(write, arrays):
    folder = write(arrays)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"I32"', 1))
    sentence = r"'embeddings.word_embeddings.weight' in '.*' holds I32; a weight is of a floating"
    with pytest.raises(ValueError, match=sentence):
        load(folder)


@pytest.mark.parametrize("lacking", ["config.json", "model.safetensors"])
def test_a_file_that_is_lacking_is_named(write, arrays, lacking):
    folder = write(arrays)
    (folder / lacking).unlink()
    with pytest.raises(FileNotFoundError, match=lacking):
        BertModel.from_pretrained(folder)


def test_a_folder_that_is_lacking_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder '.*nowhere'"):
        BertModel.from_pretrained(tmp_path / "nowhere")


# --- the report


def test_the_report_is_a_short_table(write, arrays):
    names = {old_names(name): array for name, array in arrays.items()}
    folder = write(names | {"classifier.bias": np.ones(2, np.float32)})
    _, report = load(folder)
    lines = str(report).splitlines()
    assert repr(report) == str(report)  # what a notebook shows
    assert lines[0] == f"loaded             39 tensors from {folder / 'model.safetensors'}"
    assert lines[1].startswith("renamed            bert.embeddings.word_embeddings.weight -> ")
    assert lines[9:] == [
        "                   and 31 more",
        "newly initialized  none",
        "unused             classifier.bias: belongs to a classification head",
    ]


def test_a_name_cannot_write_control_characters_to_the_terminal():
    report = LoadingReport((), {}, {}, (), {"\x1b[2J": "why"})
    assert "\x1b" not in str(report)
    assert "x1b[2J: why" in str(report)


@pytest.mark.parametrize("wrong", ["inside", "beside", "shape", "prefix"])
def test_a_sentence_about_hostile_names_is_short_and_printable(write, arrays, wrong):
    odd, ones = "\U000e0001" * 400, np.ones(3, np.float32)
    beginning = {"inside": "encoder.", "beside": "x."}.get(wrong, "")
    names = {f"{beginning}{i}{odd}": ones for i in range(9)} if beginning else {}
    if wrong == "shape":
        names = {name: np.ones((1,) * 30, np.float32) for name in arrays}
    if wrong == "prefix":
        arrays = {f"{odd}.roberta.{name}": array for name, array in arrays.items()}
    folder = write(arrays | names)
    with pytest.raises((ValueError, UserWarning)) as caught:  # warnings are errors in tests
        load(folder)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000
