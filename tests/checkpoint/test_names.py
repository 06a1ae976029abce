from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minibert.checkpoint.names import (
    UNKNOWN,
    Entry,
    Parameter,
    expand,
    fields_of,
    match,
    reason,
    standard_name,
    standard_names,
    stored,
)
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
    assert standard_name(name, "bert.") == standard


@pytest.mark.parametrize("name", KEPT)
def test_no_other_name_is_rewritten(name):
    assert standard_name(name, "bert.") == name


def test_a_table_is_expanded_in_the_order_of_the_network():
    config = SimpleNamespace(num_hidden_layers=2, hidden_size=5, vocab_size=7)
    table = [
        Entry("words", "word", ("vocab_size", "hidden_size")),
        Entry("layer.{i}.a", "{i}.x", ("hidden_size",)),
        Entry("layer.{i}.b", "{i}.y", ("hidden_size",)),
        Entry("pooler", "pool", ()),
    ]
    assert expand(table, config, {"i": "num_hidden_layers"}) == [
        Parameter("words", "word", (7, 5), sizes=("vocab_size", "hidden_size")),
        Parameter("layer.0.a", "0.x", (5,), sizes=("hidden_size",)),
        Parameter("layer.0.b", "0.y", (5,), sizes=("hidden_size",)),
        Parameter("layer.1.a", "1.x", (5,), sizes=("hidden_size",)),
        Parameter("layer.1.b", "1.y", (5,), sizes=("hidden_size",)),
        Parameter("pooler", "pool", ()),
    ]


def test_each_letter_counts_with_a_field_of_its_own():
    config = SimpleNamespace(encoder_layers=1, decoder_layers=2, d_model=5)
    table = [
        Entry("encoder.{i}.a", "encoder.{i}", ("d_model",)),
        Entry("decoder.{j}.a", "decoder.{j}", ("d_model", 3)),
    ]
    counters = {"i": "encoder_layers", "j": "decoder_layers"}
    assert expand(table, config, counters) == [
        Parameter("encoder.0.a", "encoder.0", (5,), sizes=("d_model",)),
        Parameter("decoder.0.a", "decoder.0", (5, 3), sizes=("d_model", 3)),
        Parameter("decoder.1.a", "decoder.1", (5, 3), sizes=("d_model", 3)),
    ]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("layer.0.mask", "a buffer"),
        ("layer.17.mask", "the config has 2 layers, counted from 0"),
        ("layer.2.weight", "the config has 2 layers, counted from 0"),
        ("layer.31.weight", "the config has 2 layers, counted from 0"),
        ("layer.31.other", "the config has 2 layers, counted from 0"),
        ("layer.1.other", None),
        ("layer.x.mask", None),
        ("layerx0.mask", UNKNOWN),
        (f"layer.{'9' * 5000}.mask", None),
        ("head.bias", "belongs to a head"),
        ("other.head.", UNKNOWN),
    ],
)
def test_why_a_tensor_is_not_used(name, why):
    config = SimpleNamespace(n_layer=2)
    table = [Entry("words", "words", (3,)), Entry("layer.{i}.weight", "{i}", (3,))]
    known = {"layer.{i}.mask": "a buffer", "layer.": "inside", "head.": "belongs to a head"}
    assert reason(name, table, config, {"i": "n_layer"}, known) == why


# As GPT-2 stores its attention: three matrices in one, each (in, out).
FUSED = [
    *(Parameter("qkv.weight", f"{f}.weight", (3, 5), True, (k, 3)) for k, f in enumerate("qkv")),
    *(Parameter("qkv.bias", f"{f}.bias", (3,), False, (k, 3)) for k, f in enumerate("qkv")),
    Parameter("out.weight", "out.weight", (7, 2), True),
    Parameter("scale", "scale", ()),
]


def test_fused_and_transposed_tensors_become_fields():
    stacked, bias = np.arange(45).reshape(5, 9), np.arange(9)  # (in, 3 * out)
    out, scale = np.arange(14).reshape(2, 7), np.array(2.5)
    tensors = {"qkv.weight": stacked, "qkv.bias": bias, "out.weight": out, "scale": scale}
    for parameter in FUSED:
        assert parameter.stored_shape == tensors[parameter.name].shape
    fields = fields_of(FUSED, tensors)
    np.testing.assert_array_equal(fields["q.weight"], stacked[:, 0:3].T)
    np.testing.assert_array_equal(fields["k.weight"], stacked[:, 3:6].T)
    np.testing.assert_array_equal(fields["v.weight"], stacked[:, 6:9].T)
    np.testing.assert_array_equal(fields["k.bias"], [3, 4, 5])
    np.testing.assert_array_equal(fields["out.weight"], out.T)
    assert fields["scale"] == 2.5
    assert all(np.shares_memory(fields[p.field], tensors[p.name]) for p in FUSED)
    again = stored(FUSED, fields)
    assert list(again) == list(tensors)
    for name, array in tensors.items():
        np.testing.assert_array_equal(again[name], array)


