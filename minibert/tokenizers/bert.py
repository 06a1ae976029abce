"""BertTokenizer: normalising, splitting into words, and WordPiece."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from minibert.tokenizers.base import PreTrainedTokenizer, Word
from minibert.tokenizers.bert_form import BertForm
from minibert.tokenizers.normalize import Normalized, Normalizer
from minibert.tokenizers.settings import BertSettings
from minibert.tokenizers.vocabulary import clean_up
from minibert.tokenizers.wordpiece import WordPiece, word_pattern


class BertTokenizer(PreTrainedTokenizer):
    """BERT's tokenizer, with the calls of transformers' class of that name.

    WordPiece (Schuster & Nakajima 2012) after BERT's normalising and splitting (Devlin et al.
    2018), as the tokenizers library does it: the same ids and offsets. Threads may share one.
    ``BertTokenizer(vocab, do_lower_case, **settings)``: see BertSettings in settings.py.
    """

    form = BertForm()

    def __init__(self, vocab: Mapping[str, int], do_lower_case: bool = True, **given: Any) -> None:
        settings = BertSettings.of(do_lower_case=do_lower_case, **given)
        chinese, strips = settings.tokenize_chinese_chars, settings.strip_accents
        self.normalizer = Normalizer(settings.clean_text, chinese, strips, settings.do_lower_case)
        super().__init__(vocab, settings)
        self.prefix = settings.prefix
        self.decoder_cleanup = settings.decoder_cleanup
        longest = settings.max_input_chars_per_word
        self.wordpiece = WordPiece(self._base, settings.unk_token, settings.prefix, longest)

    @classmethod
    def from_pretrained(
        cls, name: str | os.PathLike[str], *, do_lower_case: bool | None = None, **options: Any
    ) -> "BertTokenizer":
        """Read tokenizer.json of a folder or a Hub id, or vocab.txt and tokenizer_config.json.

        options: revision, token, cache_dir, local_files_only, force_download of a Hub id; all
        others override the files. OSError for missing files, ValueError for what is in them.
        """
        if do_lower_case is not None:
            options["do_lower_case"] = do_lower_case
        return super().from_pretrained(name, **options)

    @property
    def do_lower_case(self) -> bool:
        """Whether texts are lower-cased."""
        return self.normalizer.lowercase

    def _is_known(self, role: str, token: str | None) -> bool:
        # WordPiece itself needs the unknown token; the others may be added ones
        return token in (self._base if role == "unk_token" else self._ids)

    def _check_roles(self, roles: Mapping[str, str]) -> None:
        if roles.get("unk_token") != self.unk_token:
            raise ValueError("the unk_token is WordPiece's; pass unk_token= to from_pretrained")

    def _normalized(self, text: str, first: int = 0) -> Normalized:
        return self.normalizer(text, first)

    def _words(self, text: str, positions: Sequence[int]) -> Iterator[Word]:
        for word in word_pattern().finditer(text):
            yield self.wordpiece[word[0]], positions, word.start()

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Return tokens as a text, put together as the tokenizers library does: one by one."""
        spaced = (f" {token}" for token in tokens[1:])
        parts = [*tokens[:1], *(part.removeprefix(f" {self.prefix}") for part in spaced)]
        if self.decoder_cleanup:
            parts = [clean_up(part).replace(" do not", " don't") for part in parts]
        return "".join(parts)

    def _told(self) -> str:
        return f"do_lower_case={self.do_lower_case}, "
