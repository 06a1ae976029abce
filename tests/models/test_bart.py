"""BART beside what transformers computed, and its config, names and cache."""

import json

import numpy as np
import pytest
from bart import FOLDER, HEADS, INPUTS, SMALL, STAGES, WEIGHTS, part, real, with_tensors
from safetensors.numpy import load_file

import minibert
from minibert import AutoConfig, AutoModel, BartConfig, BartForConditionalGeneration, BartModel
from minibert.models.outputs import BaseModelOutput
from minibert.trace import silent

READ = {name: INPUTS[name] for name in ("input_ids", "attention_mask")}
WORDS = "shared.weight"
COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


@pytest.fixture(scope="module")
def exact():
    return BartModel.from_pretrained(FOLDER, "float64")


@pytest.fixture(scope="module")
def small():
    return BartModel(BartConfig(**SMALL), seed=5)


def traced(model, inputs):
    seen = {}
    model(**inputs, trace=seen)
    return seen


def padded(model, seed=0):
    """Draw inputs of a model with padding everywhere."""
    random, count = np.random.default_rng(seed), model.config.vocab_size
    mask = np.ones((4, 9), int)
    mask[1, 6:], mask[2, :4], mask[3, [0, 3, 8]] = 0, 0, 0
    return {
        "input_ids": random.integers(0, count, (4, 9)),
        "attention_mask": mask,
        "decoder_input_ids": random.integers(0, count, (4, 7)),
    }


# the numbers


def test_every_stage_is_what_transformers_computed(exact):
    seen, expected = traced(exact, INPUTS), part(STAGES, "stage/")
    assert list(seen) == [*exact.stage_axes()]
    assert {*expected} == {x for x in seen if not x.startswith("decoder.layer.0.")}
    for name, stage in expected.items():
        assert seen[name].shape == stage.shape
        tokens = real(INPUTS, stage)
        error = np.abs(seen[name] - stage)[tokens].max()
        # a score that does not count is shown as 0 here, and as a large number there
        assert error <= 1e-12 * np.abs(stage[tokens]).max(), name
        if not name.endswith(("scores", "probabilities")):
            assert not seen[name][~tokens].any(), name


def test_float32_is_no_further_away_than_torchs():
    found = BartModel.from_pretrained(FOLDER)(**INPUTS)
    for name in ("last_hidden_state", "encoder_last_hidden_state"):
        expected, bar = (HEADS[f"BartModel/{x}/{name}"] for x in ("output", "error"))
        error = (found[name] - expected)[real(INPUTS, expected)]
        assert found[name].dtype == np.float32
        assert np.sqrt((error**2).mean()) <= 1.2 * bar, name


