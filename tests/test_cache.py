"""Keys and values that are kept: the same numbers as all at once, at the cost of what is new."""

from pathlib import Path

import numpy as np
import pytest

from minibert import (
    AutoModel,
    BartConfig,
    BartModel,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2ForTokenClassification,
    GPT2LMHeadModel,
    GPT2Model,
)
from minibert.cache import Cache

FOLDER = Path(__file__).parent / "data" / "gpt2"
IDS = np.random.default_rng(0).integers(0, 80, (3, 21))
SMALL = {"vocab_size": 19, "n_embd": 15, "n_head": 3, "n_layer": 2, "n_positions": 900}


@pytest.fixture(scope="module")
def exact():
    return GPT2LMHeadModel.from_pretrained(FOLDER, "float64")


def in_pieces(model, ids, lengths, mask=None, **inputs):
    """Run a model on some columns after the others; return the outputs and the cache."""
    outputs, cache, start = [], None, 0
    for length in lengths:
        part, end = slice(start, start + length), start + length
        seen = {} if mask is None else {"attention_mask": mask[:, :end]}
        given = {name: x[:, part] for name, x in inputs.items()}
        outputs.append(model(ids[:, part], past_key_values=cache, **seen, **given))
        cache, start = outputs[-1].past_key_values, end
    return np.concatenate([output[0] for output in outputs], axis=1), cache


@pytest.mark.parametrize("lengths", [[1] * 21, [8, 1, 12], [20, 1], [3, 5, 13]])
def test_piece_by_piece_is_all_at_once(exact, lengths):
    found, cache = in_pieces(exact, IDS, lengths)
    np.testing.assert_allclose(found, exact(IDS).logits, rtol=0, atol=1e-13)
    assert cache.get_seq_length() == 21


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("rows", [1, 3])
def test_threads_share_a_cache(exact, rows):
    found, _ = in_pieces(exact, IDS[:rows], [9, 1, 1, 10])
    np.testing.assert_allclose(found, exact(IDS[:rows]).logits, rtol=0, atol=1e-13)


def test_sequences_of_other_lengths_keep_their_own(exact):
    mask = np.ones_like(IDS)
    mask[0, 5:12], mask[1, :4], mask[2, 9] = 0, 0, 0
    places = np.maximum(np.cumsum(mask, axis=1) - 1, 0)
    whole = exact(IDS, mask, position_ids=places).logits
    found, cache = in_pieces(exact, IDS, [7, 1, 1, 12], mask, position_ids=places)
    np.testing.assert_allclose(found, whole, rtol=0, atol=1e-13)
    assert cache.counts == mask.sum(axis=1).tolist()


def test_what_is_kept_is_what_the_layers_showed(exact):
    mask = np.ones_like(IDS)
    mask[1, :4] = 0
    seen = {}
    exact(IDS, mask, trace=seen)
    _, cache = in_pieces(exact, IDS, [7, 14], mask)
    assert len(cache) == 2
    for i, (keys, values) in enumerate(cache):
        for found, name in ((keys, "key"), (values, "value")):
            shown = seen[f"layer.{i}.attention.{name}"].reshape(3, 21, 3, 11).transpose(0, 2, 1, 3)
            np.testing.assert_allclose(found, shown, atol=1e-13)


def test_attentions_and_scores_reach_back(exact):
    shown = {"output_attentions": True, "output_hidden_states": True}
    whole, seen = exact(IDS, **shown), {}
    _, cache = in_pieces(exact, IDS, [15])
    found = exact(IDS[:, 15:], past_key_values=cache, trace=seen, **shown)
    assert found.attentions[1].shape == (3, 3, 6, 21)
    assert seen["layer.1.attention.scores"].shape == (3, 3, 6, 21)
    np.testing.assert_allclose(found.attentions[1], whole.attentions[1][:, :, 15:], atol=1e-13)
    np.testing.assert_allclose(found.hidden_states[1], whole.hidden_states[1][:, 15:], atol=1e-12)


def test_a_long_prompt_in_blocks():
    model = GPT2Model(GPT2Config(**SMALL))
    ids = np.random.default_rng(1).integers(0, 19, (1, 800))
    found, _ = in_pieces(model, ids, [300, 499, 1])
    np.testing.assert_allclose(found, model(ids).last_hidden_state, atol=1e-5)


