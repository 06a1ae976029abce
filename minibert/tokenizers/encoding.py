"""From a text to its tokens, and from the tokens of one text or two to a row for the model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

from minibert.tokenizers.normalize import Normalized
from minibert.tokenizers.vocabulary import Vocabulary
from minibert.tokenizers.wordpiece import WordPiece, word_pattern

Side = Literal["right", "left"]

# id, text, offsets in characters of the original, and the number of its word, or None
Token = tuple[int, str, tuple[int, int], int | None]
Tokens = list[Token]


def tokenize_text(text: str, vocabulary: Vocabulary, wordpiece: WordPiece) -> Tokens:
    """Take the added tokens out, normalise what is between, split it into words and pieces."""
    tokens: Tokens = []
    word = 0
    as_written, when_normalized = vocabulary.finders()
    for part in as_written(text):
        written = text[part.start : part.end]
        if part.id is not None:
            tokens.append((part.id, written, (part.start, part.end), word))
            word += 1
            continue
        normalized = vocabulary.normalizer(written, part.start)
        for inner in when_normalized(normalized.text):
            places = slice(inner.start, inner.end)
            stretch = Normalized(normalized.text[places], normalized.positions[places])
            if inner.id is None:
                word = _append_words(tokens, stretch, word, wordpiece)
            else:
                offsets = stretch.positions[0], stretch.positions[-1] + 1
                tokens.append((inner.id, stretch.text, offsets, word))
                word += 1
    return tokens


def _append_words(tokens: Tokens, stretch: Normalized, number: int, wordpiece: WordPiece) -> int:
    """Append the pieces of all words, numbered from ``number``; return the next number.

    A piece stands where its first and last character came from. This is the inner loop.
    """
    text, positions = stretch
    for word in word_pattern().finditer(text):
        at = word.start()
        for piece_id, token, start, end in wordpiece[word[0]]:
            offsets = positions[at + start], positions[at + end - 1] + 1
            tokens.append((piece_id, token, offsets, number))
        number += 1
    return number


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
    """Where the special tokens stand: [CLS] A [SEP], and [CLS] A [SEP] B [SEP]."""

    single: tuple[Slot, ...]
    pair: tuple[Slot, ...]


def bert_template(cls: str, cls_id: int, sep: str, sep_id: int) -> Template:
    """Return BERT's template: the pair and its [SEP] are of type 1, all else of type 0."""
    first, last = Slot(None, 0, (cls_id,), (cls,)), Slot(None, 0, (sep_id,), (sep,))
    single = (first, Slot(0, 0), last)
    return Template(single, (*single, Slot(1, 1), last._replace(type_id=1)))


def fill(slots: Iterable[Slot], texts: tuple[Tokens, ...], special: bool) -> Encoding:
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


class Truncation(NamedTuple):
    """How much is kept: at most ``limit`` tokens of the texts, special ones not counted."""

    strategy: str  # longest_first, only_first or only_second
    limit: int
    stride: int  # tokens that each window repeats from the one before
    side: Side  # where it is cut


def truncate(texts: tuple[Tokens, ...], how: Truncation) -> Iterator[tuple[Tokens, ...]]:
    """Yield the texts cut to fit, then the rest of them, window by window.

    If both texts of a pair are cut, every window of one meets every window of the other, in the
    order of the tokenizers library. ValueError if they cannot be cut to fit.
    """
    if how.stride:
        _require_stride_below(how.limit, how)
    kept = _lengths([len(text) for text in texts], how)
    first, *second = (list(_windows(t, length, how)) for t, length in zip(texts, kept, strict=True))
    if not second:
        yield from ((text,) for text in first)
        return
    pairs = second[0]
    yield first[0], pairs[0]
    yield from ((text, pair) for text in first[1:] for pair in pairs)
    yield from ((first[0], pair) for pair in pairs[1:])


def _lengths(lengths: list[int], how: Truncation) -> list[int]:
    """Return how many tokens of each text a row holds."""
    excess = sum(lengths) - how.limit
    if excess <= 0:
        return lengths
    if how.limit == 0:
        return [0] * len(lengths)
    if how.strategy == "longest_first":
        if len(lengths) == 1:
            return [how.limit]
        # the longer gets what the shorter leaves; each a half if that is not enough
        short = min(*lengths, how.limit // 2)
        kept = [short, how.limit - short]
        return kept if lengths[0] <= lengths[1] else kept[::-1]
    cut = 0 if how.strategy == "only_first" else 1
    _require_room(lengths, cut, excess, how)
    return [length - excess if i == cut else length for i, length in enumerate(lengths)]


def _require_room(lengths: list[int], cut: int, excess: int, how: Truncation) -> None:
    if cut >= len(lengths):
        raise ValueError(
            f"truncation={how.strategy!r} cuts the second text, and there is none; "
            "pass a text_pair, or truncation=True"
        )
    if lengths[cut] <= excess:
        other = "nothing" if len(lengths) == 1 else f"the other text takes {lengths[1 - cut]}"
        raise ValueError(
            f"truncation={how.strategy!r} cannot make the texts fit: max_length leaves room for "
            f"{how.limit} tokens, {other}, and the text to cut has {lengths[cut]}; "
            "raise max_length, or pass truncation=True to cut the longer text"
        )


def _windows(text: Tokens, length: int, how: Truncation) -> Iterator[Tokens]:
    """Yield stretches of a length, each beginning with the last ``stride`` tokens of another."""
    if len(text) <= length:
        yield text
    elif length == 0:
        yield from ([], text)
    else:
        _require_stride_below(length, how)
        last = len(text) - length
        for shift in range(0, last + length - how.stride, length - how.stride):
            start = shift if how.side == "right" else last - shift
            yield text[max(start, 0) : start + length]


def _require_stride_below(room: int, how: Truncation) -> None:
    if how.stride >= room:
        raise ValueError(
            f"stride is {how.stride}, and a row has room for {room} tokens of the text that is "
            "cut; allowed: less than that, or a larger max_length"
        )
