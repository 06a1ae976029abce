"""The settings of a tokenizer, with the names and defaults of transformers, checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.encoding import Side, Template
from minibert.tokenizers.normalize import Normalizer
from minibert.tokenizers.options import NO_LIMIT

TOKEN_NAMES = ("unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
_FLAGS = (
    *("do_lower_case", "tokenize_chinese_chars", "clean_text", "decoder_cleanup"),
    "clean_up_tokenization_spaces",
)


@dataclass(frozen=True)
class Settings:
    """What a tokenizer can be told besides its vocabulary; ValueError for what is not allowed."""

    do_lower_case: bool
    unk_token: str = "[UNK]"
    sep_token: str | None = "[SEP]"
    pad_token: str | None = "[PAD]"
    cls_token: str | None = "[CLS]"
    mask_token: str | None = "[MASK]"
    tokenize_chinese_chars: bool = True  # ideographs are words of their own
    strip_accents: bool | None = None  # None: as do_lower_case
    clean_text: bool = True  # no control characters, one kind of space
    added_tokens: Mapping[int, AddedToken] = field(default_factory=dict)
    template: Template | None = None  # where special tokens stand; None: as in BERT
    prefix: str = "##"  # before a piece that continues a word
    max_input_chars_per_word: int = 100  # a longer word is unknown
    model_max_length: int | None = None  # in tokens; None: no limit
    padding_side: Side = "right"
    truncation_side: Side = "right"
    decoder_cleanup: bool = True  # no spaces before punctuation, token by token
    clean_up_tokenization_spaces: bool = False  # the same once more, in the whole text

    def __post_init__(self) -> None:
        allowed: dict[str, tuple[Any, ...]] = {
            **dict.fromkeys(_FLAGS, (True, False)),
            **dict.fromkeys(("padding_side", "truncation_side"), ("right", "left")),
            "strip_accents": (True, False, None),
        }
        for name, choices in allowed.items():
            value = getattr(self, name)
            if not isinstance(value, bool | str | None) or value not in choices:
                words = ", ".join(map(repr, choices))
                raise ValueError(f"{name} is {value!r:.60}; allowed: {words}")

    def normalizer(self) -> Normalizer:
        """Return what normalises a text."""
        return Normalizer(
            self.clean_text, self.tokenize_chinese_chars, self.strip_accents, self.do_lower_case
        )

    def special_tokens(self) -> dict[str, str | None]:
        """Return the special tokens, by the names of their roles."""
        return {name: getattr(self, name) for name in TOKEN_NAMES}

    def max_length(self) -> int:
        """Return model_max_length as a whole number; the files write 1e30 for "no limit"."""
        value: Any = self.model_max_length
        if value is None:
            return NO_LIMIT
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise ValueError(
                f"model_max_length is {value!r:.60}; needed: a number above 0, or None"
            )
        return NO_LIMIT if value > 1e20 else int(value)


def check_names(names: Any) -> None:
    """Raise TypeError for names that no setting has."""
    known = [setting.name for setting in fields(Settings)]
    for name in names:
        if name not in known:
            raise TypeError(f"BertTokenizer has no setting {name!r}; it has {', '.join(known)}")
