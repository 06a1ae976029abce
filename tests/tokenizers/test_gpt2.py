"""GPT-2's, RoBERTa's and BART's tokenizers, and what the tokenizers library said, said again."""

import gzip
import json
from pathlib import Path

import pytest

from minibert import AutoTokenizer
from minibert.tokenizers import AddedToken, BartTokenizer, GPT2Tokenizer, RobertaTokenizer
from minibert.tokenizers.bpe import BytePairs
from minibert.tokenizers.byte_level import CHARACTERS, bytes_of, spell, words

RECORDED = Path(__file__).parents[1] / "data" / "bpe.json.gz"
ENDS = ("<s>", "</s>", "<pad>", "<unk>", "<mask>")


@pytest.fixture(scope="module")
def said():
    """What the tokenizers library said (tests/tools/record_bpe.py)."""
    return json.loads(gzip.decompress(RECORDED.read_bytes()))


@pytest.fixture
def gpt2(said):
    return GPT2Tokenizer(said["vocab"], said["merges"], model_max_length=1024)


@pytest.fixture
def roberta(said):
    return RobertaTokenizer(said["vocab"], said["merges"])


@pytest.fixture
def folder(roberta, tmp_path):
    roberta.save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.parametrize("number", range(8))
def test_ids_offsets_and_words(said, number):
    case = said["said"][number]
    prefix, trims, keeps = (bool(case[name]) for name in ("prefix", "trims", "keeps"))
    flags = {"add_prefix_space": prefix, "trim_offsets": trims, "keeps_first_space": keeps}
    tokenizer = RobertaTokenizer(said["vocab"], said["merges"], **flags)
    tokenizer.add_tokens("<|endoftext|>", special_tokens=True)
    tokenizer.add_tokens([AddedToken(**token) for token in said["added"]])
    found = tokenizer(said["lines"]).encodings
    for line, row, (ids, flat, numbers) in zip(said["lines"], found, case["rows"], strict=True):
        offsets = list(zip(flat[::2], flat[1::2], strict=True))
        assert (row.ids, row.offsets, row.word_ids) == (ids, offsets, numbers), ascii(line)


def test_what_was_recorded_tells_the_settings_apart(said):
    rows = [case["rows"] for case in said["said"]]
    assert rows[0] == rows[1]  # what is kept counts only if spaces are trimmed
    assert all(rows[a] != rows[b] for a in (0, 2, 3, 4, 6, 7) for b in (0, 2, 3, 4, 6, 7) if a < b)


def test_decoding_and_streaming(said, gpt2):
    assert any("\ufffd" in text for _, text in said["decoded"])
    for ids, text in said["decoded"]:
        assert gpt2.decode(ids) == text
        stream = gpt2.decoder()
        assert "".join([*map(stream, ids), stream([], final=True)]) == text


def test_any_text_comes_back(said, gpt2):
    for line in said["lines"]:
        assert gpt2.decode(gpt2(line).input_ids) == line


def test_a_character_is_held_back_until_it_is_whole(gpt2):
    stream, text = gpt2.decoder(), "a\U0001f600b"
    said = [stream(number) for number in gpt2.encode(text)]
    assert "".join(said) == text
    assert "" in said
    assert not any("\ufffd" in part for part in said)
    stream(gpt2.encode("\U0001f600")[:1])
    assert stream([], final=True) == "\ufffd"


def test_streaming_skips_special_tokens(gpt2):
    ids = [*gpt2.encode("a"), gpt2.eos_token_id]
    assert "".join(map(gpt2.decoder(skip_special_tokens=True), ids)) == "a"
    assert "".join(map(gpt2.decoder(), ids)) == "a<|endoftext|>"


