from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minibert.checkpoint.names import Entry, Parameter, expand, match, standard_name
from minibert.checkpoint.tensors import StoredTensor

RENAMED = {
    "bert.pooler.dense.weight": "pooler.dense.weight",
    "embeddings.LayerNorm.gamma": "embeddings.LayerNorm.weight",
    "embeddings.LayerNorm.beta": "embeddings.LayerNorm.bias",
    "bert.encoder.layer.11.output.LayerNorm.gamma": "encoder.layer.11.output.LayerNorm.weight",
    "LayerNorm.beta": "LayerNorm.bias",
    "bert.bert.x": "bert.x",
}
KEPT = [
    "pooler.dense.weight",
    "embeddings.LayerNorm.weight",
    "gamma",
    "beta",
    "my_gamma.weight",
    "my_gamma",
    "layer.gamma",
    "layer_norm.gamma",
    "xLayerNorm.gamma",
    "x.myLayerNorm.beta",
    "LayerNorm.gamma.x",
    "LayerNorm.gamma2",
    "LayerNorm_gamma",
    "LayerNormXgamma",
    "LayerNormXbeta",
    "embeddings.LayerNorm.beta\n",
    "embeddings.LayerNorm.gamma\n",
    "encoder.bert.x",
    "mybert.x",
    "bert_x",
    "bert",
    "model.bert.x",
]


@pytest.mark.parametrize(("name", "standard"), RENAMED.items())
def test_the_two_aliases(name, standard):
    assert standard_name(name) == standard


@pytest.mark.parametrize("name", KEPT)
def test_no_other_name_is_rewritten(name):
    assert standard_name(name) == name


def test_a_table_is_expanded_in_the_order_of_the_network():
    config = SimpleNamespace(num_hidden_layers=2, hidden_size=5, vocab_size=7)
    table = [
        Entry("words", "word", ("vocab_size", "hidden_size")),
        Entry("layer.{i}.a", "{i}.x", ("hidden_size",)),
        Entry("layer.{i}.b", "{i}.y", ("hidden_size",)),
        Entry("pooler", "pool", ()),
    ]
    assert expand(table, config) == [
        Parameter("words", "word", (7, 5)),
        Parameter("layer.0.a", "0.x", (5,)),
        Parameter("layer.0.b", "0.y", (5,)),
        Parameter("layer.1.a", "1.x", (5,)),
        Parameter("layer.1.b", "1.y", (5,)),
        Parameter("pooler", "pool", ()),
    ]


PARAMETERS = [
    Parameter("a", "field.a", (3,)),
    Parameter("LayerNorm.weight", "field.norm", (5,)),
    Parameter("b", "field.b", (7,)),
]


def tensors(**shapes):
    return {
        name: StoredTensor(name, "F32", shape, Path("file"), lambda: np.zeros(1))
        for name, shape in shapes.items()
    }


def test_what_is_there_is_held_against_what_is_needed():
    there = tensors(a=(3,), **{"bert.LayerNorm.gamma": (5,), "head": (9,)})
    result = match(there, PARAMETERS)
    assert result.found == {
        "a": (PARAMETERS[0], there["a"]),
        "LayerNorm.weight": (PARAMETERS[1], there["bert.LayerNorm.gamma"]),
    }
    assert result.missing == [PARAMETERS[2]]
    assert result.renamed == {"bert.LayerNorm.gamma": "LayerNorm.weight"}
    assert result.unused == ["head"]


def test_all_wrong_shapes_in_one_error():
    there = tensors(a=(4,), b=(7, 1), **{"bert.LayerNorm.gamma": (5,)})
    with pytest.raises(ValueError, match=r"config.json") as caught:
        match(there, PARAMETERS)
    assert "'a' is (4,), expected (3,); 'b' is (7, 1), expected (7,)" in str(caught.value)


@pytest.mark.parametrize("other", ["bert.a", "a"])
def test_two_names_for_one_field(other):
    there = tensors(**{"bert.a": (3,)}) | tensors(a=(3,))
    if other == "a":
        there = dict(reversed(there.items()))
    with pytest.raises(ValueError, match=r"'(bert\.)?a' and '(bert\.)?a' both mean 'a': remove"):
        match(there, PARAMETERS)
