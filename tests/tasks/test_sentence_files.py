"""What the files of a sentence-transformers folder may say, and what is refused by name."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file
from sentence_folder import fill, layer, write

from minibert.checkpoint.safetensors import read_safetensors
from minibert.checkpoint.torchwriter import write_torch
from minibert.tasks import embed
from minibert.tasks.sentence import Normalize, Pooling, SentenceSettings
from minibert.tasks.sentence_files import read_settings

TEXTS = ["the cat sat .", "the dog lay on the red mat , in the blue house ."]


@pytest.fixture
def folder(tmp_path, config, tokenizer):
    fill(tmp_path, config, tokenizer)
    return tmp_path


def test_a_folder_without_modules_has_the_defaults(tmp_path):
    assert read_settings(tmp_path) == SentenceSettings(folder=tmp_path)
    assert SentenceSettings().modules == (Pooling(("mean",)), Normalize())


def test_the_trained_checkpoint_says_mean_normalized_256(minilm_folder):
    modules = (Pooling(("mean",)), Normalize())
    assert read_settings(minilm_folder) == SentenceSettings(modules, minilm_folder, 256)


@pytest.mark.parametrize("pooling", [{}, {"pooling_mode": "x"}, {"pooling_mode": [3]}])
def test_another_pooling_is_refused(folder, pooling):
    with pytest.raises(ValueError, match="known: one or more of mean, cls"):
        read_settings(write(folder, "Pooling", pooling=pooling))


def test_an_older_pooling_that_is_not_known_is_refused(folder):
    write(folder, "Pooling", pooling_mode_mean_tokens=True, pooling_mode_of_mine=True)
    with pytest.raises(ValueError, match="pooling_mode_of_mine"):
        read_settings(folder)


@pytest.mark.parametrize(
    ("modules", "says"),
    [
        ([], "begins with the module ''"),
        ([("", "models.Transformer")], "has no Pooling"),
        ([("1_Pooling", "models.Pooling")], "begins with the module 'Pooling'"),
        ([("", "models.Transformer"), ("1_LSTM", "models.LSTM")], "unknown module 'LSTM'; known"),
    ],
)
def test_other_modules_are_refused(folder, modules, says):
    listed = [{"path": path, "type": f"sentence_transformers.{kind}"} for path, kind in modules]
    (folder / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(ValueError, match=says):
        read_settings(folder)


@pytest.mark.parametrize("kind", ["Normalize", "Dense"])
def test_what_reads_the_vector_of_a_text_comes_after_the_pooling(folder, kind):
    write(folder, kind, "Pooling", dense=[layer(21, 5)])
    with pytest.raises(ValueError, match=rf"{kind} before the Pooling, which makes the sent"):
        read_settings(folder)


@pytest.mark.parametrize("kind", ["custom_st.Transformer", "Pooling", None, 3])
def test_a_class_of_another_package_is_refused_whatever_its_name(folder, kind):
    (folder / "modules.json").write_text(json.dumps([{"path": "", "type": kind}]))
    with pytest.raises(ValueError, match=r"unknown module .*; allowed: classes of sentence_tr"):
        read_settings(folder)


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "..", None, "a" * 256, "\ud800", "a\n"])
def test_a_module_lies_in_the_folder(folder, path):
    write(folder, "Pooling")
    listed = json.loads((folder / "modules.json").read_text())
    listed[1]["path"] = path
    (folder / "modules.json").write_text(json.dumps(listed))
    with pytest.raises(ValueError, match="allowed: one beside it"):
        read_settings(folder)


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"do_lower_case": "yes"}, "has do_lower_case 'yes'"),
        ({"do_lower_case": None}, "has do_lower_case None"),
        ({"max_seq_length": 2}, "has max_seq_length 2"),
        ({"query_expansion": {"length": 32}}, "has 'query_expansion'"),
        ({"model_args": {"num_hidden_layers": 1}}, "has 'model_args'"),
        ({"transformer_task": "text-generation"}, "has 'transformer_task'"),
    ],
)
def test_settings_of_the_transformer_that_cannot_be(folder, own, says):
    with pytest.raises(ValueError, match=f"sentence_bert_config.json' {says}"):
        read_settings(write(folder, "Pooling", own=own))


def test_settings_of_the_transformer_that_change_nothing(folder):
    """As sentence-transformers 6 writes them."""
    method = {"method": "forward", "method_output_name": "last_hidden_state"}
    own = {"transformer_task": "feature-extraction", "modality_config": {"text": method}}
    own |= {"module_output_name": "token_embeddings", "unpad_inputs": None, "model_args": {}}
    assert read_settings(write(folder, "Pooling", own=own)).modules == (Pooling(),)


@pytest.mark.parametrize(
    ("whole", "says"),
    [
        ({"truncate_dim": 0}, "has truncate_dim 0"),
        ({"truncate_dim": True}, "has truncate_dim True"),
        ({"prompts": ["a"]}, r"has prompts \['a'\]"),
        ({"default_prompt_name": "x"}, "has no text for its default_prompt_name 'x'"),
        ({"default_prompt_name": ["x"]}, r"has no text for its default_prompt_name \['x'\]"),
        (
            {"prompts": {"x": 3}, "default_prompt_name": "x"},
            "has no text for its default_prompt_name",
        ),
    ],
)
def test_settings_of_the_whole_that_cannot_be(folder, whole, says):
    with pytest.raises(ValueError, match=f"config_sentence_transformers.json' {says}"):
        read_settings(write(folder, "Pooling", whole=whole))


@pytest.mark.parametrize(
    ("dense", "says"),
    [
        ({"activation_function": "my.module.Tanh"}, "activation function 'my.module.Tanh'"),
        ({"activation_function": "torch.nn.Hardtanh"}, "'torch.nn.Hardtanh' is not known"),
        ({"activation_function": None}, "activation function None"),
        ({"module_input_name": "scores"}, "module_input_name of a module is 'scores'"),
        ({"module_output_name": "token_embeddings"}, "module_output_name of a module is 'token"),
        ({"bias": 1}, "bias of a module is 1; known: True, False"),
    ],
)
def test_a_dense_that_cannot_be(folder, dense, says):
    write(folder, "Pooling", "Dense", dense=[layer(21, 5, **dense)])
    with pytest.raises(ValueError, match=says):
        read_settings(folder)


def test_the_matrix_of_a_dense_is_all_there_and_fits(folder):
    write(folder, "Pooling", "Dense", dense=[layer(20, 5)])
    with pytest.raises(ValueError, match=r"gets sentence_embedding of 21 numbers, and .* needs 20"):
        embed(TEXTS, model=folder)
    weights = folder / "2_Dense/model.safetensors"
    for tensors in ({"linear.weight": (5, 20)}, {"linear.weight": (5, 20), "adapter": (5,)}):
        save_file({name: np.zeros(shape) for name, shape in tensors.items()}, weights)
        with pytest.raises(ValueError, match=r"2_Dense.model.safetensors' has .*linear.weight"):
            read_settings(folder)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"no weights in .*2_Dense"):
        read_settings(folder)


def test_the_matrix_of_a_dense_is_read_from_a_file_of_torch(folder):
    write(folder, "Pooling", "Dense", dense=[layer(21, 5)])
    expected = embed(TEXTS, model=folder)
    weights = folder / "2_Dense/model.safetensors"
    tensors = {name: tensor.read("f4") for name, tensor in read_safetensors(weights).items()}
    write_torch(weights.with_name("pytorch_model.bin"), tensors)
    weights.unlink()
    np.testing.assert_array_equal(embed(TEXTS, model=folder), expected)
