"""Folders, sizes, arrays and names that a save refuses before it writes anything."""

import errno
from pathlib import Path

import numpy as np
import pytest

from minibert import EMBEDDED_CHECKPOINT, BertConfig, BertModel, BertTokenizer
from minibert.checkpoint.save import save_checkpoint

CONFIG = BertConfig()
NEW = {name: np.full((19, 3), 0.5, np.float32) for name in "abc"}


def test_a_folder_where_a_file_belongs(tmp_path):
    for name in ("model.safetensors", "pytorch_model.bin", "config.json"):
        folder = tmp_path / name.partition(".")[0]
        (folder / name).mkdir(parents=True)
        with pytest.raises(IsADirectoryError, match=f"'{name}' is a folder.*move it away"):
            save_checkpoint(folder, CONFIG, NEW)
        assert [path.name for path in folder.iterdir()] == [name]


def test_a_file_where_the_folder_belongs(tmp_path):
    (tmp_path / "file").write_text("kept")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(NotADirectoryError, match="is a file; a checkpoint is a folder"):
        save_checkpoint(tmp_path / "file", CONFIG, NEW)
    with pytest.raises(NotADirectoryError, match="cannot be saved: Not a directory"):
        save_checkpoint(tmp_path / "file" / "below", CONFIG, NEW)
    with pytest.raises(FileNotFoundError, match="is a link to 'nowhere', which is not there"):
        save_checkpoint(tmp_path / "link", CONFIG, NEW)
    assert (tmp_path / "file").read_text() == "kept"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "link"]


@pytest.mark.parametrize("kind", [BertConfig, BertTokenizer, BertModel])
def test_a_config_and_a_tokenizer_say_it_in_a_sentence_too(tmp_path, monkeypatch, kind):
    saved = kind.from_pretrained(EMBEDDED_CHECKPOINT)
    (tmp_path / "file").write_text("kept")
    with pytest.raises(NotADirectoryError, match="is a file; a checkpoint is a folder"):
        saved.save_pretrained(tmp_path / "file")

    def refuse(self, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(PermissionError, match=r"you have no permission.*Nothing was written"):
        saved.save_pretrained(tmp_path / "new")


@pytest.mark.parametrize(
    ("size", "allowed"),
    [
        (value, "above 0")
        for value in (0, -1, True, 1.5, None, "", "5", "GB", "-5GB", "5 EB", "5GBs")
    ]
    + [("0KB", "'5GB'"), ("0.0001KB", "'5GB'"), ("nanGB", "'5GB'"), ("1e3MB", "'5GB'")],
)
def test_sizes_that_are_none(tmp_path, size, allowed):
    with pytest.raises(ValueError, match=f"^max_shard_size is .*; allowed: .*{allowed}"):
        save_checkpoint(tmp_path / "new", CONFIG, NEW, max_shard_size=size)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("array", [
    np.ones(3, np.float16), np.ones(3, np.int64), np.ones(3, complex), np.ones(3, bool),
    np.array(["a"]), np.array([None]), [1.0, 2.0], 1.0, None,
])  # fmt: skip
def test_arrays_that_are_no_weights(tmp_path, array):
    with pytest.raises(TypeError, match=r"tensor 'b' is .*; can be saved: float32, float64"):
        save_checkpoint(tmp_path / "new", CONFIG, NEW | {"b": array})
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["", "__metadata__", "\ud800"])
def test_names_that_no_file_can_hold(tmp_path, name):
    with pytest.raises(ValueError, match="a tensor cannot be saved under the name"):
        save_checkpoint(tmp_path / "new", CONFIG, NEW | {name: NEW["a"]})
    assert not (tmp_path / "new").exists()
