"""Tokens and their ids: those of WordPiece, and those added to them."""

from collections.abc import Iterable, Mapping

from minibert.tokenizers.added import AddedToken, Finder
from minibert.tokenizers.normalize import Normalizer


class Vocabulary:
    """All tokens of a tokenizer. It never changes: adding tokens makes another."""

    def __init__(
        self, base: Mapping[str, int], normalize: Normalizer, added: Mapping[int, AddedToken]
    ) -> None:
        self.base = base
        self.added = added
        self._normalize = normalize
        self._ids = {**base, **{token.content: number for number, token in added.items()}}
        self._tokens = {number: token for token, number in self._ids.items()}
        special_first = sorted(added.items(), key=lambda item: not item[1].special)
        self.as_written = Finder(
            (token.content, number, token)
            for number, token in special_first
            if not token.normalized
        )
        self.when_normalized = Finder(
            (normalize(token.content).text, number, token)
            for number, token in special_first
            if token.normalized
        )

    def __len__(self) -> int:
        return len(self._ids)

    def id(self, token: str) -> int | None:
        """Return the id of a token, None if it is not here."""
        return self._ids.get(token)

    def token(self, number: int) -> str:
        """Return the token of an id; ValueError if it has none."""
        try:
            return self._tokens[number]
        except KeyError:
            raise ValueError(
                f"no token has the id {number}; allowed: 0 to {max(self._tokens)}"
            ) from None

    def ids(self) -> dict[str, int]:
        """Return the ids of all tokens."""
        return dict(self._ids)

    def with_added(self, tokens: Iterable[AddedToken]) -> "Vocabulary":
        """Return this and more tokens; those not yet here get the next free ids."""
        added = dict(self.added)
        ids = dict(self._ids)
        free = max(len(self.base), *(number + 1 for number in ids.values()))
        for token in tokens:
            if token.content not in ids:
                ids[token.content] = free
                free += 1
            added[ids[token.content]] = token
        return Vocabulary(self.base, self._normalize, added)
