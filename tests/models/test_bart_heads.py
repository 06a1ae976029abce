"""BART's heads beside what transformers computed, and what they refuse."""

import numpy as np
import pytest
from bart import FOLDER, HEADS, INPUTS, SMALL, WEIGHTS, part, real, with_tensors
from safetensors.numpy import load_file

import minibert
from minibert import (
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    BartConfig,
    BartForConditionalGeneration,
    BartForQuestionAnswering,
    BartForSequenceClassification,
    BartModel,
)
from minibert.trace import silent

KINDS = [BartForConditionalGeneration, BartForSequenceClassification, BartForQuestionAnswering]
READ = {name: INPUTS[name] for name in ("input_ids", "attention_mask")}
LM = "BartForConditionalGeneration"


def inputs_of(kind):
    return READ if kind is BartForSequenceClassification else INPUTS


def opened(kind, folder, dtype="float32", **more):
    """Open data/bart with the head that was recorded, and with more tensors."""
    base = {f"model.{name}": value for name, value in WEIGHTS.items()}
    tensors = {**base, **part(HEADS, f"{kind.__name__}/weight/"), **more}
    return kind.from_pretrained(with_tensors(folder, tensors), dtype)


@pytest.mark.parametrize("kind", KINDS)
def test_every_head_says_what_transformers_says(kind, tmp_path):
    model, inputs = opened(kind, tmp_path, "float64"), inputs_of(kind)
    assert not model.loading_report.newly_initialized
    assert not model.loading_report.unused
    found, seen = model(**inputs), {}
    for name, expected in part(HEADS, f"{kind.__name__}/output/").items():
        assert found[name].shape == expected.shape
        tokens = real(inputs, expected) if expected.shape[1] == 7 else slice(None)
        assert np.abs(found[name] - expected)[tokens].max() <= 1e-12 * np.abs(expected).max()
    model(**inputs, trace=seen)
    assert [*seen] == [*model.stage_axes()]


def test_float32_is_no_further_away_than_torchs(tmp_path):
    """Of the logits of words; of the others' few numbers, how BLAS sums decides (live: more)."""
    found = opened(BartForConditionalGeneration, tmp_path)(**INPUTS)
    error = (found.logits - HEADS[f"{LM}/output/logits"])[real(INPUTS, found.logits)]
    assert np.sqrt((error**2).mean()) <= 1.2 * HEADS[f"{LM}/error/logits"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_what_was_read(kind, tmp_path):
    model = opened(kind, tmp_path)
    model.save_pretrained(tmp_path / "again")
    names = load_file(tmp_path / "again" / "model.safetensors").keys()
    heads = part(HEADS, f"{kind.__name__}/weight/").keys()
    assert names == {f"model.{name}" for name in WEIGHTS} | heads
    again = kind.from_pretrained(tmp_path / "again")
    assert np.array_equal(again(**READ)[0], model(**READ)[0])


@pytest.mark.parametrize("kind", KINDS)
def test_fields_are_those_of_transformers(kind, tmp_path):
    shown = {"output_hidden_states": True, "output_attentions": True}
    found = opened(kind, tmp_path)(**READ, **shown)
    first = ("start_logits", "end_logits") if "Question" in kind.__name__ else ("logits",)
    assert found.keys() == (
        *(*first, "past_key_values", "decoder_hidden_states", "decoder_attentions"),
        *("cross_attentions", "encoder_last_hidden_state", "encoder_hidden_states"),
        "encoder_attentions",
    )


# the words to come


def test_the_head_is_that_of_the_words_and_a_bias(tmp_path):
    model = opened(BartForConditionalGeneration, tmp_path)
    states = model.model(**INPUTS).last_hidden_state
    bias = HEADS[f"{LM}/weight/final_logits_bias"][0]
    expected = states @ WEIGHTS["shared.weight"].T + bias
    tokens = INPUTS["decoder_attention_mask"] != 0
    found = model(**INPUTS).logits
    np.testing.assert_allclose(found[tokens], expected[tokens], rtol=1e-4, atol=1e-3)


def test_a_file_without_a_bias_has_none(tmp_path, recwarn):
    model = BartForConditionalGeneration.from_pretrained(FOLDER)
    assert not model.array("final_logits_bias").any()
    assert not model.loading_report.newly_initialized
    assert not recwarn.list
    model.save_pretrained(tmp_path)
    assert not load_file(tmp_path / "model.safetensors")["final_logits_bias"].any()


@pytest.mark.parametrize("same", [True, False])
def test_the_head_is_tied_unless_the_file_has_another(tmp_path, same):
    head = WEIGHTS["shared.weight"] + (not same)
    model = opened(BartForConditionalGeneration, tmp_path, **{"lm_head.weight": head})
    assert model.config.tie_word_embeddings is same
    assert np.array_equal(model.lm_head.weight, head)
    assert np.array_equal(model.array("encoder.embeddings.word"), WEIGHTS["shared.weight"])
    model.save_pretrained(tmp_path / "again")
    again = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "again")
    assert np.array_equal(again(**READ)[0], model(**READ)[0])


