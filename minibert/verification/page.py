"""The report as one HTML page, and as a fragment of it for a notebook.

No script, no network. Everything that a report carries, names above all, may come from a
stranger's file: each text goes through ``_text``.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from minibert.verification.findings import about, faults, number, reasons, times, visible
from minibert.verification.heat import Texts, heat_maps
from minibert.verification.plot import LINES, SIZES, plot

if TYPE_CHECKING:
    from minibert.verification.diagnosis import Diagnosis, StageResult

STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
MAX_LETTERS = 2000  # of one value of the provenance
FIGURES = ("accumulated", "added", "floor")


def page(
    report: Diagnosis, tokens: Texts | None = None, stages: Sequence[str] | None = None
) -> str:
    """Return a whole page; stages are those whose errors by token are shown.

    The policy lets the browser load and run nothing, and use this one style.
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
<title>{_text(report.verdict)}</title>
<style>{STYLE}</style>
</head>
<body class="minibert-page">
<main class="minibert">
{_body(report, tokens, stages, 1)}
</main>
</body>
</html>
"""


def fragment(
    report: Diagnosis, tokens: Texts | None = None, stages: Sequence[str] | None = None
) -> str:
    """Return what a notebook shows: the same, in a box of its own style."""
    body = _body(report, tokens, stages, 3)
    return f'<style>{STYLE}</style>\n<div class="minibert">\n{body}\n</div>\n'


def _text(value: object) -> str:
    return escape(visible(value))


def _name(text: str) -> str:
    """Write names so that a narrow screen breaks them after dots and underscores, 1.5 never."""
    return re.sub(r"([._])(?=[^\W\d])", r"\1<wbr>", _text(text))


def _body(report: Diagnosis, tokens: Texts | None, stages: Sequence[str] | None, level: int) -> str:
    def section(title: str, content: str) -> str:
        return f"<section>\n<h{level + 1}>{title}</h{level + 1}>\n{content}\n</section>"

    kind = "good" if report.ok else "bad"
    parts = [
        f'<h{level} class="verdict {kind}">{_name(report.verdict)}</h{level}>',
        f"<p>{escape(' '.join(about(report)))}</p>",
    ]
    if faults(report):
        parts.append(section("Faults", _faults(report)))
    parts += [
        section("Error by stage", _figure(report)),
        section("Error by token", heat_maps(report, tokens, stages)),
        section("Where both sides are from", _provenance(report)),
        section("All stages", _table(report)),
    ]
    return "\n".join(parts)


def _faults(report: Diagnosis) -> str:
    items = (
        f"<li><code>{_name(row.stage)}</code> <b>{_text(row.status)}</b><br>"
        f"{escape(' '.join(reasons(row)))}</li>"
        for row in faults(report)
    )
    return "\n".join(["<ol>", *items, "</ol>"])


def _figure(report: Diagnosis) -> str:
    if not report.rows:
        return "<p>No stage was compared.</p>"
    keys = " ".join([*map(_line_key, LINES), _band_key(report.factor)])
    drawings = [plot(report.rows, report.factor, kind) for kind in SIZES]
    caption = f"<figcaption>{keys}</figcaption>"
    return "\n".join(["<figure>", caption, *drawings, "</figure>"])


def _line_key(name: str) -> str:
    marker, meaning = LINES[name]
    line = f'<path class="line {name}" d="M0 7H36"/>'
    return _key(f'{line}<path class="mark {name}" d="{marker(18, 7)}"/>', meaning)


def _band_key(factor: float) -> str:
    band = '<path class="band" d="M0 0H36V14H0z"/>'
    return _key(band, f"up to {factor:g} times the floor")


def _key(drawing: str, meaning: str) -> str:
    sample = f'<svg viewBox="0 0 36 14" aria-hidden="true">{drawing}</svg>'
    return f'<span class="key">{sample} {meaning}</span>'


def _table(report: Diagnosis) -> str:
    heads = ("stage", "status", *FIGURES, "&times; floor")
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    rows = map(_row, report.rows)
    start = f'<table class="stages">\n<thead><tr>{head}</tr></thead>\n<tbody>'
    return "\n".join([start, *rows, "</tbody>\n</table>"])


def _row(row: StageResult) -> str:
    cells = [_text(row.status), *(number(getattr(row, name)) for name in FIGURES), times(row)]
    kind = ' class="bad"' if row.is_fault else ""
    stage = f'<th scope="row"><code>{_name(row.stage)}</code></th>'
    return f"<tr{kind}>{stage}{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _provenance(report: Diagnosis) -> str:
    ours = {name: value for name, value in report.provenance.items() if name != "reference"}
    theirs = report.provenance.get("reference") or {}
    return "\n".join([*_side("Model", ours), *_side("Reference", theirs)])


def _side(caption: str, facts: dict[str, object]) -> Iterator[str]:
    yield f"<table>\n<caption>{caption}</caption>\n<tbody>"
    if not facts:
        yield "<tr><td>not known</td></tr>"
    for name in sorted(facts):
        yield f'<tr><th scope="row">{_name(name)}</th><td>{_text(_value(facts[name]))}</td></tr>'
    yield "</tbody>\n</table>"


def _value(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if value is None or not text:
        return "not known"
    left = len(text) - MAX_LETTERS
    return f"{text[:MAX_LETTERS]}... and {left} more letters" if left > 0 else text
