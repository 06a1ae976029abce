"""Reading and writing a tokenizer's files."""

import json
import os
import warnings
from pathlib import Path

import pytest

from minibert.tokenizers import AddedToken, BertTokenizer
from minibert.tokenizers.bert_form import read_vocab

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "é", "e", "##a", "中"]


def write(folder, vocab=None, config=None, file=None, **more):
    if vocab is not None:
        (folder / "vocab.txt").write_text("".join(f"{t}\n" for t in vocab), "utf-8")
    files = {"tokenizer_config.json": config, "tokenizer.json": file, **more}
    for name, values in files.items():
        if values is not None:
            name = name if "." in name else f"{name}.json"
            (folder / name).write_text(json.dumps(values), "utf-8")
    return folder


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"do_lower_case": False, "strip_accents": True, "model_max_length": 77},
        {"tokenize_chinese_chars": False, "padding_side": "left", "truncation_side": "left"},
        {"clean_up_tokenization_spaces": True, "clean_text": False},
        {"decoder_cleanup": False},
        {"prefix": "@@", "max_input_chars_per_word": 7},
    ],
    ids=str,
)
def test_what_is_saved_is_read_again(vocab, said, tmp_path, options):
    tokenizer = BertTokenizer(vocab, **options)
    tokenizer.add_tokens([AddedToken(**token) for token in said["added"]])
    saved = tokenizer.save_pretrained(tmp_path / "new" / "folder")
    assert [Path(name).name for name in saved] == [
        *("tokenizer_config.json", "tokenizer.json", "vocab.txt")
    ]
    again = BertTokenizer.from_pretrained(tmp_path / "new" / "folder")
    lines = [line[:9] for line in said["lines"]]
    assert again(lines).encodings == tokenizer(lines).encodings
    ids = list(range(len(tokenizer)))
    assert again.decode(ids) == tokenizer.decode(ids)
    for name in ("model_max_length", "padding_side", "truncation_side", "special_tokens_map"):
        assert getattr(again, name) == getattr(tokenizer, name)
    assert again.added_tokens_decoder == tokenizer.added_tokens_decoder


def test_what_was_set_since_is_saved_too(tokenizer, tmp_path):
    changed = {"model_max_length": 9, "padding_side": "left", "truncation_side": "left"}
    changed |= {"decoder_cleanup": False, "clean_up_tokenization_spaces": True}
    for name, value in changed.items():
        assert getattr(tokenizer, name) != value
        setattr(tokenizer, name, value)
    tokenizer.save_pretrained(tmp_path)
    again = BertTokenizer.from_pretrained(tmp_path)
    assert {name: getattr(again, name) for name in changed} == changed


def test_a_mask_that_there_is_not_is_not_saved(tmp_path):
    vocab = {token: number for number, token in enumerate(WORDS) if token != "[MASK]"}
    BertTokenizer(vocab).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["mask_token"] is None
    BertTokenizer.from_pretrained(tmp_path)


def test_a_token_that_is_switched_off_stays_off(vocab, tmp_path):
    BertTokenizer(vocab, mask_token=None, pad_token=None).save_pretrained(tmp_path)
    again = BertTokenizer.from_pretrained(tmp_path)
    assert (again.mask_token, again.mask_token_id, again.pad_token) == (None, None, None)


def test_what_the_class_would_not_read_is_saved_with_another(vocab, tmp_path):
    for options, name in (
        ({"strip_accents": False, "do_lower_case": False}, "BertTokenizer"),
        ({"clean_text": False}, "PreTrainedTokenizerFast"),
        ({"prefix": "@@"}, "PreTrainedTokenizerFast"),
    ):
        BertTokenizer(vocab, **options).save_pretrained(tmp_path)
        config = json.loads((tmp_path / "tokenizer_config.json").read_text())
        assert config["tokenizer_class"] == name


def test_the_vocabulary_alone_and_the_config(folder, said):
    expected = BertTokenizer.from_pretrained(folder)(said["lines"][:7])
    (folder / "tokenizer.json").unlink()
    tokenizer = BertTokenizer.from_pretrained(folder)
    assert dict(tokenizer(said["lines"][:7])) == dict(expected)
    assert tokenizer.model_max_length == 12


