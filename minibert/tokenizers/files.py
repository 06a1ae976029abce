"""A tokenizer's folder: tokenizer.json, or vocab.txt with tokenizer_config.json."""

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minibert.checkpoint.files import (
    MAX_JSON_BYTES,
    describe,
    lines_of,
    make_folder,
    read_json,
    replace_file,
    require_file,
)
from minibert.runtime.warn import warn
from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.characters import ALL_SPACES
from minibert.tokenizers.encoding import Template
from minibert.tokenizers.options import TOKEN_NAMES, Settings
from minibert.tokenizers.tokenizer_json import from_json, read_added_token, to_json

TOKENIZER_NAME = "tokenizer.json"
TOKENIZER_CONFIG_NAME = "tokenizer_config.json"
VOCAB_NAME = "vocab.txt"

# what tokenizer_config.json says; where tokenizer.json says it too, that counts
_OF_CONFIG = (
    *(*TOKEN_NAMES, "model_max_length", "padding_side", "truncation_side", "do_lower_case"),
    *("clean_up_tokenization_spaces", "tokenize_chinese_chars", "strip_accents"),
)

# tokenizer_class begins with one of these if it splits a text as BERT does
_CLASSES = ("BertTokenizer", "DistilBert", "Electra", "MobileBert", "PreTrained", "TokenizersBack")


def read_tokenizer(folder: Path, do_lower_case: bool | None = None) -> dict[str, Any]:
    """Return the vocabulary and the settings in a folder, as keywords of BertTokenizer.

    Texts are lower-cased as asked for, or as tokenizer.json or tokenizer_config.json says, or as
    the vocabulary suggests, with a warning. OSError for missing files, ValueError for wrong ones.
    """
    config = _read_config(folder)
    keywords = _pick(config, _OF_CONFIG)
    if (folder / TOKENIZER_NAME).exists():
        file = read_json(folder / TOKENIZER_NAME)
        try:
            keywords |= from_json(file)
        except ValueError as error:
            raise ValueError(f"{str(folder / TOKENIZER_NAME)!r}: {error}") from None
        said, used = config.get("do_lower_case"), keywords["do_lower_case"]
        if do_lower_case is None and said not in (None, used):
            warn(
                f"the files in {str(folder)!r} disagree: {TOKENIZER_NAME} has lowercase={used}, "
                f"{TOKENIZER_CONFIG_NAME} has do_lower_case={said}; the first is followed. "
                "Pass do_lower_case=True or False to say which"
            )
    else:
        _require_class(folder, config)
        vocab = keywords["vocab"] = read_vocab(folder / VOCAB_NAME)
        keywords["added_tokens"] = _read_added_tokens(folder, config, vocab)
    if do_lower_case is not None:
        keywords["do_lower_case"] = do_lower_case
    elif keywords.get("do_lower_case") is None:
        keywords["do_lower_case"] = _infer_lower_case(folder, keywords["vocab"])
    return keywords


def write_tokenizer(
    folder: Path, vocab: Mapping[str, int], settings: Settings, template: Template
) -> tuple[str, ...]:
    """Write tokenizer_config.json, tokenizer.json and vocab.txt; return where they are.

    vocab.txt is left out if its lines cannot hold the vocabulary; tokenizer.json holds all.
    """
    make_folder(folder)
    config = {name: getattr(settings, name) for name in sorted(_OF_CONFIG)}
    config = {k: v for k, v in config.items() if v is not None or k not in TOKEN_NAMES}
    config["tokenizer_class"] = "BertTokenizer"
    values = {TOKENIZER_CONFIG_NAME: config, TOKENIZER_NAME: to_json(vocab, settings, template)}
    files = {k: json.dumps(v, indent=2, ensure_ascii=False) + "\n" for k, v in values.items()}
    tokens = sorted(vocab, key=vocab.__getitem__)
    has_no_gaps = [vocab[token] for token in tokens] == list(range(len(tokens)))
    if has_no_gaps and all(t == t.strip() and len(t.splitlines()) < 2 for t in tokens):
        files[VOCAB_NAME] = "".join(f"{token}\n" for token in tokens)
    else:
        (folder / VOCAB_NAME).unlink(missing_ok=True)
    for name, content in files.items():
        replace_file(folder / name, content.encode())
    return tuple(str(folder / name) for name in files)


