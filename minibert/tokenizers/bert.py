"""BertTokenizer: from texts to the rows of ids that a BERT model reads."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

from minibert.checkpoint.hub import find_folder
from minibert.runtime.warn import warn
from minibert.tokenizers.batch_encoding import BatchEncoding, to_batch
from minibert.tokenizers.encoding import Encoding, Template, Tokens, fill, pad, truncate
from minibert.tokenizers.files import read_tokenizer, write_tokenizer
from minibert.tokenizers.normalize import Normalized
from minibert.tokenizers.options import Lengths, Settings, check_lengths, check_tensors, check_texts
from minibert.tokenizers.vocabulary import Vocabulary
from minibert.tokenizers.wordpiece import WordPiece, word_pattern


class BertTokenizer(Vocabulary):
    """BERT's tokenizer, with the calls of transformers' class of that name.

    WordPiece (Schuster & Nakajima 2012) after BERT's normalising and splitting (Devlin et al.
    2018), as the tokenizers library does it: the same ids and offsets. Threads may share one.
    ``BertTokenizer(vocab, do_lower_case, **settings)``: see Settings in options.py.
    """

    def __init__(self, vocab: Mapping[str, int], do_lower_case: bool = True, **given: Any) -> None:
        settings = Settings.of(do_lower_case=do_lower_case, **given)
        super().__init__(vocab, settings)
        longest = settings.max_input_chars_per_word
        self.wordpiece = WordPiece(self._base, settings.unk_token, settings.prefix, longest)
        self.template = self._checked_template(settings.template)
        self.model_max_length = settings.model_max_length
        self.model_input_names = [*settings.model_input_names]
        self.padding_side = settings.padding_side
        self.truncation_side = settings.truncation_side
        self._settings = settings
        self._warned_of_length = False

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike[str], *, do_lower_case: bool | None = None, **options: Any
    ) -> "BertTokenizer":
        """Read tokenizer.json of a folder or a Hub id, or vocab.txt and tokenizer_config.json.

        options: revision, token, cache_dir, local_files_only, force_download of a Hub id; all
        others override the files. OSError for missing files, ValueError for what is in them.
        """
        path, overrides = find_folder(name, ("tokenizer",), options)
        if do_lower_case is not None:
            overrides["do_lower_case"] = do_lower_case
        keywords = read_tokenizer(path, overrides)
        try:
            return cls(**keywords)
        except ValueError as error:
            raise ValueError(f"the tokenizer in {str(path)!r}: {error}") from None

    def save_pretrained(self, folder: str | os.PathLike[str]) -> tuple[str, ...]:
        """Write tokenizer_config.json, tokenizer.json and vocab.txt; return where they are."""
        names = [setting.name for setting in fields(self._settings)]
        now = {name: getattr(self, name) for name in names if hasattr(self, name)}
        settings = replace(self._settings, **now, added_tokens=self._added)
        return write_tokenizer(Path(folder), self._base, settings, self.template)

    def _checked_template(self, template: Template | None) -> Template:
        """Return the template, or BERT's; ValueError if the vocabulary gives other ids."""
        if template is None:
            cls, sep = self.cls_token, self.sep_token
            if cls is None or sep is None:
                raise ValueError("a cls_token and a sep_token are needed to put around texts")
            return Template.of_bert(cls, self.cls_token_id, sep, self.sep_token_id)
        for slot in (*template.single, *template.pair):
            for token, number in zip(slot.tokens, slot.ids, strict=True):
                known = self._ids.get(token)
                if known != number:
                    found = f"{token!r} has the id {number!r:.60} in the template (post_processor)"
                    raise ValueError(f"{found}; the vocabulary gives it {known}")
        return template

    @property
    def do_lower_case(self) -> bool:
        """Whether texts are lower-cased."""
        return self.normalizer.lowercase

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """Return how many special tokens stand around a text, or a pair of texts."""
        slots = self.template.pair if pair else self.template.single
        return sum(len(slot.ids) for slot in slots)

    def __call__(
        self,
        text: Any,
        text_pair: Any = None,
        *,
        add_special_tokens: bool = True,
        padding: bool | str = False,
        truncation: bool | str | None = None,
        max_length: int | None = None,
        stride: int = 0,
        return_tensors: str | None = None,
        return_token_type_ids: bool | None = None,
        return_attention_mask: bool | None = None,
        return_overflowing_tokens: bool = False,
        return_special_tokens_mask: bool = False,
        return_offsets_mapping: bool = False,
    ) -> BatchEncoding:
        """Return the ids of a text, a pair, a list of texts, or a list of pairs.

        padding: True or "longest" (row of the call), "max_length".
        truncation: True or "longest_first", "only_first", "only_second"; a max_length alone means
        the first. Without max_length, model_max_length counts.
        stride, return_overflowing_tokens: what is cut off follows in rows of its own, each
        repeating ``stride`` tokens; overflow_to_sample_mapping tells whose they are.
        return_tensors: "np" gives arrays, (rows, tokens). return_offsets_mapping: where each token
        stands in its text.

        An empty text_pair is a pair, as in the tokenizers library; transformers takes it for none.
        """
        arrays = check_tensors(return_tensors)
        lengths = check_lengths(padding, truncation, max_length, stride, self.model_max_length)
        texts, is_list = check_texts(text, text_pair)
        overflow = return_overflowing_tokens
        groups = [self._encode(each, add_special_tokens, lengths, overflow) for each in texts]
        rows = self._pad([row for group in groups for row in group], lengths)
        attributes = {
            "input_ids": "ids",
            "token_type_ids": self._wants("token_type_ids", return_token_type_ids) and "type_ids",
            "attention_mask": self._wants("attention_mask", return_attention_mask)
            and "attention_mask",
            "special_tokens_mask": return_special_tokens_mask and "special_tokens_mask",
            "offset_mapping": return_offsets_mapping and "offsets",
        }
        columns = {k: [getattr(row, a) for row in rows] for k, a in attributes.items() if a}
        if overflow:
            of_texts = [i for i, group in enumerate(groups) for _ in group]
            columns["overflow_to_sample_mapping"] = of_texts
        return to_batch(columns, rows, arrays, is_list or overflow)

    def _wants(self, column: str, asked: bool | None) -> bool:
        return column in self.model_input_names if asked is None else asked

    def _encode(
        self, texts: tuple[str, ...], special: bool, lengths: Lengths, overflow: bool
    ) -> list[Encoding]:
        """Return the row of a text or a pair; with ``overflow``, rows for what does not fit too."""
        split = [self._split(text) for text in texts]
        slots = self.template[len(texts) - 1]
        if lengths.truncation is None or lengths.max_length is None:
            return [fill(slots, split, special)]
        count = self.num_special_tokens_to_add(len(texts) == 2) if special else 0
        room = lengths.max_length - count
        if room < 0:
            found = f"max_length is {lengths.max_length}"
            raise ValueError(f"{found}, and the special tokens alone take {count}")
        windows = truncate(split, lengths.truncation, room, lengths.stride, self.truncation_side)
        return [fill(slots, kept, special) for kept in islice(windows, None if overflow else 1)]

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
            for word in word_pattern().finditer(stretch):
                at = word.start()
                for piece, token, start, end in self.wordpiece[word[0]]:
                    offsets = positions[at + start], positions[at + end - 1] + 1
                    tokens.append((piece, token, offsets, number))
                number += 1
        return tokens

    def _stretches(self, text: str) -> Iterator[tuple[int | None, Normalized]]:
        """Yield the added tokens with their ids, and what is between them, normalised."""
        as_written, when_normalized = self.finders()
        for start, end, added in as_written(text):
            if added is not None:
                yield added, Normalized(text[start:end], range(start, end))
                continue
            between, positions = self.normalizer(text[start:end], start)
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
        token, number = self.pad_token, self.pad_token_id
        if token is None:
            raise ValueError("padding needs a pad_token, and this tokenizer has none")
        length = longest if lengths.padding == "longest" else lengths.max_length or 0
        return [pad(row, length, number, token, self.padding_side) for row in rows]

    def tokenize(
        self, text: str, pair: str | None = None, add_special_tokens: bool = False, **options: Any
    ) -> list[str]:
        """Return the tokens of a text, or of a pair, as texts."""
        return self(text, pair, add_special_tokens=add_special_tokens, **options).tokens()

    def encode(self, text: str, text_pair: str | None = None, **options: Any) -> Any:
        """Return the ids alone; the options are those of a call."""
        return self(text, text_pair, **options)["input_ids"]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(vocab_size={self.vocab_size}, len={len(self)}, "
            f"do_lower_case={self.do_lower_case}, model_max_length={self.model_max_length})"
        )
