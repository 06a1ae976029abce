"""GPT2Tokenizer, RobertaTokenizer and BartTokenizer: words into bytes, and these into pairs."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any, ClassVar

from minibert.runtime.warn import warn
from minibert.tokenizers.base import PreTrainedTokenizer, Word
from minibert.tokenizers.bpe import BytePairs
from minibert.tokenizers.byte_level import SPACE, ByteDecoder, words
from minibert.tokenizers.byte_level_form import BartForm, ByteLevelForm, GPT2Form, RobertaForm
from minibert.tokenizers.characters import SPACES
from minibert.tokenizers.encoding import Encoding, Slot, Token, Tokens
from minibert.tokenizers.fields import require_utf8
from minibert.tokenizers.settings import ByteLevelSettings

Merges = Sequence[tuple[str, str]]


class ByteLevelTokenizer(PreTrainedTokenizer):
    """Base of the tokenizers that split as GPT-2 does (Radford et al. 2019), and join bytes.

    The ids and offsets are those of the tokenizers library. A token of a part of a character stands
    where the whole character does. Any text comes back from its ids.
    """

    form: ClassVar[ByteLevelForm]
    _settings: ByteLevelSettings

    def __init__(self, vocab: Mapping[str, int], merges: Merges, **given: Any) -> None:
        settings = self.form.settings.of(merges=merges, **given)
        super().__init__(vocab, settings)
        self.add_prefix_space = settings.add_prefix_space
        self.errors = settings.errors
        self.merges = [*settings.merges]
        self.bpe = BytePairs(self._base, self.merges, settings.ignore_merges)

    def decoder(self, skip_special_tokens: bool = False) -> "StreamDecoder":
        """Return what turns ids into text as they come, one after the other."""
        return StreamDecoder(self, skip_special_tokens)

    def convert_tokens_to_string(self, tokens: list[str]) -> str:
        """Return the text whose bytes the tokens spell; what is no UTF-8 becomes U+FFFD."""
        return ByteDecoder(self.errors)(tokens, final=True)

    def _cleans(self, asked: bool | None) -> bool:
        if asked:
            hint = "bytes tell where the spaces were, so the text is as it was"
            warn(f"clean_up_tokenization_spaces=True has no effect with {self.form.title}: {hint}")
        return False

    def _split(self, text: str) -> Tokens:
        return super()._split(require_utf8("a text", text))

    def _words(self, text: str, positions: Sequence[int]) -> Iterator[Word]:
        if self.add_prefix_space and not text.startswith(" "):
            text, positions = f" {text}", [positions[0], *positions]  # it stands where they begin
        places = positions
        if not text.isascii():
            counts = [len(character.encode()) for character in text]
            places = [place for place, n in zip(positions, counts, strict=True) for _ in range(n)]
            ends = [0, *accumulate(counts)]
        for start, end in words(text):
            yield self.bpe[text[start:end]], places, start if text.isascii() else ends[start]

    def _row(self, slots: Sequence[Slot], texts: Sequence[Tokens], special: bool) -> Encoding:
        if self._settings.trim_offsets:
            kept = self._settings.keeps_first_space
            keeps = self.add_prefix_space if kept is None else kept
            texts = [[_trimmed(t, keeps, i == 0) for i, t in enumerate(tokens)] for tokens in texts]
        return super()._row(slots, texts, special)


class GPT2Tokenizer(ByteLevelTokenizer):
    """GPT-2's tokenizer, with the calls of transformers' class of that name.

    ``GPT2Tokenizer(vocab, merges, **settings)``: see GPT2Settings in settings.py.
    """

    form = GPT2Form()


class RobertaTokenizer(ByteLevelTokenizer):
    """RoBERTa's tokenizer: GPT-2's splitting, with <s> and </s> around a text.

    ``RobertaTokenizer(vocab, merges, **settings)``: see RobertaSettings in settings.py.
    """

    form = RobertaForm()


class BartTokenizer(RobertaTokenizer):
    """BART's tokenizer, which is RoBERTa's."""

    form = BartForm()


class StreamDecoder:
    """Turns the ids that a model writes into text: a character appears when all of it is there."""

    def __init__(self, tokenizer: ByteLevelTokenizer, skip_special_tokens: bool) -> None:
        self._tokenizer = tokenizer
        self._skips = skip_special_tokens
        self._decoder = ByteDecoder(tokenizer.errors)

    def __call__(self, ids: Any, final: bool = False) -> str:
        """Return the text that an id, or a list of them, completes.

        With ``final``, bytes that were held back are decoded too, as errors of the tokenizer says.
        All that is returned, put together, is what decode() makes of the ids.
        """
        rows = ids if hasattr(ids, "__len__") else [ids]
        tokens = self._tokenizer.convert_ids_to_tokens(rows, self._skips)
        return self._decoder(tokens, final)


def _trimmed(token: Token, keeps_first: bool, is_first: bool) -> Token:
    """Return a token whose place is without its spaces; of one that stands first, one may be kept.

    As in the tokenizers library: first is what begins a row or its text, and only a single space
    is kept.
    """
    number, text, (start, end), word = token
    is_space = [character == SPACE or character in SPACES for character in text]
    before = next((i for i, space in enumerate(is_space) if not space), len(text))
    after = next((i for i, space in enumerate(reversed(is_space)) if not space), len(text))
    is_kept = before == 1 and keeps_first and (is_first or start == 0)
    start = min(start + before - is_kept, end)
    if after and end >= after:
        end = max(end - after, start)
    return number, text, (start, end), word
