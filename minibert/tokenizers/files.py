"""Reading a tokenizer's folder: tokenizer.json, or vocab.txt with tokenizer_config.json."""

import unicodedata
import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minibert.checkpoint.files import MAX_JSON_BYTES, describe, lines_of, read_json, require_file
from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.characters import SPACES
from minibert.tokenizers.settings import TOKEN_NAMES
from minibert.tokenizers.tokenizer_json import read_added_token, read_tokenizer_json

TOKENIZER_NAME = "tokenizer.json"
CONFIG_NAME = "tokenizer_config.json"
VOCAB_NAME = "vocab.txt"

# what tokenizer_config.json says that tokenizer.json does not, and what both say
_OF_CONFIG = (
    *("sep_token", "pad_token", "cls_token", "mask_token", "model_max_length"),
    *("padding_side", "truncation_side", "clean_up_tokenization_spaces"),
)
_OF_BOTH = ("unk_token", "tokenize_chinese_chars", "strip_accents", "do_lower_case")

# the names with which classes begin that split a text as BERT does; others do more before it
_CLASSES = ("BertTokenizer", "DistilBert", "Electra", "MobileBert", "PreTrained", "TokenizersBack")


def read_tokenizer(folder: Path, do_lower_case: bool | None = None) -> dict[str, Any]:
    """Return the keywords of BertTokenizer; OSError or ValueError if the files do not do.

    Lower-casing: as asked for; else as tokenizer.json says, else tokenizer_config.json; else as
    the vocabulary suggests, with a warning.
    """
    config = _read_config(folder)
    if (folder / TOKENIZER_NAME).exists():
        keywords = _pick(config, _OF_CONFIG) | _read_tokenizer_json(folder / TOKENIZER_NAME)
        if do_lower_case is None:
            _warn_if_files_disagree(folder, config, keywords)
    else:
        _require_class(folder, config)
        keywords = _pick(config, (*_OF_CONFIG, *_OF_BOTH))
        keywords["vocab"] = read_vocab(folder / VOCAB_NAME)
        added = _read_added_tokens(folder, config)
        keywords["added_tokens"] = _special_tokens(config, keywords["vocab"]) | added
    if do_lower_case is not None:
        keywords["do_lower_case"] = do_lower_case
    elif keywords.get("do_lower_case") is None:
        keywords["do_lower_case"] = _infer_lower_case(folder, keywords["vocab"])
    return keywords


def _read_config(folder: Path) -> dict[str, Any]:
    """Return tokenizer_config.json and the older special_tokens_map.json, as one; {} if absent."""
    config: dict[str, Any] = {}
    for name in (CONFIG_NAME, "special_tokens_map.json"):
        if (folder / name).exists():
            config |= read_json(folder / name)
    return config


def _pick(config: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Return some of the values; a token that is an object becomes its text."""
    picked = {name: config[name] for name in names if name in config}
    return {
        name: value["content"] if isinstance(value, dict) and "content" in value else value
        for name, value in picked.items()
    }


def _read_tokenizer_json(path: Path) -> dict[str, Any]:
    file = read_json(path)
    try:
        return read_tokenizer_json(file)
    except ValueError as error:
        raise ValueError(f"{str(path)!r}: {error}") from None


def _warn_if_files_disagree(
    folder: Path, config: Mapping[str, Any], keywords: Mapping[str, Any]
) -> None:
    said, used = config.get("do_lower_case"), keywords["do_lower_case"]
    if said is not None and said != used:
        warnings.warn(
            f"the files in {str(folder)!r} disagree: {TOKENIZER_NAME} has lowercase={used}, "
            f"{CONFIG_NAME} has do_lower_case={said}; the first is followed. "
            "Pass do_lower_case=True or False to say which",
            stacklevel=4,
        )


def _require_class(folder: Path, config: Mapping[str, Any]) -> None:
    name = config.get("tokenizer_class") or "BertTokenizer"
    if not str(name).startswith(_CLASSES):
        raise ValueError(
            f"{str(folder / CONFIG_NAME)!r}: the tokenizer_class is {name!r:.60}, which splits "
            "words in another way than BERT, and there is no tokenizer.json"
        )


def read_vocab(path: Path) -> dict[str, int]:
    """Read one token a line; its id is the number of the line, from 0.

    A token that stands on two lines has the later id, as in transformers.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{str(path.parent)!r} has neither {TOKENIZER_NAME} nor {VOCAB_NAME}: "
            "no tokenizer of a BERT model is there"
        )
    tokens = [line.rstrip(_SPACES) for line in _read_lines(path)]
    vocab = {token: number for number, token in enumerate(tokens)}
    if len(vocab) < len(tokens):
        _tell_twice(path, [token for token, count in Counter(tokens).items() if count > 1])
    return vocab


