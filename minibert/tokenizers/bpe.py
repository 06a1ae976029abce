"""Byte pairs: a word into its characters, and these joined pair by pair, the first rule first.

Sennrich et al. 2016, "Neural machine translation of rare words with subword units".
"""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush

from minibert.tokenizers.byte_level import spell
from minibert.tokenizers.pieces import Piece, Pieces

_PLACES = 2**32  # more than a word has characters
# in place of an id: there is no such token; the symbol is now a part of the one before
_NONE, _JOINED = -1, -2


class BytePairs(Pieces):
    """The pieces of each word, whose places count its bytes.

    merges: pairs of tokens to join, the first before all others. ValueError if a token of these
    is not in the vocabulary. A byte without a token of its own is left out, as in the tokenizers
    library. whole: a word that is a token is not taken apart, whatever the merges would make of it.
    """

    def __init__(
        self, vocab: Mapping[str, int], merges: Sequence[tuple[str, str]], whole: bool = False
    ) -> None:
        super().__init__()
        self._whole = whole
        self._vocab = vocab
        self._tokens = {number: token for token, number in vocab.items()}
        self._merges: dict[tuple[int, int], tuple[int, int]] = {}
        for rank, (left, right) in enumerate(merges):
            if missing := [t for t in (left, right, left + right) if t not in vocab]:
                pair = f"merge {rank + 1} joins {left!r:.60} and {right!r:.60}"
                raise ValueError(f"{pair}, and the vocabulary has no {missing[0]!r:.60}")
            self._merges[vocab[left], vocab[right]] = rank, vocab[left + right]

    def _split(self, word: str) -> Iterator[Piece]:
        symbols = spell(word)
        if self._whole and symbols in self._vocab:
            yield Piece(self._vocab[symbols], symbols, 0, len(symbols))
            return
        ids = array("l", (self._vocab.get(character, _NONE) for character in symbols))
        starts: Sequence[int] = range(len(ids))
        if _NONE in ids:
            starts = array("l", (start for start in starts if ids[start] != _NONE))
            ids = array("l", (number for number in ids if number != _NONE))
        self._join(ids)
        for number, start in zip(ids, starts, strict=True):
            if number != _JOINED:
                token = self._tokens[number]
                yield Piece(number, token, start, start + len(token))

    def _join(self, ids: "array[int]") -> None:
        """Join pairs in place, the lowest rank first and the leftmost of these.

        A joined pair stands at its first place. A queue keeps the time to n log n.
        """
        last = len(ids) - 1
        after, before = array("l", range(1, last + 2)), array("l", range(-1, last))
        queue: list[int] = []
        rule = self._merges.get
        for place in range(last):
            if found := rule((ids[place], ids[place + 1])):
                queue.append(found[0] * _PLACES + place)
        heapify(queue)
        while queue:
            rank, place = divmod(heappop(queue), _PLACES)
            follower = after[place]
            if follower > last or ids[place] == _JOINED:
                continue
            found = rule((ids[place], ids[follower]))
            if not found or found[0] != rank:  # one of the two has been joined since
                continue
            ids[place], ids[follower] = found[1], _JOINED
            after[place] = following = after[follower]
            if following <= last:
                before[following] = place
                if found := rule((ids[place], ids[following])):
                    heappush(queue, found[0] * _PLACES + place)
            if (previous := before[place]) >= 0 and (found := rule((ids[previous], ids[place]))):
                heappush(queue, found[0] * _PLACES + previous)
