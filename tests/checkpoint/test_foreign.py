"""What others leave where a checkpoint is looked for: each is said, with what makes it readable."""

import json

import pytest

from minibert import BertModel
from minibert.checkpoint.foreign import FOREIGN, foreign_among
from minibert.checkpoint.hub_errors import lacks
from minibert.checkpoint.load import open_weights, read_config

SAID = {
    "bert_config.json": r"'bert_config.json' is the config .* rename it to config.json",
    "bert_model.ckpt.index": "is a TensorFlow checkpoint: open it in transformers 4 with from_tf",
    "tf_model.h5": "is a TensorFlow model: open it in transformers 4 with from_tf=True",
    "flax_model.msgpack": "is a Flax model: open it in transformers 4 with from_flax=True",
    "model.onnx": "is a graph for ONNX Runtime: take the checkpoint that it was exported from",
    "model_quantized.onnx": "is a graph for ONNX Runtime",
    "openvino_model.xml": "is a graph for OpenVINO",
    "saved_model.pb": "is a TensorFlow graph",
    "bert.Q8_0.gguf": "is a model for llama.cpp",
    "model.pt": "is a PyTorch file: rename it to pytorch_model.bin",
    "weights.safetensors": "is a file of tensors: rename it to model.safetensors",
}


@pytest.mark.parametrize("read", [open_weights, read_config, BertModel.from_pretrained])
@pytest.mark.parametrize("name", SAID)
def test_what_lies_there_is_said_with_the_way_out(tmp_path, name, read):
    (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=SAID[name]):
        read(tmp_path)


@pytest.mark.parametrize(
    ("content", "base"),
    [
        ({"base_model_name_or_path": "bert-base-uncased"}, ", 'bert-base-uncased'"),
        ({"base_model_name_or_path": "a\x1b{0}"}, r", 'a\\\\x1b\{0\}'"),
        ({}, ""),
        ([], ""),
    ],
)
def test_an_adapter_names_its_model(tmp_path, content, base):
    (tmp_path / "adapter_config.json").write_text(json.dumps(content))
    (tmp_path / "adapter_model.safetensors").touch()
    sentence = f"is an adapter, which changes another model{base}: .*merge_and_unload.*$"
    with pytest.raises(FileNotFoundError, match=sentence) as caught:
        BertModel.from_pretrained(tmp_path)
    assert "rename" not in str(caught.value)


def test_a_checkpoint_in_a_folder_of_the_folder_is_named(tmp_path):
    for name in (".hidden", "1_Pooling", "checkpoint-500"):
        (tmp_path / name).mkdir()
    for name in (".hidden", "checkpoint-500"):
        (tmp_path / name / "model.safetensors").touch()
    (tmp_path / "1_Pooling" / "config.json").touch()
    for read in (open_weights, read_config):
        with pytest.raises(
            FileNotFoundError, match=r"; a checkpoint is in its folder 'checkpoint-500': open that$"
        ):
            read(tmp_path)


def test_what_is_of_no_use_is_not_spoken_of():
    names = ["optimizer.pt", "training_args.bin", "scheduler.pt", "rng_state_0.pth", "notes.txt"]
    assert foreign_among(names) == ""


def test_a_folder_of_many_things_gets_a_short_sentence():
    names = [f"{'x' * 500}{pattern.replace('*', 'x')}" for pattern in FOREIGN]
    assert len(foreign_among(names)) < 700


def test_a_repository_on_the_hub_gets_the_same_sentence():
    error = lacks(["config.json"], ["onnx/model.onnx", "README.md"], "lab/bert", None)
    assert "'onnx/model.onnx' is a graph for ONNX Runtime: take the checkpoint" in str(error)