@pytest.mark.parametrize(
    ("more", "lowers"),
    [
        ([], True),
        (["A"], False),
        (["Я"], False),
        (["\u211d", "\u2102", "\u2135"], True),
        (["<S>", "<URL>", "[E1]", "@USER@"], True),
        (["##A", "##Bc"], True),
        ([*(f"b{chr(i)}" for i in range(97, 123)), "USA", "NASA", "T"], True),
        (["b", "The", "Paris"], False),
        (["国", "국", "ש"], True),
    ],
)
def test_where_the_files_are_silent_the_vocabulary_tells_and_it_is_said(tmp_path, more, lowers):
    folder = write(tmp_path, [*WORDS, "[unused0A]", *more])
    with pytest.warns(UserWarning, match=f"so do_lower_case={lowers}") as told:
        tokenizer = BertTokenizer.from_pretrained(folder)
    assert tokenizer.do_lower_case is lowers
    assert len(told) == 1
    assert told[0].filename == __file__


@pytest.mark.parametrize("lowers", [True, False])
def test_what_is_said_is_not_guessed(tmp_path, lowers):
    folder = write(tmp_path, [*WORDS, "A"])
    assert BertTokenizer.from_pretrained(folder, do_lower_case=lowers).do_lower_case is lowers
    write(tmp_path, config={"do_lower_case": lowers})
    assert BertTokenizer.from_pretrained(folder).do_lower_case is lowers
    again = BertTokenizer.from_pretrained(folder, do_lower_case=not lowers)
    assert again.do_lower_case is not lowers


SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
AROUND = ["<s>", "</s>", "<e1>", "<m>"]


@pytest.fixture
def both(tmp_path):
    """Return what writes a folder with both files, and then reads it."""
    words = [*SPECIAL, *AROUND, "paris", "Paris", "é", "e", "<", ">", "s", "/", "##1", "m"]

    def read(config=None, warns=None, options=(), **changed):
        BertTokenizer({t: i for i, t in enumerate(words)}, **changed).save_pretrained(tmp_path)
        path = tmp_path / "tokenizer_config.json"
        path.unlink() if config is None else path.write_text(json.dumps(config))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            tokenizer = BertTokenizer.from_pretrained(tmp_path, **dict(options))
        assert all(one.filename == __file__ for one in told)
        said = " ".join(str(one.message) for one in told)
        assert said if warns else not said
        assert (warns or "") in said
        return tokenizer

    return read


