"""BertModel: how it is called, what it returns, and what it never does."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from stages import stage_axes
from wide import WIDE

from minibert import BertConfig, BertModel

MODEL = BertModel.from_pretrained(WIDE)
EXACT = BertModel.from_pretrained(WIDE, dtype="float64")
IDS = [[5, 17, 80, 3, 66], [9, 2, 41, 0, 0], [1, 33, 8, 28, 70]]
MASK = [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]]
TYPES = [[0, 0, 0, 1, 1], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]]


def test_arguments_are_in_the_order_of_transformers():
    positions = [4, 3, 2, 1, 0]
    named = MODEL(input_ids=IDS, attention_mask=MASK, token_type_ids=TYPES, position_ids=positions)
    in_order = MODEL(IDS, MASK, TYPES, positions)
    np.testing.assert_array_equal(in_order.last_hidden_state, named.last_hidden_state)
    embedded = MODEL(None, MASK, TYPES, positions, MODEL.embeddings.word[np.array(IDS)])
    np.testing.assert_array_equal(embedded.last_hidden_state, named.last_hidden_state)


@pytest.mark.parametrize(
    "kind",
    [list, tuple, np.array, lambda x: np.array(x, np.int8), lambda x: np.array(x, np.uint64)],
    ids=["list", "tuple", "array", "int8", "uint64"],
)
def test_any_kind_of_whole_numbers_will_do(kind):
    expected = MODEL(np.array(IDS)).last_hidden_state
    np.testing.assert_array_equal(MODEL(kind(IDS)).last_hidden_state, expected)


def test_defaults_are_no_padding_one_segment_and_counted_positions():
    ones, zeros = np.ones((3, 5), int), np.zeros((3, 5), int)
    explicit = MODEL(IDS, ones, zeros, [0, 1, 2, 3, 4])
    np.testing.assert_array_equal(MODEL(IDS).last_hidden_state, explicit.last_hidden_state)


def test_outputs_are_there_when_asked_for():
    plain = MODEL(IDS, MASK)
    assert plain.keys() == ("last_hidden_state", "pooler_output")
    full = MODEL(IDS, MASK, output_hidden_states=True, output_attentions=True)
    layers = MODEL.config.num_hidden_layers
    assert len(full.hidden_states) == layers + 1
    np.testing.assert_array_equal(full.hidden_states[-1], full.last_hidden_state)
    assert [a.shape for a in full.attentions] == [(3, 3, 5, 5)] * layers
    np.testing.assert_array_equal(full.last_hidden_state, plain.last_hidden_state)
    as_tuple = MODEL(IDS, MASK, return_dict=False)
    assert isinstance(as_tuple, tuple)
    np.testing.assert_array_equal(as_tuple[1], plain.pooler_output)


def test_the_config_says_what_is_returned_by_default():
    options = {"output_hidden_states": True, "output_attentions": True, "return_dict": False}
    model = BertModel.from_pretrained(WIDE, **options)
    assert [type(part) for part in model(IDS)] == [np.ndarray, np.ndarray, tuple, tuple]
    output = model(IDS, output_hidden_states=False, output_attentions=False, return_dict=True)
    assert output.keys() == ("last_hidden_state", "pooler_output")


def test_hidden_states_and_attentions_are_stages_of_the_trace():
    trace = {}
    output = MODEL(IDS, MASK, output_hidden_states=True, output_attentions=True, trace=trace)
    names = ["embeddings", "layer.0", "layer.1"]
    for name, hidden_state in zip(names, output.hidden_states, strict=True):
        np.testing.assert_array_equal(hidden_state, trace[name])
    for name, attention in zip(names[1:], output.attentions, strict=True):
        np.testing.assert_array_equal(attention, trace[f"{name}.attention.probabilities"])


def test_padding_is_zero_everywhere_and_never_nan():
    trace = {}
    output = MODEL(IDS, MASK, trace=trace)
    padded = np.array(MASK) == 0
    for name, axes in stage_axes(2).items():
        if axes == "BHTT":
            assert not trace[name].swapaxes(1, 2)[padded].any()  # queries
            assert not trace[name].transpose(0, 3, 1, 2)[padded].any()  # keys
        elif axes != "BC":
            assert not trace[name][padded].any()
            assert trace[name][~padded].any(axis=-1).all()
    assert not output.pooler_output[2].any()
    assert output.pooler_output[:2].any(axis=-1).all()
    rows = trace["layer.1.attention.probabilities"].sum(axis=-1)
    np.testing.assert_allclose(rows.swapaxes(1, 2)[~padded], 1, rtol=1e-6)


def test_a_batch_of_padding_alone_is_zeros():
    trace = {}
    output = MODEL(IDS, np.zeros((3, 5), int), trace=trace)
    assert list(trace) == list(stage_axes(2))
    assert not any(stage.any() for stage in trace.values())
    assert not output.last_hidden_state.any()


def test_attentions_of_a_batch_of_padding_alone_are_zeros():
    output = MODEL(IDS, np.zeros((3, 5), int), output_attentions=True)
    assert [a.shape for a in output.attentions] == [(3, 3, 5, 5)] * 2
    assert not any(a.any() for a in output.attentions)


@given(mask=arrays(bool, (3, 7)), data=st.data())
def test_any_mask_equals_the_real_tokens_alone_at_their_positions(mask, data):
    ids = data.draw(arrays(int, mask.shape, elements=st.integers(0, 88)))
    types = data.draw(arrays(int, mask.shape, elements=st.integers(0, 12)))
    output = EXACT(ids, mask, types)
    assert not output.last_hidden_state[~mask].any()
    for row, real in enumerate(mask):
        if not real.any():
            assert not output.pooler_output[row].any()
            continue
        alone = EXACT(
            ids[row : row + 1, real],
            token_type_ids=types[row : row + 1, real],
            position_ids=np.flatnonzero(real),
        )
        among = output.last_hidden_state[row, real]
        np.testing.assert_allclose(among, alone.last_hidden_state[0], rtol=0, atol=1e-13)
        pooled = output.pooler_output[row]
        np.testing.assert_allclose(pooled, alone.pooler_output[0], rtol=0, atol=1e-13)


def test_what_stands_in_padding_changes_nothing():
    ids = np.array(IDS)
    ids[np.array(MASK) == 0] = 77
    np.testing.assert_array_equal(
        MODEL(ids, MASK).last_hidden_state, MODEL(IDS, MASK).last_hidden_state
    )


@pytest.mark.parametrize(("model", "dtype"), [(MODEL, np.float32), (EXACT, np.float64)])
def test_the_dtype_of_the_weights_is_that_of_every_stage(model, dtype):
    trace = {}
    output = model(IDS, MASK, TYPES, output_hidden_states=True, trace=trace)
    assert model.dtype == dtype
    assert {stage.dtype for stage in trace.values()} == {np.dtype(dtype)}
    assert output.pooler_output.dtype == dtype


def test_every_stage_has_the_shape_of_its_axes():
    trace = {}
    MODEL(IDS, MASK, TYPES, trace=trace)
    sizes = {"B": 3, "T": 5, "C": 21, "H": 3, "F": 37}
    assert list(trace) == list(stage_axes(2))
    for name, axes in stage_axes(2).items():
        assert trace[name].shape == tuple(sizes[axis] for axis in axes), name


def test_many_threads_may_call_one_model():
    rng = np.random.default_rng(0)
    batches = [rng.integers(0, 89, (2, length)) for length in range(1, 25)]
    expected = [MODEL(ids).last_hidden_state for ids in batches]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda ids: MODEL(ids).last_hidden_state, batches))
    for one, other in zip(expected, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_neither_weights_nor_inputs_are_changed():
    ids, mask = np.array(IDS), np.array(MASK)
    before = ids.copy(), mask.copy(), MODEL.embeddings.word.copy()
    MODEL(ids, mask)
    for now, then in zip((ids, mask, MODEL.embeddings.word), before, strict=True):
        np.testing.assert_array_equal(now, then)
    with pytest.raises(ValueError, match="read-only"):
        MODEL.layers[0].attention.query.weight[0, 0] = 1


def test_the_position_table_is_the_limit():
    assert MODEL(np.ones((1, 31), int)).last_hidden_state.shape == (1, 31, 21)
    with pytest.raises(ValueError, match=r"32 tokens long.*positions for 31"):
        MODEL(np.ones((1, 32), int))


class TestDrawnWeights:
    CONFIG = BertConfig(
        vocab_size=301,
        hidden_size=55,
        num_attention_heads=5,
        intermediate_size=97,
        num_hidden_layers=3,
        initializer_range=0.07,
        pad_token_id=7,
    )

    def test_they_are_those_of_transformers(self):
        model = BertModel(self.CONFIG)
        assert model.dtype == np.float32
        assert model.embeddings.word.std() == pytest.approx(0.07, rel=0.03)
        assert model.layers[2].feed_forward.output.weight.std() == pytest.approx(0.07, rel=0.03)
        assert not model.embeddings.word[7].any()
        assert model.embeddings.word.any(axis=1).sum() == 300
        assert not model.layers[1].attention.key.bias.any()
        assert (model.layers[0].norm.weight == 1).all()
        assert not model.layers[0].attention_norm.bias.any()

    def test_the_seed_decides(self):
        one, same, other = (BertModel(self.CONFIG, seed=seed)(IDS) for seed in (3, 3, 4))
        np.testing.assert_array_equal(one.last_hidden_state, same.last_hidden_state)
        assert not np.array_equal(one.last_hidden_state, other.last_hidden_state)

    def test_without_a_padding_id_no_row_is_zero(self):
        config = BertConfig.from_dict(self.CONFIG.to_dict(), pad_token_id=None)
        assert BertModel(config).embeddings.word.any(axis=1).all()

    def test_the_config_is_the_models_own(self):
        config = BertConfig.from_dict(self.CONFIG.to_dict())
        model = BertModel(config)
        config.return_dict = False
        assert model.config.return_dict

    def test_it_counts_its_parameters(self):
        c = self.CONFIG
        hidden, wide = c.hidden_size, c.intermediate_size
        layer = 4 * (hidden * hidden + hidden) + 2 * wide * hidden + wide + hidden + 4 * hidden
        rows = c.vocab_size + c.max_position_embeddings + c.type_vocab_size + 2
        expected = rows * hidden + 3 * layer + hidden * hidden + hidden
        assert BertModel(c).num_parameters() == expected
        assert f"{expected:,} parameters" in repr(BertModel(c))


def test_fewer_layers_than_the_file_has(tmp_path):
    model = BertModel.from_pretrained(WIDE, num_hidden_layers=1)
    whole = MODEL(IDS, output_hidden_states=True)
    np.testing.assert_array_equal(model(IDS).last_hidden_state, whole.hidden_states[1])
    reasons = set(model.loading_report.unused.values())
    assert reasons == {"the config has 1 layers, counted from 0"}


@pytest.mark.parametrize("dtype", ["float16", "int64", None, np.complex64, 3])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(ValueError, match="allowed: 'float32', 'float64'"):
        BertModel.from_pretrained(WIDE, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float64", np.float64, np.dtype("float64")])
def test_a_dtype_may_be_given_in_any_form(dtype):
    assert BertModel.from_pretrained(WIDE, dtype=dtype).dtype == np.float64


def test_the_older_name_of_dtype():
    assert BertModel.from_pretrained(WIDE, torch_dtype="float64").dtype == np.float64


@pytest.mark.parametrize(
    ("config", "found"), [("a-folder", "a str"), (BertConfig, "BertConfig;"), (None, "None")]
)
def test_a_model_is_made_of_a_config(config, found):
    with pytest.raises(TypeError, match=f"BertModel takes a BertConfig, found {found}"):
        BertModel(config)
