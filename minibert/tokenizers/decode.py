"""From tokens back to a text that reads well; what normalising dropped does not come back."""

from collections.abc import Sequence

_SPACED = (
    *((" .", "."), (" ?", "?"), (" !", "!"), (" ,", ","), (" ' ", "'"), (" n't", "n't")),
    *((" 'm", "'m"), (" 's", "'s"), (" 've", "'ve"), (" 're", "'re")),
)


def join(tokens: Sequence[str], prefix: str, cleanup: bool) -> str:
    """Put tokens together as the tokenizers library does: token by token, then nothing more."""
    spaced = (
        token if i == 0 else token[len(prefix) :] if token.startswith(prefix) else f" {token}"
        for i, token in enumerate(tokens)
    )
    if not cleanup:
        return "".join(spaced)
    return "".join(clean_up(token).replace(" do not", " don't") for token in spaced)


def clean_up(text: str) -> str:
    """Take away spaces before English punctuation and shortened words, as transformers does."""
    for spaced, written in _SPACED:
        text = text.replace(spaced, written)
    return text
