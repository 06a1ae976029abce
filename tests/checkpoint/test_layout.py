"""Which file holds the weights, and which shards an index may name."""

import json

import pytest

from minibert.checkpoint.layout import FORMS, SHARD, weight_map, weights_in_force


def test_the_first_form_that_is_there_is_in_force(tmp_path):
    assert weights_in_force(tmp_path) is None
    for name in reversed(FORMS):
        (tmp_path / name).symlink_to("gone")  # a broken file is not passed over
        assert weights_in_force(tmp_path) == name


@pytest.mark.parametrize(
    ("name", "is_shard"),
    [
        ("model-00001-of-00002.safetensors", True),
        ("pytorch_model-00001-of-00002.bin", True),
        ("model-1-of-2.safetensors", False),
        ("my-model-00001-of-00002.safetensors", False),
        ("model-00001-of-00002.bin", False),
        ("model-00001-of-00002.safetensors.bak", False),
    ],
)
def test_the_names_that_transformers_gives_to_shards(name, is_shard):
    assert bool(SHARD.fullmatch(name)) == is_shard


def write_index(folder, content):
    path = folder / FORMS[1]
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("extra", [{}, {"metadata": {"total_size": 1}}, {"metadata": 0}], ids=str)
def test_an_index_with_and_without_metadata(tmp_path, extra):
    shards = {"w": "model-1.safetensors", "v": "été.bin"}
    assert weight_map(write_index(tmp_path, {"weight_map": shards} | extra)) == shards


@pytest.mark.parametrize(
    "shard",
    [
        *("../x", "..", ".", "", "/etc/passwd", "a/b", "a\\b", "..\\x", "C:x", "C:\\x", "./x"),
        *("a\0b", "\ud800", "a\x1bb", "a" * 256, "é" * 128),  # no character; too long for a folder
    ],
)
def test_a_shard_outside_the_folder_is_refused_by_name(tmp_path, shard):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the name is no pattern
        weight_map(write_index(tmp_path, {"weight_map": {"w": shard}}))
    assert f"index.json' names the shard {shard!r:.200}; allowed: the name of" in str(caught.value)


WRONG_MAPS = {
    "no weight_map": ({"metadata": {}}, "has no weight_map"),
    "a list": ({"weight_map": ["w"]}, "has no weight_map"),
    "empty": ({"weight_map": {}}, "has no weight_map"),
    "a number for a shard": ({"weight_map": {"w": 5}}, "names no file for tensor 'w': 5"),
    "null for a shard": ({"weight_map": {"w": None}}, "names no file for tensor 'w': None"),
    "no JSON": ("version https://git-lfs.github.com/spec/v1", "is not JSON: it looks like a git-l"),
}


@pytest.mark.parametrize("wrong", WRONG_MAPS.values(), ids=WRONG_MAPS)
def test_an_index_that_maps_nothing(tmp_path, wrong):
    content, sentence = wrong
    with pytest.raises(ValueError, match=f"index.json' {sentence}"):
        weight_map(write_index(tmp_path, content))
