"""A result as one HTML page, and as a fragment of it for a notebook.

No script, no network. Everything that a result carries, names above all, may come from a
stranger's file: each text goes through ``_text``.
"""

import base64
import hashlib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibert.checkpoint.files import visible
from minibert.runtime.arrays import Array
from minibert.verification.names import axes_of
from minibert.verification.plot import LINES, plot
from minibert.verification.result import Result, StageResult, number, times
from minibert.verification.table import FIGURES, about, fault_groups, reasons

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
MAX_LETTERS = 400  # of one value of the provenance
LEVELS = 7  # shades of tokens, the classes h0 to h6 of the style
MAX_STAGES = 8  # whose tokens are shown
MAX_TOKENS = 600  # of one stage; more is no longer a picture
# pictures: without the style they would be a heap of numbers (an empty value would be dropped)
DRAWN = dict.fromkeys(("Error by stage", "Error by token"), ' hidden="hidden"')

Texts = Sequence[Sequence[str]]
Known = Mapping[bool, Texts | None]  # whether of what an encoder read -> of its tokens


def page(
    result: Result,
    tokens: Texts | None = None,
    stages: Sequence[str] | None = None,
    source: Texts | None = None,
) -> str:
    """Return a whole page, which loads and runs nothing, as its policy tells the browser.

    tokens: the text of each token, (B, T); without them, tokens are numbered. stages: those whose
    errors by token are shown; by default the first of each group of faults, or else that with the
    largest error. source: the text of each token that an encoder read, (B, S), if there is one.
    """
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return f"""\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{_text(result.verdict)}</title>
<style>{STYLE}</style>
</head>
<body class="minibert-page">
<main class="minibert">
{_body(result, {False: tokens, True: source}, stages, 1)}
</main>
</body>
</html>
"""


def fragment(result: Result) -> str:
    """Return what a notebook shows: the same, in the notebook's own colours.

    A notebook that is not trusted drops the style and the drawings, and keeps their numbers; it
    keeps ``hidden`` too, which only our style lifts. What is left are sentences and tables.
    """
    body = _body(result, {}, None, 3)
    return f'<style>{STYLE}</style>\n<div class="minibert minibert-cell">\n{body}\n</div>\n'


def token_texts(
    folder: str | os.PathLike[str], ids: NDArray[Any], **options: Any
) -> list[list[str]] | None:
    """Return the token of each id, (B, T); None if the folder's tokenizer does not know them all.

    A checkpoint without a tokenizer is no mistake: tokens are numbered then.
    options: of a Hub id, as in from_pretrained.
    """
    from minibert.models.auto import AutoTokenizer  # few need it, and all would wait for it

    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        return [list(tokenizer.convert_ids_to_tokens(row)) for row in ids]
    except (OSError, ValueError):
        return None


def _text(value: object) -> str:
    return escape(visible(value))


def _name(text: str) -> str:
    """Write names so that a narrow screen breaks them after dots and underscores, 1.5 never."""
    return re.sub(r"([._])(?=[^\W\d])", r"\1<wbr>", _text(text))


def _body(result: Result, tokens: Known, stages: Sequence[str] | None, level: int) -> str:
    sections = {
        "Faults": _faults(result),
        "Error by stage": _figure(result),
        "Error by token": _tokens(result, tokens, stages),
        "Where both sides are from": _provenance(result.provenance),
        "All stages": _table(result.rows),
    }
    kind = "good" if result.ok else "bad"
    parts = [
        f'<h{level} class="verdict {kind}">{_name(result.verdict)}</h{level}>',
        f"<p>{_text(' '.join(about(result)))}</p>",
        *(
            f"<section{DRAWN.get(title, '')}>\n<h{level + 1}>{title}</h{level + 1}>\n{content}\n"
            "</section>"
            for title, content in sections.items()
            if content
        ),
    ]
    return "\n".join(parts)


def _faults(result: Result) -> str:
    items = (
        f"<li><code>{_name(group[0].stage)}</code> <b>{_text(group[0].status)}</b><br>"
        f"{_text(' '.join(reasons(group)))}</li>"
        for group in fault_groups(result)
    )
    return "\n".join(["<ol>", *items, "</ol>"]) if result.faults else ""


def _figure(result: Result) -> str:
    if not result.rows:
        return "<p>No stage was compared.</p>"
    groups = enumerate(fault_groups(result), 1)
    drawing = plot(
        result.rows, result.factor, {row.stage: i for i, group in groups for row in group}
    )
    keys = [_key(f'<path class="line {name}" d="M0 7H36"/>', LINES[name]) for name in LINES]
    band = '<path class="band" d="M0 0H36V14H0z"/>'
    keys.append(_key(band, f"up to {result.factor:g} times the floor"))
    keys.append('<span class="key">on the edges: 0 below; infinity and NaN above</span>')
    return f"<figure>\n<figcaption>{' '.join(keys)}</figcaption>\n{drawing}\n</figure>"


def _key(drawing: str, meaning: str) -> str:
    sample = f'<svg viewBox="0 0 36 14" aria-hidden="true">{drawing}</svg>'
    return f'<span class="key">{sample} {meaning}</span>'


