"""tokenizer.json, the file of the tokenizers library.

Everything in it that changes tokens is used or refused. Of padding and truncation the sides count;
all else is what the last user asked for, and a call asks for its own.
"""

from collections.abc import Mapping
from dataclasses import asdict
from types import NoneType
from typing import Any

from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.encoding import Template
from minibert.tokenizers.fields import typed, typed_list
from minibert.tokenizers.forms import Form
from minibert.tokenizers.settings import Settings
from minibert.tokenizers.templates import write_template

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")


def from_json(file: Mapping[str, Any], form: Form) -> dict[str, Any]:
    """Return the keywords of a tokenizer; ValueError if one of another form is in it."""
    model = typed(file, "model", None, dict)
    if "max_input_chars_per_word" in model:  # old files do not name the type
        model = {"type": "WordPiece", **model}
    keywords: dict[str, Any] = {}
    for name in form.types:
        keywords |= _read_part(name, model if name == "model" else file.get(name), form)
    added = typed_list(file, "added_tokens", dict)
    keywords["vocab"] = typed(model, "vocab", None, dict)
    keywords["added_tokens"] = {typed(e, "id", None, int): read_added_token(e) for e in added}
    return keywords | form.read_json(file, keywords) | _read_sides(file)


def to_json(
    vocab: Mapping[str, int], settings: Settings, template: Template, form: Form
) -> dict[str, Any]:
    """Return what tokenizer.json holds, from which from_json makes the same settings."""
    parts = {
        name: {"type": kind} | {k: getattr(settings, row[0]) for k, row in fields.items()}
        for (name, kind), fields in zip(form.types.items(), form.fields.values(), strict=True)
    }
    ids = dict(sorted(vocab.items(), key=lambda x: x[1]))
    file = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, **asdict(t)} for i, t in sorted(settings.added_tokens.items())],
        **parts,
        "post_processor": write_template(template),
        "model": {**parts["model"], "vocab": ids},
    }
    return form.write_json(file, settings)


def _read_part(name: str, part: Any, form: Form) -> dict[str, Any]:
    fields = form.fields[name]
    if part is None and name == "normalizer":  # nothing is normalised
        return {setting: False for setting, *_ in fields.values()}
    if part is None and name == "decoder":
        return {setting: default for setting, default, *_ in fields.values()}
    found = part.get("type") if isinstance(part, dict) else part
    if not isinstance(part, dict) or found != form.types[name]:
        raise ValueError(f"the {name} is {found!r:.60}; {form.title} has {form.types[name]!r}")
    return {row[0]: typed(part, field, *row[1:]) for field, row in fields.items()}


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
