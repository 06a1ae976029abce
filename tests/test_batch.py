import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from minibert import BertConfig
from minibert import batch as batch_module
from minibert.batch import MIN_ROWS, make_batch

CONFIG = BertConfig(
    vocab_size=70_001,  # more than int16, uint16 and all narrower ones can hold
    hidden_size=15,
    num_hidden_layers=3,
    num_attention_heads=5,
    intermediate_size=19,
    max_position_embeddings=11,
    type_vocab_size=7,
)
IDS = [[3, 5, 9], [8, 70_000, 0]]
EMBEDDED = np.arange(2 * 3 * 15, dtype=np.float64).reshape(2, 3, 15)


class Tensor:
    """What is not an array but can become one, as torch's tensors."""

    def __init__(self, values):
        self.values = np.array(values)

    def __array__(self, dtype=None, copy=None):
        return self.values.astype(dtype or self.values.dtype)


def batch(**inputs):
    return make_batch(CONFIG, np.float32, **inputs)


@pytest.mark.parametrize(
    "ids",
    [IDS, tuple(map(tuple, IDS)), list(map(np.array, IDS)), Tensor(IDS), np.asfortranarray(IDS)],
    ids=["lists", "tuples", "arrays", "tensor", "columns first"],
)
def test_ids_come_in_many_forms(ids):
    found = batch(input_ids=ids)
    assert found.words.tolist() == [3, 5, 9, 8, 70_000, 0]
    assert found.shape == (2, 3)


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
    assert found.words.tolist() == [3, 101]
    assert found.token_type_ids.tolist() == [0, 6]
    assert found.position_ids.tolist() == [10, 0]
    assert {a.dtype for a in (found.words, found.token_type_ids, found.position_ids)} == {
        np.dtype(np.int64)
    }


def test_what_is_not_given():
    found = batch(input_ids=IDS)
    assert found.mask.tolist() == [[True] * 3] * 2
    assert found.token_type_ids.tolist() == [0] * 6
    assert found.position_ids.tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_embeddings_take_the_dtype_of_the_model(dtype):
    found = make_batch(CONFIG, dtype, inputs_embeds=EMBEDDED, attention_mask=[[1, 0, 1], [0, 1, 0]])
    assert found.words.dtype == dtype
    np.testing.assert_array_equal(found.words, EMBEDDED[[0, 0, 1], [0, 2, 1]])


@pytest.mark.parametrize(
    "positions",
    [[5, 0, 10], [[5, 0, 10]], [[5, 0, 10], [5, 0, 10]], Tensor([5, 0, 10])],
    ids=["one line", "a batch of one", "all lines", "tensor"],
)
def test_positions_of_one_line_serve_all(positions):
    found = batch(input_ids=IDS, position_ids=positions, attention_mask=[[1, 1, 1], [0, 1, 1]])
    assert found.position_ids.tolist() == [5, 0, 10, 0, 10]


def test_given_positions_allow_any_length():
    assert batch(input_ids=[[1] * 13], position_ids=[[0] * 13]).shape == (1, 13)


@pytest.mark.parametrize(
    "mask",
    [
        [[1, 0, 1], [0, 1, 0]],
        [[1.0, 0.0, 1.0], [0.0, 1.0, -0.0]],
        [[True, False, True], [False, True, False]],
        np.array([[1, 0, 1], [0, 1, 0]], np.float16),
        Tensor([[1, 0, 1], [0, 1, 0]]),
    ],
    ids=["int", "float", "bool", "float16", "tensor"],
)
def test_a_mask_with_holes(mask):
    found = batch(input_ids=IDS, attention_mask=mask, token_type_ids=[[0, 1, 2], [3, 4, 5]])
    assert found.words.tolist() == [3, 9, 70_000]
    assert found.position_ids.tolist() == [0, 2, 1]  # those of the columns
    assert found.token_type_ids.tolist() == [0, 2, 4]
    assert [(s.index, s.rows, s.columns.tolist()) for s in found.sequences] == [
        (0, slice(0, 2), [0, 2]),
        (1, slice(2, 3), [1]),
    ]
    assert found.first_rows() == [0, 2]


def test_sequences_that_are_all_padding():
    found = batch(input_ids=[[1, 2]] * 3, attention_mask=[[0, 0], [0, 1], [0, 0]])
    assert [s.index for s in found.sequences] == [1]
    assert found.unpack_sequences(np.array([[5.0]])).tolist() == [[0], [5], [0]]
    empty = batch(input_ids=[[1, 2]] * 3, attention_mask=[[0, 0]] * 3)
    assert (empty.sequences, empty.first_rows(), len(empty.words)) == ((), [], 0)
    assert empty.unpack(np.ones((0, 5))).tolist() == np.zeros((3, 2, 5)).tolist()
    assert empty.unpack_sequences(np.ones((0, 5))).tolist() == np.zeros((3, 5)).tolist()


MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 11)))
AXES = st.lists(st.integers(1, 3), max_size=2).map(tuple)


