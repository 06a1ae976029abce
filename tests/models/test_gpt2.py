"""GPT-2 beside what transformers computed: data/gpt2, which tests/tools/make_references.py made."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import minibert
from minibert import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    GPT2Config,
    GPT2ForSequenceClassification,
    GPT2ForTokenClassification,
    GPT2LMHeadModel,
    GPT2Model,
    Reference,
    verify,
)

FOLDER = Path(__file__).parents[1] / "data" / "gpt2"
HEADS = [GPT2LMHeadModel, GPT2ForSequenceClassification, GPT2ForTokenClassification]
SMALL = {"vocab_size": 19, "n_embd": 15, "n_head": 3, "n_layer": 2, "n_positions": 11}


@pytest.fixture(scope="module")
def reference():
    return Reference.load(FOLDER / "reference.safetensors")


@pytest.fixture
def exact():
    return GPT2Model.from_pretrained(FOLDER, "float64")


def traced(model, inputs):
    seen = {}
    model(**inputs, trace=seen)
    return seen


def with_tensors(folder, change, name="model.safetensors"):
    """Copy the checkpoint, its tensors changed."""
    shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
    save_file(change(load_file(FOLDER / "model.safetensors")), folder / name)
    return folder


# the numbers


def test_every_stage_is_what_transformers_computed(exact, reference):
    seen = traced(exact, reference.inputs)
    assert list(seen) == [*exact.stage_axes()]
    assert {*seen} == {*reference.stages}
    for name, expected in reference.stages.items():
        assert seen[name].shape == expected.shape
        assert np.abs(seen[name] - expected).max() <= 1e-12 * np.abs(expected).max(), name


def test_float32_is_no_further_away_than_torchs(reference):
    seen = traced(GPT2Model.from_pretrained(FOLDER), reference.inputs)
    errors = json.loads(reference.provenance["float32_errors"])
    real = reference.real_tokens()
    for name in ("norm", "layer.0", "layer.1"):
        error = (seen[name] - reference.stages[name])[real]
        assert seen[name].dtype == np.float32
        assert np.sqrt((error**2).mean()) <= 1.2 * errors[name][0], name


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_head_says_what_transformers_says(kind, dtype, reference, tmp_path):
    kept = load_file(FOLDER / "heads.safetensors")
    own = {
        name.removeprefix(start): value
        for name, value in kept.items()
        if name.startswith(start := f"{kind.__name__}/weight/")
    }
    with_tensors(tmp_path, lambda base: {f"transformer.{k}": v for k, v in base.items()} | own)
    model = kind.from_pretrained(tmp_path, dtype)
    assert not model.loading_report.newly_initialized
    logits, expected = model(**reference.inputs).logits, kept[f"{kind.__name__}/output/logits"]
    assert logits.shape == expected.shape
    error = np.abs(logits - expected)
    if error.ndim == 3:
        error = error[reference.real_tokens()]
    if dtype == "float64":
        assert error.max() <= 1e-12 * np.abs(expected).max()
    elif kind is not GPT2ForSequenceClassification:  # of few numbers, how BLAS sums decides
        bar = kept[f"{kind.__name__}/error/logits"]
        assert np.sqrt((error**2).mean()) <= 1.2 * bar


@pytest.mark.parametrize("kind", [GPT2Model, *HEADS])
def test_it_is_verified_with_every_head(kind, reference):
    with warnings.catch_warnings():  # of a head that is drawn
        warnings.simplefilter("ignore")
        model = kind.from_pretrained(FOLDER)
    found = verify(model, reference)
    assert found.verdict.startswith("OK: all 30 stages agree")


def test_hidden_states_and_attentions_are_those_of_transformers(exact, reference):
    found = exact(**reference.inputs, output_hidden_states=True, output_attentions=True)
    names = ["embeddings", "layer.0", "norm"]  # the last layer's is behind the last norm
    for state, name in zip(found.hidden_states, names, strict=True):
        np.testing.assert_allclose(state, reference.stages[name], atol=1e-12)
    assert np.array_equal(found.hidden_states[-1], found.last_hidden_state)
    for i, weights in enumerate(found.attentions):
        expected = reference.stages[f"layer.{i}.attention.probabilities"]
        np.testing.assert_allclose(weights, expected, atol=1e-12)


def test_no_token_looks_ahead(exact):
    ids = np.random.default_rng(0).integers(0, 83, (1, 13))
    other = ids.copy()
    other[0, 7] += 1 if ids[0, 7] < 82 else -1
    a, b = (exact(x).last_hidden_state for x in (ids, other))
    assert np.array_equal(a[:, :7], b[:, :7])
    assert (np.abs(a - b)[0, 7:].max(axis=1) > 1e-3).all()


def test_scores_of_tokens_that_come_later_are_shown_as_0(exact, reference):
    seen = traced(exact, reference.inputs)
    later = np.triu(np.ones((9, 9), bool), 1)
    for name in ("scores", "probabilities"):
        assert not seen[f"layer.1.attention.{name}"][..., later].any()


def test_padding_on_either_side_costs_and_changes_nothing(exact):
    ids = np.array([[5, 7, 11, 13, 17]])
    positions = np.arange(5)
    alone = exact(ids).last_hidden_state[0]
    padded, mask, places = np.full((2, 9), 82), np.zeros((2, 9), int), np.zeros((2, 9), int)
    for row, columns in enumerate((slice(0, 5), slice(4, 9))):
        padded[row, columns], mask[row, columns], places[row, columns] = ids, 1, positions
    batch = exact.batch(padded, mask, position_ids=places)
    assert len(batch.token_ids) == 10
    found = exact(padded, mask, position_ids=places).last_hidden_state
    np.testing.assert_allclose(found[mask == 1].reshape(2, 5, -1), [alone, alone], atol=1e-13)
    assert not found[mask == 0].any()


def test_positions_count_columns_unless_they_are_given(exact):
    mask = [[0, 0, 1, 1, 1]]
    found = exact([[0, 0, 3, 4, 5]], mask).last_hidden_state[0, 2:]
    given = exact([[3, 4, 5]], position_ids=[[2, 3, 4]]).last_hidden_state[0]
    np.testing.assert_allclose(found, given, atol=1e-13)


def test_a_token_type_is_a_word(exact):
    words = exact.array("embeddings.word")
    ids, types = np.array([[3, 4, 5]]), np.array([[0, 82, 7]])
    found = exact(ids, token_type_ids=types).last_hidden_state
    summed = exact(inputs_embeds=words[ids] + words[types]).last_hidden_state
    np.testing.assert_allclose(found, summed, atol=1e-13)
    assert np.abs(found - exact(ids).last_hidden_state).max() > 0.1
    plain = exact(inputs_embeds=words[ids]).last_hidden_state
    np.testing.assert_allclose(plain, exact(ids).last_hidden_state, atol=1e-13)


@pytest.mark.usefixtures("two_threads")
def test_threads_change_nothing_but_rounding(exact, reference):
    for inputs in (reference.inputs, {"input_ids": [[1, 2, 3, 4, 5, 6]]}):
        seen = traced(exact, inputs)
        minibert.set_num_threads(1)
        for name, expected in traced(exact, inputs).items():
            np.testing.assert_allclose(seen[name], expected, atol=1e-11, err_msg=name)
        minibert.set_num_threads(2)


@pytest.mark.parametrize("heads", [3, 5])
@pytest.mark.parametrize("length", [300, 600])
def test_a_long_sequence_in_blocks_is_the_whole(heads, length):
    config = GPT2Config(**{**SMALL, "n_head": heads, "n_positions": 700})
    model = GPT2Model(config)
    ids = np.random.default_rng(1).integers(0, 19, (1, length))
    found, part = model(ids).last_hidden_state, model(ids[:, :40]).last_hidden_state
    np.testing.assert_allclose(found[:, :40], part, atol=1e-5)


# the config


def test_a_config_answers_to_both_names():
    config = GPT2Config(hidden_size=30, num_attention_heads=5, n_layer=3)
    assert (config.n_embd, config.hidden_size, config.num_hidden_layers) == (30, 30, 3)
    config.num_hidden_layers = 4
    assert config.n_layer == 4
    found = GPT2Config.from_dict({"hidden_size": 20, "n_head": 4})
    assert found.n_embd == 20
    assert "hidden_size" not in found.to_dict()


def test_the_defaults_are_those_of_gpt2():
    config = GPT2Config()
    sizes = (config.vocab_size, config.n_embd, config.n_layer, config.n_head, config.n_positions)
    assert sizes == (50257, 768, 12, 12, 1024)
    assert (config.n_inner, config.intermediate_size) == (None, 3072)
    assert (config.activation_function, config.layer_norm_epsilon) == ("gelu_new", 1e-5)


def test_a_config_is_written_as_it_was_read(tmp_path):
    config = AutoConfig.from_pretrained(FOLDER)
    config.save_pretrained(tmp_path)
    assert type(config) is GPT2Config
    assert GPT2Config.from_pretrained(tmp_path) == config


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"n_head": 7}, "'n_head' is 7; it must divide 'n_embd', which is 768"),
        ({"add_cross_attention": True}, "'add_cross_attention' is True; allowed: false"),
        ({"activation_function": "gelo"}, "'activation_function' is 'gelo'; allowed"),
        ({"n_inner": 0}, "'n_inner' is 0; allowed: a whole number from 1"),
        ({"scale_attn_weights": 1}, "'scale_attn_weights' is 1; allowed: true, false"),
        ({"n_embd": 12 * 2**18, "n_layer": 2**12}, "parameters, which no machine can hold"),
        ({"hidden_size": "large"}, "'n_embd' is 'large'; allowed"),
    ],
)
def test_what_is_not_computed_is_refused(values, says):
    with pytest.raises(ValueError, match=says):
        GPT2Config(**values)


def test_a_name_that_nobody_knows_is_refused():
    with pytest.raises(TypeError, match="GPT2Config has no field 'n_heads'; did you mean"):
        GPT2Config(n_heads=3)


@pytest.mark.parametrize(
    ("options", "factor"),
    [
        ({"scale_attn_weights": False}, [5**0.5, 5**0.5]),
        ({"scale_attn_by_inverse_layer_idx": True}, [1, 1 / 2]),
    ],
)
def test_scores_are_scaled_as_the_config_says(options, factor):
    model = GPT2Model(GPT2Config(**SMALL, **options))
    seen = traced(model, {"input_ids": [[1, 2, 3]]})
    for i in range(2):
        q, k = (
            seen[f"layer.{i}.attention.{name}"][0].reshape(3, 3, 5).transpose(1, 0, 2)
            for name in ("query", "key")
        )
        expected = np.tril(factor[i] * q @ k.transpose(0, 2, 1) / 5**0.5)
        found = seen[f"layer.{i}.attention.scores"][0]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


# the checkpoint


def test_what_is_saved_is_what_was_read(tmp_path):
    model = GPT2Model.from_pretrained(FOLDER)
    model.save_pretrained(tmp_path)
    before, after = (load_file(x / "model.safetensors") for x in (FOLDER, tmp_path))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert before["h.0.attn.c_attn.weight"].shape == (33, 99)  # (in, out), fused


def test_a_head_is_saved_behind_its_prefix(tmp_path):
    model = GPT2LMHeadModel.from_pretrained(FOLDER)
    model.save_pretrained(tmp_path)
    names = load_file(tmp_path / "model.safetensors").keys()
    assert names == {f"transformer.{name}" for name in load_file(FOLDER / "model.safetensors")}
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert np.array_equal(again([[1, 2]]).logits, model([[1, 2]]).logits)


@pytest.mark.parametrize("front", ["", "transformer.", "model.transformer."])
def test_buffers_are_no_parameters(tmp_path, front, recwarn):
    def change(tensors):
        for i in range(2):
            tensors[f"h.{i}.attn.bias"] = np.tril(np.ones((1, 1, 29, 29), np.float32))
            tensors[f"h.{i}.attn.masked_bias"] = np.float32([-1e4])
        return {front + name: value for name, value in tensors.items()}

    model = AutoModel.from_pretrained(with_tensors(tmp_path, change))
    assert len(model.loading_report.unused) == 4
    assert model.loading_report.unused[f"{front}h.1.attn.bias"].startswith("a buffer")
    assert not recwarn.list
    plain = GPT2Model.from_pretrained(FOLDER)
    assert np.array_equal(model([[1, 2]])[0], plain([[1, 2]])[0])


@pytest.mark.parametrize("name", ["wte.weight", "h.1.attn.c_attn.weight", "ln_f.bias"])
def test_a_missing_tensor_is_named(tmp_path, name):
    folder = with_tensors(tmp_path, lambda t: {k: v for k, v in t.items() if k != name})
    with pytest.raises(ValueError, match=f"missing in .*{name}"):
        GPT2Model.from_pretrained(folder)


def test_a_matrix_the_other_way_round_is_refused(tmp_path):
    def change(tensors):
        return tensors | {"h.0.mlp.c_fc.weight": tensors["h.0.mlp.c_fc.weight"].T.copy()}

    with pytest.raises(ValueError, match=r"is \(47, 33\), expected \(33, 47\)"):
        GPT2Model.from_pretrained(with_tensors(tmp_path, change))


def test_tensors_inside_a_layer_that_are_not_known_are_refused(tmp_path):
    def change(tensors):
        return tensors | {"h.0.attn.rotary.weight": np.ones(3, np.float32)}

    with pytest.raises(ValueError, match="inside the model that this architecture does not have"):
        GPT2Model.from_pretrained(with_tensors(tmp_path, change))


@pytest.mark.parametrize("same", [True, False])
def test_the_head_is_tied_unless_the_file_has_another(tmp_path, same):
    def change(tensors):
        words = tensors["wte.weight"]
        return tensors | {"lm_head.weight": words.copy() if same else words + 1}

    model = GPT2LMHeadModel.from_pretrained(with_tensors(tmp_path, change))
    assert model.config.tie_word_embeddings is same
    states = model.transformer([[1, 2]]).last_hidden_state
    words = model.array("embeddings.word") + (not same)
    np.testing.assert_allclose(model([[1, 2]]).logits, states @ words.T, rtol=1e-4, atol=1e-4)


def test_a_drawn_model_is_as_narrow_before_residuals_as_transformers_draws_it():
    model = GPT2Model(GPT2Config(n_embd=96, n_head=3, n_layer=8, vocab_size=997, pad_token_id=3))
    for field, expected in {
        "layer.0.attention.query.weight": 0.02,
        "layer.0.attention.output.weight": 0.02 / 4,
        "layer.7.feed_forward.output.weight": 0.02 / 4,
        "embeddings.position": 0.02,
    }.items():
        assert model.array(field).std() == pytest.approx(expected, rel=0.05), field
    assert model.array("embeddings.word")[3].any()  # padding has a vector like any other word


# classes


def test_what_is_not_there_is_said():
    from minibert import AutoModelForMaskedLM, AutoModelForQuestionAnswering

    for auto in (AutoModelForMaskedLM, AutoModelForQuestionAnswering):
        with pytest.raises(ValueError, match="of 'gpt2' here: there is one of 'bert'"):
            auto.from_pretrained(FOLDER)
    with pytest.raises(ValueError, match="CausalLM of 'bert' here: there is one of 'gpt2'"):
        AutoModelForCausalLM.from_config(minibert.BertConfig())


@pytest.mark.parametrize("front", ["", "transformer."])
def test_tensors_tell_the_model_where_the_config_is_silent(tmp_path, front):
    with_tensors(tmp_path, lambda tensors: {f"{front}{k}": v for k, v in tensors.items()})
    values = json.loads((tmp_path / "config.json").read_text())
    del values["model_type"], values["architectures"]
    (tmp_path / "config.json").write_text(json.dumps(values))
    assert type(AutoModel.from_pretrained(tmp_path)) is GPT2Model


@pytest.mark.parametrize("kind", [GPT2Model, *HEADS])
def test_the_auto_classes_choose_it(kind):
    config = GPT2Config(**SMALL)
    name = kind.__name__.removeprefix("GPT2").replace("LMHeadModel", "ForCausalLM")
    auto = getattr(minibert, f"AutoModel{name.removeprefix('Model')}")
    assert type(auto.from_config(config)) is kind


def test_the_last_token_is_classified():
    config = GPT2Config(**SMALL, num_labels=5)
    model = GPT2ForSequenceClassification(config)
    alone = [model([ids]).logits[0] for ids in ([1, 2, 3], [4, 5])]
    with pytest.raises(ValueError, match="no pad_token_id, and there is no attention_mask"):
        model([[1, 2, 3], [4, 5, 0]])
    ids, mask = [[1, 2, 3], [4, 5, 0]], [[1, 1, 1], [1, 1, 0]]
    np.testing.assert_allclose(model(ids, mask).logits, alone, atol=1e-6)
    padded = GPT2Config(**SMALL, num_labels=5, pad_token_id=0)
    np.testing.assert_allclose(GPT2ForSequenceClassification(padded)(ids).logits, alone, atol=1e-6)
