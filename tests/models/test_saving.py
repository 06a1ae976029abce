"""What a model saves is what it loads: names, numbers, config."""

import numpy as np
import pytest
from wide import WIDE

from minibert import AutoModel, BertForMaskedLM, BertModel
from minibert.checkpoint.source import open_weights


@pytest.mark.parametrize("options", [{}, {"safe_serialization": False}, {"max_shard_size": "9KB"}])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_comes_back_to_the_last_bit(tmp_path, options, dtype):
    model = BertModel.from_pretrained(WIDE, dtype)
    model.save_pretrained(tmp_path / "saved", **options)
    again = AutoModel.from_pretrained(tmp_path / "saved", dtype)
    assert again.config.architectures == ["BertModel"]
    assert again.config.dtype == dtype
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name], array)
        assert again.state_dict()[name].dtype == np.dtype(dtype)


def test_a_model_may_be_saved_over_the_file_that_it_is_mapped_from(tmp_path):
    BertModel.from_pretrained(WIDE).save_pretrained(tmp_path)
    mapped = BertModel.from_pretrained(tmp_path)
    expected = mapped([[1, 2, 3]]).last_hidden_state
    mapped.save_pretrained(tmp_path)
    np.testing.assert_array_equal(mapped([[1, 2, 3]]).last_hidden_state, expected)
    again = BertModel.from_pretrained(tmp_path)
    np.testing.assert_array_equal(again([[1, 2, 3]]).last_hidden_state, expected)


def test_a_changed_part_is_what_is_saved(tmp_path):
    model = BertModel.from_pretrained(WIDE)
    model.layers = model.layers[::-1]
    model.save_pretrained(tmp_path)
    again = BertModel.from_pretrained(tmp_path)
    np.testing.assert_array_equal(
        again.layers[0].attention.query.weight, model.layers[0].attention.query.weight
    )


@pytest.mark.filterwarnings("ignore:not in the checkpoint, newly initialized")
def test_a_head_saves_the_names_of_transformers(tmp_path):
    BertForMaskedLM.from_pretrained(WIDE).save_pretrained(tmp_path)
    names = set(open_weights(tmp_path).tensors)
    assert "bert.encoder.layer.1.attention.self.query.weight" in names
    assert "cls.predictions.transform.dense.weight" in names
    assert "cls.predictions.bias" in names
    assert "cls.predictions.decoder.weight" not in names
    model = BertForMaskedLM.from_pretrained(tmp_path)
    assert not model.loading_report.newly_initialized
    assert not model.loading_report.unused


def test_a_bad_size_is_told(tmp_path):
    with pytest.raises(ValueError, match="max_shard_size is 'much'"):
        BertModel.from_pretrained(WIDE).save_pretrained(tmp_path, max_shard_size="much")
