"""Folders of sentence-transformers; the expected numbers are those of its version 6.2."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from minibert import BertModel
from minibert.checkpoint.safetensors import read_safetensors
from minibert.checkpoint.torchwriter import write_torch
from minibert.tasks import embed
from minibert.tasks.sentence import Normalize, Pooling, SentenceSettings
from minibert.tasks.sentence_files import read_settings
from minibert.tokenizers import BertTokenizer

TEXTS = ["the cat sat .", "the dog lay on the red mat , in the blue house ."]
OWN_FILES = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
QUERY = {"prompts": {"query": "where is ", "none": None}, "default_prompt_name": "query"}
LOWER = {"do_lower_case": True}
LINEAR = {"activation_function": "torch.nn.modules.linear.Identity"}


def write(folder, *kinds, pooling="mean", sub="", own=None, whole=None, dense=(), **modes):
    """Write the files beside a checkpoint's; kinds: of modules after the Transformer."""
    modules = [(sub, "base.modules.transformer.Transformer")]
    modules += [(f"{i}_{kind}", f"models.{kind}") for i, kind in enumerate(kinds, 1)]
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.{kind}"}
        for i, (path, kind) in enumerate(modules)
    ]
    dense, draw = list(dense), np.random.RandomState(5)
    files = {"modules.json": listed, "config_sentence_transformers.json": whole or {}}
    files[f"{sub}/sentence_bert_config.json"] = own or {}
    for path, kind in modules[1:]:
        if kind == "models.Pooling":
            said = modes or (pooling if isinstance(pooling, dict) else {"pooling_mode": pooling})
            files[f"{path}/config.json"] = {"word_embedding_dimension": 21, **said}
        if kind == "models.Dense":
            config = dense.pop(0)
            files[f"{path}/config.json"] = config
            size = config["out_features"], config["in_features"]
            shapes = {"linear.weight": size}
            if config.get("bias", True):
                shapes["linear.bias"] = size[:1]
            if config.get("use_residual") and size[0] != size[1]:
                shapes["residual.weight"] = size
            arrays = {k: (draw.standard_normal(shapes[k]) * 0.3) for k in shapes}
            (folder / path).mkdir(exist_ok=True)
            arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
            save_file(arrays, folder / path / "model.safetensors")
    for name, content in files.items():
        target = folder / name.removeprefix("/")
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(content))
    for name in OWN_FILES if sub else ():
        (folder / name).rename(folder / sub / name)
    return folder


def layer(size_in, size_out, **more):
    return {"in_features": size_in, "out_features": size_out, **more}


#: What a folder holds, and the size and the first numbers of its vectors.
FOLDERS = {
    "weighted mean": {"kinds": ["Pooling"], "pooling": "weightedmean"},
    "last token": {"kinds": ["Pooling"], "pooling_mode_lasttoken": True},
    "square root": {"kinds": ["Pooling"], "pooling_mode_mean_sqrt_len_tokens": True},
    "several, in an order of their own": {
        "kinds": ["Pooling"],
        "pooling_mode_mean_tokens": True,
        "pooling_mode_cls_token": True,
    },
    "several, in the order given": {"kinds": ["Pooling"], "pooling": ["mean", "cls"]},
    "two poolings": {"kinds": ["Pooling", "Pooling"], "pooling": "max"},
    "older layout": {"kinds": ["Pooling", "Normalize"], "sub": "0_Transformer"},
    "dense, a tanh unsaid": {"kinds": ["Pooling", "Dense"], "dense": [layer(21, 5)]},
    "normalize between": {
        "kinds": ["Pooling", "Normalize", "Dense"],
        "dense": [layer(21, 5, bias=False, **LINEAR)],
    },
    "dense twice, what comes in added": {
        "kinds": ["Pooling", "Dense", "Dense", "Normalize"],
        "dense": [layer(21, 5, use_residual=True), layer(5, 5, use_residual=True, **LINEAR)],
    },
    "dense of tokens": {
        "kinds": ["Dense", "Pooling"],
        "dense": [layer(21, 5, module_input_name="token_embeddings")],
    },
    "prompt": {"kinds": ["Pooling"], "whole": QUERY},
    "prompt not pooled": {
        "kinds": ["Pooling"],
        "pooling": {"pooling_mode": "mean", "include_prompt": False},
        "whole": QUERY,
    },
    "prompt not pooled, weighted": {
        "kinds": ["Pooling"],
        "pooling": {"pooling_mode": ["weightedmean", "cls"], "include_prompt": False},
        "whole": QUERY,
    },
    "prompt of null": {"kinds": ["Pooling"], "whole": {**QUERY, "default_prompt_name": "none"}},
    "truncated after its length": {"kinds": ["Pooling", "Normalize"], "whole": {"truncate_dim": 4}},
}


