"""The options of a call of a tokenizer, checked: what does not fit is refused."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, NamedTuple

from minibert.checkpoint.limits import MAX_TEXT_CHARACTERS
from minibert.runtime.warn import warn
from minibert.tokenizers.encoding import Side

NO_LIMIT = int(1e30)  # transformers' model_max_length where the files name none
Text = str | Sequence[str]  # the second: its words

# what an option of a call may be, and what it means
_PADDING = {False: None, True: "longest", "do_not_pad": None}
_PADDING |= {name: name for name in ("longest", "max_length")}
_TRUNCATION = {False: None, True: "longest_first", "do_not_truncate": None, None: None}
_TRUNCATION |= {name: name for name in ("longest_first", "only_first", "only_second")}


@dataclass
class CallOptions:
    """What a call of a tokenizer may be asked for, by transformers' names."""

    add_special_tokens: bool = True  # those of the template
    padding: bool | str = False  # True or "longest" (row of the call), "max_length"
    truncation: bool | str | None = None  # True or "longest_first", "only_first", "only_second"
    max_length: int | None = None  # in tokens; None: model_max_length
    stride: int = 0  # how many tokens a row of what was cut off repeats
    is_split_into_words: bool = False  # a text is a list of words, and places count in its words
    pad_to_multiple_of: int | None = None  # padded rows become longer, to a multiple of this
    padding_side: Side | None = None  # None: the tokenizer's
    return_tensors: str | None = None  # "np": arrays, (rows, tokens)
    return_token_type_ids: bool | None = None  # None: if among model_input_names
    return_attention_mask: bool | None = None  # the same
    return_overflowing_tokens: bool = False  # what is cut off follows in rows of its own
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False  # where each token stands in its text
    return_length: bool = False  # how many tokens each row has, padding included

    @classmethod
    def of(cls, **values: Any) -> "CallOptions":
        """Return the options; TypeError for a name that none of them has."""
        require_known(cls, values, "a call of a tokenizer has no option")
        return cls(**values)


def require_known(kind: type, values: Iterable[str], what: str) -> None:
    """TypeError for a name that is no field of a dataclass; it names the nearest that there is."""
    known = [option.name for option in fields(kind)]
    for name in values:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}? It has" if near else "it has"
            raise TypeError(f"{what} {name!r}; {hint} {', '.join(known)}")


class Lengths(NamedTuple):
    """What a call does about lengths. max_length is set where padding or truncation needs it."""

    padding: str | None  # longest, max_length
    truncation: str | None  # longest_first, only_first, only_second
    max_length: int | None
    stride: int
    asked: bool  # whether max_length is the call's own
    multiple: int
    side: Side

    def padded(self, longest: int) -> int:
        """Return how long padded rows are, given the longest of them."""
        length = longest if self.padding == "longest" else self.max_length or 0
        return -(-length // self.multiple) * self.multiple


def check_lengths(options: CallOptions, model_max_length: int, side: Side) -> Lengths:
    """Return what padding, truncation and max_length mean together, as in transformers."""
    padding, truncation, max_length = options.padding, options.truncation, options.max_length
    asked, multiple = max_length is not None, options.pad_to_multiple_of
    _require_whole("max_length", max_length if asked else 0, 0)
    _require_whole("stride", options.stride, 0)
    _require_whole("pad_to_multiple_of", 1 if multiple is None else multiple, 1)
    require_choice("padding", padding, _PADDING)
    require_choice("truncation", truncation, _TRUNCATION)
    require_choice("padding_side", options.padding_side, ("right", "left", None))
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
    if pads and cuts and max_length and max_length % (multiple or 1):
        found = f"max_length is {max_length}, which is no multiple of {multiple}"
        raise ValueError(f"{found} (pad_to_multiple_of); with truncation, it must be one")
    side = options.padding_side or side
    return Lengths(pads, cuts, max_length, options.stride, asked, multiple or 1, side)


def _require_whole(name: str, value: Any, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r:.60}; needed: a whole number")
    if value < least:
        raise ValueError(f"{name} is {value}; allowed: {least} and above")


def require_choice(name: str, value: Any, choices: Iterable[Any]) -> None:
    """ValueError if a value is none of the choices, which are booleans, texts or None."""
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


def check_texts(
    text: Any, text_pair: Any, words: bool = False
) -> tuple[list[tuple[Text, ...]], bool]:
    """Return a list of texts (t,) and pairs (t, pair), and whether it was given as a list.

    With ``words``, each text is a list of words.
    """
    if not _is_list(text) or (words and not (text and _is_list(text[0]))):
        return [_entry("", text if text_pair is None else (text, text_pair), words)], False
    if not text:
        raise ValueError("text is an empty list: there is nothing to tokenize")
    entries: Iterable[Any] = text
    if text_pair is not None:
        if not _is_list(text_pair):
            found = _short(text_pair)
            raise TypeError(f"text is a list, and text_pair is {found}; needed: a list as long")
        if len(text) != len(text_pair):
            counts = f"text has {len(text)} entries, and text_pair has {len(text_pair)}"
            raise ValueError(f"{counts}; each text needs its pair")
        entries = zip(text, text_pair, strict=True)
    return [_entry(f"[{i}]", entry, words) for i, entry in enumerate(entries)], True


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _entry(place: str, given: Any, words: bool) -> tuple[Text, ...]:
    is_pair = _is_list(given) and (not words or any(map(_is_list, given)))
    entry = tuple(given) if is_pair else (given,)
    if is_pair and len(entry) != 2:
        found = f"text{place} is a list of {len(entry)} entries"
        raise ValueError(f"{found}; allowed: a text, or a pair of two texts")
    for name, value in zip(("text", "text_pair"), entry, strict=False):
        if words and not (_is_list(value) and all(isinstance(word, str) for word in value)):
            needed = "a list of words (str), as is_split_into_words=True says"
            raise TypeError(f"{name}{place} is {_short(value)}; needed: {needed}")
        if not words and not isinstance(value, str):
            hint = "; write .decode('utf-8') after it" if isinstance(value, bytes) else ""
            hint = "; pass is_split_into_words=True for lists of words" if _is_list(value) else hint
            needed = f"text (str), or a list of texts{hint}"
            raise TypeError(f"{name}{place} is {_short(value)}; needed: {needed}")
        if (count := sum(map(len, value)) if words else len(value)) > MAX_TEXT_CHARACTERS:
            hint = f"allowed: {MAX_TEXT_CHARACTERS}. Split it into several texts"
            raise ValueError(f"{name}{place} has {count} characters; {hint}")
    return entry


def _short(value: Any) -> str:
    return "None" if value is None else f"{type(value).__name__} {value!r:.60}"
