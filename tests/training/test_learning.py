"""What is computed to learn from a batch, and what is kept for it: no more than is needed."""

import numpy as np
import pytest

import minibert
from minibert.models import heads
from minibert.training.dropout import Dropout
from minibert.training.kept import Gradients, Kept
from minibert.training.learning import gradients

WORDS = 31
BERT = {"vocab_size": WORDS, "hidden_size": 15, "num_hidden_layers": 2, "num_attention_heads": 3}
GPT2 = {"vocab_size": WORDS, "n_embd": 15, "n_layer": 2, "n_head": 3, "eos_token_id": 2}
BART = {"vocab_size": WORDS, "d_model": 15, "encoder_layers": 1, "decoder_layers": 2}
BART |= dict.fromkeys(("encoder_attention_heads", "decoder_attention_heads"), 3)
BART |= dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 19)
KINDS = {
    "BertForMaskedLM": BERT | {"intermediate_size": 19},
    "BertForPreTraining": BERT | {"intermediate_size": 19},
    "GPT2LMHeadModel": GPT2,
    "BartForConditionalGeneration": BART,
}
RANDOM = np.random.default_rng(0)
IDS, MASK = RANDOM.integers(3, WORDS, (4, 9)), np.ones((4, 9), int)
MASK[1, 5:] = 0
LABELS = np.where(RANDOM.random(IDS.shape) < 0.3, IDS, -100)
LABELS[1, 5:] = -100


def drawn(kind):
    cls = getattr(minibert, kind)
    model, random = cls(cls.config_class(**KINDS[kind], pad_token_id=1)), np.random.default_rng(1)
    parameters = model.parameters_of(model.config)
    model._assemble({p.field: random.normal(0, 0.3, p.shape) for p in parameters})
    return model


def told(kind, labels=LABELS):
    follows = {"next_sentence_label": [0, 1, 1, 0]} if "Pre" in kind else {}
    return {"labels": labels, **follows}


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_scored_where_there_is_a_label(kind, monkeypatch):
    model, inputs, rows = drawn(kind), {"input_ids": IDS, "attention_mask": MASK}, []
    cross_entropy = minibert.models.labels.cross_entropy

    def counted(logits, labels):
        rows.append(logits.shape)
        return cross_entropy(logits, labels)

    monkeypatch.setattr("minibert.models.labels.cross_entropy", counted)
    loss, found = gradients(model, inputs, told(kind))
    counts = np.count_nonzero((LABELS[:, 1:] if "GPT2" in kind else LABELS) != -100)
    assert (counts, WORDS) in rows
    rows.clear()
    monkeypatch.setattr(type(model), "choosing", heads.ModelWithHead.choosing)
    whole, expected = gradients(model, inputs, told(kind))
    assert (counts, WORDS) not in rows
    assert loss == pytest.approx(whole, rel=1e-14)
    for name, grad in expected.items():
        np.testing.assert_allclose(found[name], grad, rtol=0, atol=1e-14, err_msg=name)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "Pre" not in kind])
def test_nothing_is_learnt_where_no_word_has_a_label(kind):
    loss, found = gradients(drawn(kind), {"input_ids": IDS}, {"labels": np.full_like(IDS, -100)})
    assert np.isnan(loss)
    assert not any(grad.any() for grad in found.values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_label_of_padding_is_refused(kind):
    labels = LABELS.copy()
    labels[1, 6] = 5
    inputs = {"input_ids": IDS, "attention_mask": MASK}
    if kind.startswith("Bart"):
        inputs["decoder_attention_mask"] = MASK
    with pytest.raises(ValueError, match=r"labels\[1, 6\] is 5, and the token.* is padding"):
        gradients(drawn(kind), inputs, told(kind, labels))


@pytest.mark.parametrize("kind", ["BertForMaskedLM", "BertForPreTraining"])
def test_what_is_kept_is_read_once_and_then_forgotten(kind):
    model = drawn(kind)
    kept = Kept(Dropout(model.dropouts()))
    batch = model.batch(IDS, attention_mask=MASK, **told(kind))
    model.learn(batch, kept, Gradients(kept))
    assert [name for _, name in kept.stages] == ["layer.1"]