#: The size of the vectors, and the first two and the last number of each.
EXPECTED = {
    "weighted mean": (21, [[-0.70871, -0.15141, -2.60303], [-0.92439, -0.05658, -1.59664]]),
    "last token": (21, [[-0.41739, -0.48126, -2.43226], [-0.9191, -0.36852, -1.90095]]),
    "square root": (21, [[-1.53702, 0.14946, -6.50636], [-3.57895, -0.02981, -6.59909]]),
    "several, in an order of their own": (
        42,
        [[-0.16233, 1.11465, -2.65621], [-1.21525, 0.85297, -1.70388]],
    ),
    "several, in the order given": (
        42,
        [[-0.62748, 0.06102, -3.02468], [-0.92408, -0.0077, -2.05072]],
    ),
    "two poolings": (21, [[-0.16233, 1.11465, -2.43226], [-0.55275, 0.90392, -0.62785]]),
    "older layout": (21, [[-0.14941, 0.01453, -0.63246], [-0.21906, -0.00182, -0.40392]]),
    "dense, a tanh unsaid": (5, [[0.99185, 0.0373, -0.8192], [0.9922, -0.56791, -0.18127]]),
    "normalize between": (5, [[0.58188, 0.06935, -0.32679], [0.58459, -0.09257, -0.09515]]),
    "dense twice, what comes in added": (
        5,
        [[-0.13829, -0.15244, 0.45326], [-0.14958, 0.03179, 0.471]],
    ),
    "dense of tokens": (5, [[0.98751, 0.05163, -0.7889], [0.97966, -0.48528, -0.16296]]),
    "prompt": (21, [[-0.83181, 0.20761, -2.82438], [-1.10561, -0.25862, -2.43124]]),
    "prompt not pooled": (21, [[-0.99328, 0.01203, -2.83272], [-1.11937, -0.30381, -2.36652]]),
    "prompt not pooled, weighted": (
        42,
        [[-1.02288, -0.04886, -2.57521], [-1.10869, -0.36689, -2.56179]],
    ),
    "prompt of null": (21, [[-0.62748, 0.06102, -2.65621], [-0.92408, -0.0077, -1.70388]]),
    "truncated after its length": (
        4,
        [[-0.14941, 0.01453, -0.03883], [-0.21906, -0.00182, 0.05639]],
    ),
}


def fill(folder, config, tokenizer):
    BertModel(config, seed=1).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture
def folder(tmp_path, config, tokenizer):
    fill(tmp_path, config, tokenizer)
    return tmp_path


@pytest.mark.parametrize("name", FOLDERS)
def test_the_vectors_are_those_of_sentence_transformers(folder, name):
    files = dict(FOLDERS[name])
    write(folder, *files.pop("kinds"), **files)
    found = embed(TEXTS, model=folder)
    size, numbers = EXPECTED[name]
    assert found.shape == (2, size)
    np.testing.assert_allclose(found[:, [0, 1, -1]], numbers, rtol=0, atol=2e-5)
    np.testing.assert_allclose(embed(TEXTS[0], model=folder), found[0], rtol=0, atol=5e-6)
    assert embed([], model=folder).shape == (0, size)


def test_what_the_call_says_stands_above_the_files(folder):
    write(folder, "Pooling", "Normalize", whole={**QUERY, "truncate_dim": 4})
    plain = {"normalize": False, "prompt": ""}
    for pooling in ("mean", "cls"):
        expected = embed(
            TEXTS, pooling, False, model=(BertModel.from_pretrained(folder), own(folder))
        )
        found = embed(TEXTS, pooling, model=folder, **plain)
        np.testing.assert_allclose(found, expected[:, :4], rtol=0, atol=5e-6)
    found = embed(TEXTS, normalize=True, model=folder)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    asked = embed("the cat .", prompt="where is ", normalize=True, model=folder)
    np.testing.assert_allclose(asked, embed("the cat .", normalize=True, model=folder))
    with pytest.raises(TypeError, match="prompt is a int; needed: a text, or None"):
        embed(TEXTS, prompt=3, model=folder)


def own(folder):
    return BertTokenizer.from_pretrained(folder)


def test_a_normalize_between_modules_stays(folder):
    dense = [layer(21, 5, **LINEAR)]
    write(folder, "Pooling", "Normalize", "Dense", "Normalize", dense=dense)
    found = embed(TEXTS, normalize=False, model=folder)
    write(folder, "Pooling", "Normalize", "Dense", dense=dense)
    np.testing.assert_array_equal(found, embed(TEXTS, model=folder))


@pytest.mark.parametrize(("most", "read"), [(5, 5), (12, 12), (None, 7), (99, 31)])
def test_how_many_tokens_are_read(folder, most, read):
    """max_seq_length stands above model_max_length, and the model's positions above both."""
    own(folder).save_pretrained(folder)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "model_max_length": 7}))
    write(folder, "Pooling", own={"max_seq_length": most})
    with pytest.warns(UserWarning, match=f"longer than the {read} tokens"):
        found = embed("the cat " * 30, model=folder)
    kept = " ".join(["the", "cat"] * 30)[: 4 * (read - 2) - 1]
    np.testing.assert_array_equal(found, embed(kept, model=folder))


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


@pytest.mark.parametrize("kind", ["custom_st.Transformer", "Pooling", None, 3])
def test_a_class_of_another_package_is_refused_whatever_its_name(folder, kind):
    (folder / "modules.json").write_text(json.dumps([{"path": "", "type": kind}]))
    with pytest.raises(ValueError, match=r"unknown module .*; allowed: classes of sentence_tr"):
        read_settings(folder)


@pytest.mark.parametrize("path", ["../elsewhere", "/etc", "..", None])
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


def test_lower_case_before_a_tokenizer_that_keeps_it(folder, tokenizer):
    BertTokenizer(tokenizer.get_vocab(), False).save_pretrained(folder)
    texts, whole = ["The CAT sat", "the cat sat"], {**QUERY, "prompts": {"query": "WHERE is "}}
    pooling = {"pooling_mode": "mean", "include_prompt": False}
    same = embed(texts, model=write(folder, "Pooling", pooling=pooling, own=LOWER, whole=whole))
    np.testing.assert_allclose(*same, rtol=0, atol=1e-6)  # BLAS rounds by where a row stands
    kept, small = embed(texts, model=write(folder, "Pooling", own={"do_lower_case": False}))
    assert np.abs(kept - small).max() > 0.1
