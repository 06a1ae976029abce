import numpy as np
import pytest

from minibert import BertConfig
from minibert.functions import softmax
from minibert.models.bert_heads import BertForMaskedLM, BertForNextSentencePrediction
from minibert.tasks import fill_mask, next_sentence
from minibert.tokenizers import AddedToken, BertTokenizer


@pytest.fixture
def pair(config, tokenizer):
    return BertForMaskedLM(config, seed=1), tokenizer


def test_the_best_words_are_those_of_the_logits(pair):
    model, tokenizer = pair
    found = fill_mask("the [MASK] sat on the mat .", top_k=7, model=pair)
    inputs = tokenizer("the [MASK] sat on the mat .", return_tensors="np")
    scores = softmax(model(**inputs).logits)[0, 2]
    assert [word["token"] for word in found] == np.argsort(-scores)[:7].tolist()
    assert [word["score"] for word in found] == pytest.approx(np.sort(scores)[::-1][:7])
    best = found[0]
    assert best["token_str"] == tokenizer.convert_ids_to_tokens(best["token"])
    if not best["token_str"].startswith("##"):
        assert best["sequence"] == f"the {best['token_str']} sat on the mat."


def test_a_mask_may_take_the_spaces_before_it(pair):
    model, tokenizer = pair
    spaced = BertTokenizer(tokenizer.get_vocab())
    spaced.add_special_tokens({"mask_token": AddedToken("[MASK]", lstrip=True)})
    text = "the [MASK] sat on the mat ."
    assert fill_mask(text, model=(model, spaced)) == fill_mask(text, model=pair)


def test_a_tokenizer_without_a_mask(pair):
    model, tokenizer = pair
    without = BertTokenizer(tokenizer.get_vocab(), mask_token=None)
    with pytest.raises(ValueError, match="this tokenizer has no mask_token"):
        fill_mask("the [MASK] sat .", model=(model, without))


def test_several_masks_give_a_list_each(pair):
    found = fill_mask("the [MASK] sat on the [MASK] .", top_k=3, model=pair)
    assert [len(words) for words in found] == [3, 3]
    assert "[MASK]" in found[0][0]["sequence"]


def test_the_vocabulary_is_multiplied_at_the_masks_only(pair):
    model, _ = pair
    head, rows = model.predictions, []
    model.predictions = lambda *given: rows.append(len(given[0])) or head(*given)
    fill_mask("the [MASK] sat on the [MASK] .", model=pair)
    assert rows == [2]


def test_targets_are_all_that_is_compared(pair):
    found = fill_mask("the [MASK] sat .", targets=["dog", "cat", "Dog"], model=pair)
    assert {word["token_str"] for word in found} == {"cat", "dog"}
    every = fill_mask("the [MASK] sat .", top_k=29, model=pair)
    scores = {word["token_str"]: word["score"] for word in every}
    assert found[0]["score"] == scores[found[0]["token_str"]]


@pytest.mark.parametrize(
    ("text", "options", "says"),
    [
        ("the cat sat .", {}, r"no \[MASK\]"),
        ("the [MASK] .", {"targets": ["cats"]}, r"'cats' is \['cat', '##s'\]"),
        ("the [MASK] .", {"targets": ["zebra"]}, "needed: a word that is one token"),
        ("the [MASK] .", {"targets": []}, "targets is empty"),
        ("the [MASK] .", {"top_k": 0}, "top_k is 0"),
        ("the [MASK] .", {"top_k": True}, "top_k is True"),
    ],
)
def test_what_cannot_be_filled_is_told(pair, text, options, says):
    with pytest.raises(ValueError, match=says):
        fill_mask(text, model=pair, **options)


class Padded(BertForMaskedLM):
    """Has more rows than its tokenizer has tokens, as many models do, and likes those best."""

    def logits_at(self, where, **inputs):
        logits = super().logits_at(where, **inputs).copy()
        logits[:, 29:] += 50
        return logits


@pytest.mark.parametrize("rows", [32, 64])
def test_rows_without_a_token_are_not_ranked(config, tokenizer, rows):
    model = Padded(BertConfig.from_dict(config.to_dict(), vocab_size=rows), seed=1)
    found = fill_mask("the [MASK] sat .", top_k=10**6, model=(model, tokenizer))
    assert sorted(word["token"] for word in found) == list(range(29))
    assert found == sorted(found, key=lambda word: -word["score"])
    assert 0 < sum(word["score"] for word in found) < 1e-6  # the rest is in the padding
    assert fill_mask("the [MASK] sat .", top_k=3, model=(model, tokenizer)) == found[:3]


def test_tokens_without_a_row_are_not_ranked_and_no_targets(pair):
    model, tokenizer = pair
    tokenizer.add_tokens(["zebra"])
    found = fill_mask("the [MASK] sat .", top_k=10**6, model=pair)
    assert len(found) == model.config.vocab_size
    with pytest.raises(ValueError, match=r"'zebra' has the id 29, and .* vocabulary ends at 28"):
        fill_mask("the [MASK] sat .", targets=["cat", "zebra"], model=pair)


@pytest.mark.filterwarnings("ignore:a text is longer than")
def test_a_mask_is_never_cut_off(pair):
    text = "[MASK] " * 29  # and two special tokens, of 31
    assert len(fill_mask(text, model=pair)) == 29
    with pytest.raises(ValueError, match=r"2 of the text's \[MASK\] stand beyond the 31 tokens"):
        fill_mask(text + "[MASK] the [MASK]", model=pair)


def test_a_text_is_needed(pair):
    with pytest.raises(TypeError, match="text is a list; needed: a text"):
        fill_mask(["the [MASK] ."], model=pair)


def test_label_0_says_that_it_is_next(config, tokenizer):
    model = BertForNextSentencePrediction(config, seed=2)
    found = next_sentence("the cat sat .", "it is red .", model=(model, tokenizer))
    inputs = tokenizer("the cat sat .", "it is red .", return_tensors="np")
    assert list(found) == ["is_next", "random"]
    assert list(found.values()) == pytest.approx(softmax(model(**inputs).logits)[0].tolist())


def test_a_model_for_another_task_is_refused(pair):
    with pytest.raises(
        TypeError, match="needs a BertForNextSentencePrediction, found a BertForMask"
    ):
        next_sentence("the cat .", "it .", model=pair)