@pytest.mark.parametrize(
    ("config", "changed", "tokens", "warns"),
    [
        ({"do_lower_case": False}, {}, ["Paris", "é"], "disagree: tokenizer_config.json has do_lo"),
        ({"do_lower_case": True}, {"do_lower_case": False}, ["paris", "e"], "do_lower_case=True"),
        ({}, {"do_lower_case": False}, ["paris", "e"], "said, or by default"),
        (None, {"do_lower_case": False}, ["paris", "e"], "said, or by default"),
        ({"strip_accents": False}, {}, ["paris", "é"], "strip_accents=False"),
        ({}, {"strip_accents": False}, ["paris", "e"], "strip_accents=True"),
        ({"strip_accents": True}, {}, ["paris", "e"], None),
        ({}, {"max_input_chars_per_word": 3}, ["paris", "e"], "max_input_chars_per_word=100"),
        (
            {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": False},
            {},
            ["paris", "e"],
            "tokenizer.json counts",
        ),
        (
            {"tokenizer_class": "TokenizersBackend"},
            {"do_lower_case": False},
            ["Paris", "é"],
            None,
        ),
    ],
    ids=str,
)
def test_where_the_files_disagree_those_count_that_count_in_transformers(
    both, config, changed, tokens, warns
):
    assert both(config, warns, **changed).tokenize("Paris é") == tokens


def test_nothing_is_said_where_the_caller_says_it(both):
    tokenizer = both({"do_lower_case": False}, options={"do_lower_case": True})
    assert tokenizer.tokenize("Paris") == ["paris"]


def test_the_tokens_of_the_config_stand_around_the_texts(both):
    config = {"cls_token": "<s>", "sep_token": {"content": "</s>", "special": True}}
    tokenizer = both(config, "template")
    assert tokenizer("paris", "é").tokens() == ["<s>", "paris", "</s>", "e", "</s>"]
    assert tokenizer.tokenize("<s> paris") == ["<s>", "paris"]
    assert both({**config, "tokenizer_class": "PreTrainedTokenizerFast"})("é").tokens() == [
        *("[CLS]", "e", "[SEP]")
    ]


@pytest.mark.parametrize(
    "config",
    [
        {"additional_special_tokens": ["<e1>"]},
        {"extra_special_tokens": [{"content": "<e1>", "__type": "AddedToken"}]},
        {"extra_special_tokens": {"entity_token": "<e1>"}},
        {"entity_token": "<e1>"},
        {"bos_token": "<e1>"},
        {"mask_token": "<e1>"},
        {"added_tokens_decoder": {"7": {"content": "<e1>", "special": True}}},
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["both", "vocabulary", "map"])
def test_every_special_token_is_found_in_a_text(tmp_path, both, config, kind):
    tokenizer = both(config)
    if kind != "both":
        (tmp_path / "tokenizer.json").unlink()
        both_files = kind == "map" and "added_tokens_decoder" not in config
        write(tmp_path, config={"do_lower_case": True, **({} if both_files else config)})
        write(tmp_path, special_tokens_map=config if both_files else {})
        tokenizer = BertTokenizer.from_pretrained(tmp_path)
    assert tokenizer.tokenize("<e1>Paris <m>") == ["<e1>", "paris", "<", "m", ">"]
    assert "<e1>" in tokenizer.all_special_tokens
    tokenizer.save_pretrained(tmp_path)
    again = BertTokenizer.from_pretrained(tmp_path)
    assert again.all_special_tokens == tokenizer.all_special_tokens


@pytest.mark.parametrize(
    "config", [{"extra_special_tokens": ["<new>"]}, {"mask_token": "<new>"}, {"x_token": "<new>"}]
)
def test_a_special_token_without_an_id_gets_the_next_and_it_is_said(both, config, tmp_path):
    tokenizer = both(config, "name special tokens that have no id: <new>. They get the next ones")
    assert tokenizer("é <new>").input_ids == [2, 12, 19, 3]
    tokenizer.save_pretrained(tmp_path)
    assert BertTokenizer.from_pretrained(tmp_path)("é <new>").input_ids == [2, 12, 19, 3]


def test_the_older_name_of_the_longest_row(both):
    assert both({"max_len": 6}).model_max_length == 6
    assert both({"max_len": 6, "model_max_length": 7}).model_max_length == 7


def test_the_columns_of_a_call_are_those_that_the_config_names(both):
    tokenizer = both({"model_input_names": ["input_ids", "attention_mask"]})
    assert list(tokenizer("é")) == ["input_ids", "attention_mask"]
    assert "token_type_ids" in tokenizer("é", return_token_type_ids=True)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"unk_token": None}, "unk_token is None; needed: str"),
        ({"cls_token": ["[CLS]"]}, r"cls_token is \['\[CLS\]'\]; needed: str or dict or null"),
        ({"sep_token": {"text": "[SEP]"}}, "content is None; needed: str"),
        ({"pad_token": {"content": ["[PAD]"]}}, "content is .* needed: str"),
        ({"mask_token": 4}, "mask_token is 4"),
        ({"mask_token": "\ud800"}, "mask_token is .* lone surrogate"),
        ({"x_token": "\ud800"}, "lone surrogate"),
        ({"additional_special_tokens": "<e1>"}, "additional_special_tokens is '<e1>'"),
        ({"extra_special_tokens": [["<e1>"]]}, "an entry of extra_special_tokens is"),
        ({"added_tokens_decoder": {"7": {"content": 3}}}, "added_tokens_decoder cannot be read"),
        ({"model_max_length": "512"}, "model_max_length is '512'; needed: int or float or null"),
        ({"do_lower_case": "yes"}, "do_lower_case is 'yes'; needed: bool or null"),
        ({"padding_side": ["left"]}, "padding_side is .* needed: str"),
        ({"padding_side": "top"}, "padding_side is 'top'; allowed"),
        ({"model_input_names": ["input_ids", 3]}, "an entry of model_input_names is 3"),
        ({"word_tokenizer_type": "mecab"}, "word_tokenizer_type is 'mecab'; a BERT tokenizer has"),
        ({"subword_tokenizer_type": ["character"]}, "subword_tokenizer_type is"),
        ({"split_special_tokens": True}, "split_special_tokens is True"),
        ({"tokenizer_class": ["BertTokenizer"]}, "tokenizer_class is .* needed: str"),
        ({"tokenizer_class": "MPNetTokenizerFast"}, "the tokenizer_class is 'MPNetTokenizerFast'"),
    ],
    ids=ascii,
)
@pytest.mark.parametrize("name", ["tokenizer_config", "special_tokens_map"])
def test_a_field_that_will_not_do_is_named_with_its_file(folder, config, words, name):
    if name == "special_tokens_map":
        if "added_tokens_decoder" in config or "tokenizer_class" in config:
            return
        (folder / "tokenizer_config.json").unlink()
    write(folder, **{name: config})
    with pytest.raises(ValueError, match=words) as raised:
        BertTokenizer.from_pretrained(folder)
    assert str(folder) in str(raised.value)