def test_it_takes_the_memory_it_must_and_is_seldom_copied():
    model = GPT2Model(GPT2Config(**SMALL))
    _, cache = in_pieces(model, np.ones((1, 400), int), [400])
    copies, needed = 0, 2 * 2 * 15 * 4
    assert sum(x[0].nbytes for x in cache.layers) == 400 * needed
    for length in range(401, 800):
        before = cache.layers[0][0]
        model([[1]], past_key_values=cache)
        copies += cache.layers[0][0] is not before
        size = sum(x[0].nbytes for x in cache.layers)
        assert size <= length * needed * 1.13
    assert copies < 10


def test_a_failed_call_leaves_it_as_it_was(exact):
    _, cache = in_pieces(exact, IDS, [8])
    with pytest.raises(ValueError, match="input_ids"):
        exact([[1], [2], [99]], past_key_values=cache)
    found = exact(IDS[:, 8:], past_key_values=cache).logits
    np.testing.assert_allclose(found, exact(IDS).logits[:, 8:], atol=1e-13)


def test_who_wants_none_gets_none(exact):
    assert exact(IDS, use_cache=False).past_key_values is None
    config = GPT2Config(**SMALL, use_cache=False)
    assert GPT2Model(config)([[1]]).past_key_values is None
    assert isinstance(GPT2Model(config)([[1]], use_cache=True).past_key_values, Cache)
    assert [*exact(IDS).keys()] == ["logits", "past_key_values"]
    assert isinstance(exact(IDS, return_dict=False)[1], Cache)


def test_who_keeps_none_takes_none():
    bert = BertModel(BertConfig(num_hidden_layers=1, vocab_size=9, pad_token_id=0))
    for model in (bert, GPT2ForTokenClassification(GPT2Config(**SMALL))):
        assert "past_key_values" not in model([[1]])
        for given in ({"past_key_values": Cache()}, {"use_cache": True}):
            with pytest.raises(
                ValueError, match=f"{type(model).__name__} keeps no keys and values"
            ):
                model([[1]], **given)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"input_ids": [[1], [2]]}, "past_key_values is of 3 sequences, the input of 2"),
        ({"input_ids": np.ones((3, 22), int)}, "sequences are 30 tokens long; this model has"),
        (
            {"attention_mask": np.ones((3, 1))},
            r"attention_mask has the shape \(3, 1\); .* \(3, 9\)",
        ),
        ({"attention_mask": np.eye(9)[[0, 0, 0]]}, "says of the first 8 tokens, those of past"),
        ({"attention_mask": np.ones((3, 9, 9))}, "has an axis for queries; with past_key_values"),
    ],
)
def test_what_does_not_fit_is_said(exact, inputs, says):
    _, cache = in_pieces(exact, IDS, [8])
    with pytest.raises(ValueError, match=says):
        exact(**{"input_ids": IDS[:, 8:9], **inputs}, past_key_values=cache)


def test_a_cache_of_another_kind_is_refused(exact):
    with pytest.raises(TypeError, match="past_key_values is a tuple"):
        exact(IDS, past_key_values=((1, 2),))


def test_a_batch_of_padding_adds_padding(exact):
    _, cache = in_pieces(exact, IDS, [8])
    mask = np.ones((3, 9), int)
    mask[:, 8] = 0
    out = exact(IDS[:, :1], mask, past_key_values=cache, output_attentions=True)
    assert out.attentions[0].shape == (3, 3, 1, 9)
    assert not out.logits.any()
    assert cache.counts == [8, 8, 8]


def test_an_empty_cache_serves_for_the_first_call():
    model = AutoModel.from_pretrained(FOLDER)
    cache = Cache()
    assert model(IDS, past_key_values=cache).past_key_values is cache
    assert cache.get_seq_length() == 21


def test_a_cache_says_how_much_it_holds(exact):
    cache = exact(IDS[:, :5]).past_key_values
    assert repr(cache) == "Cache(3 sequences of 5 tokens, 2 layers)"
    assert repr(Cache()) == "Cache(0 sequences of 0 tokens, 0 layers)"
    sizes = {f"{side}_attention_heads": 3 for side in ("encoder", "decoder")}
    bart = BartModel(BartConfig(vocab_size=19, d_model=15, decoder_layers=2, **sizes), seed=0)
    cache = bart([[1, 2, 3]], decoder_input_ids=[[1]]).past_key_values
    assert repr(cache) == "Cache(1 sequences of 1 tokens and 3 of a source, 2 layers)"