def _read_config(folder: Path) -> dict[str, Any]:
    """Return tokenizer_config.json and the older special_tokens_map.json, as one; {} if absent."""
    config: dict[str, Any] = {}
    for name in (TOKENIZER_CONFIG_NAME, "special_tokens_map.json"):
        if (folder / name).exists():
            config |= read_json(folder / name)
    return config


def _pick(config: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return some of the values; a token that is an object becomes its text."""
    picked = {name: config[name] for name in names if name in config}
    return {k: v.get("content", v) if isinstance(v, dict) else v for k, v in picked.items()}


def _require_class(folder: Path, config: Mapping[str, Any]) -> None:
    name = config.get("tokenizer_class") or "BertTokenizer"
    if not str(name).startswith(_CLASSES):
        raise ValueError(
            f"{str(folder / TOKENIZER_CONFIG_NAME)!r}: the tokenizer_class is {name!r:.60}, which "
            "splits words in another way than BERT, and there is no tokenizer.json"
        )


def _read_added_tokens(
    folder: Path, config: Mapping[str, Any], vocab: Mapping[str, int]
) -> dict[int, AddedToken]:
    """Return the added tokens of a folder without tokenizer.json, as two generations wrote them."""
    # special tokens that are written as objects have options
    objects = [config[name] for name in TOKEN_NAMES if isinstance(config.get(name), dict)]
    known = [{**entry, "special": True} for entry in objects if entry.get("content") in vocab]
    tokens = {vocab[entry["content"]]: read_added_token(entry) for entry in known}
    decoder = config.get("added_tokens_decoder")
    if decoder is not None:
        try:
            return tokens | {int(i): read_added_token(entry) for i, entry in decoder.items()}
        except (AttributeError, TypeError, ValueError) as error:
            where = str(folder / TOKENIZER_CONFIG_NAME)
            raise ValueError(f"{where!r}: added_tokens_decoder cannot be read: {error}") from None
    path = folder / "added_tokens.json"
    ids = read_json(path) if path.exists() else {}
    if not all(type(number) is int for number in ids.values()):
        raise ValueError(f"{str(path)!r} has an id that is no whole number")
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens")
    extra = [t for t in extra if isinstance(t, str)] if isinstance(extra, list) else []
    special = {*_pick(config, TOKEN_NAMES).values(), *extra}
    return tokens | {i: AddedToken(token, special=token in special) for token, i in ids.items()}


def read_vocab(path: Path) -> dict[str, int]:
    """Read one token a line; its id is the number of the line, from 0, the last if on several."""
    if not path.exists():
        raise FileNotFoundError(
            f"{str(path.parent)!r} has neither {TOKENIZER_NAME} nor {VOCAB_NAME}: "
            "no tokenizer of a BERT model is there"
        )
    require_file(path)
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{str(path)!r} is larger than {MAX_JSON_BYTES} bytes: no vocabulary")
    if found := describe(path):
        raise ValueError(f"{str(path)!r} is not a vocabulary: it looks like {found}")
    lines = lines_of(path.read_bytes(), repr(str(path)))
    tokens = [line.rstrip(ALL_SPACES) for line in lines]
    repeated = [token for token, count in Counter(tokens).items() if count > 1]
    if special := [t for t in repeated if t.startswith("[") and t.endswith("]")]:
        raise ValueError(f"{str(path)!r} has the special token {special[0]!r} on several lines")
    if repeated:
        found = f"{len(repeated)} token(s) on several lines, {repeated[0]!r} for one"
        warn(f"{str(path)!r} has {found}; the last line counts")
    return {token: number for number, token in enumerate(tokens)}


def _infer_lower_case(folder: Path, vocab: Mapping[str, int]) -> bool:
    """Return False if a token, apart from names such as [CLS], has a capital letter; and warn."""
    words = (t for t in vocab if not (t.startswith("[") and t.endswith("]")))
    cased = next((t for t in words if any(unicodedata.category(c) == "Lu" for c in t)), None)
    why = "no token with a capital letter" if cased is None else f"{cased!r}, with a capital letter"
    warn(
        f"the files in {str(folder)!r} do not say whether texts are lower-cased; the vocabulary "
        f"has {why}, so do_lower_case={cased is None}. Pass do_lower_case=True or False to say it"
    )
    return cased is None
