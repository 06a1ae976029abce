"""What the files of a kind of tokenizer hold: the base of the forms."""

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar

from minibert.tokenizers.encoding import Template
from minibert.tokenizers.settings import TOKEN_NAMES, Settings


class Form:
    """The fields of a kind's files, and how its own parts are read and written."""

    name: ClassVar[str]  # "BERT"
    title: ClassVar[str]  # "a BERT tokenizer"
    settings: ClassVar[type[Settings]]
    own_class: ClassVar[str]  # in transformers; the one meant where the files name none
    classes: ClassVar[frozenset[str]]  # those of transformers that split a text like that
    #: What these take from tokenizer_config.json, or from their defaults, and not from
    #: tokenizer.json.
    settled: ClassVar[tuple[str, ...]]
    #: tokenizer.json: the type of each part, and of its fields: setting, default, allowed types.
    types: ClassVar[Mapping[str, str]]
    fields: ClassVar[Mapping[str, Mapping[str, tuple[Any, ...]]]]
    #: tokenizer_config.json: what becomes a setting, and the types that it may have.
    config_fields: ClassVar[dict[str, tuple[type, ...]]] = {
        **dict.fromkeys(TOKEN_NAMES, (str, dict, NoneType)),
        **dict.fromkeys(("model_max_length", "max_len"), (int, float, NoneType)),
        **dict.fromkeys(("padding_side", "truncation_side"), (str, NoneType)),
        "clean_up_tokenization_spaces": (bool, NoneType),
        "model_input_names": (list, NoneType),
    }
    #: The settings that null is a value of; elsewhere, it is what is not said.
    null_is_said: ClassVar[tuple[str, ...]] = TOKEN_NAMES
    #: What would change the tokens if it were anything else.
    allowed: ClassVar[dict[str, tuple[Any, ...]]] = {"split_special_tokens": (None, False)}

    def template(
        self, cls: str | None, cls_id: int | None, sep: str | None, sep_id: int | None
    ) -> Template:
        """Return where the special tokens stand if the files do not say it."""
        raise NotImplementedError

    def read_json(self, file: Mapping[str, Any], keywords: dict[str, Any]) -> dict[str, Any]:
        """Return the keywords of the class that tokenizer.json has beside its fields.

        keywords: what these say. ValueError for what is not allowed.
        """
        raise NotImplementedError

    def write_json(self, file: dict[str, Any], settings: Settings) -> dict[str, Any]:
        """Return tokenizer.json, given what the fields say, with what they do not."""
        raise NotImplementedError

    def read_vocabulary(self, folder: Path, silent: bool) -> dict[str, Any]:
        """Return the keywords that the files of a vocabulary hold, without tokenizer.json.

        silent: whether nothing else says the settings that a vocabulary may tell.
        """
        raise NotImplementedError

    def write_vocabulary(self, vocab: Mapping[str, int], settings: Settings) -> dict[str, str]:
        """Return the files that hold the vocabulary alone, by name; "" for one that cannot be."""
        raise NotImplementedError

    def shown(self, settings: Mapping[str, Any]) -> dict[str, str]:
        """Return settings as a person compares them: what is left open is as it comes out."""
        ends = settings["cls_token"], 0, settings["sep_token"], 0
        template = settings["template"] or self.template(*ends)
        slots = [*template.single, *template.pair]
        names = [
            "AB"[s.text] if s.text is not None else "+".join(map(str, s.tokens)) for s in slots
        ]
        pairs = zip(names, slots, strict=True)
        shown = {**settings, "template": " ".join(f"{name}:{slot.type_id}" for name, slot in pairs)}
        return {name: f"{shown[name]!r:.120}" for name in self.settled}