def test_no_size_of_the_checkpoint_is_another_one(exact):
    c, inputs = exact.config, INPUTS["decoder_input_ids"].shape[1:]
    sizes = [c.vocab_size, c.max_position_embeddings, c.d_model, c.num_labels, *inputs]
    sizes += [*INPUTS["input_ids"].shape, c.encoder_ffn_dim, c.decoder_ffn_dim]
    for heads in (c.encoder_attention_heads, c.decoder_attention_heads):
        sizes += [heads, c.d_model // heads]
    assert len({*sizes}) == len(sizes)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 850_000


def test_the_axes_are_letters_of_the_shapes(exact):
    shapes = {name: stage.shape for name, stage in traced(exact, INPUTS).items()}
    sizes = {"B": 4, "S": 11, "T": 7, "C": 45}
    for name, axes in exact.stage_axes().items():
        own = {"H": 9, "F": 39} if name.startswith("encoder.") else {"H": 3, "F": 51}
        assert shapes[name] == tuple({**sizes, **own}[letter] for letter in axes), name


def test_states_and_attentions_are_in_the_fields_of_transformers(exact):
    shown = {"output_hidden_states": True, "output_attentions": True}
    found, seen = exact(**INPUTS, **shown), traced(exact, INPUTS)
    assert found.keys() == (
        *("last_hidden_state", "past_key_values", "decoder_hidden_states"),
        *("decoder_attentions", "cross_attentions", "encoder_last_hidden_state"),
        *("encoder_hidden_states", "encoder_attentions"),
    )
    layers = {"encoder": 1, "decoder": 2}
    for side, count in layers.items():
        names = [f"{side}.embeddings", *(f"{side}.layer.{i}" for i in range(count))]
        for state, name in zip(found[f"{side}_hidden_states"], names, strict=True):
            assert np.array_equal(state, seen[name])
        for i, weights in enumerate(found[f"{side}_attentions"]):
            name = f"{side}.layer.{i}.attention.probabilities"
            assert np.array_equal(weights, seen[name])
    for i, weights in enumerate(found.cross_attentions):
        assert weights.shape == (4, 3, 7, 11)
        assert np.array_equal(weights, seen[f"decoder.layer.{i}.cross_attention.probabilities"])
    assert np.array_equal(found.encoder_last_hidden_state, seen["encoder.layer.0"])
    plain = exact(**INPUTS, return_dict=False, use_cache=False)
    assert [x.shape for x in plain] == [(4, 7, 45), (4, 11, 45)]


def test_padding_costs_and_changes_nothing(exact):
    inputs = padded(exact)
    batch = exact.batch(**inputs)
    assert len(batch.source.token_ids) == inputs["attention_mask"].sum()
    whole = exact(**inputs).last_hidden_state
    changed = np.where(inputs["attention_mask"], inputs["input_ids"], 3)
    assert np.array_equal(exact(**{**inputs, "input_ids": changed}).last_hidden_state, whole)
    cut = [inputs["input_ids"][1:2, :6], None, inputs["decoder_input_ids"][1:2]]
    np.testing.assert_allclose(exact(*cut).last_hidden_state[0], whole[1], atol=1e-12)


def test_no_token_looks_ahead_and_all_look_at_the_source(exact):
    inputs = padded(exact)
    other = {**inputs, "decoder_input_ids": inputs["decoder_input_ids"].copy()}
    other["decoder_input_ids"][:, 4] = 70
    a, b = (exact(**x).last_hidden_state for x in (inputs, other))
    assert np.array_equal(a[:, :4], b[:, :4])
    assert (np.abs(a - b)[:, 4:].max(axis=2) > 1e-3).all()
    other = {**inputs, "input_ids": inputs["input_ids"].copy()}
    other["input_ids"][:, 5] = 70  # real in each sequence
    b = exact(**other).last_hidden_state
    assert (np.abs(a - b).max(axis=2) > 1e-3).all()


@pytest.mark.parametrize("scaled", [True, False])
def test_words_are_scaled_if_the_config_says_so_and_given_vectors_never(scaled):
    model = BartModel(BartConfig(**SMALL, scale_embedding=scaled))
    words, positions = model.array("embeddings.word"), model.array("encoder.embeddings.position")
    ids = np.array([[3, 4, 5]])
    given = words[ids] * (np.float32(15**0.5) if scaled else 1)
    seen = traced(model, {"input_ids": ids})
    np.testing.assert_allclose(
        seen["encoder.embeddings.sum"], given + positions[2:5], rtol=1e-5, atol=1e-6
    )
    found = model(inputs_embeds=given, decoder_input_ids=ids).last_hidden_state
    expected = model(ids, decoder_input_ids=ids).last_hidden_state
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    found = model(ids, decoder_inputs_embeds=given).last_hidden_state
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_what_is_read_is_shifted_to_the_right_for_the_decoder(exact):
    ids, mask = READ["input_ids"], READ["attention_mask"]
    shifted = np.concatenate([np.full((4, 1), 67), ids[:, :-1]], axis=1)
    found = exact(ids, mask).last_hidden_state
    assert np.array_equal(found, exact(ids, mask, shifted).last_hidden_state)


def test_a_share_of_a_batch_has_its_share_of_the_source(exact):
    inputs = padded(exact)
    source = exact.read(exact.source(inputs["input_ids"], inputs["attention_mask"]), silent)
    share = exact.decoder_batch(source, inputs["decoder_input_ids"]).only([1, 3])
    assert len(share.source.states) == inputs["attention_mask"][[1, 3]].sum()
    assert np.array_equal(share.source.states[:6], source.states[9:15])
    assert [s.key_rows for s in share.crossing] == [slice(0, 6), slice(6, 12)]
    assert [s.keys.tolist() for s in share.crossing] == [[*range(6)], [1, 2, 4, 5, 6, 7]]


@pytest.mark.parametrize("length", [20, 300])
@pytest.mark.usefixtures("two_threads")
def test_threads_change_nothing_but_rounding(length):
    """The long ones are dealt, each with its source; the short ones share heads."""
    sizes = {**SMALL, "d_model": 255, "max_position_embeddings": 300, "init_std": 0.05}
    model = BartModel(BartConfig(**sizes))
    random = np.random.default_rng(3)
    count = 5 if length > 100 else 1
    mask = np.ones((count, length), int)
    mask[1:2, 5:] = 0
    ids, written = (random.integers(0, 19, (count, length)) for _ in range(2))
    inputs = {"input_ids": ids, "attention_mask": mask, "decoder_input_ids": written}
    inputs["decoder_attention_mask"] = np.ones((count, length), int)
    inputs["decoder_attention_mask"][1:2, 7:] = 0
    seen = traced(model, inputs)
    minibert.set_num_threads(1)
    for name, expected in traced(model, inputs).items():
        np.testing.assert_allclose(seen[name], expected, atol=2e-4, err_msg=name)


def test_a_batch_of_padding_shows_zeros(exact):
    none = np.zeros((2, 3), int)
    inputs = {"input_ids": [[1, 2, 3]] * 2, "attention_mask": none, "decoder_attention_mask": none}
    shown = {"output_hidden_states": True, "output_attentions": True}
    found = exact(**inputs, **shown)
    assert found.last_hidden_state.shape == (2, 3, 45)
    assert not found.last_hidden_state.any()
    assert found.cross_attentions[0].shape == (2, 3, 3, 3)
    assert found.encoder_attentions[0].shape == (2, 9, 3, 3)
    assert [*traced(exact, inputs)] == [*exact.stage_axes()]
    states = exact.get_encoder()(inputs["input_ids"], none, None, True, True)
    assert states.attentions[0].shape == (2, 9, 3, 3)


# the cache


@pytest.mark.parametrize("parts", [(7,), (1,) * 7, (3, 1, 2, 1)])
def test_token_by_token_is_all_at_once(exact, parts):
    inputs = padded(exact)
    whole, cache, start = exact(**inputs).last_hidden_state, None, 0
    ids = inputs.pop("decoder_input_ids")
    for length in parts:
        new = ids[:, start : start + length]
        found = exact(**inputs, decoder_input_ids=new, past_key_values=cache)
        np.testing.assert_allclose(
            found.last_hidden_state, whole[:, start : start + length], atol=1e-12
        )
        cache, start, inputs = found.past_key_values, start + length, {}
    assert cache.get_seq_length() == 7


def test_the_source_is_read_once(exact):
    inputs = padded(exact)
    first = exact(**inputs)
    cache = first.past_key_values
    kept = [pair[0].copy() for pair in cache.source]
    seen = {}
    later = exact(decoder_input_ids=[[1]] * 4, past_key_values=cache, trace=seen)
    assert not [name for name in seen if name.startswith("encoder.")]
    assert "decoder.layer.0.cross_attention.key" not in seen
    assert seen["decoder.layer.0.cross_attention.scores"].shape == (4, 3, 1, 9)
    assert later.encoder_last_hidden_state is None
    assert all(np.array_equal(a, pair[0]) for a, pair in zip(kept, cache.source, strict=True))


def test_the_cache_holds_keys_and_values_of_both_attentions(exact):
    inputs = padded(exact)
    seen = {}
    cache = exact(**inputs, trace=seen).past_key_values
    assert len(cache) == len(cache.source) == 2
    for i in range(2):
        for kept, part_ in ((cache, "attention"), (cache.source, "cross_attention")):
            for array, name in zip(kept[i], ("key", "value"), strict=True):
                stage = seen[f"decoder.layer.{i}.{part_}.{name}"]
                heads = stage.reshape(*stage.shape[:2], 3, 15).transpose(0, 2, 1, 3)
                assert np.array_equal(array, heads)


def test_a_call_that_failed_leaves_an_empty_cache_usable(exact):
    inputs, cache = padded(exact), minibert.cache.Cache()
    with pytest.raises(ValueError, match="swapped"), minibert.swap(attention=_no_attention):
        exact(**inputs, past_key_values=cache, output_attentions=True)
    cache = minibert.cache.Cache()
    exact.batch(**inputs, cache=cache)  # made room, and no more
    longer = {x: np.tile(inputs[x], (1, 2)) for x in ("input_ids", "attention_mask")}
    other = {**inputs, **longer}
    found = exact(**other, past_key_values=cache).last_hidden_state
    assert np.array_equal(found, exact(**other).last_hidden_state)


def _no_attention(query, key, value, *, allowed=None):
    return np.zeros_like(query)


# an encoder's outputs


def test_the_encoder_runs_alone_and_its_outputs_are_taken(exact):
    inputs = padded(exact)
    shown = {"output_hidden_states": True, "output_attentions": True}
    whole = exact(**inputs, **shown)
    ids, mask = inputs.pop("input_ids"), inputs["attention_mask"]
    said = exact.get_encoder()(ids, mask, **shown)
    assert type(said) is BaseModelOutput
    assert np.array_equal(said.last_hidden_state, whole.encoder_last_hidden_state)
    for given in (said, said.to_tuple(), said.last_hidden_state, (said.last_hidden_state,)):
        found = exact(**inputs, encoder_outputs=given, **shown)
        np.testing.assert_allclose(found.last_hidden_state, whole.last_hidden_state, atol=1e-13)
        state = found.encoder_last_hidden_state
        assert np.array_equal(state, said.last_hidden_state)
    found = exact(**inputs, encoder_outputs=said, **shown)
    assert found.encoder_hidden_states is said.hidden_states
    assert found.encoder_attentions is said.attentions
    assert exact(**inputs, encoder_outputs=said).encoder_attentions is None


def test_what_is_encoded_once_is_decoded_often(exact):
    inputs = padded(exact)
    source = exact.read(exact.source(inputs["input_ids"], inputs["attention_mask"]), silent)
    for ids in (inputs["decoder_input_ids"], inputs["decoder_input_ids"][:, ::-1]):
        found = exact.states(exact.decoder_batch(source, ids), silent)
        expected = exact(**{**inputs, "decoder_input_ids": ids}).last_hidden_state
        np.testing.assert_allclose(found.reshape(expected.shape), expected, atol=1e-13)


ONE = {"input_ids": [[1, 2, 3]]}
STATES = np.zeros((1, 3, 15))


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({}, "pass either input_ids or inputs_embeds, or encoder_outputs: a decoder looks at"),
        ({"decoder_input_ids": [[1]]}, "inputs_embeds, or encoder_outputs: a decoder looks at"),
        ({**ONE, "inputs_embeds": STATES}, "pass either input_ids or inputs_embeds"),
        ({"inputs_embeds": STATES}, "there are no input_ids, which would be the decoder's"),
        ({"input_ids": [[19]]}, r"input_ids\[0, 0\] is 19; allowed: 0 to 18"),
        ({**ONE, "decoder_input_ids": [[19]]}, r"^decoder_input_ids\[0, 0\] is 19; allowed"),
        ({**ONE, "decoder_attention_mask": [[1]]}, r"^decoder_attention_mask has the shape"),
        ({**ONE, "decoder_inputs_embeds": [[[1.0]]]}, r"^decoder_inputs_embeds has the shape"),
        ({**ONE, "decoder_input_ids": [[1], [2]]}, "is of 2 sequences, the encoder's of 1"),
        ({**ONE, "attention_mask": [[0, 0, 0]]}, "sequence 0 is padding alone by attention_mask"),
        ({**ONE, "attention_mask": np.ones((1, 3, 3))}, "has an axis for queries"),
        ({"input_ids": [[1] * 18]}, "are 18 tokens long; this model has positions for 17"),
        ({**ONE, "decoder_input_ids": [[1] * 18]}, "are 18 tokens long; this model has positions"),
        ({**ONE, "encoder_outputs": STATES[:, :2]}, r"is of another batch: its states are \(1, 2"),
        ({**ONE, "encoder_outputs": STATES[..., 1:]}, r"shape \(1, 3, 14\); needed: floating"),
        ({**ONE, "encoder_outputs": STATES.astype(int)}, "has states of int64 and of the shape"),
        (
            {"encoder_outputs": STATES, "decoder_input_ids": [[1], [2]]},
            "is of 2 sequences, the encoder's of 1",
        ),
        (
            {"encoder_outputs": STATES, "attention_mask": [[1, 1]], "decoder_input_ids": [[1]]},
            r"attention_mask has the shape \(1, 2\)",
        ),
    ],
)
def test_bad_inputs_get_a_sentence(small, inputs, says):
    with pytest.raises(ValueError, match=says):
        small(**inputs)


