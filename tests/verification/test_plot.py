import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from shown import Report, Row, realistic

from minibert.verification.findings import faults
from minibert.verification.frame import BOTTOM, TOP, Frame
from minibert.verification.page import page
from minibert.verification.plot import LINES, SIZES, plot

ODD = [0.0, math.nan, math.inf, None, 1e-7, 5e-324, 1e300]


def drawn(rows, kind="wide"):
    return ElementTree.fromstring(plot(rows, 8.0, kind))


def paths(svg, style):
    return [path.get("d") for path in svg.iter("path") if path.get("class") == style]


def numbers(path):
    return [float(number) for number in re.findall(r"-?[\d.]+", path)]


def rows_of(values, **others):
    return [Row(f"layer.{i}", accumulated=value, **others) for i, value in enumerate(values)]


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("count", [1, 2, 99, 200, 1000])
def test_every_stage_is_inside(kind, count):
    rows = (realistic(84).rows)[:count]
    svg = drawn(rows, kind)
    width, height = SIZES[kind]
    for tip in svg.iter("rect"):
        assert float(tip.get("x")) >= 0
        assert float(tip.get("x")) + float(tip.get("width")) <= width
    for text in svg.iter("text"):
        assert 0 < float(text.get("y")) < height
    assert len(list(svg.iter("rect"))) == count


@pytest.mark.parametrize("kind", SIZES)
def test_zero_nan_and_infinity_have_lanes(kind):
    svg = drawn(rows_of(ODD), kind)
    labels = [text.text for text in svg.iter("text")]
    assert {"0", "NaN", "inf"} <= set(labels)
    for path in svg.iter("path"):
        assert re.fullmatch(r"[MLHVhvalz\d. -]+", path.get("d"))
    for text in svg.iter("text"):
        assert math.isfinite(float(text.get("x")))


def test_lanes_are_there_only_when_needed():
    labels = [text.text for text in drawn(rows_of([1e-7, 1e-3])).iter("text")]
    assert not {"0", "NaN", "inf"} & set(labels)


def test_a_decade_is_as_high_as_another():
    frame = Frame.around([1e-9, 0.0, 1e-2, math.inf, math.nan], 5, 960, 380)
    steps = [frame.y(10.0**e) - frame.y(10.0 ** (e + 1)) for e in range(-9, -2)]
    assert min(steps) > 10
    assert max(steps) - min(steps) < 1e-9
    order = [frame.y(v) for v in (math.nan, math.inf, 1e-2, 1e-9, 0.0)]
    assert order == sorted(order)
    assert order[0] > TOP
    assert order[-1] < 380 - BOTTOM
    assert min(b - a for a, b in pairwise(order)) > 5


def test_a_line_is_broken_where_it_has_no_height():
    svg = drawn(rows_of([1e-7, 1e-7, 0.0, 1e-7, 1e-7, None, 1e-7]))
    assert len(paths(svg, "line accumulated")) == 2
    (marks,) = paths(svg, "mark accumulated")
    assert marks.count("M") == 6


def test_higher_errors_are_higher():
    (path,) = paths(drawn(rows_of([1e-9, 1e-7, 1e-5, 1e-3])), "line accumulated")
    heights = numbers(path)[1::2]
    assert heights == sorted(heights, reverse=True)


def test_the_band_is_the_factor_times_the_floor():
    rows = [Row("a", accumulated=8e-7, floor=1e-7), Row("b", accumulated=8e-7, floor=1e-7)]
    svg = drawn(rows)
    (band,), (line,) = paths(svg, "band"), paths(svg, "line accumulated")
    assert numbers(band)[3] == numbers(line)[1]


def test_markers_differ():
    shapes = {re.sub(r"^M\S+ [\d.]+", "", marker(5, 5)) for marker, _ in LINES.values()}
    assert len(shapes) == 3


def test_faults_have_the_numbers_of_their_list():
    report = realistic()
    flags = [text.text for text in drawn(report.rows).iter("text") if text.get("class") == "flag"]
    assert flags == ["1", "2"]
    listed = re.findall(r"<li><code>(.*?)</code>", page(report))
    assert [re.sub("<wbr>", "", name) for name in listed] == [row.stage for row in faults(report)]


def test_a_fault_has_its_marks_where_others_have_none():
    rows = rows_of([1e-7] * 500)
    (few,) = paths(drawn(rows), "mark accumulated")
    rows[8] = Row("layer.8", "FAULT", 1e-7)
    (more,) = paths(drawn(rows), "mark accumulated")
    assert more.count("M") == few.count("M") + 1


def test_faults_side_by_side_are_all_marked_and_their_numbers_apart():
    rows = [Row(f"layer.{i}", "FAULT", 1e-3, 1e-3, 1e-7) for i in range(200)]
    svg = drawn(rows, "narrow")
    assert len(paths(svg, "fault")) == 200
    places = [float(c.get("cx")) for c in svg.iter("circle")]
    assert 2 < len(places) < 20
    assert min(b - a for a, b in pairwise(places)) >= 18


@pytest.mark.parametrize(("kind", "layers"), [("wide", 8), ("narrow", 8), ("narrow", 48)])
def test_labels_of_layers_do_not_overlap(kind, layers):
    svg = drawn(realistic(layers).rows, kind)
    spans, title = [], ""
    for text in svg.iter("text"):
        if text.get("class") == "x":
            x, half = float(text.get("x")), len(text.text) * 6.7 / 2
            title = text.text
            spans.append((x - half, x + half))
    spans.pop()  # the title, which is below
    assert len(spans) > 5
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert ("numbers are layers" in title) == (kind == "narrow")


def test_a_pointer_is_told_the_numbers():
    title = drawn([Row("pooler", "FAULT", 2e-3, 1e-3, 1e-7)]).find("rect/title").text
    assert title == "pooler: FAULT, floor 1.0e-07, accumulated 2.0e-03, added 1.0e-03"


def test_no_stage_no_drawing():
    assert plot([], 8.0, "wide") == ""
    assert "No stage was compared" in page(Report([]))