def test_fields_that_nobody_knows_are_told(both):
    both({"do_upper_case": True, "name_or_path": "x"}, "unknown here and not used: do_upper_case")
    both({"auto_map": {"AutoTokenizer": ["a.B", None]}}, "names code of its own")


@pytest.mark.parametrize("name", ["BertJapaneseTokenizer", "RobertaTokenizerFast"])
def test_a_class_that_config_json_alone_names(folder, name):
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text())
    (folder / "config.json").write_text(json.dumps({"tokenizer_class": name}))
    del config["tokenizer_class"]
    path.write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"config.json': the tokenizer_class is '{name}'"):
        BertTokenizer.from_pretrained(folder)


def test_keywords_override_the_files(folder):
    tokenizer = BertTokenizer.from_pretrained(folder, model_max_length=5, strip_accents=False)
    assert tokenizer.model_max_length == 5
    assert tokenizer.tokenize("é") == ["é"]
    with pytest.raises(TypeError, match="max_len"):
        BertTokenizer.from_pretrained(folder, max_len=5)


def test_no_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        BertTokenizer.from_pretrained(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"neither tokenizer.json nor vocab.txt"):
        BertTokenizer.from_pretrained(tmp_path)
    write(tmp_path, WORDS)
    with pytest.raises(NotADirectoryError):
        BertTokenizer.from_pretrained(tmp_path / "vocab.txt")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("tokenizer.json", b"", "an empty file"),
        ("tokenizer.json", b"[1]", "holds an array, not an object"),
        ("tokenizer.json", b"[" * 100_000, "nested"),
        ("tokenizer.json", b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        ("tokenizer_config.json", b"{", "is not JSON"),
        ("vocab.txt", b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        ("vocab.txt", b"<!DOCTYPE html><html>", "an HTML page"),
        ("vocab.txt", b"PK\x03\x04", "a zip archive"),
        ("vocab.txt", b"[PAD]\n[UNK]\na\xff\n", "is not UTF-8: see line 3"),
        ("vocab.txt", b"", "an empty file"),
    ],
)
def test_files_that_are_something_else(tmp_path, name, content, words):
    if name == "tokenizer_config.json":
        write(tmp_path, WORDS)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=words) as raised:
        BertTokenizer.from_pretrained(tmp_path, do_lower_case=True)
    assert name in str(raised.value)


def test_a_huge_vocabulary_and_a_fifo_are_not_opened(tmp_path):
    with (tmp_path / "vocab.txt").open("wb") as file:
        file.truncate(65 * 2**20)
    with pytest.raises(ValueError, match="has 68157440 bytes; allowed: 25165824"):
        BertTokenizer.from_pretrained(tmp_path)
    (tmp_path / "vocab.txt").unlink()
    os.mkfifo(tmp_path / "vocab.txt")
    with pytest.raises(OSError, match="a regular file is needed"):
        BertTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize("missing", ["[PAD]", "[UNK]", "[CLS]", "[SEP]"])
def test_a_special_token_that_is_missing(tmp_path, missing):
    write(tmp_path, [t for t in WORDS if t != missing], {"do_lower_case": True})
    with pytest.raises(ValueError, match=f"no '{missing[:-1]}.', the ".replace("[", r"\[")):
        BertTokenizer.from_pretrained(tmp_path)


