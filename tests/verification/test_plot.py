import math
import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from shown import EVIL, realistic, report, row

from minibert.verification.page import page
from minibert.verification.plot import LINES, WIDTH, plot

ODD = [0.0, math.nan, math.inf, None, 1e-7, 5e-324, 1e300]


def drawn(rows):
    numbers = {row.stage: i for i, row in enumerate(report(rows).faults, 1)}
    return ElementTree.fromstring(plot(rows, 8.0, numbers))


def paths(svg, style):
    return [path.get("d") for path in svg.iter("path") if path.get("class") == style]


def numbers(path):
    return [float(number) for number in re.findall(r"-?[\d.]+", path)]


def box(svg):
    """The stages and decades of the grid."""
    return numbers(svg.find("svg").get("viewBox"))[2:]


def rows_of(values, **others):
    return [row(f"layer.{i}", accumulated=value, **others) for i, value in enumerate(values)]


def labels(svg, style):
    return [text for text in svg.iter("text") if text.get("class") == style]


def percent(text):
    return float(text.removesuffix("%"))


@pytest.mark.parametrize("count", [1, 2, 99, 200, 1000])
def test_every_stage_is_inside(count):
    svg = drawn((realistic(84).rows)[:count])
    stages, decades = box(svg)
    assert stages == count
    assert [float(tip.get("x")) for tip in svg.iter("rect")] == list(range(count))
    for name in LINES:
        for path in paths(svg, f"line {name}") + paths(svg, f"dot {name}"):
            points = numbers(path.replace("h0", ""))
            assert points[::2] == [i + 0.5 for i in range(count)]
            assert all(0 <= y <= decades for y in points[1::2])
    for element in svg.iter():
        places = [element.get(name, "") for name in ("x", "y", "x1", "x2", "y1", "y2", "cx")]
        assert all(0 <= percent(place) <= 100 for place in places if place.endswith("%"))


def test_what_has_no_logarithm_is_on_an_edge():
    svg = drawn(rows_of([*ODD[:4], 1e-7, 1e-7], added=None))
    _, decades = box(svg)
    first, second = (numbers(path) for path in paths(svg, "line accumulated")[0].split("M")[1:])
    assert first == [0.5, decades, 1.5, 0, 2.5, 0]
    assert len(second) == 4
    assert all(0 < y < decades for y in second[1::2])


def test_extremes_stay_inside_and_have_few_labels():
    svg = drawn(rows_of(ODD))
    for path in svg.iter("path"):
        assert re.fullmatch(r"[MLHVhvz\d. -]+", path.get("d"))
    places = sorted(percent(text.get("y")) for text in labels(svg, "y"))
    assert 2 < len(places) < 14
    assert min(b - a for a, b in pairwise(places)) * 280 / 100 >= 20


def test_a_decade_is_as_high_as_another():
    (path,) = paths(drawn(rows_of([1e-9, 1e-7, 1e-5, 1e-3])), "line accumulated")
    heights = numbers(path)[1::2]
    assert [a - b for a, b in pairwise(heights)] == pytest.approx([2, 2, 2], abs=2e-3)


def test_heights_are_those_of_the_labels():
    svg = drawn(rows_of([1e-9, 1e-2]))
    _, decades = box(svg)
    (path,) = paths(svg, "line accumulated")
    for label in labels(svg, "y"):
        y = percent(label.get("y")) / 100 * decades
        if label.text == "1e-9":
            assert y == pytest.approx(numbers(path)[1], abs=2e-3)
    assert "1e-9" in [label.text for label in labels(svg, "y")]


def test_a_line_is_broken_where_there_is_no_value():
    svg = drawn(rows_of([1e-7, 1e-7, None, 1e-7, None, 1e-7, 1e-7]))
    assert paths(svg, "line accumulated")[0].count("M") == 2
    (dot,) = paths(svg, "dot accumulated")
    assert dot.startswith("M3.5 ")
    assert dot.endswith("h0")


def test_one_stage_is_a_dot():
    svg = drawn([row("pooler")])
    assert all(len(paths(svg, f"dot {name}")) == 1 for name in LINES)
    assert all(not paths(svg, f"line {name}") for name in LINES)


def test_the_band_is_the_factor_times_the_floor():
    svg = drawn([row("a", accumulated=8e-7), row("b", accumulated=8e-7)])
    (band,), (line,) = paths(svg, "band"), paths(svg, "line accumulated")
    assert numbers(band)[3] == numbers(line)[1]


def test_faults_have_the_numbers_of_their_list():
    found = page(realistic())
    flags = re.findall(r'<text class="flag"[^>]*>(\d+)<', found)
    assert flags == ["1", "2"]
    listed = re.findall(r"<li><code>(.*?)</code>", found)
    faults = [row.stage for row in realistic().faults]
    assert [re.sub("<wbr>", "", name) for name in listed] == faults


def test_faults_of_one_group_have_one_number():
    rows = [row("embeddings", "FAULT"), *(row(f"layer.{i}", "FAULT") for i in (0, 1))]
    assert re.findall(r'<text class="flag"[^>]*>(\d+)<', page(report(rows))) == ["1", "2", "2"]


def test_faults_side_by_side_are_all_marked_and_their_numbers_apart():
    svg = drawn([row(f"layer.{i}", "FAULT", 1e-3, 1e-3, 1e-7) for i in range(200)])
    assert len([line for line in svg.iter("line") if line.get("class") == "fault"]) == 200
    places = [percent(circle.get("cx")) / 100 * WIDTH for circle in svg.iter("circle")]
    assert 2 < len(places) < 20
    assert min(b - a for a, b in pairwise(places)) >= 18


@pytest.mark.parametrize("layers", [1, 8, 48, 120])
def test_labels_of_layers_do_not_overlap(layers):
    *texts, title = labels(drawn(realistic(layers).rows), "x")
    spans = []
    for text in texts:
        middle, half = percent(text.get("x")) / 100 * WIDTH, len(text.text) * 6.7 / 2
        spans.append((middle - half, middle + half))
    assert len(spans) > min(layers, 6) - 1
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert spans[0][0] >= 0
    assert spans[-1][1] <= WIDTH
    assert title.text == "stage, in network order, by layer"


def test_a_layer_is_labelled_in_its_middle():
    rows = [row("embeddings"), *(row(f"layer.7.{name}") for name in "abcd"), row("pooler")]
    label, _ = labels(drawn(rows), "x")
    assert (label.text, label.get("x")) == ("7", "50.00%")


@pytest.mark.parametrize("name", [EVIL, f"layer.{EVIL}", "layer", "layer.", "layer.²", "layer.1x"])
def test_only_layers_are_labelled(name):
    assert len(labels(drawn([row(name)]), "x")) == 1


def test_a_pointer_is_told_the_numbers():
    title = drawn([row("pooler", "FAULT", 2e-3, 1e-3, 1e-7)]).find("svg/rect/title").text
    assert title == "pooler: FAULT, floor 1.0e-07, accumulated 2.0e-03, added 1.0e-03"


def test_no_stage_no_drawing():
    assert "No stage was compared" in page(report([]))
    assert "<figure" not in page(report([]))