def test_labels_are_refused(small):
    with pytest.raises(ValueError, match="BartModel takes no labels: without a head"):
        small([[1]], labels=[[1]])


def test_a_cache_of_another_batch_is_refused(small):
    cache = small([[1, 2, 3]]).past_key_values
    with pytest.raises(ValueError, match=r"another batch, \(1, 3\) tokens were read"):
        small([[1, 2]], decoder_input_ids=[[1]], past_key_values=cache)
    with pytest.raises(ValueError, match="past_key_values is of 1 sequences, the input of 2"):
        small(decoder_input_ids=[[1], [2]], past_key_values=cache)
    with pytest.raises(ValueError, match="there are no input_ids"):
        small(past_key_values=cache)
    other = minibert.GPT2Model(minibert.GPT2Config(n_embd=12, n_layer=1))([[1]]).past_key_values
    with pytest.raises(ValueError, match="of a model without an encoder"):
        small(decoder_input_ids=[[1]], past_key_values=other)


def test_no_start_token_is_said():
    model = BartModel(BartConfig(**SMALL, decoder_start_token_id=None))
    with pytest.raises(ValueError, match="no decoder_start_token_id: set it, or pass decoder_inp"):
        model([[1]])


# the config


def test_a_config_answers_to_the_names_of_others():
    config = BartConfig(hidden_size=48, num_hidden_layers=3, num_attention_heads=4)
    assert (config.d_model, config.encoder_layers, config.encoder_attention_heads) == (48, 3, 4)
    assert (config.hidden_size, config.num_hidden_layers, config.decoder_layers) == (48, 3, 12)
    assert "hidden_size" not in config.to_dict()


