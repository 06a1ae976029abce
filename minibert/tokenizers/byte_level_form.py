"""What the files of GPT-2's, RoBERTa's and BART's tokenizers hold; vocab.json and merges.txt."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, ClassVar

from minibert.checkpoint.files import lines_of, read_json, read_limited
from minibert.checkpoint.limits import MAX_TOKENIZER_BYTES
from minibert.tokenizers.byte_level import CHARACTERS
from minibert.tokenizers.encoding import Template
from minibert.tokenizers.fields import naming, typed, typed_list
from minibert.tokenizers.forms import Form
from minibert.tokenizers.settings import (
    ByteLevelSettings,
    GPT2Settings,
    RobertaSettings,
    Settings,
)
from minibert.tokenizers.templates import read_template

VOCAB_NAME, MERGES_NAME = "vocab.json", "merges.txt"
_VERSION = "#version"
# of the model, what would change the tokens if it were anything else
_MODEL = {
    "dropout": (None, 0),
    "continuing_subword_prefix": (None, ""),
    "end_of_word_suffix": (None, ""),
}
# these count only for bytes that have no token
_UNKNOWN = {"unk_token": (None,), "byte_fallback": (None, False), "fuse_unk": (None, False)}


class ByteLevelForm(Form):
    """Byte pairs after GPT-2's splitting; the bytes as printable characters."""

    settings: ClassVar[type[ByteLevelSettings]]
    settled: ClassVar[tuple[str, ...]] = ("add_prefix_space", "ignore_merges")
    types = {  # noqa: RUF012
        "model": "BPE",
        "pre_tokenizer": "ByteLevel",
        "decoder": "ByteLevel",
    }
    fields = {  # noqa: RUF012
        "model": {"ignore_merges": ("ignore_merges", False, bool)},
        "pre_tokenizer": {"add_prefix_space": ("add_prefix_space", True, bool)},
        "decoder": {},
    }
    config_fields = Form.config_fields | {
        "add_prefix_space": (bool, NoneType),
        "errors": (str, NoneType),
    }
    allowed = Form.allowed | {
        "add_bos_token": (None, False),
        "add_eos_token": (None, False),
    }

    def read_json(self, file: Mapping[str, Any], keywords: dict[str, Any]) -> dict[str, Any]:
        """Return the merges, the template, and what is said of offsets."""
        model = file["model"]
        if file.get("normalizer") is not None:
            kind = typed(file["normalizer"], "type", None, str)
            raise ValueError(f"the normalizer is {kind!r:.60}; {self.title} has none")
        require(model, "the model", _MODEL)
        if not {*CHARACTERS.values()} <= keywords["vocab"].keys():
            require(model, "the model, whose vocabulary has no token for some bytes", _UNKNOWN)
        require(file["pre_tokenizer"], "the pre_tokenizer", {"use_regex": (None, True)})
        merges = [_pair(entry) for entry in typed_list(model, "merges", str, list)]
        found = {"merges": merges, **_read_processor(file.get("post_processor"))}
        if found["keeps_first_space"] == keywords["add_prefix_space"]:
            found["keeps_first_space"] = None  # as it would be
        return found

    def write_json(self, file: dict[str, Any], settings: Settings) -> dict[str, Any]:
        """Return tokenizer.json with the merges and what is said of offsets."""
        said: Any = settings
        prefix, keeps = said.add_prefix_space, said.keeps_first_space
        level = {"type": "ByteLevel", "add_prefix_space": prefix}
        level |= {"trim_offsets": True, "use_regex": True}
        if said.trim_offsets:
            trims = level | {"add_prefix_space": prefix if keeps is None else keeps}
            steps = [trims, file["post_processor"]]
            file["post_processor"] = {"type": "Sequence", "processors": steps}
        model = file["model"] | dict.fromkeys(("dropout", "unk_token"))
        model |= {"continuing_subword_prefix": "", "end_of_word_suffix": ""}
        model |= {"fuse_unk": False, "byte_fallback": False}
        model["merges"] = [list(pair) for pair in said.merges]
        return file | {"normalizer": None, "pre_tokenizer": level, "decoder": level, "model": model}

    def read_vocabulary(self, folder: Path, silent: bool) -> dict[str, Any]:
        """Return what vocab.json and merges.txt hold."""
        for name in (VOCAB_NAME, MERGES_NAME):
            if not (folder / name).exists():
                raise FileNotFoundError(
                    f"{str(folder)!r} has neither tokenizer.json nor {name}: {self.title} needs "
                    f"the first, or {VOCAB_NAME} and {MERGES_NAME}"
                )
        vocab = read_json(folder / VOCAB_NAME, MAX_TOKENIZER_BYTES)
        return {"vocab": vocab, "merges": read_merges(folder / MERGES_NAME)}

    def write_vocabulary(self, vocab: Mapping[str, int], settings: Settings) -> dict[str, str]:
        """Return vocab.json and merges.txt, which is "" if its lines cannot hold the merges."""
        said: Any = settings
        tokens = json.dumps(dict(sorted(vocab.items(), key=lambda x: x[1])), ensure_ascii=False)
        lines = [" ".join(pair) for pair in said.merges]
        fits = all(line.count(" ") == 1 and len(line.splitlines()) == 1 for line in lines)
        merges = "".join(f"{line}\n" for line in (f"{_VERSION}: 0.2", *lines)) if fits else ""
        return {VOCAB_NAME: tokens + "\n", MERGES_NAME: merges}


