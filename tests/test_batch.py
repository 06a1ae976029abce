"""How many sequences become rows, and rows sequences again."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from inputs import EMBEDDED, IDS, Tensor, batch, padded

from minibert.batch import Batch


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
    assert found.token_ids.tolist() == [3, 9, 70_000]
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
    assert found.vectors.unpack(np.array([[5.0]])).tolist() == [[0], [5], [0]]
    empty = batch(input_ids=[[1, 2]] * 3, attention_mask=[[0, 0]] * 3)
    assert (empty.sequences, empty.first_rows(), len(empty.token_ids)) == ((), [], 0)
    assert empty.unpack(np.ones((0, 5))).tolist() == np.zeros((3, 2, 5)).tolist()
    assert empty.vectors.unpack(np.ones((0, 5))).tolist() == np.zeros((3, 5)).tolist()


MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 11)))
AXES = st.lists(st.integers(1, 3), max_size=2).map(tuple)


@given(MASKS, AXES, st.sampled_from([np.float32, np.float64]))
def test_unpacking_undoes_packing(mask, axes, dtype):
    found = batch(input_ids=np.ones(mask.shape, int), attention_mask=mask)
    x = 1 + np.arange(mask.size * np.prod(axes, dtype=int), dtype=dtype).reshape(mask.shape + axes)
    unpacked = found.unpack(x[mask])
    assert unpacked.dtype == dtype
    np.testing.assert_array_equal(unpacked[mask], x[mask])
    assert unpacked.shape == x.shape
    assert not unpacked[~mask].any()


@given(MASKS)
def test_sequences_cover_all_rows_once_and_in_order(mask):
    ids = np.arange(mask.size).reshape(mask.shape)
    found = batch(input_ids=ids, attention_mask=mask)
    rows = [row for s in found.sequences for row in range(s.rows.start, s.rows.stop)]
    assert rows == list(range(mask.sum()))
    assert found.token_ids.tolist() == [ids[s.index, c] for s in found.sequences for c in s.columns]
    assert [s.index for s in found.sequences] == np.flatnonzero(mask.any(axis=1)).tolist()
    for sequence in found.sequences:
        assert sequence.columns.tolist() == np.flatnonzero(mask[sequence.index]).tolist()
        assert found.position_ids[sequence.rows].tolist() == sequence.columns.tolist()


@given(MASKS, AXES)
def test_one_vector_a_sequence_goes_to_its_place(mask, axes):
    found = batch(input_ids=np.ones(mask.shape, int), attention_mask=mask)
    first = found.unpack(np.arange(1.0, 1 + mask.sum()))
    vectors = np.broadcast_to(
        np.array(found.first_rows(), float).reshape(-1, *(1 for _ in axes)) + 1,
        (len(found.sequences), *axes),
    )
    unpacked = found.vectors.unpack(vectors)
    assert unpacked.shape == (len(mask), *axes)
    expected = [line[real][0] if real.any() else 0 for line, real in zip(first, mask, strict=True)]
    assert unpacked.reshape(len(mask), -1)[:, 0].tolist() == expected


@given(MASKS, st.data())
def test_a_share_has_its_sequences_and_they_lie_where_they_lay(mask, data):
    ids = np.arange(mask.size).reshape(mask.shape)
    whole = padded(mask, ids)
    chosen = data.draw(st.sets(st.integers(0, len(mask) - 1)).map(sorted))
    share = whole.only(chosen)
    assert share.mask.shape == mask.shape
    assert [s.index for s in share.sequences] == [i for i in chosen if mask[i].any()]
    assert share.token_ids.tolist() == ids[chosen][mask[chosen]].tolist()
    assert share.position_ids.tolist() == np.nonzero(mask[chosen])[1].tolist()
    assert share.token_embeddings is None


@given(MASKS, st.integers(1, 4), AXES)
def test_what_shares_compute_is_gathered_in_order(mask, count, axes):
    whole = padded(mask)
    shares = [whole.only(list(range(i, len(mask), count))) for i in range(count)]
    x = np.arange(mask.sum() * np.prod(axes, dtype=int), dtype=np.float32)
    x = x.reshape(mask.sum(), *axes)
    rows = [x[share.mask[mask]] for share in shares]
    gathered = whole.gather(shares, rows)
    assert gathered.dtype == np.float32
    np.testing.assert_array_equal(gathered, x)


def test_given_embeddings_are_shared_out_too():
    whole = batch(inputs_embeds=EMBEDDED, attention_mask=[[1, 0, 1], [0, 1, 0]])
    np.testing.assert_array_equal(whole.only([1]).token_embeddings, EMBEDDED[[1], [1]])


class TestPlaces:
    """Where a piece of a stage lies in the whole stage."""

    WHOLE = batch(input_ids=[[1] * 4] * 3, attention_mask=[[1, 0, 1, 1], [0] * 4, [0, 1, 1, 0]])

    def put(self, where, x, columns=None):
        index, shape = where.place(x, columns)
        whole = np.zeros(shape)
        whole[index] = x
        return whole

    def test_rows(self):
        whole = self.put(self.WHOLE, np.arange(1.0, 6)[:, None])
        assert whole[..., 0].tolist() == [[1, 0, 2, 3], [0] * 4, [0, 4, 5, 0]]

    def test_some_columns_of_rows(self):
        """The second of three groups of two columns."""
        whole = self.put(self.WHOLE, np.ones((5, 2)), (slice(1, 2), 3))
        assert whole.shape == (3, 4, 6)
        assert whole[0, 0].tolist() == [0, 0, 1, 1, 0, 0]
        assert whole.sum() == 5 * 2

    def test_rows_of_a_share(self):
        whole = self.put(self.WHOLE.only([2]), np.array([[1.0], [2]]))
        assert whole[..., 0].tolist() == [[0] * 4, [0] * 4, [0, 1, 2, 0]]

    def test_vectors(self):
        whole = self.put(self.WHOLE.vectors, np.array([[1.0, 2], [3, 4]]))
        assert whole.tolist() == [[1, 2], [0, 0], [3, 4]]

    def test_scores(self):
        """Real tokens by real tokens, of the sequence; all other numbers stay."""
        block = self.WHOLE.sequences[0].block(slice(0, 2), slice(1, 3), 2)
        whole = self.put(block, np.arange(1.0, 13).reshape(2, 2, 3))
        assert whole.shape == (3, 2, 4, 4)
        assert whole[0, 1].tolist() == [[0] * 4, [0] * 4, [7, 0, 8, 9], [10, 0, 11, 12]]
        assert whole.sum() == 78

    def test_scores_of_some_heads(self):
        """The second half of the heads, as a thread that has them sees them."""
        block = self.WHOLE.sequences[1].block(slice(1, 2), slice(0, 2), 2)
        whole = self.put(block, np.ones((1, 2, 2)), (slice(2, 4), 4))
        assert whole.shape == (3, 4, 4, 4)
        assert whole[2, 3].tolist() == [[0] * 4, [0, 1, 1, 0], [0, 1, 1, 0], [0] * 4]
        assert whole.sum() == 4


def test_a_share_of_a_source_that_has_its_mask_alone():
    """Its keys and values are kept, so its tokens need not be there."""
    nothing, mask = np.zeros(0, np.int64), np.array([[True, True, False], [True, True, True]])
    part = replace(padded(mask), source=Batch(mask, nothing, nothing)).only([1])
    assert part.source.mask.tolist() == [[False] * 3, [True] * 3]
    assert len(part.source.token_type_ids) == 0