def test_the_defaults_are_those_of_bart_large():
    config = BartConfig()
    assert (config.vocab_size, config.d_model, config.encoder_ffn_dim) == (50265, 1024, 4096)
    assert (config.decoder_start_token_id, config.forced_eos_token_id, config.num_labels) == (
        *(2, 2, 3),
    )
    assert config.is_encoder_decoder
    assert not config.scale_embedding


@pytest.mark.parametrize("labels", [2, 3, 4])
def test_a_config_is_written_as_it_was_read(tmp_path, labels):
    config = AutoConfig.from_pretrained(FOLDER, num_labels=labels)
    config.save_pretrained(tmp_path)
    assert type(config) is BartConfig
    assert BartConfig.from_pretrained(tmp_path) == config
    assert ("id2label" in (tmp_path / "config.json").read_text()) == (labels != 3)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"encoder_attention_heads": 7}, "'encoder_attention_heads' is 7; it must divide"),
        ({"decoder_attention_heads": 7}, "'decoder_attention_heads' is 7; it must divide"),
        ({"is_encoder_decoder": False}, "'is_encoder_decoder' is False; allowed: true"),
        ({"is_decoder": True}, "'is_decoder' is True; allowed: false"),
        ({"normalize_before": True}, "'normalize_before' is True; allowed: false"),
        ({"add_final_layer_norm": True}, "'add_final_layer_norm' is True; allowed: false"),
        ({"normalize_embedding": False}, "'normalize_embedding' is False; allowed: true"),
        ({"static_position_embeddings": True}, "is True; allowed: false"),
        ({"add_bias_logits": True}, "'add_bias_logits' is True; allowed: false"),
        ({"extra_pos_embeddings": 0}, "'extra_pos_embeddings' is 0; allowed: 2"),
        ({"activation_function": "gelo"}, "'activation_function' is 'gelo'; allowed"),
        ({"decoder_start_token_id": 50265}, "it must be below 'vocab_size'"),
        ({"pad_token_id": 50265}, "it must be below 'vocab_size'"),
        ({"encoder_ffn_dim": 2**30, "encoder_layers": 2**12}, "which no machine can hold"),
        ({"decoder_ffn_dim": 2**30, "decoder_layers": 2**12}, "which no machine can hold"),
        ({"scale_embedding": 1}, "'scale_embedding' is 1; allowed: true, false"),
    ],
)
def test_what_is_not_computed_is_refused(values, says):
    with pytest.raises(ValueError, match=says):
        BartConfig(**values)