def test_the_next_word_is_told_with_a_cache_and_without(tmp_path):
    model = opened(BartForConditionalGeneration, tmp_path, "float64")
    expected = model(**READ, decoder_input_ids=INPUTS["decoder_input_ids"]).logits
    source = model.read(model.source(**READ), silent)
    cache = minibert.cache.Cache()
    for i in range(7):
        ids = INPUTS["decoder_input_ids"][:, i : i + 1]
        batch = model.decoder_batch(None if i else source, ids, cache=cache)
        np.testing.assert_allclose(model.next_logits(batch), expected[:, i], atol=1e-11)
        cache.add(batch.mask)
    batch = model.decoder_batch(source, INPUTS["decoder_input_ids"])
    np.testing.assert_allclose(model.next_logits(batch), expected[:, 6], atol=1e-11)


def test_parameters_are_counted_without_the_bias():
    model = BartForConditionalGeneration(BartConfig(**SMALL))
    assert model.num_parameters() == BartModel(BartConfig(**SMALL)).num_parameters()


# a label


def test_padding_has_no_say_in_a_label(tmp_path):
    model = opened(BartForSequenceClassification, tmp_path)
    alone = model(READ["input_ids"][1:2, :7]).logits[0]
    np.testing.assert_allclose(model(**READ).logits[1], alone, atol=1e-4)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"input_ids": [[1, 2], [1, 1]]}, r"have \[1, 0\] tokens that are eos_token_id \(2\)"),
        ({"input_ids": [[1, 2, 2], [1, 1, 2]]}, r"have \[2, 1\] tokens"),
        ({"input_ids": [[1, 1]]}, r"have \[0\] tokens .* at least one, and equally many in each"),
        ({"input_ids": [[1, 2]], "decoder_input_ids": [[1]]}, r"are \(1, 2\), what the decoder"),
        (
            {"inputs_embeds": np.zeros((1, 2, 15)), "decoder_input_ids": [[1, 2]]},
            "pass input_ids: where their last eos_token_id is tells the label",
        ),
    ],
)
def test_no_column_to_tell_a_label_from_gets_a_sentence(inputs, says):
    model = BartForSequenceClassification(BartConfig(**SMALL))
    with pytest.raises(ValueError, match=says):
        model(**inputs)


def test_any_of_several_ends_is_one():
    one, two = (
        BartForSequenceClassification(BartConfig(**SMALL, eos_token_id=x)) for x in (2, [2, 4])
    )
    assert np.array_equal(two([[1, 2, 3]]).logits, one([[1, 2, 3]]).logits)
    assert two([[1, 4], [2, 1]]).logits.shape == (2, 3)


def test_a_sequence_of_padding_alone_has_no_label():
    model = BartForSequenceClassification(BartConfig(**SMALL))
    ids, mask = [[1, 2], [1, 2]], [[1, 1], [0, 0]]
    found = model(ids, mask, decoder_attention_mask=mask).logits
    assert not found[1].any()
    np.testing.assert_allclose(found[0], model(ids[:1]).logits[0], atol=1e-6)


def test_a_label_is_told_of_given_states_too():
    model = BartForSequenceClassification(BartConfig(**SMALL))
    states = model.get_encoder()([[1, 2, 3]])
    found = model([[1, 2, 3]], encoder_outputs=states).logits
    np.testing.assert_allclose(found, model([[1, 2, 3]]).logits, atol=1e-6)


# classes


@pytest.mark.parametrize("kind", [BartModel, *KINDS])
def test_the_auto_classes_choose_it(kind):
    name = kind.__name__.removeprefix("Bart").replace("ConditionalGeneration", "Seq2SeqLM")
    auto = getattr(minibert, f"AutoModel{name.removeprefix('Model')}")
    assert type(auto.from_config(BartConfig(**SMALL))) is kind


@pytest.mark.parametrize("silent", ["model_type", "architectures"])
def test_tensors_tell_the_model_where_the_config_is_silent(tmp_path, silent):
    opened(BartForConditionalGeneration, tmp_path)
    path = tmp_path / "config.json"
    lines = path.read_text().replace('"model_type": "bart",', "")
    if silent == "architectures":
        lines = lines.replace('"BartModel"', "")
    path.write_text(lines)
    assert type(AutoModelForSeq2SeqLM.from_pretrained(tmp_path)) is BartForConditionalGeneration


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(ValueError, match="CausalLM of 'bart' here: there is one of 'gpt2'"):
        minibert.AutoModelForCausalLM.from_pretrained(FOLDER)
    with pytest.raises(ValueError, match="Seq2SeqLM of 'bert' here: there is one of 'bart'"):
        AutoModelForSeq2SeqLM.from_config(minibert.BertConfig())
    assert (
        AutoModelForSequenceClassification.from_config(BartConfig(**SMALL)).config.num_labels == 3
    )