def test_what_is_no_utf_8(said):
    ids = [said["vocab"][CHARACTERS[byte]] for byte in (0x61, 0xFF, 0x62)]
    texts = {"replace": "a\ufffdb", "ignore": "ab"}
    for errors, text in texts.items():
        assert GPT2Tokenizer(said["vocab"], said["merges"], errors=errors).decode(ids) == text
    with pytest.raises(ValueError, match="errors is 'x'; allowed: 'replace', 'ignore', 'strict'"):
        GPT2Tokenizer(said["vocab"], said["merges"], errors="x")


def test_half_of_a_character_is_refused(gpt2):
    with pytest.raises(ValueError, match=r"a text is .*: a lone surrogate is no character"):
        gpt2("a\ud800")


def test_clean_up_has_no_effect(gpt2):
    ids = gpt2.encode("a , b")
    with pytest.warns(UserWarning, match="has no effect with a GPT-2 tokenizer"):
        assert gpt2.decode(ids, clean_up_tokenization_spaces=True) == "a , b"


def test_the_rows_of_each_class(gpt2, roberta):
    row = gpt2("a", "b")
    assert (row.tokens(), list(row)) == (["a", "b"], ["input_ids", "attention_mask"])
    pair = roberta("a", "b", return_token_type_ids=True)
    assert pair.tokens() == ["<s>", "a", "</s>", "</s>", "b", "</s>"]
    assert pair.token_type_ids == [0] * 6
    assert [roberta.num_special_tokens_to_add(p) for p in (False, True)] == [2, 4]
    assert roberta(["a", "a b c"], padding=True).input_ids[0][-1] == roberta.pad_token_id
    assert roberta.mask_token_id == roberta.encode("<mask>")[1]
    with pytest.raises(ValueError, match=r"set tokenizer\.pad_token = tokenizer\.eos_token"):
        gpt2(["a", "a b"], padding=True)
    gpt2.pad_token = gpt2.eos_token
    assert gpt2(["a", "a b"], padding=True).input_ids[0][-1] == gpt2.eos_token_id


@pytest.mark.parametrize(
    ("text", "offsets"),  # as the tokenizers library has them
    [
        (" <mask>", [(0, 7)]),
        ("  <mask>", [(2, 8)]),
        ("a   <mask>", [(0, 1), (4, 10)]),
        ("\x1c<mask>", [(0, 1), (1, 7)]),
    ],
)
def test_a_single_space_that_stands_first_is_kept(said, text, offsets):
    tokenizer = RobertaTokenizer(said["vocab"], said["merges"], keeps_first_space=True)
    tokenizer.add_tokens(AddedToken("<mask>", lstrip=True, special=True))
    row = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert row.offset_mapping == offsets


def test_the_bytes_and_their_characters():
    assert len({*CHARACTERS.values()}) == 256
    assert (CHARACTERS[32], CHARACTERS[10], CHARACTERS[0x41], CHARACTERS[0xAD]) == (*"ĠĊAŃ",)
    assert spell("é ") == "Ã©Ġ"
    assert bytes_of(spell("é ")) == "é ".encode()
    assert bytes_of("<a b>中") == "<a b>中".encode()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("I'll can't 'S", ["I", "'ll", " can", "'t", " '", "S"]),
        ("a  b\n\n c \n", ["a", " ", " b", "\n\n", " c", " \n"]),
        ("x1½ ²!?é", ["x", "1½", " ²", "!?", "é"]),
        ("a\x1cb\u3000c\u200bd", ["a", "\x1c", "b", "\u3000", "c", "\u200b", "d"]),
        ("", []),
    ],
)
def test_words(text, parts):
    assert [text[start:end] for start, end in words(text)] == parts