def test_an_old_file_is_read_and_written_with_all_it_says(tmp_path, recwarn):
    """What configs of 2020 hold: fields of other layouts, of training and of writing."""
    old = {
        **{"_num_labels": 3, "add_bias_logits": False, "add_final_layer_norm": False},
        **{"architectures": ["BartForConditionalGeneration"], "classif_dropout": 0.0},
        **{"early_stopping": True, "extra_pos_embeddings": 2, "forced_bos_token_id": 0},
        **{"gradient_checkpointing": False, "length_penalty": 2.0, "max_length": 142},
        **{"min_length": 56, "no_repeat_ngram_size": 3, "normalize_before": False},
        **{"normalize_embedding": True, "num_beams": 4, "num_hidden_layers": 12},
        **{"output_past": True, "prefix": " ", "replacing_rate": 0, "model_type": "bart"},
        **{"static_position_embeddings": False, "student_decoder_layers": None},
        **{"task_specific_params": {"summarization": {"num_beams": 4}}, "encoder_layers": 12},
    }
    (tmp_path / "config.json").write_text(json.dumps(old))
    config = BartConfig.from_pretrained(tmp_path)
    assert (config.encoder_layers, config.forced_bos_token_id, config.num_beams) == (12, 0, 4)
    assert not recwarn.list
    config.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert {k: written.get(k) for k in old if k != "num_hidden_layers"} == {
        k: v for k, v in old.items() if k != "num_hidden_layers"
    }


