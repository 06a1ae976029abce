import io
import math
import re

import pytest
from shown import EVIL, Report, Row, evil, realistic

from minibert.verification.findings import number, times, visible
from minibert.verification.terminal import table, wants_colour

ANSI = re.compile(r"\x1b\[[\d;]*m")
LONG = Report(
    [
        Row("layer.100.attention.probabilities" * 9, "FAULT", 1e-3, 1e-3, 1e-7, "because " * 90),
        Row("x" * 300, "MISSING", None, None, None, None, "y" * 300),
    ],
    ok=False,
    verdict="FAULT: " + "word " * 60,
    provenance={"model": "m" * 300, "reference": {"tools": "t " * 300}},
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("report", [realistic(), evil(), LONG, Report([])])
def test_eighty_columns(report):
    *lines, verdict = table(report).splitlines()
    assert max(map(len, lines)) <= 80
    assert verdict == visible(report.verdict)  # a line of its own, however long


@pytest.mark.parametrize("report", [realistic(), evil(), LONG])
def test_colour_adds_nothing_but_colour(report):
    plain, coloured = table(report), table(report, colour=True)
    assert coloured != plain
    assert ANSI.sub("", coloured) == plain
    assert "\x1b" not in plain


def test_a_terminal_obeys_nobody():
    rows = [Row("\x1b[2Ja\u202eb", "\x1b[8m", cause="\x07", after="\x1b[1m")]
    rows += [Row("pooler", "FAULT", detail="\x1b[1m")]
    sides = {"model": "\x1b[2J", "reference": {"tools": "\x1b[2J"}, "real_tokens": "\x1b[2J"}
    shown = table(Report(rows, verdict="\x1b]0;x\x07", precision="\x1b[2J", provenance=sides))
    assert all(c.isprintable() or c == "\n" for c in shown)


def test_statuses_are_words_and_the_verdict_is_last():
    lines = table(realistic()).splitlines()
    stages = [line.split() for line in lines if re.match(r"(embeddings|layer|pooler)", line)]
    assert [words[0] for words in stages] == [row.stage for row in realistic().rows]
    assert [words[1] for words in stages].count("FAULT") == 2
    assert {words[1] for words in stages} == {"OK", "FAULT", "INHERITED"}
    assert lines[-1] == realistic().verdict


def test_why_and_where():
    shown = " ".join(table(LONG).split())
    assert "It adds 1.0e-03, 10,000 times the floor of 1.0e-07." in shown
    assert "Probable cause: because because" in shown
    assert "The fault lies after" in shown
    unknown = table(Report([Row("pooler", "FAULT", detail="found out")], ok=False))
    assert "Found out. No known variation explains it." in " ".join(unknown.split())
    assert "It adds" not in unknown
    odd = table(Report([Row("pooler", "SHAPE", None, None, None, detail="(2, 3) and (3, 2)")]))
    assert "1. SHAPE pooler\n   (2, 3) and (3, 2).\n" in odd


def test_a_cause_does_not_repeat_the_stage():
    shown = table(Report([Row("pooler", "FAULT", cause="pooler: the tanh is missing")]))
    assert "Probable cause: the tanh is missing." in shown


def test_what_is_inherited_is_no_fault():
    shown = table(Report([Row("pooler", "INHERITED", 1e-3)]), colour=True)
    assert "1. INHERITED" not in shown
    assert "\npooler  INHERITED" in shown


def test_a_long_name_is_whole():
    assert "x" * 300 in table(LONG).replace("\n", "")


def test_colour_is_for_terminals(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert wants_colour(Terminal())
    assert not wants_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colour(Terminal())
    monkeypatch.setenv("NO_COLOR", "")  # as no-color.org has it: only if it is not empty
    assert wants_colour(Terminal())
    monkeypatch.setenv("TERM", "dumb")
    assert not wants_colour(Terminal())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (math.nan, "NaN"),
        (math.inf, "inf"),
        (1.25e-7, "1.2e-07"),
        (1e300, "1e+300"),
        (5e-324, "5e-324"),
        (9.99e-7, "1.0e-06"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("excess", "text"),
    [
        (None, "-"),
        (0.0, "0.0"),
        (3.04, "3.0"),
        (4000, "4,000"),
        (1e7, "1e+07"),
        (math.inf, "inf"),
        (math.nan, "NaN"),
    ],
)
def test_times_the_floor(excess, text):
    assert times(Row("pooler", added=None, excess=excess)) == text


@pytest.mark.parametrize("text", ["a b", "##été", "語", EVIL])
def test_what_prints_stays(text):
    assert visible(text) == text
