"""Vectors of sentence-transformers folders; the expected numbers are those of its version 6.2."""

import json

import numpy as np
import pytest
from sentence_folder import LINEAR, QUERY, fill, layer, write

from minibert import BertModel
from minibert.tasks import embed
from minibert.tokenizers import BertTokenizer

TEXTS = ["the cat sat .", "the dog lay on the red mat , in the blue house ."]
LOWER = {"do_lower_case": True}

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
    with pytest.raises(TypeError, match="prompt is an int; needed: a text, or None"):
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


def test_lower_case_before_a_tokenizer_that_keeps_it(folder, tokenizer):
    BertTokenizer(tokenizer.get_vocab(), False).save_pretrained(folder)
    texts, whole = ["The CAT sat", "the cat sat"], {**QUERY, "prompts": {"query": "WHERE is "}}
    pooling = {"pooling_mode": "mean", "include_prompt": False}
    same = embed(texts, model=write(folder, "Pooling", pooling=pooling, own=LOWER, whole=whole))
    np.testing.assert_allclose(*same, rtol=0, atol=1e-6)  # BLAS rounds by where a row stands
    kept, small = embed(texts, model=write(folder, "Pooling", own={"do_lower_case": False}))
    assert np.abs(kept - small).max() > 0.1
