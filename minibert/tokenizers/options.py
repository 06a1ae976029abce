"""The settings of a tokenizer and the options of a call, checked: what does not fit is refused."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import NoneType
from typing import Any, NamedTuple

from minibert.runtime.warn import warn
from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.encoding import Side, Template
from minibert.tokenizers.fields import typed

NO_LIMIT = int(1e30)  # transformers' model_max_length where the files name none
TOKEN_NAMES = (
    *("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"),
)
INPUT_NAMES = ("input_ids", "token_type_ids", "attention_mask")

# what a setting may be
_BOOLEANS = ("do_lower_case", "tokenize_chinese_chars", "clean_text", "decoder_cleanup")
_CHOICES: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys((*_BOOLEANS, "clean_up_tokenization_spaces"), (True, False)),
    **dict.fromkeys(("padding_side", "truncation_side"), ("right", "left")),
    "strip_accents": (True, False, None),
}
# what an option of a call may be, and what it means
_PADDING = {False: None, True: "longest", "do_not_pad": None}
_PADDING |= {name: name for name in ("longest", "max_length")}
_TRUNCATION = {False: None, True: "longest_first", "do_not_truncate": None, None: None}
_TRUNCATION |= {name: name for name in ("longest_first", "only_first", "only_second")}


@dataclass
class Settings:
    """All of a tokenizer but its vocabulary, by transformers' names; ValueError if not allowed."""

    do_lower_case: bool
    bos_token: str | None = None
    eos_token: str | None = None
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
    model_max_length: int = NO_LIMIT  # in tokens; may be given as None, or as the files' 1e30
    padding_side: Side = "right"
    truncation_side: Side = "right"
    decoder_cleanup: bool = True  # no spaces before punctuation, token by token
    clean_up_tokenization_spaces: bool = False  # the same once more, in the whole text
    model_input_names: Sequence[str] = INPUT_NAMES  # the columns that a call returns

    @classmethod
    def of(cls, **values: Any) -> "Settings":
        """Return the settings; TypeError for a name that none of them has."""
        known = [setting.name for setting in fields(cls)]
        for name in values:
            if name not in known:
                raise TypeError(f"BertTokenizer has no setting {name!r}; it has {', '.join(known)}")
        return cls(**values)

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            _require_choice(name, getattr(self, name), choices)
        for name in TOKEN_NAMES:
            typed(vars(self), name, None, str, *(() if name == "unk_token" else (NoneType,)))
        typed(vars(self), "prefix", None, str)
        typed(vars(self), "max_input_chars_per_word", None, int)
        length: Any = self.model_max_length
        length = NO_LIMIT if length is None else length
        if isinstance(length, bool) or not isinstance(length, int | float) or not length > 0:
            needed = "a number above 0, or None"
            raise ValueError(f"model_max_length is {length!r:.60}; needed: {needed}")
        self.model_max_length = NO_LIMIT if length > 1e20 else int(length)


class Lengths(NamedTuple):
    """What a call does about lengths. max_length is set where padding or truncation needs it."""

    padding: str | None  # longest, max_length
    truncation: str | None  # longest_first, only_first, only_second
    max_length: int | None
    stride: int
    asked: bool  # whether max_length is the call's own


def check_lengths(
    padding: Any, truncation: Any, max_length: Any, stride: Any, model_max_length: int
) -> Lengths:
    """Return what padding, truncation and max_length mean together, as in transformers."""
    asked = max_length is not None
    for name, value in (("max_length", max_length if asked else 0), ("stride", stride)):
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} is {value!r}; needed: a whole number")
        if value < 0:
            raise ValueError(f"{name} is {value}; allowed: 0 and above")
    _require_choice("padding", padding, _PADDING)
    _require_choice("truncation", truncation, _TRUNCATION)
    if asked and padding is False and truncation is None:
        truncation = True  # a max_length alone means this
    pads, cuts = _PADDING[padding], _TRUNCATION[truncation]
    if asked and padding is True and cuts is None:
        hint = 'pass truncation=True too, or padding="max_length"'
        warn(f"max_length has no effect with padding=True and no truncation; {hint}")
    if not asked and (pads == "max_length" or cuts):
        if model_max_length >= NO_LIMIT:
            option = f"truncation={truncation!r}" if cuts else f"padding={padding!r}"
            raise ValueError(
                f"{option} needs a max_length: the files of this tokenizer name no "
                "model_max_length; pass, for instance, max_length=512"
            )
        max_length = model_max_length
    return Lengths(pads, cuts, max_length, stride, asked)


def _require_choice(name: str, value: Any, choices: Iterable[Any]) -> None:
    # 1 == True in a dictionary, so the type is asked for too
    if not isinstance(value, bool | str | None) or value not in choices:
        raise ValueError(f"{name} is {value!r:.60}; allowed: {', '.join(map(repr, choices))}")


def check_tensors(return_tensors: Any) -> bool:
    """Return whether arrays are asked for; ValueError for the arrays of another library."""
    if return_tensors not in (None, "np"):
        raise ValueError(
            f'return_tensors is {return_tensors!r}; allowed: None, "np". This package makes NumPy '
            'arrays: pass return_tensors="np" (torch.from_numpy turns them into tensors)'
        )
    return return_tensors is not None


def check_texts(text: Any, text_pair: Any) -> tuple[list[tuple[str, ...]], bool]:
    """Return a list of texts (t,) and pairs (t, pair), and whether it was given as a list."""
    if not isinstance(text, list | tuple):
        return [_entry("", text if text_pair is None else (text, text_pair))], False
    if not text:
        raise ValueError("text is an empty list: there is nothing to tokenize")
    entries: Iterable[Any] = text
    if text_pair is not None:
        if not isinstance(text_pair, list | tuple):
            found = _short(text_pair)
            raise TypeError(f"text is a list, and text_pair is {found}; needed: a list as long")
        if len(text) != len(text_pair):
            counts = f"text has {len(text)} entries, and text_pair has {len(text_pair)}"
            raise ValueError(f"{counts}; each text needs its pair")
        entries = zip(text, text_pair, strict=True)
    return [_entry(f"[{i}]", entry) for i, entry in enumerate(entries)], True


def _entry(place: str, given: Any) -> tuple[str, ...]:
    entry = given if isinstance(given, list | tuple) else (given,)
    if entry is given and len(entry) != 2:
        found = f"text{place} is a list of {len(entry)} entries"
        raise ValueError(f"{found}; allowed: a text, or a pair of two texts")
    for name, value in zip(("text", "text_pair"), entry, strict=False):
        if not isinstance(value, str):
            hint = "; write .decode('utf-8') after it" if isinstance(value, bytes) else ""
            needed = f"text (str), or a list of texts{hint}"
            raise TypeError(f"{name}{place} is {_short(value)}; needed: {needed}")
    return tuple(entry)


def _short(value: Any) -> str:
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"