_SPACES = "".join(chr(code) for code in range(0x3001) if chr(code) in SPACES)


def _read_lines(path: Path) -> list[str]:
    require_file(path)
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"{str(path)!r} is larger than {MAX_JSON_BYTES} bytes: no vocabulary")
    found = describe(path)
    if found:
        raise ValueError(f"{str(path)!r} is not a vocabulary: it looks like {found}")
    return lines_of(path.read_bytes(), repr(str(path)))


def _tell_twice(path: Path, tokens: list[str]) -> None:
    special = [token for token in tokens if token.startswith("[") and token.endswith("]")]
    if special:
        raise ValueError(f"{str(path)!r} has the special token {special[0]!r} on several lines")
    warnings.warn(
        f"{str(path)!r} has {len(tokens)} token(s) on several lines, {tokens[0]!r} for one; "
        "the last line counts",
        stacklevel=5,
    )


def _read_added_tokens(folder: Path, config: Mapping[str, Any]) -> dict[int, AddedToken]:
    """Return the added tokens of a folder without tokenizer.json, as two generations wrote them."""
    decoder = config.get("added_tokens_decoder")
    if decoder is not None:
        try:
            return {int(number): read_added_token(entry) for number, entry in decoder.items()}
        except (AttributeError, TypeError, ValueError) as error:
            where = str(folder / CONFIG_NAME)
            raise ValueError(f"{where!r}: added_tokens_decoder cannot be read: {error}") from None
    path = folder / "added_tokens.json"
    ids = read_json(path) if path.exists() else {}
    if not all(type(number) is int for number in ids.values()):
        raise ValueError(f"{str(path)!r} has an id that is no whole number")
    special = {*_pick(config, TOKEN_NAMES).values(), *_extra_special_tokens(config)}
    return {number: AddedToken(token, special=token in special) for token, number in ids.items()}


def _special_tokens(config: Mapping[str, Any], vocab: Mapping[str, int]) -> dict[int, AddedToken]:
    """Return the special tokens that are written as objects, for the sake of their options."""
    entries = [config[name] for name in TOKEN_NAMES if isinstance(config.get(name), dict)]
    return {
        vocab[entry["content"]]: read_added_token({**entry, "special": True})
        for entry in entries
        if entry.get("content") in vocab
    }


def _extra_special_tokens(config: Mapping[str, Any]) -> list[str]:
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    return [token for token in extra if isinstance(token, str)] if isinstance(extra, list) else []


def _infer_lower_case(folder: Path, vocab: Mapping[str, int]) -> bool:
    """Return False if the vocabulary has capitals, apart from names such as [CLS]; and say it."""
    cased = next((token for token in vocab if _has_capital(token)), None)
    lowers = cased is None
    why = (
        "has no token with a capital letter" if lowers else f"has {cased!r}, with a capital letter"
    )
    warnings.warn(
        f"the files in {str(folder)!r} do not say whether texts are lower-cased; the vocabulary "
        f"{why}, so do_lower_case={lowers}. Pass do_lower_case=True or False to say it",
        stacklevel=4,
    )
    return lowers


def _has_capital(token: str) -> bool:
    if token.startswith("[") and token.endswith("]"):
        return False
    return any(unicodedata.category(character) == "Lu" for character in token)
