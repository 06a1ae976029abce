import io
import re

import pytest
from shown import evil, realistic, report, row

from minibert.checkpoint.files import visible
from minibert.verification.compare import Tolerance
from minibert.verification.table import fault_groups, table, wants_colour

ANSI = re.compile(r"\x1b\[[\d;]*m")
LONG = report(
    [
        row("layer.100.attention.probabilities" * 9, "FAULT", 1e-3, 1e-3, 1e-7, "because " * 90),
        row("x" * 300, "MISSING", None, None, None, detail="y" * 300),
    ],
    provenance={"model": "m" * 300, "reference": {"tools": "t " * 300}},
)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("result", [realistic(), evil(), LONG, report([])])
def test_eighty_columns(result):
    *lines, verdict = table(result).splitlines()
    assert max(map(len, lines)) <= 80
    assert verdict == visible(result.verdict)  # a line of its own, however long


@pytest.mark.parametrize("result", [realistic(), evil(), LONG])
def test_colour_adds_nothing_but_colour(result):
    plain, coloured = table(result), table(result, colour=True)
    assert coloured != plain
    assert ANSI.sub("", coloured) == plain
    assert "\x1b" not in plain


def test_a_terminal_obeys_nobody():
    rows = [row("\x1b[2Ja\u202eb", "\x1b[8m", cause="\x07", after="\x1b[1m")]
    rows += [row("pooler", "FAULT", detail="\x1b[1m")]
    sides = {"model": "\x1b[2J", "reference": {"tools": "\x1b[2J"}, "real_tokens": "\x1b[2J"}
    shown = table(report(rows, "\x1b[2J", provenance=sides))
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
    assert "This stage adds 1.0e-03, 10,000 times the floor." in shown
    assert "Probable cause: because because" in shown
    found = row("pooler", "FAULT", detail="found out", after="layer.1")
    unknown = " ".join(table(report([found])).split())
    assert "Found out. The fault lies after layer.1. No known variation explains it." in unknown
    odd = table(report([row("pooler", "SHAPE", None, None, None, detail="(2, 3) and (3, 2)")]))
    assert "1. SHAPE pooler\n   (2, 3) and (3, 2).\n" in odd


def test_a_cause_does_not_repeat_the_stage():
    shown = table(report([row("pooler", "FAULT", cause="pooler: the tanh is missing")]))
    assert "Probable cause: the tanh is missing." in shown


def test_what_is_the_same_in_several_layers_is_told_once():
    cause = "layer.{0}.attention: the reference agrees with no bias"
    faulty = [row(f"layer.{i}.attention", "FAULT", cause=cause.format(i)) for i in (0, 1, 10)]
    other = row("layer.2.attention", "FAULT", cause="something else")
    result = report([*faulty[:2], other, faulty[2]])
    assert fault_groups(result) == [faulty, [other]]
    shown = table(result)
    assert shown.count("the reference agrees with no bias") == 2  # and in the verdict
    assert "   The same in layers 1, 10.\n" in shown
    assert "\n2. FAULT layer.2.attention\n" in shown
    assert "The same in layer 1.\n" in table(report(faulty[:2]))


def test_one_cause_in_every_layer_is_told_once_whatever_comes_before_it():
    cause = "layer.{0}.attention, ..., layer.{0}: the reference agrees with x"
    rows = [
        row(
            f"layer.{i}",
            "FAULT",
            cause=cause.format(i),
            after=f"layer.{i - 1}" if i else "embeddings",
        )
        for i in range(12)
    ]
    shown = table(report(rows))
    assert shown.count("Probable cause") == 1
    assert "   The same in layers 1 to 11.\n" in shown
    unknown = [row(f"layer.{i}", "FAULT", after=f"x.{i}") for i in range(3)]
    assert "   The same in layers 1, 2.\n" in table(report(unknown))


def test_one_cause_at_stages_of_several_kinds_is_told_once():
    names = [
        "embeddings",
        *(f"layer.0.attention.{word}" for word in ("query", "key")),
        "predictions",
    ]
    names += [f"layer.{i}.feed_forward" for i in range(6)]
    cause = "the reference agrees with bfloat16 throughout"
    shown = " ".join(table(report([row(n, "FAULT", cause=f"{n}: {cause}") for n in names])).split())
    assert shown.count("Probable cause") == 1
    assert "The same at layer.0.attention.query, layer.0.attention.key, predictions, " in shown
    assert "layer.2.feed_forward, and 3 more." in shown
    other = [row(n, "FAULT", cause=f"{n}: {cause}: of {i}") for i, n in enumerate(names)]
    assert len(fault_groups(report(other))) == len(names)


@pytest.mark.parametrize("names", [("a.layer.1", "a.layer.2"), ("layer.1.x", "layer.01.x")])
def test_layers_are_those_of_the_names_whatever_they_are(names):
    shown = table(report([row(name, "FAULT") for name in names]))
    assert f"The same in layer {'2' if 'a' in names[1][:1] else '01'}." in shown


def test_another_side_is_another_fault():
    rows = [row(f"layer.{i}", "FAULT", side=side) for i, side in enumerate("AB")]
    assert fault_groups(report(rows)) == [[rows[0]], [rows[1]]]


def test_what_is_compared_is_told():
    theirs = {"checkpoint_sha256": "1"}
    facts = {"real_tokens": 7, "checkpoint_sha256": "1", "reference": theirs}
    result = report([row("pooler")], "bfloat16", provenance=facts, tolerance=Tolerance(1, 2))
    shown = " ".join(table(result).split())
    assert "7 real tokens were compared; the reference is in bfloat16." in shown
    assert "adds more than 8 times the floor" in shown
    assert "Besides, |ours - theirs| <= 1 + 2 * |theirs| is required." in shown
    assert "both sides have the same checkpoint." in shown


def test_a_precision_that_no_stage_shows_is_unknown():
    shown = " ".join(table(report([row("pooler", "SHAPE")], "unknown")).split())
    assert "compared; the reference's precision is unknown." in shown


def test_what_is_inherited_is_no_fault():
    shown = table(report([row("pooler", "INHERITED", 1e-3)]), colour=True)
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


def test_one_cause_at_places_where_the_model_does_different_things_is_said_once():
    told = {"layer.0": "the residual, then eps 1e-12", "embeddings": "eps 1e-12"}
    rows = [
        row(
            name, "FAULT", cause=f"{name}: the reference agrees with eps 1e-05, this model uses {x}"
        )
        for name, x in told.items()
    ]
    shown = " ".join(table(report(rows)).split())
    assert "The same at embeddings." in shown
    assert "2. FAULT" not in shown
