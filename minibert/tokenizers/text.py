"""One text into tokens: added tokens out first, then normalise, split into words, into pieces."""

from minibert.tokenizers.encoding import Tokens
from minibert.tokenizers.normalize import Normalized, Normalizer
from minibert.tokenizers.vocabulary import Vocabulary
from minibert.tokenizers.wordpiece import WordPiece, word_pattern


def tokenize_text(
    text: str, vocabulary: Vocabulary, normalize: Normalizer, pieces: WordPiece
) -> Tokens:
    """Return the tokens of a text, without special tokens around them."""
    result = Tokens([], [], [], [])
    for part in vocabulary.as_written(text):
        if part.id is None:
            normalized = normalize(text[part.start : part.end], part.start)
            _append_stretch(result, normalized, vocabulary, pieces)
        else:
            _append_added(result, part.id, text[part.start : part.end], (part.start, part.end))
    return result


def _append_stretch(
    result: Tokens, given: Normalized, vocabulary: Vocabulary, pieces: WordPiece
) -> None:
    """Append what lies between added tokens that are looked for as written."""
    for part in vocabulary.when_normalized(given.text):
        places = slice(part.start, part.end)
        stretch = Normalized(given.text[places], given.positions[places])
        if part.id is None:
            _append_words(result, stretch, pieces)
        else:
            offsets = stretch.positions[0], stretch.positions[-1] + 1
            _append_added(result, part.id, stretch.text, offsets)


def _append_added(result: Tokens, number: int, token: str, offsets: tuple[int, int]) -> None:
    result.words.append(result.next_word())
    result.ids.append(number)
    result.tokens.append(token)
    result.offsets.append(offsets)


def _append_words(result: Tokens, stretch: Normalized, pieces: WordPiece) -> None:
    """Append the pieces of all words; a piece stands where its first and last character came from.

    The names stand for what they name: a look-up less for each token.
    """
    text, positions = stretch
    ids, tokens, offsets, words = result.ids, result.tokens, result.offsets, result.words
    for number, word in enumerate(word_pattern().finditer(text), result.next_word()):
        at = word.start()
        for piece_id, token, start, end in pieces[word[0]]:
            ids.append(piece_id)
            tokens.append(token)
            offsets.append((positions[at + start], positions[at + end - 1] + 1))
            words.append(number)
