"""A heat map over tokens: each token in its place in the text, darker the larger its error."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minibert.runtime.arrays import Array
from minibert.verification.findings import faults, number, visible

if TYPE_CHECKING:
    from minibert.verification.diagnosis import Diagnosis

LEVELS = 7  # the classes h0 to h6 of the style
MAX_STAGES = 8
MAX_TOKENS = 600  # of one stage; more is no longer a map

Texts = Sequence[Sequence[str]]


def token_texts(folder: str | os.PathLike[str], ids: NDArray[Any]) -> list[list[str]] | None:
    """Return the token of each id, (B, T); None if the checkpoint's tokenizer does not know them.

    A checkpoint without a tokenizer is no mistake: the columns are numbered then.
    """
    from minibert.tokenizers.bert import BertTokenizer  # few need it, and all would wait for it

    try:
        tokenizer = BertTokenizer.from_pretrained(folder)
        return [list(tokenizer.convert_ids_to_tokens(row)) for row in ids]
    except (OSError, ValueError):
        return None


def heat_maps(report: Diagnosis, tokens: Texts | None, stages: Sequence[str] | None) -> str:
    """Return a block for each stage, the first one open.

    Without stages: the faulty ones, or that with the largest error. Without tokens, which are the
    texts of each sequence, the columns are numbered.
    """
    known = report.token_errors
    names = _chosen(report) if stages is None else [name for name in stages if name in known]
    if not names:
        return "<p>No errors by token were recorded.</p>"
    return "\n".join(_block(name, known[name], tokens, name == names[0]) for name in names)


def _chosen(report: Diagnosis) -> list[str]:
    errors = report.token_errors
    faulty = [row.stage for row in faults(report) if row.stage in errors]
    largest = sorted(errors, key=lambda name: -_largest(errors[name]))
    return (faulty or largest[:1])[:MAX_STAGES]


def _largest(errors: NDArray[Any]) -> float:
    return float(np.where(np.isnan(errors), -1, errors).max(initial=-1))


def _block(name: str, values: NDArray[Any], tokens: Texts | None, is_open: bool) -> str:
    errors = np.asarray(values, dtype=np.float64)
    shown = _worst_sequences(errors)
    largest = f"<b>{number(_largest(errors))}</b>" if shown else "-"
    scale = _Scale(errors)
    parts = [
        f"<details{' open' if is_open else ''}>",
        f"<summary><code>{escape(visible(name))}</code>, largest error {largest}</summary>",
        scale.legend(),
        *(_sequence(b, errors[b], tokens, scale) for b in shown),
    ]
    if left := len(errors) - len(shown):
        parts.append(f"<p>Not shown: {left} sequences without tokens or with smaller errors.</p>")
    return "\n".join([*parts, "</details>"])


def _worst_sequences(errors: Array) -> list[int]:
    """Return the sequences to show, in their order: as many as have room, the worst ones."""
    real = [b for b in range(len(errors)) if not np.isnan(errors[b]).all()]
    real.sort(key=lambda b: -_largest(errors[b]))
    lengths = np.cumsum([int((~np.isnan(errors[b])).sum()) for b in real])
    kept = [b for b, length in zip(real, lengths, strict=True) if length <= MAX_TOKENS]
    return sorted(kept or real[:1])


class _Scale:
    """From an error to one of the classes: equal steps of the logarithm, at least a decade."""

    def __init__(self, errors: Array) -> None:
        sizes = np.log10(errors[np.isfinite(errors) & (errors > 0)])
        self.high = float(sizes.max(initial=-np.inf)) if sizes.size else 0.0
        self.low = min(float(sizes.min(initial=self.high)), self.high - 1)

    def level(self, error: float) -> int:
        """Return the class of an error."""
        if error <= 0 or math.isinf(error):
            return 0 if error <= 0 else LEVELS - 1
        share = (math.log10(error) - self.low) / (self.high - self.low)
        return min(int(LEVELS * share), LEVELS - 1)

    def legend(self) -> str:
        """Show the classes, each with the error that it begins at."""
        step = (self.high - self.low) / LEVELS
        starts = (10 ** (self.low + step * level) for level in range(LEVELS))
        chips = [f'<span class="h{k}">{number(start)}</span>' for k, start in enumerate(starts)]
        return f'<p class="tokens"><b>shades from</b> {" ".join(chips)}</p>'


def _sequence(b: int, errors: Array, tokens: Texts | None, scale: _Scale) -> str:
    texts = tokens[b] if tokens is not None and b < len(tokens) else ()
    chips = list(_chips(errors[:MAX_TOKENS].tolist(), texts, scale))
    if (left := len(errors) - MAX_TOKENS) > 0:
        chips.append(f"and {left} more")
    return f'<p class="tokens"><b>sequence {b}</b> {" ".join(chips)}</p>'


def _chips(errors: list[float], texts: Sequence[str], scale: _Scale) -> Iterator[str]:
    for padded, run in groupby(enumerate(errors), lambda item: math.isnan(item[1])):
        places = list(run)
        if padded:
            yield f'<span class="pad">{len(places)} padding</span>'
            continue
        for t, error in places:
            label = escape(visible(texts[t])) if t < len(texts) else str(t)
            style = f"h{scale.level(error)}"
            yield f'<span class="{style}">{label}<small>{number(error)}</small></span>'