def test_the_first_merge_wins_and_the_leftmost():
    vocab = {token: i for i, token in enumerate(["a", "b", "c", "ab", "bc", "aa", "abc"])}
    for merges, tokens in [
        ([("a", "b"), ("b", "c")], ["ab", "c"]),
        ([("b", "c"), ("a", "b")], ["a", "bc"]),
        ([("b", "c"), ("a", "bc")], ["abc"]),
    ]:
        assert [piece.token for piece in BytePairs(vocab, merges)["abc"]] == tokens
    pairs = BytePairs(vocab, [("a", "a")])
    assert [(p.token, p.start, p.end) for p in pairs["aaa"]] == [("aa", 0, 2), ("a", 2, 3)]
    assert [(p.token, p.start) for p in pairs["axa"]] == [("aa", 0)]  # as in the library
    assert [p.token for p in BytePairs(vocab, [], whole=True)["abc"]] == ["abc"]
    with pytest.raises(ValueError, match="merge 1 joins 'c' and 'a', and the vocabulary has no"):
        BytePairs(vocab, [("c", "a")])


def test_a_pair_that_has_become_another_waits_for_its_own_turn():
    parts = [("b", "c"), ("a", "b"), ("bc", "d"), ("a", "bc")]
    vocab = {t: i for i, t in enumerate([*"abcd", *map("".join, parts)])}
    assert [piece.token for piece in BytePairs(vocab, parts)["abcd"]] == ["a", "bcd"]


def test_a_long_word_takes_time_in_proportion(said):
    pairs = BytePairs(said["vocab"], said["merges"])
    assert sum(p.end - p.start for p in pairs["ab" * 200_000]) == 400_000
    assert not pairs  # and is not remembered


@pytest.mark.parametrize("kind", [GPT2Tokenizer, RobertaTokenizer, BartTokenizer])
@pytest.mark.parametrize("options", [{}, {"add_prefix_space": True}, {"ignore_merges": True}])
@pytest.mark.parametrize("gone", [[], ["tokenizer.json"], ["vocab.json", "merges.txt"]], ids=str)
def test_what_is_saved_is_read_again(said, tmp_path, kind, options, gone):
    tokenizer = kind(said["vocab"], said["merges"], model_max_length=77, **options)
    if gone != ["tokenizer.json"]:  # nothing else has them
        tokenizer.add_tokens([AddedToken(**token) for token in said["added"]])
    saved = tokenizer.save_pretrained(tmp_path)
    assert [Path(name).name for name in saved] == [
        *("tokenizer_config.json", "tokenizer.json", "vocab.json", "merges.txt")
    ]
    if gone == ["tokenizer.json"] and "ignore_merges" in options:
        pytest.skip("the older files do not say it")
    for name in gone:
        (tmp_path / name).unlink()
    again = kind.from_pretrained(tmp_path)
    lines = said["lines"][:150]
    assert again(lines).encodings == tokenizer(lines).encodings
    assert again.special_tokens_map == tokenizer.special_tokens_map
    assert again.model_max_length == 77
    if "ignore_merges" not in options:
        assert type(AutoTokenizer.from_pretrained(tmp_path)) is kind


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (["model", "type"], "WordPiece", "the model is 'WordPiece'; a RoBERTa tokenizer has 'BPE'"),
        (["model", "dropout"], 0.1, "the model, has dropout=0.1; needed: null or 0"),
        (["model", "end_of_word_suffix"], "</w>", "end_of_word_suffix='</w>'"),
        (["model", "continuing_subword_prefix"], "##", "continuing_subword_prefix='##'"),
        (["model", "ignore_merges"], 1, "ignore_merges is 1; needed: bool"),
        (["model", "merges"], ["a"], "a merge is 'a'; needed: two tokens"),
        (["model", "merges"], [["a", 1]], r"a merge is \['a', 1\]"),
        (["model", "merges"], [["zq", "qz"]], "merge 1 joins 'zq' and 'qz', and the vocab"),
        (["model", "merges"], {"a": 1}, "merges is {'a': 1}; needed: list"),
        (["normalizer"], {"type": "NFC"}, "the normalizer is 'NFC'; a RoBERTa tokenizer has none"),
        (["pre_tokenizer", "use_regex"], False, "use_regex=False; needed: null or true"),
        (["pre_tokenizer"], None, "the pre_tokenizer is None"),
        (["pre_tokenizer", "type"], "Split", "the pre_tokenizer is 'Split'"),
        (["decoder", "type"], "BPEDecoder", "the decoder is 'BPEDecoder'"),
        (["post_processor"], {"type": "BertProcessing"}, "'BertProcessing', which is BERT's"),
        (["post_processor", "processors"], [{"type": "X"}], r"a Sequence of \['X'\]"),
        (["post_processor"], "x", "is 'x'; needed: dict or null"),
        (["post_processor"], {"type": "RobertaProcessing"}, r"cls of the post_processor is \[\]"),
    ],
    ids=str,
)
def test_a_tokenizer_json_that_will_not_do(folder, change, place, value, words):
    change(*place, value=value)
    with pytest.raises(ValueError, match=words) as raised:
        RobertaTokenizer.from_pretrained(folder)
    assert str(folder) in str(raised.value)


