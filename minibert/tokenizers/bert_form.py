"""What the files of a BERT tokenizer hold, and vocab.txt."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any

from minibert.checkpoint.files import describe, lines_of, read_limited, require_file
from minibert.checkpoint.limits import MAX_TOKENIZER_BYTES
from minibert.runtime.warn import warn
from minibert.tokenizers.characters import ALL_SPACES, lower
from minibert.tokenizers.encoding import Template
from minibert.tokenizers.fields import typed
from minibert.tokenizers.forms import Form
from minibert.tokenizers.settings import BertSettings, Settings
from minibert.tokenizers.templates import read_template

VOCAB_NAME = "vocab.txt"
# the classes that split a text as BERT does
_OF_BERT = ("Bert", "DistilBert", "Electra", "MobileBert", "SqueezeBert", "ConvBert", "LayoutLM")
# as many of the whole words of a lower-cased vocabulary may have a capital: symbols, abbreviations
_FEW = 0.2


class BertForm(Form):
    """BERT's: WordPiece after the normalizer and the splitting of BERT."""

    name, title = "BERT", "a BERT tokenizer"
    settings = BertSettings
    own_class = "BertTokenizer"
    classes = frozenset(f"{name}Tokenizer" for name in (*_OF_BERT, "Lxmert", "RetriBert"))
    settled = (
        *("do_lower_case", "strip_accents", "tokenize_chinese_chars", "clean_text", "unk_token"),
        *("prefix", "max_input_chars_per_word", "decoder_cleanup", "template"),
    )
    types = {"model": "WordPiece", "normalizer": "BertNormalizer"} | {
        "pre_tokenizer": "BertPreTokenizer",
        "decoder": "WordPiece",
    }
    fields = {  # noqa: RUF012
        "model": {
            "unk_token": ("unk_token", "[UNK]", str),
            "continuing_subword_prefix": ("prefix", "##", str),
            "max_input_chars_per_word": ("max_input_chars_per_word", 100, int),
        },
        "normalizer": {
            "clean_text": ("clean_text", True, bool),
            "handle_chinese_chars": ("tokenize_chinese_chars", True, bool),
            "strip_accents": ("strip_accents", None, bool, NoneType),
            "lowercase": ("do_lower_case", True, bool),
        },
        "pre_tokenizer": {},
        "decoder": {"cleanup": ("decoder_cleanup", True, bool)},
    }
    config_fields = Form.config_fields | {
        "unk_token": (str, dict),  # WordPiece cannot do without
        **dict.fromkeys(("do_lower_case", "tokenize_chinese_chars"), (bool, NoneType)),
        "strip_accents": (bool, NoneType),
    }
    null_is_said = (*Form.null_is_said, "strip_accents")  # as do_lower_case
    allowed = Form.allowed | {
        "word_tokenizer_type": (None, "basic"),
        "subword_tokenizer_type": (None, "wordpiece"),
    }

    def template(
        self, cls: str | None, cls_id: int | None, sep: str | None, sep_id: int | None
    ) -> Template:
        """Return BERT's template."""
        if cls is None or sep is None or cls_id is None or sep_id is None:
            raise ValueError("a cls_token and a sep_token are needed to put around texts")
        return Template.of_bert(cls, cls_id, sep, sep_id)

    def read_json(self, file: Mapping[str, Any], keywords: dict[str, Any]) -> dict[str, Any]:
        """Return the template; ValueError if model and decoder differ in their prefix."""
        prefix = keywords["prefix"]
        other = typed(file.get("decoder") or {}, "prefix", prefix, str)
        if other != prefix:
            found = f"the decoder has the prefix {other!r:.60}, the model {prefix!r:.60}"
            raise ValueError(f"{found}; needed: the same")
        return {"template": read_template(file.get("post_processor"))}

    def write_json(self, file: dict[str, Any], settings: Settings) -> dict[str, Any]:
        """Return tokenizer.json with the decoder's prefix."""
        prefix = file["model"]["continuing_subword_prefix"]
        return file | {"decoder": {**file["decoder"], "prefix": prefix}}

    def read_vocabulary(self, folder: Path, silent: bool) -> dict[str, Any]:
        """Return what vocab.txt holds; if silent, also whether its words are lower-cased."""
        vocab = read_vocab(folder / VOCAB_NAME)
        inferred = {"do_lower_case": _infer_lower_case(folder, vocab)} if silent else {}
        return {"vocab": vocab, **inferred}

    def write_vocabulary(self, vocab: Mapping[str, int], settings: Settings) -> dict[str, str]:
        """Return vocab.txt, "" if its lines cannot hold the vocabulary."""
        tokens = sorted(vocab, key=vocab.__getitem__)
        has_no_gaps = [vocab[token] for token in tokens] == list(range(len(tokens)))
        fits = has_no_gaps and all(t == t.strip() and len(t.splitlines()) < 2 for t in tokens)
        return {VOCAB_NAME: "".join(f"{token}\n" for token in tokens) if fits else ""}

    def shown(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """Return settings as a person compares them; accents go with the case."""
        accents = settings["strip_accents"]
        accents = settings["do_lower_case"] if accents is None else accents
        return super().shown({**settings, "strip_accents": accents})


def read_vocab(path: Path) -> dict[str, int]:
    """Read one token a line; its id is the number of the line, from 0, the last if on several."""
    if not path.exists():
        raise FileNotFoundError(
            f"{str(path.parent)!r} has neither tokenizer.json nor {VOCAB_NAME}: "
            "no tokenizer of a BERT model is there"
        )
    if found := describe(require_file(path)):
        raise ValueError(f"{str(path)!r} is not a vocabulary: it looks like {found}")
    lines = lines_of(read_limited(path, MAX_TOKENIZER_BYTES, b"\n"), repr(str(path)))
    tokens = [line.rstrip(ALL_SPACES) for line in lines]
    repeated = [token for token, count in Counter(tokens).items() if count > 1]
    if special := [t for t in repeated if t.startswith("[") and t.endswith("]")]:
        raise ValueError(f"{str(path)!r} has the special token {special[0]!r:.60} on several lines")
    if repeated:
        found = f"{len(repeated)} token(s) on several lines, {repeated[0]!r:.60} for one"
        warn(f"{str(path)!r} has {found}; the last line counts")
    return {token: number for number, token in enumerate(tokens)}


def _infer_lower_case(folder: Path, vocab: Mapping[str, int]) -> bool:
    """Return whether nearly all of the whole words are in lower case; and warn."""
    words = [t for t in vocab if t.isalpha()]  # no pieces, no marks such as [CLS] and <s>
    lowered = ["".join(map(lower, word)) for word in words]
    cased = [word for word, small in zip(words, lowered, strict=True) if word != small]
    count = len(cased) + sum(word.upper() != word for word in {*words} - {*cased})
    is_lower = len(cased) < _FEW * count or not cased
    warn(
        f"the files in {str(folder)!r} do not say whether texts are lower-cased; {len(cased)} of "
        f"{count} words in the vocabulary have a capital letter, so do_lower_case={is_lower}. "
        "Pass do_lower_case=True or False to say it"
    )
    return is_lower
