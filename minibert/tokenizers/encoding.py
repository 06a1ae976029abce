"""From the tokens of one text or two to a row for the model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any, Literal, NamedTuple

Side = Literal["right", "left"]

# id, text, offsets in characters of the original, and the number of its word, or None
Token = tuple[int, str, tuple[int, int], int | None]
Tokens = list[Token]


@dataclass(frozen=True)
class Encoding:
    """One row for the model, and where its tokens came from; lists of one length."""

    ids: list[int]
    type_ids: list[int]
    tokens: list[str]
    offsets: list[tuple[int, int]]  # (0, 0) for special tokens and padding
    word_ids: list[int | None]  # None for special tokens and padding
    sequence_ids: list[int | None]  # 0 the text, 1 its pair, None special tokens and padding
    special_tokens_mask: list[int]
    attention_mask: list[int]

    def __len__(self) -> int:
        return len(self.ids)


class Slot(NamedTuple):
    """A place in a template: a text (0, or 1 for the pair), or special tokens; and its type."""

    text: int | None
    type_id: int
    ids: tuple[int, ...] = ()
    tokens: tuple[str, ...] = ()


class Template(NamedTuple):
    """Where the special tokens stand around a text, and around a pair."""

    single: tuple[Slot, ...]
    pair: tuple[Slot, ...]

    @classmethod
    def plain(cls) -> "Template":
        """Return the template without special tokens: A, and A B."""
        return cls((Slot(0, 0),), (Slot(0, 0), Slot(1, 1)))

    @classmethod
    def of_bert(cls, first: str, first_id: int, sep: str, sep_id: int) -> "Template":
        """Return BERT's template, [CLS] A [SEP] and [CLS] A [SEP] B [SEP].

        The pair and its [SEP] are of type 1, all else is of type 0.
        """
        end = Slot(None, 0, (sep_id,), (sep,))
        single = (Slot(None, 0, (first_id,), (first,)), Slot(0, 0), end)
        return cls(single, (*single, Slot(1, 1), end._replace(type_id=1)))

    @classmethod
    def of_roberta(cls, first: str, first_id: int, sep: str, sep_id: int) -> "Template":
        """Return RoBERTa's template, <s> A </s> and <s> A </s></s> B </s>, all of type 0."""
        end = Slot(None, 0, (sep_id,), (sep,))
        single = (Slot(None, 0, (first_id,), (first,)), Slot(0, 0), end)
        return cls(single, (*single, end, Slot(1, 0), end))


def fill(slots: Iterable[Slot], texts: Sequence[Tokens], special: bool) -> Encoding:
    """Return the row of one or two texts, with the template's special tokens or without."""
    columns: list[list[Any]] = [[] for _ in fields(Encoding)]
    for slot in slots:
        if slot.text is not None:
            tokens = texts[slot.text]
        else:
            pairs = zip(slot.ids, slot.tokens, strict=True)
            tokens = [(number, token, (0, 0), None) for number, token in pairs if special]
        if tokens:
            ids, names, offsets, words = zip(*tokens, strict=True)
            same = [slot.type_id], [slot.text], [int(slot.text is None)], [1]
            types, texts_of, specials, mask = (value * len(tokens) for value in same)
            parts = ids, types, names, offsets, words, texts_of, specials, mask
            for column, part in zip(columns, parts, strict=True):
                column.extend(part)
    return Encoding(*columns)


def pad(row: Encoding, length: int, pad_id: int, pad_token: str, side: Side) -> Encoding:
    """Return the row with padding up to a length; as it is if it is that long or longer."""
    missing = length - len(row)
    if missing <= 0:
        return row
    filler = Encoding([pad_id], [0], [pad_token], [(0, 0)], [None], [None], [1], [0])
    columns = ((getattr(row, f.name), getattr(filler, f.name) * missing) for f in fields(row))
    return Encoding(*(old + new if side == "right" else new + old for old, new in columns))


def truncate(
    texts: Sequence[Tokens], strategy: str, room: int, stride: int, side: Side
) -> Iterator[tuple[Tokens, ...]]:
    """Yield the texts cut to ``room`` tokens in all, then the rest of them, window by window.

    Each window repeats ``stride`` tokens of the one before. If both texts of a pair are cut, every
    window of one meets every window of the other, in the order of the tokenizers library.
    ValueError if the texts cannot be cut to fit.
    """
    lengths = _lengths([len(text) for text in texts], strategy, room)
    pairs = [*zip(texts, lengths, strict=True)]
    narrowest = min([room, *(length for text, length in pairs if 0 < length < len(text))])
    if 0 < stride >= narrowest:
        raise ValueError(
            f"stride is {stride}, and a row has room for {narrowest} tokens of the text that is "
            "cut; allowed: less than that, or a larger max_length"
        )
    first, *others = (list(_windows(text, length, stride, side)) for text, length in pairs)
    yield from product(first[:1], *(windows[:1] for windows in others))
    yield from product(first[1:], *others)
    for windows in others:
        yield from product(first[:1], windows[1:])


def _lengths(lengths: list[int], strategy: str, room: int) -> list[int]:
    """Return how many tokens of each text a row holds."""
    excess = sum(lengths) - room
    if excess <= 0:
        return lengths
    if room == 0:
        return [0] * len(lengths)
    if strategy == "longest_first":
        if len(lengths) == 1:
            return [room]
        # the longer gets what the shorter leaves; each a half if that is not enough
        short = min(*lengths, room // 2)
        kept = [short, room - short]
        return kept if lengths[0] <= lengths[1] else kept[::-1]
    cut = 0 if strategy == "only_first" else 1
    if cut >= len(lengths):
        raise ValueError(
            f"truncation={strategy!r} cuts the second text, and there is none; "
            "pass a text_pair, or truncation=True"
        )
    if lengths[cut] <= excess:
        other = "nothing" if len(lengths) == 1 else f"the other text takes {lengths[1 - cut]}"
        raise ValueError(
            f"truncation={strategy!r} cannot make the texts fit: max_length leaves room for "
            f"{room} tokens, {other}, and the text to cut has {lengths[cut]}; "
            "raise max_length, or pass truncation=True to cut the longer text"
        )
    lengths[cut] -= excess
    return lengths


def _windows(text: Tokens, length: int, stride: int, side: Side) -> Iterator[Tokens]:
    if len(text) <= length:
        yield text
    elif length == 0:
        yield from ([], text)
    else:
        last = len(text) - length
        for shift in range(0, last + length - stride, length - stride):
            start = shift if side == "right" else last - shift
            yield text[max(start, 0) : start + length]