def test_an_unknown_token_counts_only_where_a_byte_has_none(folder):
    path = folder / "tokenizer.json"
    file = json.loads(path.read_text("utf-8"))
    file["model"]["unk_token"] = "<unk>"
    path.write_text(json.dumps(file), "utf-8")
    RobertaTokenizer.from_pretrained(folder)
    file["model"] |= {"vocab": {t: i for t, i in file["model"]["vocab"].items() if t != "Ā"}}
    path.write_text(json.dumps(file), "utf-8")
    with pytest.raises(ValueError, match="no token for some bytes, has unk_token='<unk>'"):
        RobertaTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"add_bos_token": True}, "add_bos_token is True; a RoBERTa tokenizer has one of"),
        ({"add_prefix_space": 1}, "add_prefix_space is 1; needed: bool or null"),
        ({"errors": 3}, "errors is 3; needed: str or null"),
        ({"tokenizer_class": "BertTokenizer"}, "splits words in another way than RoBERTa"),
    ],
    ids=str,
)
def test_a_config_that_will_not_do(folder, config, words):
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=words):
        RobertaTokenizer.from_pretrained(folder)


def test_older_files_that_will_not_do(folder):
    (folder / "tokenizer.json").unlink()
    merges = folder / "merges.txt"
    merges.write_text("#version: 0.2\r\na b c\r\n")
    with pytest.raises(ValueError, match=r"merges.txt': a merge is 'a b c'"):
        RobertaTokenizer.from_pretrained(folder)
    merges.write_bytes(b"\xff \xff\n")
    with pytest.raises(ValueError, match="is not UTF-8: see line 1"):
        RobertaTokenizer.from_pretrained(folder)
    merges.write_bytes(b"a b\n" * 2**21)
    with pytest.raises(ValueError, match="has about 2097152 entries; allowed: "):
        RobertaTokenizer.from_pretrained(folder)
    merges.unlink()
    with pytest.raises(FileNotFoundError, match=r"has neither tokenizer.json nor merges.txt"):
        RobertaTokenizer.from_pretrained(folder)


def test_a_setting_that_is_passed_counts_before_the_files(folder, gpt2, tmp_path):
    for add, first in ((True, "Ġthe"), (False, "the")):
        read = RobertaTokenizer.from_pretrained(folder, add_prefix_space=add)
        assert read.tokenize("the") == [first]
    gpt2.save_pretrained(tmp_path / "gpt2")
    assert AutoTokenizer.from_pretrained(tmp_path / "gpt2", add_prefix_space=True).add_prefix_space


def test_a_type_that_is_passed_chooses_the_class(folder):
    kind = type(AutoTokenizer.from_pretrained(folder, tokenizer_type="roberta"))
    assert kind is RobertaTokenizer
    with pytest.raises(ValueError, match="the tokenizer_class is 'RobertaTokenizer'"):
        AutoTokenizer.from_pretrained(folder, tokenizer_type="bert")
