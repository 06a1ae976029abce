"""The page in a real browser: what is drawn, at the widths of a phone and of a desk."""

import sys

import numpy as np
import pytest
from browser import Browser, find_chromium
from png import pixels
from shown import EVIL_TOKENS, TOKENS, evil, realistic, report, row

from minibert.verification.page import fragment, page

PROGRAM = find_chromium()
pytestmark = pytest.mark.skipif(
    PROGRAM is None or sys.platform != "linux",
    reason="no chromium here, so the page is not looked at: apt-get install chromium",
)

WIDTHS, SCHEMES = [360, 1280], ["light", "dark"]
LONG = report(
    [row("layer.0." + "x" * 400, "FAULT" * 9, 1e-3, 1e-3, 1e-7, "because" * 90)],
    provenance={"k" * 200: "v" * 3000, "reference": {"k" * 200: "v" * 3000}},
    token_errors={"layer.0." + "x" * 400: np.array([[1e-3, np.nan, 1e-4]])},
)
REPORTS = {
    "realistic": (realistic(), TOKENS),
    "200 stages": (realistic(17), TOKENS),
    "evil": (evil(), EVIL_TOKENS),
    "long": (LONG, [["z" * 300, "", "語" * 90]]),
}
SHADED = report(
    [row("pooler")], token_errors={"pooler": 10.0 ** np.arange(-9, -2)[None]}
)  # a token of each shade

# JavaScript, run by the debugger: the page's policy lets no script of its own run
OVERFLOWING = """[...document.querySelectorAll('.minibert, .minibert *')].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width && (box.right > innerWidth + 1 || box.left < -1);
}).map(e => e.outerHTML.slice(0, 200))"""
DRAWING = """(e => {
    const box = e.getBoundingClientRect(), text = e.querySelector('text').getBoundingClientRect();
    return [box.width, box.height, text.height];
})(document.querySelector('figure > svg'))"""
COLOURS = """[...new Set([...document.querySelectorAll('main, main *')].filter(e =>
    !e.closest('svg') && [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim())
).map(e => {
    let ground = e;
    while (getComputedStyle(ground).backgroundColor == 'rgba(0, 0, 0, 0)')
        ground = ground.parentElement;
    return getComputedStyle(e).color + ' on ' + getComputedStyle(ground).backgroundColor;
}))]"""
GROUND = "getComputedStyle(document.querySelector('%s')).backgroundColor"
SHADES = """[...document.querySelector('.tokens').querySelectorAll('span')].map(e => {
    const box = e.getBoundingClientRect();
    return [box.x + scrollX + 3, box.y + scrollY + box.height / 2];
})"""

