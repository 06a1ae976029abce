"""tokenizer.json, the file of the tokenizers library, in the form that BERT's have.

Everything in it that changes tokens is used or refused. Padding and truncation are ignored: they
are what the last user asked for, and a call asks for its own.
"""

from collections.abc import Mapping
from dataclasses import asdict
from types import NoneType
from typing import Any

from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.encoding import Slot, Template
from minibert.tokenizers.options import Settings

# the type that each part must have, and for each of its fields: setting, default, allowed types
_TYPES = {"model": "WordPiece", "normalizer": "BertNormalizer"}
_TYPES |= {"pre_tokenizer": "BertPreTokenizer", "decoder": "WordPiece"}
_FIELDS: dict[str, dict[str, tuple[Any, ...]]] = {
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
_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def from_json(file: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keywords of BertTokenizer; ValueError if another kind of tokenizer is in it."""
    model = file.get("model")
    if not isinstance(model, dict):
        raise ValueError(f"model is {model!r:.60}; needed: an object")
    if "max_input_chars_per_word" in model:  # old files do not name the type
        model = {"type": "WordPiece", **model}
    # without a normalizer, nothing is normalised
    keywords: dict[str, Any] = {setting: False for setting, *_ in _FIELDS["normalizer"].values()}
    for name in _TYPES:
        part = model if name == "model" else file.get(name)
        if part is not None or name not in ("normalizer", "decoder"):
            keywords |= _read_part(name, part)
    vocab = model.get("vocab")
    if not isinstance(vocab, dict):
        raise ValueError(f"the vocab is a {type(vocab).__name__}; needed: an object, token to id")
    added = file.get("added_tokens") or []
    if not isinstance(added, list) or not all(isinstance(entry, dict) for entry in added):
        raise ValueError("added_tokens is not a list of objects")
    tokens = {_typed(entry, "id", None, int): read_added_token(entry) for entry in added}
    template = _read_template(file.get("post_processor"))
    return {**keywords, "vocab": vocab, "added_tokens": tokens, "template": template}


def to_json(vocab: Mapping[str, int], settings: Settings, template: Template) -> dict[str, Any]:
    """Return what tokenizer.json holds, from which from_json makes the same settings."""
    parts = {
        name: {"type": kind}
        | {field: getattr(settings, row[0]) for field, row in _FIELDS[name].items()}
        for name, kind in _TYPES.items()
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, **asdict(t)} for i, t in sorted(settings.added_tokens.items())],
        **parts,
        "post_processor": _write_template(template),
        "decoder": {**parts["decoder"], "prefix": settings.prefix},
        "model": {**parts["model"], "vocab": dict(sorted(vocab.items(), key=lambda x: x[1]))},
    }


def _read_part(name: str, part: Any) -> dict[str, Any]:
    found = part.get("type") if isinstance(part, dict) else part
    if not isinstance(part, dict) or found != _TYPES[name]:
        raise ValueError(f"the {name} is {found!r:.60}; a BERT tokenizer has {_TYPES[name]!r}")
    return {row[0]: _typed(part, field, *row[1:]) for field, row in _FIELDS[name].items()}


def _typed(values: Mapping[str, Any], name: str, default: Any, *kinds: type) -> Any:
    value = values.get(name, default)
    if type(value) not in kinds:
        raise ValueError(f"{name} is {value!r:.60}; needed: {kinds[0].__name__}")
    return value


def read_added_token(entry: Mapping[str, Any]) -> AddedToken:
    """Return the token of one object; ValueError if a field is of another type."""
    flags = {name: _typed(entry, name, False, bool) for name in _FLAGS if name in entry}
    return AddedToken(_typed(entry, "content", None, str), **flags)


def _read_template(processor: Any) -> Template | None:
    """Return where special tokens stand; None for BERT's usual places."""
    kind = processor.get("type") if isinstance(processor, dict) else processor
    if kind is None:
        return Template((Slot(0, 0),), (Slot(0, 0), Slot(1, 1)))
    if kind == "BertProcessing":
        return None
    if kind != "TemplateProcessing":
        allowed = "'TemplateProcessing', 'BertProcessing', null"
        raise ValueError(f"the post_processor is {kind!r:.60}; allowed: {allowed}")
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


def _write_template(template: Template) -> dict[str, Any]:
    special: dict[str, Any] = {}
    written: dict[str, list[Any]] = {"single": [], "pair": []}
    for slots, parts in zip(template, written.values(), strict=True):
        for slot in slots:
            name = slot.tokens[0] if slot.text is None else "AB"[slot.text]
            kind = "SpecialToken" if slot.text is None else "Sequence"
            parts.append({kind: {"id": name, "type_id": slot.type_id}})
            if slot.text is None:
                special[name] = {"id": name, "ids": [*slot.ids], "tokens": [*slot.tokens]}
    return {"type": "TemplateProcessing", **written, "special_tokens": special}
