"""Tokens and their ids, and texts made of tokens: the part of a tokenizer that splits nothing."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from minibert.runtime.spelling import Spelled
from minibert.tokenizers.added import AddedToken, Finder
from minibert.tokenizers.batch_encoding import as_lists
from minibert.tokenizers.fields import require_utf8
from minibert.tokenizers.normalize import Normalized
from minibert.tokenizers.settings import EXTRA_NAMES, TOKEN_NAMES, Settings

_SPACED = {" .": ".", " ?": "?", " !": "!", " ,": ",", " ' ": "'", " n't": "n't"}
_SPACED |= {" 'm": "'m", " 's": "'s", " 've": "'ve", " 're": "'re"}


def _special(role: str, is_id: bool = False) -> Any:
    """Make a property: the special token of a role, or its id; None if there is none."""

    def get(vocabulary: "Vocabulary") -> str | int | None:
        token = vocabulary.special_tokens_map.get(role)
        return vocabulary.convert_tokens_to_ids(token) if is_id and token else token

    def put(vocabulary: "Vocabulary", value: Any) -> None:
        if is_id and value is not None:
            value = vocabulary.convert_ids_to_tokens(value)
        vocabulary.set_role(role, value)

    return property(get, put)


class Vocabulary(Spelled):
    """Tokens and those added to them; ValueError for ids that contradict."""

    bos_token, bos_token_id = _special("bos_token"), _special("bos_token", is_id=True)
    eos_token, eos_token_id = _special("eos_token"), _special("eos_token", is_id=True)
    unk_token, unk_token_id = _special("unk_token"), _special("unk_token", is_id=True)
    sep_token, sep_token_id = _special("sep_token"), _special("sep_token", is_id=True)
    pad_token, pad_token_id = _special("pad_token"), _special("pad_token", is_id=True)
    cls_token, cls_token_id = _special("cls_token"), _special("cls_token", is_id=True)
    mask_token, mask_token_id = _special("mask_token"), _special("mask_token", is_id=True)

    def __init__(self, vocab: Mapping[str, int], settings: Settings) -> None:
        self.clean_up_tokenization_spaces = settings.clean_up_tokenization_spaces
        check_ids(vocab, settings.added_tokens)
        self._base = dict(vocab)
        self._added = dict(settings.added_tokens)
        self._ids = self._base | self.get_added_vocab()
        self._tokens = {number: token for token, number in self._ids.items()}
        self._next_id = next_id(self._ids)
        self._finders: tuple[dict[int, AddedToken], Finder, Finder] | None = None
        self.special_tokens_map = self._special_tokens(settings)
        missing = {*self.special_tokens_map.values()} - {*self.get_added_vocab()}
        self.add_tokens(sorted(missing), special_tokens=True)

    def _special_tokens(self, settings: Settings) -> dict[str, str]:
        present: dict[str, str] = {}
        for name in TOKEN_NAMES:
            token = getattr(settings, name)
            if self._is_known(name, token):
                present[name] = token
            elif token is not None and (name, token) != ("mask_token", type(settings).mask_token):
                hint = f"pass {name}= the name that it has there"
                raise ValueError(f"the vocabulary has no {token!r:.60}, the {name}; {hint}")
        return present

    def _is_known(self, role: str, token: str | None) -> bool:
        return token in self._ids

    def _normalized(self, text: str, first: int = 0) -> Normalized:
        """Return what of a text is looked at, and where it came from, counted from first."""
        return Normalized(text, range(first, first + len(text)))

    def __len__(self) -> int:
        """Return how many tokens there are, added ones included."""
        return len(self._ids)

    @property
    def vocab_size(self) -> int:
        """How many tokens there are, without added ones."""
        return len(self._base)

    def get_vocab(self) -> dict[str, int]:
        """Return the ids of all tokens, added ones included."""
        return dict(self._ids)

    def get_added_vocab(self) -> dict[str, int]:
        """Return the ids of the tokens that are looked for before a text is split."""
        return {token.content: number for number, token in self._added.items()}

    vocab = property(get_vocab, doc="The ids of all tokens, added ones included.")

    @property
    def extra_special_tokens(self) -> list[str]:
        """The special tokens that have no role."""
        return [t for t in self.all_special_tokens if t not in self.special_tokens_map.values()]

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The tokens that are looked for before a text is split, by id."""
        return dict(self._added)

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens, those that have a role first."""
        special = [token.content for token in self._added.values() if token.special]
        return list(dict.fromkeys([*self.special_tokens_map.values(), *special]))

    @property
    def all_special_ids(self) -> list[int]:
        """The ids of the special tokens."""
        return [self._ids[token] for token in self.all_special_tokens]

    def add_tokens(
        self,
        new_tokens: str | AddedToken | Iterable[str | AddedToken],
        special_tokens: bool = False,
    ) -> int:
        """Add tokens that are never split; return how many were not yet added.

        A token of the vocabulary keeps its id, others get the next ones, which a model must learn.
        """
        if isinstance(new_tokens, str | AddedToken):
            new_tokens = [new_tokens]
        tokens = dict.fromkeys(
            replace(token, special=token.special or special_tokens)
            if isinstance(token, AddedToken)
            else AddedToken(token, special=special_tokens)
            for token in new_tokens
        )
        new = [t for t in tokens if self._added.get(self._ids.get(t.content, -1)) != t]
        added = dict(self._added)
        for token in new:
            number = self._ids.setdefault(token.content, self._next_id)
            self._next_id = max(self._next_id, number + 1)
            self._tokens[number] = token.content
            added[number] = token
        self._added = added
        return len(new)

    def add_special_tokens(self, special_tokens_dict: Mapping[str, Any]) -> int:
        """Add special tokens: {"pad_token": "[P]", "additional_special_tokens": ["[X]"]}.

        Returns how many were not yet added. Those with a role take it; the tokens around a text
        stay as they were read, as in transformers. ValueError for another role, or no token.
        """
        roles = dict(self.special_tokens_map)
        tokens: list[str | AddedToken] = []
        for name, value in special_tokens_dict.items():
            is_role = name in TOKEN_NAMES
            if not is_role and name not in EXTRA_NAMES:
                allowed = ", ".join((*TOKEN_NAMES, *EXTRA_NAMES))
                raise ValueError(f"{name!r:.60} is no role of a special token; allowed: {allowed}")
            values = [value] if is_role or not isinstance(value, list | tuple) else value
            if is_role != isinstance(value, str | AddedToken) or not all(
                isinstance(one, str | AddedToken) for one in values
            ):
                needed = "text or an AddedToken" if is_role else "a list of those"
                raise ValueError(f"{name} is {value!r:.60}; needed: {needed}")
            if is_role:
                roles[name] = getattr(value, "content", value)
            tokens += values
        self._check_roles(roles)
        count = self.add_tokens(tokens, special_tokens=True)
        self.special_tokens_map = {name: roles[name] for name in TOKEN_NAMES if name in roles}
        return count

    def set_role(self, role: str, token: str | AddedToken | None) -> None:
        """Let a token of the vocabulary have a role, or none: ``x.pad_token = x.eos_token``.

        ValueError for a token that is not there.
        """
        text = getattr(token, "content", token)
        if isinstance(text, str) and text not in self._ids:
            hint = f'add_special_tokens({{"{role}": ...}}) adds it, for a model that knows it'
            raise ValueError(f"there is no {text!r:.60} in the vocabulary to be {role}; {hint}")
        if token is not None:
            self.add_special_tokens({role: token})
            return
        roles = {name: text for name, text in self.special_tokens_map.items() if name != role}
        self._check_roles(roles)
        self.special_tokens_map = roles

    def _check_roles(self, roles: Mapping[str, str]) -> None:
        """Raise ValueError for a token whose role cannot be changed."""

    def finders(self) -> tuple[Finder, Finder]:
        """Return what finds added tokens in a text as written, and in a normalised text."""
        added = self._added
        if self._finders is None or self._finders[0] is not added:
            tokens = sorted(added.items(), key=lambda item: not item[1].special)
            written = [(t.content, i, t) for i, t in tokens if not t.normalized]
            normal = [(self._normalized(t.content).text, i, t) for i, t in tokens if t.normalized]
            self._finders = added, Finder(written), Finder(normal)
        return self._finders[1:]

    def convert_tokens_to_ids(self, tokens: str | list[str]) -> Any:
        """Return the id of a token, or of each; the unknown token's where there is none."""
        unknown = self._ids.get(self.special_tokens_map.get("unk_token", ""))
        if isinstance(tokens, str):
            return self._ids.get(tokens, unknown)
        return [self._ids.get(token, unknown) for token in tokens]

    def convert_ids_to_tokens(self, ids: Any, skip_special_tokens: bool = False) -> Any:
        """Return the token of an id, or of each; ValueError if an id has none."""
        ids = as_lists(_ids_of(ids))
        if not isinstance(ids, list):
            return self._token(ids)
        skipped = {*self.all_special_tokens} if skip_special_tokens else set()
        return [token for token in map(self._token, ids) if token not in skipped]

    def _token(self, number: Any) -> str:
        if not isinstance(number, int) or isinstance(number, bool):
            needed = "whole numbers, in lists or an array"
            raise TypeError(f"{number!r} is not a token id; needed: {needed}")
        if number not in self._tokens:
            raise ValueError(f"no token has the id {number}; allowed: 0 to {max(self._tokens)}")
        return self._tokens[number]

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Return tokens as a text."""
        raise NotImplementedError

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> Any:
        """Return ids as a text (without what normalising dropped), a list of rows as a list."""
        ids = as_lists(_ids_of(token_ids))
        rows = ids if isinstance(ids, list) else [ids]
        cleans = clean_up_tokenization_spaces
        if any(isinstance(row, list) for row in rows):
            return [self.decode(row, skip_special_tokens, cleans) for row in rows]
        text = self.convert_tokens_to_string(self.convert_ids_to_tokens(rows, skip_special_tokens))
        return clean_up(text) if self._cleans(cleans) else text

    def _cleans(self, asked: bool | None) -> bool:
        """Return whether a text loses its spaces before punctuation, asked for or not."""
        return self.clean_up_tokenization_spaces if asked is None else asked

    def batch_decode(self, sequences: Any, *options: Any, **named: Any) -> list[str]:
        """Return a list of rows as a list of texts; the options are those of decode."""
        text = self.decode(sequences, *options, **named)
        return [text] if isinstance(text, str) else list(text)


def next_id(ids: Mapping[str, int]) -> int:
    """Return the id that a new token gets: above all others, and not below their number."""
    return max([len(ids), *(number + 1 for number in ids.values())])


def check_ids(vocab: Mapping[str, int], added: Mapping[int, AddedToken]) -> None:
    """Raise ValueError for what is no token or no id, and for an id or a token that has two."""
    tokens: dict[int, str] = {}
    for token, number in [*vocab.items(), *((t.content, i) for i, t in added.items())]:
        require_utf8("a token", token)
        if type(number) is not int or not 0 <= number < 2**31:
            needed = "a whole number from 0 to 2147483647"
            raise ValueError(f"the token {token!r:.60} has the id {number!r:.60}; needed: {needed}")
        if tokens.setdefault(number, token) != token:
            raise ValueError(
                f"two tokens have the id {number}: {tokens[number]!r:.60} and {token!r:.60}"
            )
        if vocab.get(token, number) != number:
            other = f"the vocabulary gives it {vocab[token]!r:.60}"
            raise ValueError(f"the added token {token!r:.60} has the id {number}; {other}")


def _ids_of(given: Any) -> Any:
    return given["input_ids"] if isinstance(given, Mapping) else given


def clean_up(text: str) -> str:
    """Take away spaces before English punctuation and shortened words, as transformers does."""
    for spaced, written in _SPACED.items():
        text = text.replace(spaced, written)
    return text