def _tokens(result: Result, tokens: Known, stages: Sequence[str] | None) -> str:
    errors = result.token_errors
    if stages is None:
        largest = sorted(errors, key=lambda name: -_largest(errors[name]))[:1]
        faulty = [name for row, *_ in fault_groups(result) if (name := row.stage) in errors]
        stages = (faulty or largest)[:MAX_STAGES]
    shown = [name for name in stages if name in errors]
    blocks = (
        _stage_tokens(name, errors[name], tokens.get(_is_of_source(name)), name == shown[0])
        for name in shown
    )
    return "\n".join(blocks) or "<p>No errors by token were recorded.</p>"


def _is_of_source(stage: str) -> bool:
    """Tell whether a stage has a row for each token of what an encoder read."""
    return "S" in (axes_of(stage) or ("",))[0][:2]


def _largest(errors: Array) -> float:
    return float(np.where(np.isnan(errors), -1, errors).max(initial=-1))


def _stage_tokens(name: str, errors: Array, tokens: Texts | None, is_open: bool) -> str:
    """Show each token in its place, darker the larger its error; NaN is padding."""
    shown = _worst_sequences(errors)
    sizes = np.log10(errors[np.isfinite(errors) & (errors > 0)].astype(np.float64))
    high = float(sizes.max(initial=-400))
    low = min(float(sizes.min(initial=high)), high - 1)  # shades are steps of the logarithm
    parts = [
        f"<details{' open' if is_open else ''}>",
        f"<summary><code>{_name(name)}</code>, largest error "
        f"<b>{number(_largest(errors)) if shown else '-'}</b></summary>",
    ]
    for b in shown:
        texts = tokens[b] if tokens is not None and b < len(tokens) else ()
        chips = " ".join(_chips(errors[b].tolist(), texts, low, high))
        parts.append(f'<p class="tokens"><b>sequence {b}</b> {chips}</p>')
    if left := len(errors) - len(shown):
        parts.append(f"<p>Not shown: {left} sequences without tokens or with smaller errors.</p>")
    return "\n".join([*parts, "</details>"])


def _worst_sequences(errors: Array) -> list[int]:
    """Return the sequences to show, in their order: as many as have room, the worst ones."""
    real = [b for b in range(len(errors)) if not np.isnan(errors[b]).all()]
    real.sort(key=lambda b: -_largest(errors[b]))
    lengths = np.cumsum([np.count_nonzero(~np.isnan(errors[b])) for b in real])
    return sorted(real[: max(1, int((lengths <= MAX_TOKENS).sum()))])


def _chips(errors: list[float], texts: Sequence[str], low: float, high: float) -> Iterator[str]:
    for padded, run in groupby(enumerate(errors[:MAX_TOKENS]), lambda item: math.isnan(item[1])):
        places = list(run)
        if padded:
            yield f'<span class="pad">{len(places)} padding</span>'
            continue
        for t, error in places:
            height = math.log10(error) if error > 0 else -math.inf
            share = min(max((height - low) / (high - low), 0), 1)
            label = _text(texts[t]) if t < len(texts) else str(t)
            shade = f"h{min(int(LEVELS * share), LEVELS - 1)}"
            yield f'<span class="{shade}">{label} <small>{number(error)}</small></span>'
    if (left := len(errors) - MAX_TOKENS) > 0:
        yield f"and {left} more"


def _table(rows: Sequence[StageResult]) -> str:
    heads = ("stage", "status", *FIGURES, "&times; floor")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    start = f'<table class="stages">\n<thead><tr>{head}</tr></thead>\n<tbody>'
    return "\n".join([start, *map(_row, rows), "</tbody>\n</table>"])


def _row(row: StageResult) -> str:
    figures = [number(getattr(row, name)) for name in FIGURES]
    cells = "".join(f"<td>{_text(cell)}</td>" for cell in (row.status, *figures, times(row.excess)))
    kind = ' class="bad"' if row.is_fault else ""
    return f'<tr{kind}><th scope="row"><code>{_name(row.stage)}</code></th>{cells}</tr>'


def _provenance(facts: Mapping[str, Any]) -> str:
    recorded = {"a": "Recording A", "b": "Recording B"}
    if "a" not in facts:
        recorded = {"reference": "Reference"}
    ours = {name: value for name, value in facts.items() if name not in ("a", "b", "reference")}
    sides = {"Model": ours, **{title: facts.get(name) or {} for name, title in recorded.items()}}
    return "\n".join(line for caption, side in sides.items() for line in _side(caption, side))


def _side(caption: str, facts: Mapping[str, Any]) -> Iterator[str]:
    yield f"<table>\n<caption>{caption}</caption>\n<tbody>"
    if not facts:
        yield "<tr><td>not known</td></tr>"
    for name in sorted(set(facts) - {"read_as", "lacking"}):  # said in sentences above
        yield f'<tr><th scope="row">{_name(name)}</th><td>{_text(_value(facts[name]))}</td></tr>'
    yield "</tbody>\n</table>"


def _value(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if value is None or not text:
        return "not known"
    left = len(text) - MAX_LETTERS
    return f"{text[:MAX_LETTERS]}... and {left} more letters" if left > 0 else text
