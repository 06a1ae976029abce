import base64
import hashlib
import math
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from shown import EVIL, EVIL_TOKENS, TOKENS, evil, realistic, report, row

from minibert.checkpoint.files import visible
from minibert.verification import page as module
from minibert.verification.page import STYLE, fragment, page

VOID = {"meta", "br", "wbr"}
SHAPES = {"svg", "path", "line", "circle", "rect", "text", "title"}
# tags and attributes that may stand in a page; no script, no link, no style of one element
TAGS = SHAPES | VOID
TAGS |= {"html", "head", "style", "body", "main", "div", "section", "h1", "h2", "h3", "h4", "p"}
TAGS |= {"ol", "li", "code", "b", "small", "span", "figure", "figcaption", "details", "summary"}
TAGS |= {"table", "caption", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {
    "hidden",
    "lang",
    "charset",
    "http-equiv",
    "content",
    "name",
    "class",
    "scope",
    "open",
}
ATTRIBUTES |= {"hidden", "viewbox", "preserveaspectratio", "role", "aria-label", "aria-hidden"}
ATTRIBUTES |= {"d", "x", "y", "dy", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height"}


class Parsed(HTMLParser):
    """Tags, attributes and text of a page whose tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], set(), {}, []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attributes}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        for tag in self.open:
            self.text[tag] = self.text.get(tag, "") + data


REPORTS = {
    "realistic": (realistic(), TOKENS),
    "evil": (evil(), EVIL_TOKENS),
    "empty": (report([]), None),
    "one stage": (report([row("embeddings")]), None),
    "200 stages": (realistic(17), TOKENS),
    "nothing known": (report([row("pooler", "MISSING", None, None, None)]), None),
}


@pytest.fixture(params=REPORTS)
def shown(request):
    """A report as a whole page."""
    return page(*REPORTS[request.param])


@pytest.mark.parametrize("name", REPORTS)
@pytest.mark.parametrize("show", [page, lambda found, _: fragment(found)])
def test_tags_are_ours_and_closed_in_order(name, show):
    parsed = Parsed(show(*REPORTS[name]))
    assert set(parsed.tags) <= TAGS
    assert parsed.attributes <= ATTRIBUTES


def test_each_text_of_a_stranger_is_shown_as_text():
    found = Parsed(page(evil(), EVIL_TOKENS)).text
    for tag in ("title", "h1", "p", "li", "code", "th", "td", "summary", "span"):
        assert EVIL in found[tag]


def test_what_does_not_print_is_written_out():
    rows = [row("a\x1b[31mb\u202ec\x00\ud800\n")]
    shown = page(report(rows))
    assert r"a\x1b[31mb\u202ec\x00\ud800\n" in shown
    assert not set("\x1b\u202e\x00\ud800") & set(shown)


def test_nothing_is_loaded(shown):
    style = re.search("<style>(.*)</style>", shown, re.S)[1]
    assert not re.search(r"url\(|@import|@font-face|//", style)
    policy = re.search('Content-Security-Policy" content="([^"]*)"', shown)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        f"style-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_the_verdict_comes_first():
    shown = page(realistic())
    assert re.search(r"<main[^>]*>\s*<h1[^>]*>FAULT: layer.2.<wbr>feed_<wbr>forward", shown)
    assert "<title>FAULT: layer.2.feed_forward.activation: the reference agrees" in shown


def test_a_report_has_everything():
    found = Parsed(page(realistic(), TOKENS)).text
    assert all(one.stage in found["th"] for one in realistic().rows)
    for text in ("53aa51172d", "torch 2.13.0", "eager", "all-MiniLM-L6-v2/model.safetensors"):
        assert text in found["td"]
    assert "gelu_new (tanh)" in found["li"]
    assert "have the same checkpoint" in found["p"]


def test_another_checkpoint_is_told():
    facts = {**realistic().provenance, "checkpoint_sha256": "00"}
    assert "DIFFERENT CHECKPOINTS" in page(report([row("pooler")], provenance=facts))


def test_a_value_without_end_is_cut():
    long = page(report([row("pooler")], provenance={"reference": {"note": "x" * 10_000}}))
    assert len(long) < len(page(report([row("pooler")]))) + 600
    assert "and 9600 more letters" in long


def test_names_break_and_numbers_do_not():
    shown = page(report([row("layer.0.feed_forward", "DIFF", detail="0.5 apart")]))
    assert "<code>layer.0.<wbr>feed_<wbr>forward</code>" in shown
    assert "forward: 0.5 apart</h1>" in shown


def test_a_fragment_is_a_part_of_a_page_with_its_own_style():
    shown = fragment(realistic())
    assert not {"html", "head", "body", "main", "title", "meta", "h1"} & (
        set(Parsed(shown).tags) - SHAPES
    )
    assert "<!DOCTYPE" not in shown
    plain = re.sub(r"/\*.*?\*/", "", STYLE, flags=re.S)
    for selectors in re.findall(r"([^{};]+)\{", plain):
        if not selectors.strip().startswith(("@media", "@supports")):
            for selector in selectors.split(","):
                assert re.match(r"\s*\.minibert(-page)?\b", selector), selector


class Stripped(HTMLParser):
    """What a notebook that is not trusted shows: no style, drawing, class or empty attribute."""

    def __init__(self, text):
        super().__init__()
        self.open, self.seen = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag == "style" or bool(dict(attributes).get("hidden")))
        self.seen += "\n" if tag in ("tr", "p", "li", "h3") else " " if tag in ("td", "th") else ""

    def handle_endtag(self, tag):
        if tag not in VOID:
            self.open.pop()

    def handle_data(self, data):
        self.seen += "" if any(self.open) else data


@pytest.mark.parametrize("name", REPORTS)
def test_without_its_style_a_fragment_is_sentences_and_tables(name):
    found, _ = REPORTS[name]
    lines = [
        words for line in Stripped(fragment(found)).seen.split("\n") if (words := line.split())
    ]
    numbers = [sum(bool(re.fullmatch(r"\d\.\de-\d\d", word)) for word in line) for line in lines]
    assert sum(count > 0 for count in numbers) <= len(found.rows) + len(found.faults)
    assert max(numbers) <= 3  # those of one stage
    assert " ".join(lines[0]) == " ".join(visible(found.verdict).split())
    assert {visible(row.stage).split()[0] for row in found.rows} <= {line[0] for line in lines}


def test_tokens_and_their_errors_are_words_apart():
    assert re.search(r">\[CLS\] <small>\d\.\de-", page(*REPORTS["realistic"]))


def test_the_same_report_gives_the_same_bytes():
    program = (
        "import hashlib; from shown import realistic; from minibert.verification.page import page;"
        "print(hashlib.sha256(page(realistic()).encode()).hexdigest())"
    )
    places = Path(module.__file__).parents[2], Path(__file__).parents[1] / "support"
    path = os.pathsep.join(map(str, places))
    found = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {hashlib.sha256(page(realistic()).encode()).hexdigest().encode() + b"\n"}


# colours: of the style's variables, in both schemes


def schemes():
    light, dark = re.findall(r"\.minibert \{\s*(--.*?)\}", STYLE, re.S)
    light, dark = (dict(re.findall(r"--(\w+): (#\w{6})", rules)) for rules in (light, dark))
    assert light.keys() == dark.keys()
    return {"light": light, "dark": dark}


def luminance(colour):
    """Return the relative luminance of WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def contrast(one, other):
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


TEXTS = [("ink", "paper"), ("soft", "paper"), ("bad", "paper"), ("good", "paper"), ("ink", "band")]
TEXTS += [("bad", "band")]  # a faulty row
TEXTS += [("low" if level < 4 else "high", f"h{level}") for level in range(7)]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), TEXTS)
def test_text_stands_out(scheme, text, ground):
    colours = schemes()[scheme]
    assert contrast(colours[text], colours[ground]) >= 4.5


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("line", ["accumulated", "added", "floor", "bad"])
@pytest.mark.parametrize("ground", ["paper", "band"])
def test_lines_stand_out(scheme, line, ground):
    colours = schemes()[scheme]
    assert contrast(colours[line], colours[ground]) >= 3


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_shades_are_in_order_in_grey(scheme):
    colours = schemes()[scheme]
    shades = [luminance(colours[f"h{level}"]) for level in range(7)]
    ratios = [contrast(colours[f"h{k}"], colours[f"h{k + 1}"]) for k in range(6)]
    assert shades == sorted(shades, reverse=scheme == "light")
    assert min(ratios) > 1.15


def test_lines_differ_by_more_than_colour():
    dashes = re.findall(r"\.line\.(\w+) \{ stroke-dasharray: ([\d. ]+); \}", STYLE)
    assert len(dict(dashes)) == 2
    assert len({pattern for _, pattern in dashes}) == 2
    assert math.isclose(contrast("#000000", "#ffffff"), 21)  # the measure itself
