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
    with pytest.raises(ValueError, match=r"^37 tensors .* and 32 more\. .* not used: gpt\."):
        load(write({f"gpt.{name}": array for name, array in arrays.items()}))


def test_a_wrong_shape(write, arrays):
    name = "encoder.layer.0.intermediate.dense.weight"
    arrays[name] = np.ascontiguousarray(arrays[name].T)
    with pytest.raises(ValueError, match=r"dense.weight' is \(15, 29\), expected \(29, 15\)"):
        load(write(arrays))


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
        "my_gamma.weight": "no tensor of BERT has this name",
    }
    extra = {name: np.ones(3, np.float32) for name in unused}
    _, report = load(write(arrays | extra))
    assert report.unused == unused


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
