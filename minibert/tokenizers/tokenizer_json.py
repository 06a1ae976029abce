"""tokenizer.json, the file of the tokenizers library, in the form BERT's have.

Everything in it that changes tokens is used or refused. Padding and truncation are left aside: they
are what the last user asked for, and a call asks for its own.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.encoding import Slot, Template
from minibert.tokenizers.normalize import Normalizer

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def read_tokenizer_json(file: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of BertTokenizer; ValueError if another kind of tokenizer is in it."""
    keywords = _read_model(_object(file, "model"))
    keywords["added_tokens"] = read_added_tokens(file.get("added_tokens") or [])
    keywords |= _read_normalizer(file.get("normalizer"))
    _require_type(file, "pre_tokenizer", "BertPreTokenizer")
    keywords["template"] = _read_template(file.get("post_processor"))
    if file.get("decoder") is not None:
        decoder = _require_type(file, "decoder", "WordPiece")
        keywords["decoder_cleanup"] = _typed(decoder, "cleanup", bool, True)
    return keywords


def _object(file: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = file.get(name)
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {value!r:.60}; needed: an object")
    return value


def _require_type(file: Mapping[str, Any], name: str, kind: str) -> dict[str, Any]:
    value = file.get(name)
    found = value.get("type") if isinstance(value, dict) else value
    if not isinstance(value, dict) or found != kind:
        raise ValueError(f"the {name} is {found!r:.60}; a BERT tokenizer has {kind!r}")
    return value


def _typed(values: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    value = values.get(name, default)
    if type(value) is not kind:
        raise ValueError(f"{name} is {value!r:.60}; needed: {kind.__name__}")
    return value


def _read_model(model: dict[str, Any]) -> dict[str, Any]:
    vocab = model.get("vocab")
    is_old_file = "type" not in model and "max_input_chars_per_word" in model
    if model.get("type") != "WordPiece" and not is_old_file:
        raise ValueError(
            f"the model is {model.get('type')!r:.60}, not 'WordPiece': "
            "this is not the tokenizer of a BERT model"
        )
    if not isinstance(vocab, dict):
        raise ValueError(f"the vocab is a {type(vocab).__name__}; needed: an object, token to id")
    return {
        "vocab": vocab,
        "unk_token": _typed(model, "unk_token", str, "[UNK]"),
        "prefix": _typed(model, "continuing_subword_prefix", str, "##"),
        "max_input_chars_per_word": _typed(model, "max_input_chars_per_word", int, 100),
    }


def read_added_tokens(entries: Any) -> dict[int, AddedToken]:
    """Return the tokens of a list of objects, by id."""
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ValueError("added_tokens is not a list of objects")
    return {_typed(entry, "id", int, None): read_added_token(entry) for entry in entries}


def read_added_token(entry: Mapping[str, Any]) -> AddedToken:
    """Return the token of one object."""
    flags = {name: _typed(entry, name, bool, False) for name in _FLAGS if name in entry}
    return AddedToken(_typed(entry, "content", str, None), **flags)


def _read_normalizer(normalizer: Any) -> dict[str, Any]:
    if normalizer is None:  # nothing is normalised
        return dict.fromkeys(
            ("clean_text", "tokenize_chinese_chars", "strip_accents", "do_lower_case"), False
        )
    _require_type({"normalizer": normalizer}, "normalizer", "BertNormalizer")
    strips = normalizer.get("strip_accents")
    return {
        "clean_text": _typed(normalizer, "clean_text", bool, True),
        "tokenize_chinese_chars": _typed(normalizer, "handle_chinese_chars", bool, True),
        "strip_accents": strips if strips is None else _typed(normalizer, "strip_accents", bool, 0),
        "do_lower_case": _typed(normalizer, "lowercase", bool, True),
    }


def _read_template(processor: Any) -> Template | None:
    """Return where special tokens stand; None for BERT's usual places."""
    kind = processor.get("type") if isinstance(processor, dict) else processor
    if kind is None:
        return Template((Slot(0, 0),), (Slot(0, 0), Slot(1, 1)))
    if kind == "BertProcessing":
        return None
    if kind != "TemplateProcessing":
        raise ValueError(
            f"the post_processor is {kind!r:.60}; "
            "allowed: 'TemplateProcessing', 'BertProcessing', null"
        )
    try:
        single, pair = (
            tuple(_read_slot(part, processor["special_tokens"]) for part in processor[name])
            for name in ("single", "pair")
        )
    except (KeyError, TypeError, ValueError):
        raise ValueError("the template of the post_processor cannot be read") from None
    return Template(single, pair)


def _read_slot(part: dict[str, Any], special: dict[str, Any]) -> Slot:
    ((kind, values),) = part.items()
    if kind == "Sequence":
        return Slot({"A": 0, "B": 1}[values["id"]], int(values["type_id"]))
    tokens = special[values["id"]]
    return Slot(None, int(values["type_id"]), tuple(tokens["ids"]), tuple(tokens["tokens"]))


def write_tokenizer_json(
    model: dict[str, Any],
    normalizer: Normalizer,
    added: Mapping[int, AddedToken],
    template: Template,
    cleanup: bool,
) -> dict[str, Any]:
    """Return what tokenizer.json holds."""
    prefix = model["continuing_subword_prefix"]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, **asdict(added[number])} for number in sorted(added)],
        "normalizer": {"type": "BertNormalizer", **asdict(normalizer)},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": _write_template(template),
        "decoder": {"type": "WordPiece", "prefix": prefix, "cleanup": cleanup},
        "model": {"type": "WordPiece", **model},
    }


def _write_template(template: Template) -> dict[str, Any]:
    specials = [slot for slot in (*template.single, *template.pair) if slot.text is None]
    return {
        "type": "TemplateProcessing",
        "single": [_write_slot(slot) for slot in template.single],
        "pair": [_write_slot(slot) for slot in template.pair],
        "special_tokens": {
            slot.tokens[0]: {
                "id": slot.tokens[0],
                "ids": list(slot.ids),
                "tokens": list(slot.tokens),
            }
            for slot in specials
        },
    }


def _write_slot(slot: Slot) -> dict[str, Any]:
    if slot.text is None:
        return {"SpecialToken": {"id": slot.tokens[0], "type_id": slot.type_id}}
    return {"Sequence": {"id": "AB"[slot.text], "type_id": slot.type_id}}
