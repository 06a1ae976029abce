"""What a caller may pass in which form, and what is said of the rest."""

import json

import numpy as np
import pytest
from inputs import CONFIG, EMBEDDED, IDS, Tensor, batch

from minibert.batch import make_batch


@pytest.mark.parametrize(
    "ids",
    [IDS, tuple(map(tuple, IDS)), list(map(np.array, IDS)), Tensor(IDS), np.asfortranarray(IDS)],
    ids=["lists", "tuples", "arrays", "tensor", "columns first"],
)
def test_ids_come_in_many_forms(ids):
    found = batch(input_ids=ids)
    assert found.token_ids.tolist() == [3, 5, 9, 8, 70_000, 0]
    assert found.mask.shape == (2, 3)


@pytest.mark.parametrize(
    "dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
)
def test_whole_numbers_of_any_width(dtype):
    found = batch(
        input_ids=np.array([[3, 101]], dtype),
        attention_mask=np.array([[1, 1]], dtype),
        token_type_ids=np.array([[0, 6]], dtype),
        position_ids=np.array([10, 0], dtype),
    )
    assert found.token_ids.tolist() == [3, 101]
    assert found.token_type_ids.tolist() == [0, 6]
    assert found.position_ids.tolist() == [10, 0]
    assert {a.dtype for a in (found.token_ids, found.token_type_ids, found.position_ids)} == {
        np.dtype(np.int64)
    }


def test_what_is_not_given():
    found = batch(input_ids=IDS)
    assert found.mask.tolist() == [[True] * 3] * 2
    assert found.token_type_ids.tolist() == [0] * 6
    assert found.position_ids.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_embeddings_take_the_dtype_of_the_model(dtype):
    found = batch(dtype, inputs_embeds=EMBEDDED, attention_mask=[[1, 0, 1], [0, 1, 0]])
    assert found.token_ids is None
    assert found.token_embeddings.dtype == dtype
    np.testing.assert_array_equal(found.token_embeddings, EMBEDDED[[0, 0, 1], [0, 2, 1]])


@pytest.mark.parametrize(
    "positions",
    [[5, 0, 10], [[5, 0, 10]], [[5, 0, 10], [5, 0, 10]], Tensor([5, 0, 10])],
    ids=["one line", "a batch of one", "all lines", "tensor"],
)
def test_positions_of_one_line_serve_all(positions):
    found = batch(input_ids=IDS, position_ids=positions, attention_mask=[[1, 1, 1], [0, 1, 1]])
    assert found.position_ids.tolist() == [5, 0, 10, 0, 10]


def test_given_positions_allow_any_length():
    assert batch(input_ids=[[1] * 13], position_ids=[[0] * 13]).mask.shape == (1, 13)


def ids(input_ids):
    return {"input_ids": input_ids}


def mask(attention_mask):
    return {"input_ids": IDS, "attention_mask": attention_mask}


def types(token_type_ids):
    return {"input_ids": IDS, "token_type_ids": token_type_ids}


def positions(position_ids):
    return {"input_ids": IDS, "position_ids": position_ids}


def embeds(inputs_embeds):
    return {"inputs_embeds": inputs_embeds}


