"""tokenizer.json: what of it is used, and what is refused."""

import json

import pytest

from minibert.tokenizers import BertTokenizer


@pytest.fixture
def change(change, folder):
    """Let tokenizer.json count alone, as it does for a class without defaults of its own."""
    path = folder / "tokenizer_config.json"
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "padding_side": "right"}
    path.write_text(json.dumps(config))
    return change


def test_padding_and_truncation_of_tokenizer_json_are_left_aside(folder, change):
    change("truncation", value={"max_length": 3, "strategy": "LongestFirst", "stride": 0})
    change("padding", value={"strategy": {"Fixed": 9}, "direction": "Right"})
    assert len(BertTokenizer.from_pretrained(folder)("a b c d")["input_ids"]) == 6


def test_only_their_sides_count_where_the_config_is_silent(folder, change):
    change("truncation", value={"direction": "Left", "max_length": 3})
    change("padding", value={"direction": "Left"})
    assert BertTokenizer.from_pretrained(folder).padding_side == "right"
    (folder / "tokenizer_config.json").write_text("{}")
    tokenizer = BertTokenizer.from_pretrained(folder)
    assert (tokenizer.padding_side, tokenizer.truncation_side) == ("left", "left")


def test_a_template_of_its_own(folder, change):
    change("post_processor", "single", value=[{"Sequence": {"id": "A", "type_id": 1}}])
    row = BertTokenizer.from_pretrained(folder)("a b")
    assert (row.tokens(), row.token_type_ids) == (["a", "b"], [1, 1])
    assert row.sequence_ids() == [0, 0]