@settings(deadline=None)
@given(MASKS, AXES, st.sampled_from([np.float32, np.float64]))
def test_unpacking_undoes_packing(mask, axes, dtype):
    found = batch(input_ids=np.ones(mask.shape, int), attention_mask=mask)
    x = 1 + np.arange(mask.size * np.prod(axes, dtype=int), dtype=dtype).reshape(mask.shape + axes)
    unpacked = found.unpack(x[mask])
    assert unpacked.dtype == dtype
    np.testing.assert_array_equal(unpacked[mask], x[mask])
    assert unpacked.shape == x.shape
    assert not unpacked[~mask].any()


@settings(deadline=None)
@given(MASKS)
def test_sequences_cover_all_rows_once_and_in_order(mask):
    ids = np.arange(mask.size).reshape(mask.shape)
    found = batch(input_ids=ids, attention_mask=mask)
    rows = [row for s in found.sequences for row in range(s.rows.start, s.rows.stop)]
    assert rows == list(range(mask.sum()))
    assert found.words.tolist() == [ids[s.index, c] for s in found.sequences for c in s.columns]
    assert [s.index for s in found.sequences] == np.flatnonzero(mask.any(axis=1)).tolist()
    for sequence in found.sequences:
        assert sequence.columns.tolist() == np.flatnonzero(mask[sequence.index]).tolist()
        assert found.position_ids[sequence.rows].tolist() == sequence.columns.tolist()


@settings(deadline=None)
@given(MASKS, AXES)
def test_one_vector_a_sequence_goes_to_its_place(mask, axes):
    found = batch(input_ids=np.ones(mask.shape, int), attention_mask=mask)
    first = found.unpack(np.arange(1.0, 1 + mask.sum()))
    vectors = np.broadcast_to(
        np.array(found.first_rows(), float).reshape(-1, *(1 for _ in axes)) + 1,
        (len(found.sequences), *axes),
    )
    unpacked = found.unpack_sequences(vectors)
    assert unpacked.shape == (len(mask), *axes)
    expected = [line[real][0] if real.any() else 0 for line, real in zip(first, mask, strict=True)]
    assert unpacked.reshape(len(mask), -1)[:, 0].tolist() == expected


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
    "None inside": (TypeError, ids([[1, None]]), r"input_ids holds objects \(NoneType, int\)"),
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


masks = st.integers(1, 9).flatmap(
    lambda length: st.lists(
        st.lists(st.booleans(), min_size=length, max_size=length), min_size=1, max_size=13
    )
)


@given(mask=masks, count=st.integers(1, 4))
def test_shares_have_every_token_once_and_are_about_equal(mask, count):
    mask = np.array(mask)
    ids = np.arange(mask.size).reshape(mask.shape)
    whole = batch(input_ids=ids, attention_mask=mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_module, "MIN_ROWS", 1)
        parts = whole.split(count)
    assert len(parts) in (1, count)
    assert sum(part.mask.astype(int) for part in parts).tolist() == mask.tolist()
    for part in parts:
        assert (
            part.words.tolist()
            == ids[part.mask].tolist()
            == whole.words[whole.rows_of(part.mask)].tolist()
        )
        assert part.position_ids.tolist() == (ids % mask.shape[1])[part.mask].tolist()
    if len(parts) > 1:
        assert max(len(part.words) for part in parts) * count <= 1.1 * len(whole.words)


def test_a_small_batch_stays_whole():
    ids = np.ones((2 * MIN_ROWS // 8, 8), int)
    assert len(batch(input_ids=ids).split(2)) == 2
    small = batch(input_ids=ids[1:])
    assert small.split(2) == [small]


def test_a_large_batch_becomes_shares_of_a_bounded_size():
    whole = batch(input_ids=np.ones((700, 11), int))
    lengths = [len(part.words) for part in whole.split(2)]
    assert len(lengths) == 8
    assert sum(lengths) == 7700
    assert max(lengths) <= 1024


@given(mask=masks, num_heads=st.integers(1, 13))
def test_blocks_have_every_head_and_query_once(mask, num_heads):
    whole = batch(input_ids=np.zeros(np.shape(mask), int), attention_mask=mask)
    seen = np.zeros((num_heads, len(whole.words)), int)
    for block in whole.blocks(num_heads):
        seen[block.queries] += 1
        assert block.heads.stop <= num_heads
        assert block.columns.tolist() == np.nonzero(mask)[1][block.rows].tolist()
    assert (seen == 1).all()


def test_blocks_of_long_sequences_are_small():
    whole = batch(input_ids=np.zeros((1, 300), int), position_ids=[[0] * 300])
    sizes = [
        (block.heads.stop - block.heads.start) * (block.rows.stop - block.rows.start) * 300
        for block in whole.blocks(12)
    ]
    assert max(sizes) <= 130_000
    assert len(sizes) == 12 * 2  # of each head 256 queries, and the 44 that are left