LAB = """.jp-RenderedHTMLCommon tbody tr:nth-child(odd) { background: inherit; }
.jp-RenderedHTMLCommon tbody tr:nth-child(even) { background: #7f7f7f10; }
.jp-RenderedHTMLCommon code { background: #7f7f7f10; color: inherit; }
.jp-RenderedHTMLCommon td, .jp-RenderedHTMLCommon th { text-align: right; }"""
# the smallest contrast of a property of some elements with all the grounds beneath them
WORST = """((selector, property, base) => {
    const probe = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
    const light = layers => {
        layers.forEach(c => { probe.fillStyle = c; probe.fillRect(0, 0, 1, 1); });
        const [r, g, b] = [...probe.getImageData(0, 0, 1, 1).data].map(
            v => (v /= 255) > .04045 ? ((v + .055) / 1.055) ** 2.4 : v / 12.92);
        return .2126 * r + .7152 * g + .0722 * b;
    };
    return Math.min(...[...document.querySelectorAll(selector)].map(e => {
        const grounds = [base];
        for (let up = e; up.tagName != 'MAIN'; up = up.parentElement)
            grounds.splice(1, 0, getComputedStyle(up).backgroundColor);
        const found = [light(grounds), light([...grounds, getComputedStyle(e)[property]])];
        return (Math.max(...found) + .05) / (Math.min(...found) + .05);
    }));
})('%s', '%s', '%s')"""
# what JupyterLab's sanitizer does to an output that is not trusted
STRIPPED = """(() => {
    document.querySelectorAll('style').forEach(e => e.remove());
    document.querySelectorAll('svg').forEach(e => e.replaceWith(e.textContent));
    document.querySelectorAll('*').forEach(e => [...e.attributes].forEach(a => {
        if (!['hidden', 'title'].includes(a.name) || !a.value) e.removeAttribute(a.name); }));
    return document.body.innerText.trim();
})()"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(PROGRAM, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def show(browser, tmp_path):
    def show(text, width=360, scheme="light", sight="none"):
        path = tmp_path / "page.html"
        path.write_text(text, encoding="utf-8")
        browser.open(path.as_uri(), width, scheme, sight)

    return show


def colour(text):
    return np.array([int(number) for number in text.strip("rgba()").split(",")[:3]])


def contrast(one, other):
    linear = []
    for rgb in (one, other):
        share = rgb / 255
        curve = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        linear.append(float(curve @ [0.2126, 0.7152, 0.0722]))
    return (max(linear) + 0.05) / (min(linear) + 0.05)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", REPORTS)
def test_nothing_is_wider_than_the_screen(browser, show, name, width):
    show(page(*REPORTS[name]), width)
    assert browser.value("innerWidth") == width
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(OVERFLOWING) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_fragment_fits_as_well(browser, show, width):
    host = '<!DOCTYPE html><meta name="viewport" content="width=device-width"><body>'
    show(host + fragment(realistic()), width)
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value(OVERFLOWING) == []


@pytest.mark.parametrize("name", REPORTS)
def test_the_browser_loads_one_file_and_has_nothing_to_complain_of(browser, show, name):
    show(page(*REPORTS[name]))
    requests = [e for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    complaints = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
    assert len(requests) == 1
    assert [e for e in browser.events if e.get("method") in complaints] == []
    assert browser.value("document.compatMode") == "CSS1Compat"


def test_the_policy_stops_scripts_and_pictures(browser, show):
    evil = "<script>document.title = 'obeyed'</script><img src='http://127.0.0.1:9/x.png'>"
    styled = "<p id=styled style='color: rgb(1, 2, 3)'>x</p><style>#styled { top: 5px }</style>"
    show(page(realistic()).replace("</main>", evil + styled + "</main>"))
    assert browser.value("document.title").startswith("FAULT")
    style = browser.value("(s => [s.color, s.top])(getComputedStyle(styled))")
    assert style[0] != "rgb(1, 2, 3)"
    assert style[1] != "5px"
    blocked = [e for e in browser.events if e.get("method") == "Network.loadingFailed"]
    sent = [e for e in browser.events if e.get("method") == "Network.responseReceived"]
    assert {e["params"].get("blockedReason") for e in blocked} <= {"csp"}
    assert len(sent) == 1


@pytest.mark.parametrize("width", WIDTHS)
def test_the_drawing_has_the_room_there_is_and_its_letters_keep_their_size(browser, show, width):
    show(page(realistic()), width)
    across, height, letters = browser.value(DRAWING)
    assert across >= 0.75 * min(width, 960)
    assert height == 280
    assert 11 <= letters <= 18


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_lines_are_really_drawn(browser, show, width, scheme):
    show(page(realistic()), width, scheme)
    picture = pixels(browser.picture("svg.plot")).astype(int)
    grounds = (
        "['body', 'main'].map(e => getComputedStyle(document.querySelector(e)).backgroundColor)"
    )
    desk, paper = map(colour, browser.value(grounds))
    assert (desk == paper).all()
    assert (paper.mean() > 200) == (scheme == "light")
    assert 0.3 < (np.abs(picture - paper).max(-1) == 0).mean() < 0.9
    for line, share in {"accumulated": 0.6, "added": 0.45, "floor": 0.35}.items():
        stroke = f"getComputedStyle(document.querySelector('.plot .{line}')).stroke"
        near = np.abs(picture - colour(browser.value(stroke))).max(-1) <= 24
        assert near.any(0).mean() > share, line  # of the columns: dashes have gaps
        assert np.median(near.sum(0)) <= 3, line  # a stroke is thin, however stretched the grid
    around = pixels(browser.picture("figure"))[-200:, :40].astype(int)
    assert (np.abs(around - paper).max(-1) > 100).sum() > 100  # the labels on the left


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("scheme", SCHEMES)
def test_all_text_stands_out_as_it_is_shown(browser, show, width, scheme):
    show(page(realistic(), TOKENS), width, scheme)
    pairs = [[colour(side) for side in text.split(" on ")] for text in browser.value(COLOURS)]
    assert len(pairs) >= 9
    assert min(contrast(*pair) for pair in pairs) >= 4.5


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("host", ["#ffffff #000000de", "#111111 #ffffffde", "#383838 #d5d5d5"])
def test_a_fragment_has_the_colours_of_its_notebook(browser, show, host, scheme):
    """JupyterLab's light and dark, and Colab's dark, whatever the system prefers."""
    ground, text = host.split()
    style = f"main {{ background: {ground}; color: {text} }} {LAB}"
    body = f'<main class="jp-RenderedHTMLCommon">{fragment(realistic())}</main>'
    show(f"<!DOCTYPE html><style>{style}</style>{body}", 1280, scheme)
    texts = "main :is(h3, h4, p, li, code, th, td, caption, figcaption, summary, .tokens *)"
    assert browser.value(WORST % (f"{texts}, main svg text", "color", ground)) >= 4.5
    assert browser.value(WORST % ("main .plot text", "fill", ground)) >= 4.5
    assert browser.value(WORST % ("main .plot path.line", "stroke", ground)) >= 3


def test_a_notebook_that_strips_styles_and_drawings_shows_sentences_and_tables(browser, show):
    show(f"<!DOCTYPE html><body>{fragment(realistic())}")
    seen = browser.value(STRIPPED)
    assert seen.startswith("FAULT: layer.2.feed_forward.activation: the reference agrees")
    assert "Error by" not in seen
    numbers = [line for line in seen.splitlines() if line.count("e-0") > 1]
    rows = [line for line in numbers if line.count("\t") == 5]
    assert len(rows) == len(realistic().rows)
    assert len(numbers) - len(rows) <= 1  # a sentence about a fault


@pytest.mark.parametrize("scheme", SCHEMES)
def test_shades_are_in_order_for_who_sees_no_colour(browser, show, scheme):
    show(page(SHADED), 1280, scheme, "achromatopsia")
    picture = pixels(browser.picture(".tokens")).astype(int)
    left, top = browser.value(
        "(b => [b.x + scrollX, b.y + scrollY])"
        "(document.querySelector('.tokens').getBoundingClientRect())"
    )
    seen = [picture[round(y - top), round(x - left)] for x, y in browser.value(SHADES)]
    greys = [int(rgb.mean()) for rgb in seen]
    assert max(int(np.ptp(rgb)) for rgb in seen) <= 2  # they are grey
    steps = np.diff(greys) * (-1 if scheme == "light" else 1)
    assert len(greys) == 7
    assert steps.min() >= 5


def test_a_closed_block_opens_without_a_script(browser, show):
    show(page(realistic()))
    blocks = "[...document.querySelectorAll('details')].map(e => e.open)"
    assert browser.value(blocks) == [True, False]
    browser.value("document.querySelectorAll('summary')[1].click()")
    assert browser.value(blocks) == [True, True]