@pytest.mark.parametrize(
    ("value", "tokens", "types"),
    [
        (None, ["a", "b"], [0, 1]),
        (
            {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
            ["[CLS]", "a", "[SEP]", "b", "[SEP]"],
            [0, 0, 0, 1, 1],
        ),
    ],
)
def test_other_post_processors(folder, change, value, tokens, types):
    change("post_processor", value=value)
    row = BertTokenizer.from_pretrained(folder)("a", "b")
    assert (row.tokens(), row.token_type_ids) == (tokens, types)


def test_no_normalizer_normalises_nothing(folder, change):
    change("normalizer", value=None)
    assert BertTokenizer.from_pretrained(folder).tokenize("É") == ["É"]


def test_a_file_without_the_type_of_the_model(folder, change):
    file = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    del file["model"]["type"]
    (folder / "tokenizer.json").write_text(json.dumps(file))
    assert BertTokenizer.from_pretrained(folder).tokenize("a") == ["a"]


def test_no_decoder_is_read_as_the_usual_one(folder, change):
    change("decoder", value=None)
    assert BertTokenizer.from_pretrained(folder).decoder_cleanup is True


@pytest.mark.parametrize("text", ["a" * 3000, "\x1b[31m"], ids=ascii)
@pytest.mark.parametrize(
    "path",
    [
        ["added_tokens", 0, "content"],
        ["model", "unk_token"],
        ["post_processor", "type"],
        ["post_processor", "single", 0, "SpecialToken", "id"],
        ["post_processor", "special_tokens", "[CLS]", "tokens", 0],
        ["decoder", "prefix"],
    ],
    ids=str,
)
def test_messages_are_short_and_printable_whatever_a_file_holds(folder, change, path, text):
    change(*path, value=text)
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        BertTokenizer.from_pretrained(folder)
    assert str(raised.value).isprintable()
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["model", "type"], "BPE", "the model is 'BPE'; a BERT tokenizer has 'WordPiece'"),
        (["model", "type"], "Unigram", "the model is 'Unigram'"),
        (["model"], None, "model is None; needed: dict"),
        (["model", "vocab"], ["a"], r"vocab is \['a'\]; needed: dict"),
        (["model", "vocab"], {"a": 0}, r"no '\[UNK\]', the unk_token"),
        (["model", "vocab", "[CLS]"], 999, "the vocabulary gives it 999"),
        (
            ["post_processor", "special_tokens", "[CLS]", "ids"],
            [0],
            r"'\[CLS\]' has the id 0 in the template",
        ),
        (["model", "vocab", "a"], "1", "the token 'a' has the id '1'"),
        (["model", "unk_token"], 3, "unk_token is 3; needed: str"),
        (["model", "unk_token"], "<unk>", "no '<unk>', the unk_token"),
        (
            ["model", "max_input_chars_per_word"],
            1.5,
            "max_input_chars_per_word is 1.5; needed: int",
        ),
        (["normalizer", "type"], "Sequence", "the normalizer is 'Sequence'"),
        (["normalizer", "lowercase"], None, "lowercase is None; needed: bool"),
        (["normalizer", "strip_accents"], 1, "strip_accents is 1; needed: bool"),
        (["pre_tokenizer"], None, "the pre_tokenizer is None; a BERT tokenizer has"),
        (["pre_tokenizer", "type"], "Whitespace", "the pre_tokenizer is 'Whitespace'"),
        (["post_processor", "type"], "RobertaProcessing", "the post_processor is 'Roberta"),
        (["post_processor", "single"], [{"X": {}}], "the template .* cannot be read"),
        (["post_processor", "special_tokens"], {}, "the template .* cannot be read"),
        (["post_processor", "single"], ["A"], "an entry of single is 'A'; needed: dict"),
        (["post_processor", "pair"], [[0, 1]], r"an entry of pair is \[0, 1\]; needed: dict"),
        (["post_processor", "pair"], "A B", "pair is 'A B'; needed: list"),
        (["post_processor", "single"], [], "needed: A in 'single', A and B in 'pair'"),
        (["post_processor", "single", 1, "Sequence", "id"], "B", "needed: A in 'single'"),
        (["post_processor", "single", 1, "Sequence", "id"], ["A"], r"id is \['A'\]; needed: str"),
        (
            ["post_processor", "single", 1, "Sequence", "type_id"],
            float("inf"),
            "type_id is inf; needed: int",
        ),
        (["post_processor", "single", 0, "SpecialToken", "type_id"], True, "type_id is True"),
        (["post_processor", "single", 0, "SpecialToken", "type_id"], -1, "the type_id -1"),
        (["post_processor", "special_tokens", "[CLS]", "ids"], [], "0 ids and 1 tokens"),
        (["post_processor", "special_tokens", "[CLS]", "ids"], [2.0], "ids is 2.0; needed: int"),
        (["post_processor", "special_tokens", "[CLS]", "tokens"], "[CLS]", "needed: list"),
        (["model", "vocab", "\ud800"], 999999, "lone surrogate"),
        (["model", "unk_token"], "\udfff", "unk_token is .* lone surrogate"),
        (["added_tokens", 0], "[PAD]", r"an entry of added_tokens is '\[PAD\]'; needed: dict"),
        (["decoder", "prefix"], "@@", "the decoder has the prefix '@@', the model '##'"),
        (["padding"], "left", "padding is 'left'; needed: dict or null"),
        (["decoder", "type"], "BPEDecoder", "the decoder is 'BPEDecoder'"),
        (["added_tokens"], {"a": 1}, "added_tokens is {'a': 1}; needed: list"),
        (["added_tokens", 0, "content"], None, "content is None; needed: str"),
        (["added_tokens", 0, "id"], None, "id is None; needed: int"),
        (["added_tokens", 0, "lstrip"], "no", "lstrip is 'no'; needed: bool"),
    ],
    ids=str,
)
def test_a_tokenizer_json_that_will_not_do(folder, change, path, value, words):
    change(*path, value=value)
    with pytest.raises(ValueError, match=words) as raised:
        BertTokenizer.from_pretrained(folder)
    assert str(folder) in str(raised.value)
