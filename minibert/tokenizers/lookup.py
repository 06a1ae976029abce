"""What a tokenizer knows of its tokens: ids, special tokens, and how a text is made of them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, overload

from minibert.tokenizers.added import AddedToken
from minibert.tokenizers.decode import clean_up, join
from minibert.tokenizers.normalize import Normalizer
from minibert.tokenizers.vocabulary import Vocabulary

_MAY_BE_MISSING = "mask_token"  # a model that never fills a mask needs none


class _Special:
    """A special token, by the name of its role; None if there is none."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, tokenizer: "Lookup", owner: type) -> str | None:
        return tokenizer.special_tokens_map.get(self.name)

    def __set__(self, tokenizer: "Lookup", value: object) -> None:
        raise AttributeError(f"{self.name} cannot be set here; pass it to from_pretrained")


class _SpecialId:
    """The id of a special token; None if there is none."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name.removesuffix("_id")

    def __get__(self, tokenizer: "Lookup", owner: type) -> int | None:
        token = tokenizer.special_tokens_map.get(self.name)
        return None if token is None else tokenizer.convert_tokens_to_ids(token)

    def __set__(self, tokenizer: "Lookup", value: object) -> None:
        raise AttributeError(f"{self.name}_id cannot be set here; pass {self.name}")


class Lookup:
    """The part of a tokenizer that splits nothing: tokens, ids, and texts made of them."""

    unk_token, unk_token_id = _Special(), _SpecialId()
    sep_token, sep_token_id = _Special(), _SpecialId()
    pad_token, pad_token_id = _Special(), _SpecialId()
    cls_token, cls_token_id = _Special(), _SpecialId()
    mask_token, mask_token_id = _Special(), _SpecialId()

    def __init__(
        self,
        vocab: Mapping[str, int],
        normalize: Normalizer,
        added: Mapping[int, AddedToken],
        names: Mapping[str, str | None],
    ) -> None:
        _check_ids(vocab, added)
        vocabulary = Vocabulary(dict(vocab), normalize, added)
        self.special_tokens_map = _present(vocabulary, names)
        known = {token.content for token in added.values()}
        missing = [t for t in self.special_tokens_map.values() if t not in known]
        self._vocabulary = vocabulary.with_added(AddedToken(t, special=True) for t in missing)
        self._unk_id = vocab[self.special_tokens_map["unk_token"]]
        self.prefix = "##"
        self.decoder_cleanup = True
        self.clean_up_tokenization_spaces = False

    def __len__(self) -> int:
        """Return how many tokens there are, added ones included."""
        return len(self._vocabulary)

    @property
    def vocab_size(self) -> int:
        """How many tokens there are, without added ones."""
        return len(self._vocabulary.base)

    def get_vocab(self) -> dict[str, int]:
        """Return the ids of all tokens, added ones included."""
        return self._vocabulary.ids()

    def get_added_vocab(self) -> dict[str, int]:
        """Return the ids of the tokens that are looked for before a text is split."""
        return {token.content: number for number, token in self._vocabulary.added.items()}

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The tokens that are looked for before a text is split, by id."""
        return dict(self._vocabulary.added)

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens, those that have a role first."""
        special = [t.content for t in self._vocabulary.added.values() if t.special]
        return list(dict.fromkeys([*self.special_tokens_map.values(), *special]))

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of the special tokens."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    def add_tokens(
        self,
        new_tokens: str | AddedToken | Iterable[str | AddedToken],
        special_tokens: bool = False,
    ) -> int:
        """Add tokens that are never split; return how many were not yet added.

        A model knows nothing of a new id: its embeddings must be made larger to match.
        """
        if isinstance(new_tokens, str | AddedToken):
            new_tokens = [new_tokens]
        tokens = [
            replace(token, special=token.special or special_tokens)
            if isinstance(token, AddedToken)
            else AddedToken(token, special=special_tokens)
            for token in new_tokens
        ]
        new = [t for t in dict.fromkeys(tokens) if t not in self._vocabulary.added.values()]
        if new:
            self._vocabulary = self._vocabulary.with_added(new)
        return len(new)

    @overload
    def convert_tokens_to_ids(self, tokens: str) -> int: ...

    @overload
    def convert_tokens_to_ids(self, tokens: list[str]) -> list[int]: ...

    def convert_tokens_to_ids(self, tokens: str | list[str]) -> int | list[int]:
        """Return the id of a token, or of each; the unknown token's where there is none."""
        if not isinstance(tokens, str):
            return [self.convert_tokens_to_ids(token) for token in tokens]
        number = self._vocabulary.id(tokens)
        return self._unk_id if number is None else number

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> str | list[str]:
        """Return the token of an id, or of each; ValueError if an id has none."""
        ids = _plain(ids)
        if not isinstance(ids, list):
            return self._vocabulary.token(_whole(ids))
        skipped = set(self.all_special_ids) if skip_special_tokens else set()
        numbers = map(_whole, ids)
        return [self._vocabulary.token(number) for number in numbers if number not in skipped]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Return tokens as a text."""
        return join(tokens, self.prefix, self.decoder_cleanup)

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> Any:
        """Return ids as a text, and a list of rows as a list of texts.

        What normalising dropped (case, accents, spaces) does not come back.
        """
        ids = _plain(token_ids)
        rows = ids if isinstance(ids, list) else [ids]
        if any(isinstance(row, list) for row in rows):
            keywords = (skip_special_tokens, clean_up_tokenization_spaces)
            return [self.decode(row, *keywords) for row in rows]
        tokens = self.convert_ids_to_tokens(rows, skip_special_tokens)
        text = self.convert_tokens_to_string(list(tokens))
        cleans = clean_up_tokenization_spaces
        if self.clean_up_tokenization_spaces if cleans is None else cleans:
            text = clean_up(text)
        return text

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """Return a list of rows as a list of texts."""
        text = self.decode(sequences, skip_special_tokens, clean_up_tokenization_spaces)
        return [text] if isinstance(text, str) else list(text)


def _check_ids(vocab: Mapping[str, int], added: Mapping[int, AddedToken]) -> None:
    tokens: dict[int, str] = {}
    entries = [*vocab.items(), *((token.content, number) for number, token in added.items())]
    for token, number in entries:
        if type(number) is not int or not 0 <= number < 2**31:
            raise ValueError(
                f"the token {token!r} has the id {number!r:.60}; "
                "needed: a whole number from 0 to 2147483647"
            )
        if tokens.setdefault(number, token) != token:
            raise ValueError(f"two tokens have the id {number}: {tokens[number]!r} and {token!r}")
    for number, added_token in added.items():
        if vocab.get(added_token.content, number) != number:
            raise ValueError(
                f"the added token {added_token.content!r} has the id {number}; "
                f"the vocabulary gives it {vocab[added_token.content]}"
            )


def _present(vocabulary: Vocabulary, names: Mapping[str, str | None]) -> dict[str, str]:
    """Return the special tokens that there are; ValueError if one is missing."""
    present: dict[str, str] = {}
    for name, token in names.items():
        if token is None:
            continue
        if not isinstance(token, str):
            raise TypeError(f"{name} is {token!r}; needed: text")
        # WordPiece itself needs the unknown token; the others may be added ones
        known = vocabulary.base if name == "unk_token" else vocabulary.ids()
        if token in known:
            present[name] = token
        elif name != _MAY_BE_MISSING:
            raise ValueError(
                f"the vocabulary has no {token!r}, the {name}; "
                f"pass {name}= the name that it has there"
            )
    return present


def _plain(ids: Any) -> Any:
    """Return ids as Python's lists and numbers: those of an array, or of a tokenizer's result."""
    if isinstance(ids, Mapping):
        ids = ids["input_ids"]
    if hasattr(ids, "tolist"):
        return ids.tolist()
    return [_plain(item) for item in ids] if isinstance(ids, list | tuple) else ids


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no token id; needed: whole numbers, in lists or an array")
    return value