# the checkpoint


def test_what_is_saved_is_what_was_read(tmp_path):
    BartModel.from_pretrained(FOLDER).save_pretrained(tmp_path)
    after = load_file(tmp_path / "model.safetensors")
    assert after.keys() == WEIGHTS.keys()
    assert all(np.array_equal(WEIGHTS[name], after[name]) for name in after)
    assert after["encoder.embed_positions.weight"].shape == (27, 45)


@pytest.mark.parametrize("front", ["", "model."])
def test_old_files_hold_copies_of_the_words(tmp_path, front, recwarn):
    copies = {name: WEIGHTS[WORDS].copy() for name in COPIES}
    others = {"encoder.version": np.float32([3]), "lm_head.weight": WEIGHTS[WORDS].copy()}
    tensors = {front + k: v for k, v in (WEIGHTS | copies | others).items()}
    model = AutoModel.from_pretrained(with_tensors(tmp_path, tensors))
    assert model.config.tie_word_embeddings
    assert len(model.loading_report.unused) == 4
    why = "equal to shared.weight, which serves"
    assert model.loading_report.unused[front + COPIES[0]] == why
    assert not recwarn.list
    assert np.array_equal(model(**READ)[0], BartModel.from_pretrained(FOLDER)(**READ)[0])


@pytest.mark.parametrize("kept", COPIES)
def test_a_copy_serves_where_the_words_are_not_there(tmp_path, kept):
    tensors = {k: v for k, v in WEIGHTS.items() if k != WORDS} | {kept: WEIGHTS[WORDS]}
    model = BartModel.from_pretrained(with_tensors(tmp_path, tensors))
    assert model.config.tie_word_embeddings
    assert np.array_equal(model(**READ)[0], BartModel.from_pretrained(FOLDER)(**READ)[0])


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("has_shared", [True, False])
def test_other_words_of_a_stack_are_used(tmp_path, which, has_shared):
    """What is not there is shared; two stacks that differ are not."""
    tensors = dict(WEIGHTS) | {COPIES[1 - which]: WEIGHTS[WORDS], COPIES[which]: WEIGHTS[WORDS] + 1}
    if not has_shared:
        del tensors[WORDS]
    model = BartModel.from_pretrained(with_tensors(tmp_path, tensors))
    assert not model.config.tie_word_embeddings
    side, other = ("encoder", "decoder")[:: -1 if which else 1]
    assert np.array_equal(model.array(f"{side}.embeddings.word"), WEIGHTS[WORDS] + 1)
    assert np.array_equal(model.array(f"{other}.embeddings.word"), WEIGHTS[WORDS])
    model.save_pretrained(tmp_path / "again")
    again = BartModel.from_pretrained(tmp_path / "again")
    assert np.array_equal(again(**READ)[0], model(**READ)[0])