def test_a_special_token_on_two_lines(tmp_path):
    write(tmp_path, [*WORDS, "[CLS]"], {"do_lower_case": True})
    with pytest.raises(ValueError, match=r"the special token '\[CLS\]' on several lines"):
        BertTokenizer.from_pretrained(tmp_path)


def test_of_another_token_on_two_lines_the_last_counts(tmp_path):
    write(tmp_path, [*WORDS, "a"], {"do_lower_case": True})
    with pytest.warns(UserWarning, match=r"1 token\(s\) on several lines, 'a'") as told:
        tokenizer = BertTokenizer.from_pretrained(tmp_path)
    assert tokenizer.convert_tokens_to_ids("a") == len(WORDS)
    assert told[0].filename == __file__


def test_lines_end_in_any_way_and_may_end_in_spaces(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes("\ufeff[PAD]\r\na \r\n\u3000\nb".encode())
    assert read_vocab(path) == {"[PAD]": 0, "a": 1, "": 2, "b": 3}


def test_another_class_of_tokenizer(tmp_path):
    write(tmp_path, WORDS, {"do_lower_case": True, "tokenizer_class": "BertJapaneseTokenizer"})
    with pytest.raises(ValueError, match="'BertJapaneseTokenizer', which splits words in another"):
        BertTokenizer.from_pretrained(tmp_path)


def test_added_tokens_of_older_folders(tmp_path):
    config = {"do_lower_case": True, "mask_token": {"content": "[MASK]", "lstrip": True}}
    write(tmp_path, WORDS, {**config, "additional_special_tokens": ["[X]"]})
    write(tmp_path, added_tokens={"new": 10, "[X]": 11})
    tokenizer = BertTokenizer.from_pretrained(tmp_path)
    assert tokenizer.convert_tokens_to_ids(["new", "[X]", "[MASK]"]) == [10, 11, 4]
    assert "[X]" in tokenizer.all_special_tokens
    assert "new" not in tokenizer.all_special_tokens
    assert tokenizer.tokenize("a  [MASK]") == ["a", "  [MASK]"]
    entry = {"content": "newer", "lstrip": False, "normalized": True, "special": False}
    write(tmp_path, config={**config, "added_tokens_decoder": {"10": entry}})
    assert BertTokenizer.from_pretrained(tmp_path).tokenize("newer") == ["newer"]


@pytest.mark.parametrize("decoder", [[], {"x": {"content": "a"}}, {"10": "a"}, {"10": {}}], ids=str)
def test_added_tokens_that_cannot_be_read(tmp_path, decoder):
    write(tmp_path, WORDS, {"do_lower_case": True, "added_tokens_decoder": decoder})
    with pytest.raises(ValueError, match="added_tokens_decoder cannot be read"):
        BertTokenizer.from_pretrained(tmp_path)
    write(tmp_path, config={"do_lower_case": True}, added_tokens={"a": "10"})
    with pytest.raises(ValueError, match="an id that is no whole number"):
        BertTokenizer.from_pretrained(tmp_path)


def test_names_may_stand_in_the_older_special_tokens_map(tmp_path):
    write(tmp_path, [*WORDS[:4], "<mask>", "a"], {"do_lower_case": True})
    write(tmp_path, special_tokens_map={"mask_token": {"content": "<mask>"}})
    assert BertTokenizer.from_pretrained(tmp_path).mask_token == "<mask>"
    write(tmp_path, config={"do_lower_case": True, "mask_token": "a"})
    assert BertTokenizer.from_pretrained(tmp_path).mask_token == "<mask>"


def test_a_vocabulary_that_lines_cannot_hold_is_in_tokenizer_json_alone(tmp_path):
    vocab = {token: 2 * number for number, token in enumerate(WORDS)}
    (tmp_path / "vocab.txt").write_text("of another tokenizer")
    BertTokenizer(vocab).save_pretrained(tmp_path)
    assert not (tmp_path / "vocab.txt").exists()
    assert BertTokenizer.from_pretrained(tmp_path).get_vocab() == vocab


def test_reading_says_nothing_where_all_is_said(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        BertTokenizer.from_pretrained(folder)
