"""What all tokenizers share: from texts to the rows of ids that a model reads."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from minibert.checkpoint.hub import find_folder
from minibert.runtime.warn import warn
from minibert.tokenizers.batch_encoding import BatchEncoding, columns_of, pad_columns, to_batch
from minibert.tokenizers.encoding import Encoding, Side, Slot, Template, Tokens, fill, pad, truncate
from minibert.tokenizers.files import read_tokenizer, write_tokenizer
from minibert.tokenizers.forms import Form
from minibert.tokenizers.normalize import Normalized
from minibert.tokenizers.options import (
    CallOptions,
    Lengths,
    Text,
    check_lengths,
    check_tensors,
    check_texts,
)
from minibert.tokenizers.pieces import Piece
from minibert.tokenizers.settings import Settings
from minibert.tokenizers.vocabulary import Vocabulary

T = TypeVar("T", bound="PreTrainedTokenizer")
# the pieces of a word; places in the original; and which of these is the word's first
Word = tuple[Sequence[Piece], Sequence[int], int]


class PreTrainedTokenizer(Vocabulary):
    """Base of the tokenizers, with the calls of transformers' classes. Threads may share one."""

    #: What the files of this kind of tokenizer hold.
    form: ClassVar[Form]

    def __init__(self, vocab: Mapping[str, int], settings: Settings) -> None:
        super().__init__(vocab, settings)
        self.template = self._checked_template(settings.template)
        self.model_max_length = settings.model_max_length
        self.model_input_names = [*settings.model_input_names]
        self.padding_side = settings.padding_side
        self.truncation_side = settings.truncation_side
        self._settings = settings
        self._warned_of_length = False

    @classmethod
    def from_pretrained(cls: type[T], name: str | os.PathLike[str], **options: Any) -> T:
        """Read tokenizer.json of a folder or a Hub id, or older files and tokenizer_config.json.

        options: revision, token, cache_dir, local_files_only, force_download of a Hub id; all
        others override the files. OSError for missing files, ValueError for what is in them.
        """
        path, overrides = find_folder(name, ("tokenizer",), options)
        if "add_prefix_space" not in {setting.name for setting in fields(cls.form.settings)}:
            overrides.pop("add_prefix_space", None)  # as in transformers: words are words there
        keywords = read_tokenizer(path, overrides, cls.form)
        try:
            return cls(**keywords)
        except ValueError as error:
            raise ValueError(f"the tokenizer in {str(path)!r}: {error}") from None

    def save_pretrained(self, folder: str | os.PathLike[str]) -> tuple[str, ...]:
        """Write tokenizer_config.json, tokenizer.json and the vocabulary; return where they are."""
        names = [setting.name for setting in fields(self._settings)]
        now = {name: getattr(self, name) for name in names if hasattr(self, name)}
        settings = replace(self._settings, **now, added_tokens=self._added)
        return write_tokenizer(Path(folder), self._base, settings, self.template, self.form)

    def _checked_template(self, template: Template | None) -> Template:
        """Return the template, or the class's; ValueError if the vocabulary gives other ids."""
        if template is None:
            return self.form.template(
                self.cls_token, self.cls_token_id, self.sep_token, self.sep_token_id
            )
        for slot in (*template.single, *template.pair):
            for token, number in zip(slot.tokens, slot.ids, strict=True):
                known = self._ids.get(token)
                if known != number:
                    found = (
                        f"{token!r:.60} has the id {number!r:.60} in the template (post_processor)"
                    )
                    raise ValueError(f"{found}; the vocabulary gives it {known}")
        return template

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return how many special tokens stand around a text, or a pair of texts."""
        slots = self.template.pair if pair else self.template.single
        return sum(len(slot.ids) for slot in slots)

    def __call__(self, text: Any, text_pair: Any = None, **options: Any) -> BatchEncoding:
        """Return the ids of a text, a pair, a list of texts, or a list of pairs.

        The options are those of CallOptions in options.py: padding, truncation, max_length,
        is_split_into_words, return_tensors and so on. A max_length alone means truncation=True.
        Without max_length, model_max_length counts. Of a list, overflow_to_sample_mapping tells
        whose the rows are if return_overflowing_tokens asks for those of what is cut off.

        An empty text_pair is a pair, as in the tokenizers library; transformers takes it for none.
        """
        asked = CallOptions.of(**options)
        arrays = check_tensors(asked.return_tensors)
        lengths = check_lengths(asked, self.model_max_length, self.padding_side)
        texts, is_list = check_texts(text, text_pair, asked.is_split_into_words)
        groups = [self._encode(each, asked, lengths) for each in texts]
        rows = self._pad([row for group in groups for row in group], lengths)
        columns = self._columns(rows, asked)
        if asked.return_overflowing_tokens:
            of_texts = [i for i, group in enumerate(groups) for _ in group]
            columns["overflow_to_sample_mapping"] = of_texts
        return to_batch(columns, rows, arrays, is_list or asked.return_overflowing_tokens)

    def _columns(self, rows: list[Encoding], asked: CallOptions) -> dict[str, list[Any]]:
        wanted = {"token_type_ids": asked.return_token_type_ids}
        wanted["attention_mask"] = asked.return_attention_mask
        wanted = {k: k in self.model_input_names if v is None else v for k, v in wanted.items()}
        attributes = {
            "input_ids": "ids",
            "token_type_ids": wanted["token_type_ids"] and "type_ids",
            "attention_mask": wanted["attention_mask"] and "attention_mask",
            "special_tokens_mask": asked.return_special_tokens_mask and "special_tokens_mask",
            "offset_mapping": asked.return_offsets_mapping and "offsets",
        }
        columns = {k: [getattr(row, a) for row in rows] for k, a in attributes.items() if a}
        return columns | ({"length": [len(row) for row in rows]} if asked.return_length else {})

    def _encode(
        self, texts: tuple[Text, ...], asked: CallOptions, lengths: Lengths
    ) -> list[Encoding]:
        """Return the row of a text or a pair; rows for what does not fit too, if asked for."""
        split = [self._split_text(text) for text in texts]
        slots, special = self.template[len(texts) - 1], asked.add_special_tokens
        if lengths.truncation is None or lengths.max_length is None:
            return [self._row(slots, split, special)]
        count = self.num_special_tokens_to_add(len(texts) == 2) if special else 0
        room = lengths.max_length - count
        if room < 0:
            found = f"max_length is {lengths.max_length}"
            raise ValueError(f"{found}, and the special tokens alone take {count}")
        windows = truncate(split, lengths.truncation, room, lengths.stride, self.truncation_side)
        count_of_rows = None if asked.return_overflowing_tokens else 1
        return [self._row(slots, kept, special) for kept in islice(windows, count_of_rows)]

    def _row(self, slots: Sequence[Slot], texts: Sequence[Tokens], special: bool) -> Encoding:
        """Return the row of one or two texts that have been cut."""
        return fill(slots, texts, special)

    def _split_text(self, text: Text) -> Tokens:
        """Return the tokens of a text; of given words, which are the words that tokens count."""
        if isinstance(text, str):
            return self._split(text)
        words = enumerate(map(self._split, text))
        return [(*token[:3], number) for number, tokens in words for token in tokens]

    def _split(self, text: str) -> Tokens:
        """Return the added tokens of a text and the pieces of its words.

        A piece stands where its first and last character came from. This is the inner loop.
        """
        tokens: Tokens = []
        number = 0  # of the word
        for added, (stretch, positions) in self._stretches(text):
            if added is not None:
                tokens.append((added, stretch, (positions[0], positions[-1] + 1), number))
                number += 1
                continue
            for pieces, places, at in self._words(stretch, positions):
                for piece, token, start, end in pieces:
                    offsets = places[at + start], places[at + end - 1] + 1
                    tokens.append((piece, token, offsets, number))
                number += 1
        return tokens

    def _words(self, text: str, positions: Sequence[int]) -> Iterator[Word]:
        """Yield each word of a stretch between added tokens."""
        raise NotImplementedError

    def _stretches(self, text: str) -> Iterator[tuple[int | None, Normalized]]:
        """Yield the added tokens with their ids, and what is between them, normalised."""
        as_written, when_normalized = self.finders()
        for start, end, added in as_written(text):
            if added is not None:
                yield added, Normalized(text[start:end], range(start, end))
                continue
            between, positions = self._normalized(text[start:end], start)
            for first, last, inner in when_normalized(between):
                yield inner, Normalized(between[first:last], positions[first:last])

    def _pad(self, rows: list[Encoding], lengths: Lengths) -> list[Encoding]:
        """Pad the rows as asked; warn once of a row that is too long for the model."""
        longest, allowed = max(map(len, rows)), self.model_max_length
        is_free = not (lengths.asked or lengths.truncation)
        if is_free and longest > allowed and not self._warned_of_length:
            self._warned_of_length = True
            found = f"a row has {longest} tokens, and the model takes {allowed} at most"
            warn(f"{found} (model_max_length). Pass truncation=True to cut what it would refuse")
        if lengths.padding is None:
            return rows
        token, number, length = self.pad_token, self._pad_id(), lengths.padded(longest)
        return [pad(row, length, number, token, lengths.side) for row in rows]

    def _pad_id(self) -> int:
        if self.pad_token is None:
            hint = "set tokenizer.pad_token = tokenizer.eos_token, which the attention_mask hides"
            hint = "pass pad_token= to from_pretrained" if self.eos_token is None else hint
            raise ValueError(f"padding needs a pad_token, and this tokenizer has none: {hint}")
        return int(self.pad_token_id)

    def pad(
        self,
        encoded_inputs: Any,
        padding: bool | str = True,
        max_length: int | None = None,
        pad_to_multiple_of: int | None = None,
        padding_side: Side | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
    ) -> BatchEncoding:
        """Return rows that were tokenized apart as one batch, padded to one length.

        encoded_inputs: what calls returned, in a list; or one dictionary of lists or arrays, of a
        row or of several. Columns that no tokenizer makes, such as labels, stay as they are.
        ValueError if there are no rows, or they have different columns.
        """
        columns, is_list, are_arrays = columns_of(encoded_inputs, return_tensors)
        asked = CallOptions(
            padding=padding,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side,
        )
        lengths = check_lengths(asked, self.model_max_length, self.padding_side)
        ids = columns["input_ids"]
        wanted = "attention_mask" in self.model_input_names
        if wanted if return_attention_mask is None else return_attention_mask:
            columns.setdefault("attention_mask", [[1] * len(row) for row in ids])
        if lengths.padding is not None:
            length = lengths.padded(max(map(len, ids)))
            columns = pad_columns(columns, length, self._pad_id(), lengths.side)
        batch = to_batch(columns, [], are_arrays, is_list)
        if are_arrays and not is_list:  # one row stays one
            batch.data = {name: array[0] for name, array in batch.items()}
        return batch

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **options: Any
    ) -> list[str]:
        """Return the tokens of a text, or of a pair, as texts."""
        return self(text, pair, add_special_tokens=add_special_tokens, **options).tokens()

    def encode(self, text: str, text_pair: str | None = None, **options: Any) -> Any:
        """Return the ids alone; the options are those of a call."""
        return self(text, text_pair, **options)["input_ids"]

    def _told(self) -> str:
        """Return what else the representation tells."""
        return ""

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(vocab_size={self.vocab_size}, len={len(self)}, "
            f"{self._told()}model_max_length={self.model_max_length})"
        )