LINE = r"input_ids has 1 .*\(3,\); needed: 2, .*write input_ids=\[\[\.\.\.\]\]"
PAD = r"Pad the shorter rows .* attention_mask to 0"
ONE_OR_ZERO = r"allowed: 1 \(a real token\), 0 \(padding\)"
MANY = [[1, 2, 3]] + [[1]] * 9
REFUSED = {
    "neither": (ValueError, {}, "either input_ids or inputs_embeds, and not both"),
    "both": (ValueError, ids(IDS) | embeds(EMBEDDED), "either input_ids or inputs_embeds"),
    "ragged": (ValueError, ids([[1, 2, 3], [1, 2]]), rf"row 0 has 3 .*row 1 has 2 .*{PAD}"),
    "ragged, longest last": (ValueError, ids(([1], [1, 2])), "row 1 has 2 .*row 0 has 1"),
    "ragged arrays": (ValueError, ids([np.ones(2, int), np.ones(1, int)]), "input_ids is ragged"),
    "ragged, many": (ValueError, ids(MANY), "row 5 has 1 entries and 4 more"),
    "ragged, empty": (ValueError, ids([[1, 2], []]), "row 1 has 0 entries"),
    "ragged, a number": (ValueError, ids([[1, 2], 3]), "row 1 is not a list"),
    "ragged, None": (ValueError, ids([None, [1, 2]]), "row 0 is not a list"),
    "ragged inside": (ValueError, ids([[[1], [1, 2]]]), "input_ids is not an array"),
    "ragged mask": (ValueError, mask([[1, 1, 1], [1]]), "attention_mask is ragged: .*row 1 has 1"),
    "ragged types": (ValueError, types([[1, 1, 1], [1]]), "token_type_ids is ragged"),
    "ragged positions": (ValueError, positions([[1, 1, 1], [1]]), "position_ids is ragged"),
    "ragged embeds": (ValueError, embeds([[[1.0] * 15] * 2, [[1.0] * 15]]), "embeds is ragged"),
    "id below": (ValueError, ids([[1, 2], [-1, 1]]), r"input_ids\[1, 0\] is -1; .*0 to 70000"),
    "id above": (ValueError, ids([[1, 70_001]]), r"input_ids\[0, 1\] is 70001; .*vocab_size is"),
    "id far above": (ValueError, ids(np.array([[2**63 + 3]], "u8")), "is 9223372036854775811;"),
    "type below": (ValueError, types([[0, 0, 0], [0, -1, 0]]), r"token_type_ids\[1, 1\] is -1"),
    "type above": (ValueError, types([[0, 7, 0], [0, 0, 0]]), "is 7; .*0 to 6 .type_vocab_size"),
    "position below": (ValueError, positions([0, -1, 2]), r"position_ids\[0, 1\] is -1"),
    "position above": (ValueError, positions([0, 1, 11]), "is 11; .*0 to 10 .max_position_emb"),
    "too long": (ValueError, ids([[1] * 12]), "12 tokens long; .*positions for 11 .*split them"),
    "embeds too long": (ValueError, embeds(np.ones((1, 12, 15))), "12 tokens long"),
    "floats": (TypeError, ids([[1.0, 2.0]]), "input_ids holds float64; needed: whole numbers"),
    "float types": (TypeError, types([[0.0] * 3] * 2), "token_type_ids holds float64"),
    "float positions": (TypeError, positions([0.0, 1, 2]), "position_ids holds float64"),
    "booleans": (TypeError, ids([[True, False]]), "input_ids holds bool; needed: whole numbers"),
    "complex": (TypeError, ids([[1j]]), "input_ids holds complex128"),
    "None inside": (TypeError, ids([[1, None]]), r"input_ids holds objects \(None, int\)"),
    "None deep inside": (
        (TypeError, ValueError),  # as many axes as NumPy has: 64, or 32 before 2.0
        ids(json.loads("[" * 36 + "null" + "]" * 36)),
        r"input_ids (holds objects \(None\)|is not an array)",
    ),
    "a set": (TypeError, ids({1, 2}), r"input_ids holds objects \(set\)"),
    "a dict": (TypeError, ids({"input_ids": IDS}), r"input_ids is a dict; .*put \*\* before"),
    "too many digits": (TypeError, ids([[2**70]]), r"input_ids holds objects \(int\)"),
    "a text": (TypeError, ids("hello"), "input_ids holds text; .*tokenizer"),
    "texts": (TypeError, ids(["hello", "you"]), "input_ids holds text; .*tokenizer"),
    "tokens": (TypeError, ids([["hello", "you"]]), "input_ids holds text; .*tokenizer"),
    "ragged tokens": (TypeError, ids([["hello", "you"], ["hi"]]), "holds text; .*tokenizer"),
    "a text for a mask": (TypeError, mask([["1", "1", "0"]] * 2), "attention_mask holds text"),
    "one line": (ValueError, ids([1, 2, 3]), LINE),
    "one line of an array": (ValueError, ids(np.array([1, 2, 3])), LINE),
    "one line of numbers": (ValueError, ids([np.array(1), np.array(2), np.array(3)]), LINE),
    "a number": (ValueError, ids(3), "input_ids has 0 dim.*needed: 2"),
    "three axes": (ValueError, ids([[[1, 2]]]), r"input_ids has 3 .*\(1, 1, 2\); needed: 2"),
    "one line of types": (ValueError, types([0, 0, 0]), "token_type_ids has 1 dim"),
    "empty": (ValueError, ids([]), r"input_ids is empty: its shape is \(0,\)"),
    "empty line": (ValueError, ids([[]]), r"input_ids is empty: its shape is \(1, 0\)"),
    "no lines": (ValueError, ids(np.ones((0, 5), int)), r"is empty: its shape is \(0, 5\)"),
    "no columns": (ValueError, ids(np.ones((5, 0), int)), r"is empty: its shape is \(5, 0\)"),
    "mask of 2": (ValueError, mask([[1, 1, 1], [1, 2, 0]]), rf"\[1, 1\] is 2; {ONE_OR_ZERO}"),
    "mask of -1": (ValueError, mask([[1, 1, -1], [1, 1, 0]]), rf"\[0, 2\] is -1; {ONE_OR_ZERO}"),
    "mask of a half": (ValueError, mask([[1, 1, 0.5], [1, 1, 0]]), rf"is 0\.5; {ONE_OR_ZERO}"),
    "mask of NaN": (ValueError, mask([[1, 1, np.nan], [1, 1, 0]]), rf"is nan; {ONE_OR_ZERO}"),
    "mask, one line": (ValueError, mask([1, 1, 1]), r"attention_mask has the shape \(3,\); .*3\)"),
    "mask, one for all": (ValueError, mask([[1, 1, 1]]), r"the shape \(1, 3\); .* \(2, 3\)"),
    "mask, narrow": (ValueError, mask([[1, 1]] * 2), r"the shape \(2, 2\); .* \(2, 3\)"),
    "types, one for all": (ValueError, types([[0, 0, 0]]), r"token_type_ids has the .*\(1, 3\)"),
    "positions, few": (ValueError, positions([0, 1]), r"position_ids has the shape \(2,\)"),
    "positions, lines": (ValueError, positions([[0, 1, 2]] * 3), r"position_ids .*\(3, 3\)"),
    "positions, axes": (ValueError, positions([[[0, 1, 2]]]), "position_ids has 3 dim"),
    "embeds, narrow": (ValueError, embeds(EMBEDDED[..., 1:]), r"\(2, 3, 14\); .*tokens, 15\)"),
    "embeds, one line": (ValueError, embeds(EMBEDDED[0]), r"inputs_embeds has the .*\(3, 15\)"),
    "embeds, empty": (ValueError, embeds(EMBEDDED[:0]), r"inputs_embeds has the .*\(0, 3, 15\)"),
    "embeds, ids": (TypeError, embeds(EMBEDDED.astype(int)), "inputs_embeds holds int64; needed"),
    "embeds, mask": (ValueError, mask([[1]]) | ids(None) | embeds(EMBEDDED), "the input has .2, 3"),
}


