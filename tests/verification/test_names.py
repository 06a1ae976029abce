"""Names of hooks, of graphs and of other libraries: read as the stages that they are."""

import re

import numpy as np
import pytest

from minibert import Reference

IDS = {"input_ids": [[5, 3, 8], [9, 1, 0]], "attention_mask": [[1, 1, 1], [1, 1, 0]]}
X = np.zeros((2, 3, 5))
PAIRS = np.zeros((2, 4, 3, 3))
WIDE = np.zeros((2, 3, 7))
ROW = X[:, 0]


def read(stages, inputs=IDS, layers=None):
    return Reference.from_arrays(stages, inputs, num_hidden_layers=layers)


@pytest.mark.parametrize(
    ("name", "array", "stage"),
    [
        ("encoder.layer.3.attention.self.query", X, "layer.3.attention.query"),
        ("bert.encoder.layer.0.output.LayerNorm", X, "layer.0"),
        ("bert.encoder.layer.0.attention.output", X, "layer.0.attention"),
        ("module.bert.encoder.layer.1.attention.output.dense", X, "layer.1.attention.output"),
        ("module._orig_mod.model.embeddings", X, "embeddings"),
        (
            "0.auto_model.encoder.layer.5.intermediate.dense",
            WIDE,
            "layer.5.feed_forward.intermediate",
        ),
        ("encoder.layer.2.attention.self", X, "layer.2.attention.context"),
        ("encoder.layer.2.attention.self.dropout", PAIRS, "layer.2.attention.probabilities"),
        ("bert.pooler.activation", ROW, "pooler"),
        ("bert.pooler", ROW, "pooler"),
        ("cls.predictions.decoder", np.zeros((2, 3, 9)), "logits"),
        ("tf_bert_model/bert/encoder/layer_._2/attention/self/key", X, "layer.2.attention.key"),
        ("encoder/layer/1/attention/self/value/__call__", X, "layer.1.attention.value"),
        ("layers.11", X, "layer.11"),
        ("encoder.layers.11.norm1", X, "layer.11.attention"),
        ("layers.4.linear1", WIDE, "layer.4.feed_forward.intermediate"),
        ("layer_3", X, "layer.3"),
        ("transformer_layer_7", X, "layer.7"),
        ("hidden_states_5", X, "layer.4"),
        ("hidden_states[0]", X, "embeddings"),
        ("hidden_state_1:0", X, "layer.0"),
        ("pooled_output", ROW, "pooler"),
        ("model.layer.0.attention.query", X, "layer.0.attention.query"),
    ],
)
def test_a_name_of_another_is_read_and_told(name, array, stage):
    found = read({name: array})
    assert list(found.stages) == [stage]
    assert " as " in found.provenance["read_as"]


@pytest.mark.parametrize("name", ["sequence_output", "token_embeddings", "bert.encoder"])
def test_others_call_the_last_hidden_state_something_else(name):
    assert list(read({name: X}, layers=4).stages) == ["layer.3"]
    with pytest.raises(ValueError, match="nothing here says how many layers there are"):
        read({name: X})


@pytest.mark.parametrize("name", ["encoder_outputs", "all_encoder_layers", "layer"])
def test_lists_of_layers_have_no_embeddings(name):
    found = read({name: np.stack([X, X + 1]), "sequence_output": X + 1})
    assert list(found.stages) == ["layer.0", "layer.1"]


def test_names_of_minibert_and_of_transformers_are_not_told():
    own = {"layer.0.attention.scores": PAIRS, "hidden_states.1": X, "pooler_output": ROW}
    assert "read_as" not in read(own).provenance


def test_hooks_on_the_encoder_alone_are_no_stages_of_that_name():
    hooks = {"layer.0.attention.self.query": X + 1, "layer.0.attention.output": X + 2}
    assert list(read(hooks).stages) == ["layer.0.attention.query", "layer.0.attention"]
    own = {"layer.0.attention.query": X + 1, "layer.0.attention.output": X + 2}
    assert list(read(own).stages) == list(own)
    assert list(read({"layer.0.attention.output": X}).stages) == ["layer.0.attention.output"]


def test_modules_without_a_stage_are_left_out_and_told():
    found = read({"embeddings.word_embeddings": X, "embeddings.LayerNorm": X, "pooler.dense": ROW})
    assert list(found.stages) == ["embeddings"]
    said = "embeddings.word_embeddings, pooler.dense left out: no such stage"
    assert said in found.provenance["read_as"]


def test_all_that_sentence_transformers_returns_is_read():
    features = {**IDS, "token_embeddings": X, "sentence_embedding": ROW}
    assert list(read(features, layers=2).stages) == ["layer.1"]
    with pytest.raises(ValueError, match="input_ids among the stages: they belong to the inputs"):
        read({**features, "input_ids": [[5, 3, 9], [9, 1, 0]]}, layers=2)


def test_all_layers_are_told_once():
    names = {f"bert.encoder.layer.{i}.attention.self.key": X for i in range(9)}
    said = read(names).provenance["read_as"]
    assert said == "encoder.layer.{i}.attention.self.key as layer.{i}.attention.key"


def test_all_unknown_names_are_said_at_once():
    unknown = ["embedding", "zzz", *(f"Cast_output_{i}" for i in range(20))]
    with pytest.raises(ValueError, match="there are no stages") as caught:
        read(dict.fromkeys([*unknown, "layer.0"], X))
    said = str(caught.value)
    assert "'embedding' (did you mean 'embeddings'?), 'zzz', " in said
    assert "and 17 more; stages have names such as" in said


@pytest.mark.parametrize("name", ["decoder.block.0.attention.output", "my.layer.0", "loss"])
def test_a_name_is_not_read_in_part(name):
    with pytest.raises(ValueError, match=re.escape(f"there is no stage {name!r}")):
        read({name: X})


def test_two_names_of_one_stage_have_the_same_numbers():
    same = {"encoder.layer.0": X, "encoder.layer.0.output": X, "hidden_states.1": X}
    assert list(read(same).stages) == ["layer.0"]
    with pytest.raises(ValueError, match=r"encoder.layer.0.output is the stage layer.0, which is"):
        read({"encoder.layer.0": X, "encoder.layer.0.output": X + 1})
