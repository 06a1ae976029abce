"""From a text to its tokens, and from the tokens of one text or two to a row for the model."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Literal, NamedTuple

from minibert.tokenizers.normalize import Normalized
from minibert.tokenizers.vocabulary import Vocabulary
from minibert.tokenizers.wordpiece import WordPiece, word_pattern

Offsets = tuple[int, int]
Side = Literal["right", "left"]


@dataclass(frozen=True)
class Tokens:
    """The tokens of one text, without special ones around it: four lists of one length."""

    ids: list[int]
    tokens: list[str]
    offsets: list[Offsets]  # in characters of the original text
    words: list[int]  # which word of the text each belongs to

    def __len__(self) -> int:
        return len(self.ids)

    def next_word(self) -> int:
        """Return the number of the word that would follow."""
        return self.words[-1] + 1 if self.words else 0

    def cut(self, start: int, end: int) -> "Tokens":
        """Return the tokens from start up to end."""
        part = slice(start, end)
        return Tokens(self.ids[part], self.tokens[part], self.offsets[part], self.words[part])


def tokenize_text(text: str, vocabulary: Vocabulary, wordpiece: WordPiece) -> Tokens:
    """Take the added tokens out, normalise what is between, split it into words and pieces."""
    result = Tokens([], [], [], [])
    as_written, when_normalized = vocabulary.finders()
    for part in as_written(text):
        written = text[part.start : part.end]
        if part.id is not None:
            _append_added(result, part.id, written, (part.start, part.end))
            continue
        normalized = vocabulary.normalizer(written, part.start)
        for inner in when_normalized(normalized.text):
            places = slice(inner.start, inner.end)
            stretch = Normalized(normalized.text[places], normalized.positions[places])
            if inner.id is None:
                _append_words(result, stretch, wordpiece)
            else:
                offsets = stretch.positions[0], stretch.positions[-1] + 1
                _append_added(result, inner.id, stretch.text, offsets)
    return result


def _append_added(result: Tokens, number: int, token: str, offsets: Offsets) -> None:
    result.words.append(result.next_word())
    result.ids.append(number)
    result.tokens.append(token)
    result.offsets.append(offsets)


def _append_words(result: Tokens, stretch: Normalized, wordpiece: WordPiece) -> None:
    """Append the pieces of all words; a piece stands where its first and last character came from.

    This is the inner loop, so the lists have names of their own: a look-up less for each token.
    """
    text, positions = stretch
    ids, tokens, offsets, words = result.ids, result.tokens, result.offsets, result.words
    for number, word in enumerate(word_pattern().finditer(text), result.next_word()):
        at = word.start()
        for piece_id, token, start, end in wordpiece[word[0]]:
            ids.append(piece_id)
            tokens.append(token)
            offsets.append((positions[at + start], positions[at + end - 1] + 1))
            words.append(number)


@dataclass(frozen=True)
class Encoding:
    """One row for the model, and where its tokens came from; lists of one length."""

    ids: list[int]
    type_ids: list[int]
    tokens: list[str]
    offsets: list[Offsets]  # (0, 0) for special tokens and padding
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

    def special_tokens(self, pair: bool) -> int:
        """Return how many special tokens a row gets."""
        return sum(len(slot.ids) for slot in (self.pair if pair else self.single))


def bert_template(cls: str, cls_id: int, sep: str, sep_id: int) -> Template:
    """Return BERT's template: the pair and its [SEP] are of type 1, all else of type 0."""
    first, last = Slot(None, 0, (cls_id,), (cls,)), Slot(None, 0, (sep_id,), (sep,))
    single = (first, Slot(0, 0), last)
    return Template(single, (*single, Slot(1, 1), last._replace(type_id=1)))


def fill(slots: Iterable[Slot], texts: tuple[Tokens, ...], special: bool) -> Encoding:
    """Return the row of one or two texts, with the template's special tokens or without."""
    row = Encoding([], [], [], [], [], [], [], [])
    for slot in slots:
        if slot.text is not None:
            text = texts[slot.text]
            _append(row, slot, text.ids, text.tokens, text.offsets, text.words)
        elif special:
            count = len(slot.ids)
            _append(row, slot, slot.ids, slot.tokens, [(0, 0)] * count, [None] * count)
    return row


def _append(
    row: Encoding,
    slot: Slot,
    ids: Sequence[int],
    tokens: Sequence[str],
    offsets: list[Offsets],
    words: Sequence[int | None],
) -> None:
    count = len(ids)
    row.ids.extend(ids)
    row.type_ids.extend([slot.type_id] * count)
    row.tokens.extend(tokens)
    row.offsets.extend(offsets)
    row.word_ids.extend(words)
    row.sequence_ids.extend([slot.text] * count)
    row.special_tokens_mask.extend([int(slot.text is None)] * count)
    row.attention_mask.extend([1] * count)


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
    stride: int = 0  # tokens that each window repeats from the one before
    side: Side = "right"  # where it is cut


def truncate(texts: tuple[Tokens, ...], how: Truncation) -> Iterator[tuple[Tokens, ...]]:
    """Yield the texts cut to fit, then the rest of them, window by window.

    If both texts of a pair are cut, every window of one meets every window of the other, in the
    order of the tokenizers library. ValueError if they cannot be cut to fit.
    """
    if how.stride and how.stride >= how.limit:
        raise _stride_error(how.stride, how.limit)
    kept = _lengths([len(text) for text in texts], how)
    windows = [list(_windows(text, length, how)) for text, length in zip(texts, kept, strict=True)]
    first = windows[0]
    if len(texts) == 1:
        yield from ((text,) for text in first)
        return
    yield first[0], windows[1][0]
    yield from ((text, pair) for text in first[1:] for pair in windows[1])
    yield from ((first[0], pair) for pair in windows[1][1:])


def _lengths(lengths: list[int], how: Truncation) -> list[int]:
    """Return how many tokens of each text a row holds."""
    excess = sum(lengths) - how.limit
    if excess <= 0:
        return lengths
    if how.limit == 0:
        return [0] * len(lengths)
    if how.strategy == "longest_first":
        return _share(lengths, how.limit)
    cut = 0 if how.strategy == "only_first" else 1
    _require_room(lengths, cut, excess, how)
    return [length - excess if i == cut else length for i, length in enumerate(lengths)]


def _share(lengths: list[int], limit: int) -> list[int]:
    """Cut the longer text to what the shorter leaves; both to a half if that is not enough."""
    if len(lengths) == 1:
        return [limit]
    short = min(*lengths, limit // 2)
    return [short, limit - short] if lengths[0] <= lengths[1] else [limit - short, short]


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
        return
    if length == 0:
        yield from (text.cut(0, 0), text)
        return
    if how.stride >= length:
        raise _stride_error(how.stride, length)
    last = len(text) - length
    for shift in range(0, last + length - how.stride, length - how.stride):
        start = shift if how.side == "right" else last - shift
        yield text.cut(max(start, 0), start + length)


def _stride_error(stride: int, room: int) -> ValueError:
    return ValueError(
        f"stride is {stride}, and a row has room for {room} tokens of the text that is cut; "
        "allowed: less than that, or a larger max_length"
    )
