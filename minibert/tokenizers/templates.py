"""The post_processor of tokenizer.json: where special tokens stand."""

from typing import Any

from minibert.tokenizers.encoding import Slot, Template
from minibert.tokenizers.fields import typed, typed_list


def read_template(processor: Any) -> Template | None:
    """Return where special tokens stand; None for BERT's usual places.

    ValueError for another post_processor than the forms have in common.
    """
    kind = processor.get("type") if isinstance(processor, dict) else processor
    if kind is None:
        return Template.plain()
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


def write_template(template: Template) -> dict[str, Any]:
    """Return a template as tokenizer.json has it."""
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