def test_the_parts_may_stand_in_any_order_in_the_table():
    fields = {f"{f}.bias": np.full(3, k) for k, f in enumerate("qkv")}
    parameters = [p for p in FUSED if p.field in fields]
    np.testing.assert_array_equal(stored(parameters[::-1], fields)["qkv.bias"], np.arange(9) // 3)


def test_a_fused_tensor_is_found_or_missing_as_one():
    there = tensors(**{"qkv.weight": (5, 9), "out.weight": (2, 7), "scale": ()})
    result = match(there, FUSED, "")
    assert result.found["qkv.weight"] == (there["qkv.weight"], FUSED[:3])
    assert result.missing == FUSED[3:6]
    with pytest.raises(ValueError, match=r"'qkv.weight' is \(9, 5\), expected \(5, 9\)"):
        match(there | tensors(**{"qkv.weight": (9, 5)}), FUSED, "")


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
    result = match(there, PARAMETERS, "bert.")
    assert result.found == {
        "a": (there["a"], PARAMETERS[:1]),
        "LayerNorm.weight": (there["bert.LayerNorm.gamma"], PARAMETERS[1:2]),
    }
    assert result.missing == [PARAMETERS[2]]
    assert result.renamed == {"bert.LayerNorm.gamma": "LayerNorm.weight"}
    assert (result.unused, result.shared) == ({"head": "head"}, "")


def test_the_field_behind_a_part_of_a_transposed_tensor():
    parameter = FUSED[0]._replace(sizes=("width", "height"))
    with pytest.raises(ValueError, match="they fit width=4: put"):
        match(tensors(**{"qkv.weight": (5, 12)}), [parameter], "")


def test_a_prefix_is_the_shortest_behind_which_a_wanted_name_lies():
    find = partial(standard_names, wanted={"a.b", "c"}, prefix="bert.")
    assert find(["x.bert.a.b", "x.d"]) == ({"x.bert.a.b": "a.b", "x.d": "d"}, "x.")
    assert find(["a.b"]) == ({"a.b": "a.b"}, "")
    assert find(["x.a.b", "y.c"]) == ({"x.a.b": "a.b", "y.c": "y.c"}, "x.")
    assert find(["xa.b", "xa.d"])[1] == ""
    assert find([]) == ({}, "")
    assert find(["x." * 10**6 + "c"])[1] == ""  # and it takes no time


@pytest.mark.parametrize(
    ("names", "standard", "shared"),
    [
        # a field with the model, beside a field with a head, or with what is of no model
        (["model.bert.a", "model.bert.b", "c"], ["a", "b", "c"], "model."),
        (["net.a", "net.b", "loss.weight"], ["a", "b", "loss.weight"], "net."),
        (["net.a", "net.b", "fc.c"], ["a", "b", "fc.c"], "net."),  # whose c that is, nothing says
        # a wrapper before some of the names
        (["module.bert.a", "bert.b", "module.c", "module.d"], ["a", "b", "c", "d"], "module."),
        (["a", "b", "_orig_mod.module.c"], ["a", "b", "c"], ""),
        (["a", "b", "c", "copy.a", "copy.b"], ["a", "b", "c", "copy.a", "copy.b"], ""),
        (["net.a", "net.b", "net.c", "other.a"], ["a", "b", "c", "other.a"], "net."),
    ],
)
def test_a_prefix_before_some_of_the_names(names, standard, shared):
    for order in (names, names[::-1]):
        found = standard_names(order, wanted=["a", "b", "c"], prefix="bert.")
        assert found == (dict(zip(names, standard, strict=True)), shared)


@pytest.mark.parametrize("two", [("student.", "teacher."), ("module.q.bert.", "module.d.bert.")])
def test_two_models_in_one_file_are_named(two):
    names = [f"{front}{name}" for front in two for name in "abc"]
    with pytest.raises(ValueError, match="tensors of two models") as caught:
        standard_names(names, wanted=["a", "b", "c"], prefix="bert.")
    assert all(repr(front.removesuffix("bert.")) in str(caught.value) for front in two)


def test_all_wrong_shapes_in_one_error():
    there = tensors(a=(4,), b=(7, 1), **{"bert.LayerNorm.gamma": (5,)})
    with pytest.raises(ValueError, match=r"config.json") as caught:
        match(there, PARAMETERS, "bert.")
    assert "'a' is (4,), expected (3,); 'b' is (7, 1), expected (7,)" in str(caught.value)


@pytest.mark.parametrize("other", ["bert.a", "a"])
def test_two_names_for_one_field(other):
    there = tensors(**{"bert.a": (3,)}) | tensors(a=(3,))
    if other == "a":
        there = dict(reversed(there.items()))
    with pytest.raises(ValueError, match=r"'(bert\.)?a' and '(bert\.)?a' both mean 'a': remove"):
        match(there, PARAMETERS, "bert.")
