"""The settings of a tokenizer, checked: what does not fit is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, ClassVar, TypeVar

from minibert.checkpoint.limits import MAX_WORD_CHARACTERS
from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.encoding import Side, Template
from minibert.tokenizers.fields import typed
from minibert.tokenizers.options import NO_LIMIT, require_choice, require_known

TOKEN_NAMES = (
    *("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"),
)
EXTRA_NAMES = ("extra_special_tokens", "additional_special_tokens")  # special, without a role
INPUT_NAMES = ("input_ids", "token_type_ids", "attention_mask")
S = TypeVar("S", bound="Settings")


@dataclass(kw_only=True)
class Settings:
    """What any tokenizer has beside its vocabulary, by transformers' names.

    ValueError for a value that is not allowed.
    """

    owner: ClassVar[str]
    #: Names of settings that are one of a few values -> these.
    choices: ClassVar[dict[str, tuple[Any, ...]]] = {
        "clean_up_tokenization_spaces": (True, False),
        **dict.fromkeys(("padding_side", "truncation_side"), ("right", "left")),
    }
    bos_token: str | None = None
    eos_token: str | None = None
    unk_token: str | None = None
    sep_token: str | None = None
    pad_token: str | None = None
    cls_token: str | None = None
    mask_token: str | None = None
    added_tokens: Mapping[int, AddedToken] = field(default_factory=dict)
    template: Template | None = None  # where special tokens stand; None: as the class has it
    model_max_length: int = NO_LIMIT  # in tokens; may be given as None, or as the files' 1e30
    padding_side: Side = "right"
    truncation_side: Side = "right"
    clean_up_tokenization_spaces: bool = False  # no spaces before punctuation when decoding
    model_input_names: Sequence[str] = INPUT_NAMES  # the columns that a call returns

    @classmethod
    def of(cls: type[S], **values: Any) -> S:
        """Return the settings; TypeError for a name that none of them has."""
        require_known(cls, values, f"{cls.owner} has no setting")
        return cls(**values)

    def __post_init__(self) -> None:
        for name, choices in self.choices.items():
            require_choice(name, getattr(self, name), choices)
        for name in TOKEN_NAMES:
            typed(vars(self), name, None, str, NoneType)
        length: Any = self.model_max_length
        length = NO_LIMIT if length is None else length
        if isinstance(length, bool) or not isinstance(length, int | float) or not length >= 1:
            needed = "a number from 1 on, or None"
            raise ValueError(f"model_max_length is {length!r:.60}; needed: {needed}")
        self.model_max_length = NO_LIMIT if length > 1e20 else int(length)


@dataclass(kw_only=True)
class BertSettings(Settings):
    """The settings of BERT's tokenizer."""

    owner = "BertTokenizer"
    choices = Settings.choices | {
        **dict.fromkeys(("do_lower_case", "tokenize_chinese_chars"), (True, False)),
        **dict.fromkeys(("clean_text", "decoder_cleanup"), (True, False)),
        "strip_accents": (True, False, None),
    }
    do_lower_case: bool = True
    unk_token: str = "[UNK]"
    sep_token: str | None = "[SEP]"
    pad_token: str | None = "[PAD]"
    cls_token: str | None = "[CLS]"
    mask_token: str | None = "[MASK]"
    tokenize_chinese_chars: bool = True  # ideographs are words of their own
    strip_accents: bool | None = None  # None: as do_lower_case
    clean_text: bool = True  # no control characters, one kind of space
    prefix: str = "##"  # before a piece that continues a word
    max_input_chars_per_word: int = 100  # a longer word is unknown
    decoder_cleanup: bool = True  # no spaces before punctuation, token by token

    def __post_init__(self) -> None:
        super().__post_init__()
        typed(vars(self), "unk_token", None, str)
        typed(vars(self), "prefix", None, str)
        typed(vars(self), "max_input_chars_per_word", None, int)
        if (longest := self.max_input_chars_per_word) > MAX_WORD_CHARACTERS:
            found = f"max_input_chars_per_word is {longest:.3g}"
            raise ValueError(f"{found}; allowed: up to {MAX_WORD_CHARACTERS}")


@dataclass(kw_only=True)
class ByteLevelSettings(Settings):
    """The settings of the tokenizers that join bytes; without the tokens of any of them."""

    owner = "a byte-level tokenizer"
    choices = Settings.choices | {
        **dict.fromkeys(("add_prefix_space", "trim_offsets", "ignore_merges"), (True, False)),
        "keeps_first_space": (True, False, None),
        "errors": ("replace", "ignore", "strict"),
    }
    model_input_names: Sequence[str] = ("input_ids", "attention_mask")
    add_prefix_space: bool = False  # before a text, and what follows an added token
    trim_offsets: bool = False  # the place of a token is without its spaces
    # but with a space that stands first; None: if one is added there
    keeps_first_space: bool | None = None
    merges: Sequence[tuple[str, str]] = ()  # pairs of tokens to join, the first before all others
    ignore_merges: bool = False  # a word that is a token stays whole
    errors: str = "replace"  # what decoding does with bytes that are no UTF-8


@dataclass(kw_only=True)
class GPT2Settings(ByteLevelSettings):
    """The settings of GPT-2's tokenizer."""

    owner = "GPT2Tokenizer"
    bos_token: str | None = "<|endoftext|>"
    eos_token: str | None = "<|endoftext|>"
    unk_token: str | None = "<|endoftext|>"


@dataclass(kw_only=True)
class RobertaSettings(ByteLevelSettings):
    """The settings of RoBERTa's and BART's tokenizer."""

    owner = "RobertaTokenizer"
    bos_token: str | None = "<s>"
    eos_token: str | None = "</s>"
    unk_token: str | None = "<unk>"
    sep_token: str | None = "</s>"
    pad_token: str | None = "<pad>"
    cls_token: str | None = "<s>"
    mask_token: str | None = "<mask>"
    trim_offsets: bool = True
