"""Inputs under other names, and hidden states without the embeddings."""

import numpy as np
import pytest

from minibert import Reference

IDS = {"input_ids": [[5, 3, 8], [9, 1, 0]], "attention_mask": [[1, 1, 1], [1, 1, 0]]}
X = np.zeros((2, 3, 5))
PAIRS = np.zeros((2, 4, 3, 3))
WORDS, MASK = np.array(IDS["input_ids"]), np.array(IDS["attention_mask"])


def read(stages, inputs=IDS, layers=None):
    return Reference.from_arrays(stages, inputs, num_hidden_layers=layers)


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        ({"token_ids": WORDS, "padding_mask": MASK, "segment_ids": 0 * WORDS}, 3),
        ({"input_word_ids": WORDS, "input_mask": MASK, "input_type_ids": 0 * WORDS}, 3),
        ({"input_ids:0": WORDS, "attention_mask:0": MASK}, 2),
        ({"input_ids": WORDS.astype(float), "src_key_padding_mask": MASK == 0}, 2),
    ],
)
def test_inputs_of_other_libraries_are_read(inputs, names):
    found = read({"layer.0": X}, inputs)
    assert list(found.inputs) == ["input_ids", "attention_mask", "token_type_ids"][:names]
    np.testing.assert_array_equal(found.inputs["input_ids"], WORDS)
    np.testing.assert_array_equal(found.real_tokens(), MASK == 1)
    assert found.inputs["input_ids"].dtype.kind == "i"


def test_a_mask_that_marks_padding_is_turned_round():
    for name, mask in (
        ("padding_mask", MASK),
        ("padding_mask", MASK == 0),
        ("key_padding_mask", MASK == 0),
    ):
        found = read({"layer.0": X}, {"input_ids": WORDS, name: mask})
        np.testing.assert_array_equal(found.real_tokens(), MASK == 1)
        assert ("turned round" in found.provenance["read_as"]) is (mask.dtype == bool)
    none = read({"layer.0": X}, {"input_ids": WORDS, "padding_mask": 0 * MASK})  # no padding
    assert none.real_tokens().all()


@pytest.mark.parametrize("mask", [MASK[:, ::-1], [[0, 1, 1], [0, 0, 1]]])
def test_a_mask_of_padding_on_the_left_is_not_guessed(mask):
    with pytest.raises(ValueError, match="padding_mask may be 1 at tokens or at padding: pass att"):
        read({"layer.0": X}, {"input_ids": WORDS, "padding_mask": mask})


@pytest.mark.parametrize("odd", [np.inf, np.nan, 1e300, 0.5])
def test_ids_that_are_not_whole_are_refused(odd):
    with pytest.raises(TypeError, match="input_ids holds float64; needed: whole numbers"):
        read({"layer.0": X}, {"input_ids": np.where(WORDS == 1, odd, WORDS)})


@pytest.mark.parametrize("mask", [1.0, [], [[]]])
def test_a_mask_of_nothing_is_refused(mask):
    with pytest.raises(ValueError, match="attention_mask"):
        read({"layer.0": X}, {"input_ids": WORDS, "padding_mask": mask})


def test_inputs_of_other_libraries_are_read_from_a_file(tmp_path):
    np.savez(tmp_path / "r.npz", token_ids=WORDS, padding_mask=MASK, **{"layer.0": X})
    found = Reference.load(tmp_path / "r.npz")
    assert list(found.inputs) == ["input_ids", "attention_mask"]
    assert found.provenance["read_as"] == "token_ids as input_ids, padding_mask as attention_mask"
    assert found.provenance["lacking"] == "token_type_ids"


def test_two_names_of_one_input_have_the_same_numbers():
    assert list(read({"layer.0": X}, {"token_ids": WORDS, "input_ids": WORDS}).inputs) == [
        "input_ids"
    ]
    with pytest.raises(ValueError, match="token_ids is the input input_ids, which is there too"):
        read({"layer.0": X}, {"input_ids": WORDS, "token_ids": WORDS + 1})


def states(count):
    return np.stack([X + i for i in range(count)])


def test_as_many_hidden_states_as_layers_lack_the_embeddings():
    for found in (
        read({"hidden_states": states(3)}, layers=3),
        read({"hidden_states": states(3), "attentions": np.stack([PAIRS] * 3)}),
        read({"hidden_states": states(3)}).of_layers(3),
        read({"all_hidden_states": tuple(states(3)), "last_hidden_state": X + 2}).of_layers(3),
        read(
            {**{f"hidden_states.{i}": X + i for i in range(3)}, "sequence_output": X + 2}, layers=3
        ),
    ):
        plain = [name for name in found.stages if "attention" not in name]
        assert plain == ["layer.0", "layer.1", "layer.2"]
        assert [found.stages[name][0, 0, 0] for name in plain] == [0, 1, 2]
        said = "hidden_states (3, as many as layers) as layer.0 to layer.2"
        assert said in found.provenance["read_as"]


def test_with_the_embeddings_nothing_is_shifted():
    given = {"hidden_states": states(4)}
    for found in (read(given), read(given, layers=3), read(given).of_layers(3)):
        assert list(found.stages) == ["embeddings", "layer.0", "layer.1", "layer.2"]
        assert "read_as" not in found.provenance


@pytest.mark.parametrize("count", [2, 5])
def test_another_number_of_hidden_states_is_refused(count):
    says = (
        f"hidden_states has {count} arrays; a model of 3 layers has 4, the embeddings first, or 3"
    )
    with pytest.raises(ValueError, match=says):
        read({"hidden_states": states(count)}, layers=3)
    with pytest.raises(ValueError, match=says):
        read({"hidden_states": states(count)}).of_layers(3)


def test_a_last_state_that_is_not_the_last_of_all_is_refused():
    with pytest.raises(ValueError, match="last_hidden_state is not the last of 3 hidden_states"):
        read({"hidden_states": states(3), "last_hidden_state": X + 9}, layers=3)
    found = read({"hidden_states": states(3), "last_hidden_state": X + 2}, layers=3)
    assert list(found.stages) == ["layer.0", "layer.1", "layer.2"]


def test_a_state_under_two_names_says_which_is_which():
    found = read({"hidden_states": states(3), "layer.1": X + 2}, layers=3)
    assert list(found.stages) == ["embeddings", "layer.0", "layer.1"]


def test_some_hidden_states_by_name_are_what_they_are_called():
    found = read({"hidden_states.0": X, "hidden_states.1": X + 1}).of_layers(2)
    assert list(found.stages) == ["embeddings", "layer.0"]


def test_a_saved_recording_can_still_be_shifted(tmp_path):
    read({"hidden_states": states(3)}).save(tmp_path / "r")
    assert next(iter(Reference.load(tmp_path / "r").stages)) == "embeddings"
    assert list(Reference.load(tmp_path / "r", 3).stages) == ["layer.0", "layer.1", "layer.2"]
