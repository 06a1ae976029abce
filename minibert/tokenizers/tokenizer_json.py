"""tokenizer.json, the file of the tokenizers library, in the form that BERT's have.

Everything in it that changes tokens is used or refused. Of padding and truncation the sides count;
all else is what the last user asked for, and a call asks for its own.
"""

from collections.abc import Mapping
from dataclasses import asdict
from types import NoneType
from typing import Any

from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.encoding import Slot, Template
from minibert.tokenizers.fields import typed, typed_list
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
    model = typed(file, "model", None, dict)
    if "max_input_chars_per_word" in model:  # old files do not name the type
        model = {"type": "WordPiece", **model}
    # without a normalizer, nothing is normalised
    keywords: dict[str, Any] = {setting: False for setting, *_ in _FIELDS["normalizer"].values()}
    keywords["decoder_cleanup"] = True
    for name in _TYPES:
        part = model if name == "model" else file.get(name)
        if part is not None or name not in ("normalizer", "decoder"):
            keywords |= _read_part(name, part)
    prefix = keywords["prefix"]
    other = typed(file.get("decoder") or {}, "prefix", prefix, str)
    if other != prefix:
        found = f"the decoder has the prefix {other!r:.60}, the model {prefix!r:.60}"
        raise ValueError(f"{found}; needed: the same")
    added = typed_list(file, "added_tokens", dict)
    keywords["vocab"] = typed(model, "vocab", None, dict)
    keywords["added_tokens"] = {typed(e, "id", None, int): read_added_token(e) for e in added}
    keywords["template"] = _read_template(file.get("post_processor"))
    return keywords | _read_sides(file)


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
    return {row[0]: typed(part, field, *row[1:]) for field, row in _FIELDS[name].items()}


def _read_sides(file: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of padding and truncation outlives a call, as in transformers."""
    sides = {}
    for name, setting in (("padding", "padding_side"), ("truncation", "truncation_side")):
        part = typed(file, name, None, dict, NoneType) or {}
        if "direction" in part:
            sides[setting] = typed(part, "direction", None, str).lower()
        if "pad_token" in part:
            sides["pad_token"] = typed(part, "pad_token", None, str)
    return sides


def read_added_token(entry: Any) -> AddedToken:
    """Return the token of one object; ValueError if a field is of another type."""
    content = typed(entry, "content", None, str)
    return AddedToken(content, **{n: typed(entry, n, False, bool) for n in _FLAGS if n in entry})


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
        special = typed(processor, "special_tokens", {}, dict)
        single, pair = (
            tuple(_read_slot(part, special) for part in typed_list(processor, name, dict))
            for name in ("single", "pair")
        )
        if [{slot.text for slot in slots} - {None} for slots in (single, pair)] != [{0}, {0, 1}]:
            raise ValueError("needed: A in 'single', A and B in 'pair'")
    except ValueError as error:
        raise ValueError(f"the template of the post_processor cannot be read: {error}") from None
    return Template(single, pair)


def _read_slot(part: Any, special: Any) -> Slot:
    kind = "Sequence" if "Sequence" in part else "SpecialToken"
    place = typed(part, kind, None, dict)
    name, type_id = typed(place, "id", None, str), typed(place, "type_id", None, int)
    if type_id < 0 or (kind == "Sequence" and name not in ("A", "B")):
        raise ValueError(f"a {kind} has the id {name!r:.60} and the type_id {type_id!r:.60}")
    if kind == "Sequence":
        return Slot("AB".index(name), type_id)
    token = typed(special, name, None, dict)
    ids, tokens = typed_list(token, "ids", int), typed_list(token, "tokens", str)
    if not ids or len(ids) != len(tokens):
        raise ValueError(f"{name!r:.60} has {len(ids)} ids and {len(tokens)} tokens")
    return Slot(None, type_id, tuple(ids), tuple(tokens))


def _write_template(template: Template) -> dict[str, Any]:
    special: dict[str, Any] = {}
    written: dict[str, list[Any]] = {"single": [], "pair": []}
    for slots, parts in zip(template, written.values(), strict=True):
        for slot in slots:
            name = " ".join(slot.tokens) if slot.text is None else "AB"[slot.text]
            kind = "SpecialToken" if slot.text is None else "Sequence"
            parts.append({kind: {"id": name, "type_id": slot.type_id}})
            if slot.text is None:
                special[name] = {"id": name, "ids": [*slot.ids], "tokens": [*slot.tokens]}
    return {"type": "TemplateProcessing", **written, "special_tokens": special}