class GPT2Form(ByteLevelForm):
    """GPT-2's: no tokens around a text."""

    name, title, own_class = "GPT-2", "a GPT-2 tokenizer", "GPT2Tokenizer"
    settings = GPT2Settings
    classes = frozenset({"GPT2Tokenizer"})

    def template(
        self, cls: str | None, cls_id: int | None, sep: str | None, sep_id: int | None
    ) -> Template:
        """Return the template without special tokens."""
        return Template.plain()


class RobertaForm(ByteLevelForm):
    """RoBERTa's: <s> and </s> around a text, and tokens without their spaces."""

    name, title, own_class = "RoBERTa", "a RoBERTa tokenizer", "RobertaTokenizer"
    settings = RobertaSettings
    classes = frozenset(f"{name}Tokenizer" for name in ("Roberta", "Bart", "Longformer", "LED"))
    settled = (*ByteLevelForm.settled, "trim_offsets", "keeps_first_space", "template")
    config_fields = ByteLevelForm.config_fields | {"trim_offsets": (bool, NoneType)}

    def template(
        self, cls: str | None, cls_id: int | None, sep: str | None, sep_id: int | None
    ) -> Template:
        """Return RoBERTa's template."""
        if cls is None or sep is None or cls_id is None or sep_id is None:
            raise ValueError("a cls_token and a sep_token are needed to put around texts")
        return Template.of_roberta(cls, cls_id, sep, sep_id)


class BartForm(RobertaForm):
    """BART's, which is RoBERTa's."""

    name, title, own_class = "BART", "a BART tokenizer", "BartTokenizer"


def read_merges(path: Path) -> list[tuple[str, str]]:
    """Read a pair of tokens a line; the first line may tell a version."""
    content = read_limited(path, MAX_TOKENIZER_BYTES, b"\n")
    lines = [line.removesuffix("\r") for line in lines_of(content, repr(str(path)))]
    with naming(path):
        return [_pair(line) for line in lines if line and not line.startswith(_VERSION)]


def _pair(entry: Any) -> tuple[str, str]:
    """Return the two tokens of a merge, "a b" or a list of two."""
    parts = entry.split(" ") if isinstance(entry, str) else entry
    if len(parts) != 2 or not all(isinstance(part, str) for part in parts):
        raise ValueError(f"a merge is {entry!r:.60}; needed: two tokens and a space between them")
    return parts[0], parts[1]


def require(part: Mapping[str, Any], title: str, allowed: Mapping[str, tuple[Any, ...]]) -> None:
    """Raise ValueError for a field that is not one of what is allowed."""
    for name, choices in allowed.items():
        if part.get(name) not in choices:
            needed = " or ".join(map(json.dumps, choices))
            raise ValueError(f"{title}, has {name}={part[name]!r:.60}; needed: {needed}")


def _read_processor(part: Any) -> dict[str, Any]:
    """Return the template of a post_processor, and what it does to offsets."""
    if typed({"": part}, "", None, dict, NoneType) and part.get("type") == "Sequence":
        steps = typed_list(part, "processors", dict)
        kinds = [step.get("type") for step in steps]
        if kinds not in (["ByteLevel"], ["ByteLevel", "TemplateProcessing"]):
            needed = "a ByteLevel, and a TemplateProcessing after it"
            found = f"the post_processor is a Sequence of {kinds!r:.120}"
            raise ValueError(f"{found}; needed: {needed}")
        template = read_template(steps[1]) if len(steps) > 1 else Template.plain()
        return _read_processor(steps[0]) | {"template": template}
    kind = part and part.get("type")
    if kind not in ("ByteLevel", "RobertaProcessing"):
        if kind == "BertProcessing":
            raise ValueError("the post_processor is 'BertProcessing', which is BERT's")
        return {"trim_offsets": False, "keeps_first_space": None, "template": read_template(part)}
    keywords = {
        "trim_offsets": typed(part, "trim_offsets", True, bool),
        "keeps_first_space": typed(part, "add_prefix_space", True, bool),
    }
    if kind == "ByteLevel":
        return {**keywords, "template": Template.plain()}
    (first, first_id), (last, last_id) = (_token(part, name) for name in ("cls", "sep"))
    return {**keywords, "template": Template.of_roberta(first, first_id, last, last_id)}


def _token(part: Mapping[str, Any], name: str) -> tuple[str, int]:
    token = typed_list(part, name, str, int)
    if [type(value) for value in token] != [str, int]:
        raise ValueError(f"{name} of the post_processor is {token!r:.60}; needed: a token, its id")
    return token[0], token[1]