@pytest.mark.parametrize(
    "name",
    [WORDS, "decoder.layers.1.encoder_attn.q_proj.weight", "encoder.layernorm_embedding.bias"],
)
def test_a_missing_tensor_is_named(tmp_path, name):
    folder = with_tensors(tmp_path, {k: v for k, v in WEIGHTS.items() if k != name})
    with pytest.raises(ValueError, match=f"missing in .*{name}"):
        BartModel.from_pretrained(folder)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("decoder.layers.2.fc1.weight", "the config has 2 layers, counted from 0"),
        ("encoder.layers.1.fc1.weight", "the config has 1 layers, counted from 0"),
    ],
)
def test_layers_beyond_those_of_the_config_are_reported(tmp_path, name, says):
    tensors = WEIGHTS | {name: np.ones(3, np.float32)}
    model = BartModel.from_pretrained(with_tensors(tmp_path, tensors))
    assert model.loading_report.unused == {name: says}


def test_tables_of_other_positions_say_how_many_they_have(tmp_path):
    tables = (f"{side}.embed_positions.weight" for side in ("encoder", "decoder"))
    tensors = WEIGHTS | {name: np.ones((31, 45), np.float32) for name in tables}
    with pytest.raises(ValueError, match="they fit max_position_embeddings=29: put that into"):
        BartModel.from_pretrained(with_tensors(tmp_path, tensors))
    model = BartModel.from_pretrained(tmp_path, max_position_embeddings=29)
    assert model.array("encoder.embeddings.position").shape == (31, 45)


def test_tensors_inside_a_layer_that_are_not_known_are_refused(tmp_path):
    tensors = WEIGHTS | {"decoder.layers.0.adapter.weight": np.ones(3, np.float32)}
    with pytest.raises(ValueError, match="inside the model that this architecture does not have"):
        BartModel.from_pretrained(with_tensors(tmp_path, tensors))


def test_a_model_is_drawn_as_transformers_draws_it():
    config = BartConfig(**{**SMALL, "vocab_size": 997, "init_std": 0.05, "d_model": 105})
    model = BartForConditionalGeneration(config)
    for field in ("embeddings.word", "decoder.layer.2.cross_attention.output.weight"):
        assert model.array(field).std() == pytest.approx(0.05, rel=0.05), field
    assert not model.array("embeddings.word")[1].any()
    assert not model.array("final_logits_bias").any()
    assert model.array("encoder.embeddings.position").shape == (19, 105)
    assert (model.array("decoder.layer.0.cross_attention_norm.weight") == 1).all()


def test_it_says_what_it_is(small):
    assert repr(small).startswith("BartModel(2 + 3 layers, hidden 15, 3 heads, ")