@pytest.mark.parametrize(("error", "inputs", "sentence"), REFUSED.values(), ids=REFUSED)
def test_refuses(error, inputs, sentence):
    with pytest.raises(error, match=sentence):
        batch(**inputs)


def choices(**inputs):
    return make_batch(CONFIG, np.float32, **inputs, with_choices=True)


def test_choices_are_sequences_of_one_question():
    questions = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    found = choices(input_ids=questions, attention_mask=questions % 5 > 0)
    assert (found.choices, found.mask.shape) == (3, (6, 4))
    assert found.token_ids.tolist() == [i for i in range(24) if i % 5]
    embedded = choices(inputs_embeds=np.ones((2, 3, 4, 15)), token_type_ids=questions % 7)
    assert (embedded.choices, embedded.token_embeddings.shape) == (3, (24, 15))
    assert embedded.token_type_ids.tolist() == [i % 7 for i in range(24)]


@pytest.mark.parametrize(
    ("inputs", "sentence"),
    [
        (ids(IDS), r"input_ids has 2 .*\(2, 3\); needed: 3, \(batch, choices, tokens\)$"),
        (ids([IDS]) | {"attention_mask": [[1]]}, "attention_mask has 2 .*needed: 3"),
        (ids([IDS]) | {"token_type_ids": [0]}, "token_type_ids has 1 .*needed: 3"),
        (embeds(EMBEDDED), r"inputs_embeds has 3 .*needed: 4, \(batch, choices, tokens\), width"),
    ],
)
def test_refuses_what_has_no_choices(inputs, sentence):
    with pytest.raises(ValueError, match=sentence):
        choices(**inputs)


def test_a_mask_of_queries_and_keys():
    allowed = np.zeros((2, 3, 3), int)
    allowed[0, :2, :2] = 1
    allowed[1] = np.tril(np.ones((3, 3)))
    for given in (allowed, allowed[:, None]):
        found = batch(input_ids=IDS, attention_mask=given)
        assert found.mask.tolist() == [[True, True, False], [True] * 3]
        assert [s.allowed.tolist() for s in found.sequences] == [
            [[True] * 2] * 2,
            [[True, False, False], [True, True, False], [True, True, True]],
        ]
    assert batch(input_ids=IDS, attention_mask=[[[1, 1, 0]], [[0, 1, 1]]]).allowed is None
    with pytest.raises(ValueError, match=r"shape \(2, 3, 2\); the input has \(2, 3, 3\)"):
        batch(input_ids=IDS, attention_mask=np.ones((2, 3, 2)))
