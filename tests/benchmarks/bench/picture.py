"""The growth as a picture: four panels, both axes logarithmic, legible in grey."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOOKS = {
    "minibert": {"color": "#1f4e79", "marker": "o", "linestyle": "-"},
    "transformers sdpa": {"color": "#c0652b", "marker": "s", "linestyle": "--"},
}
GREY = "#666666"


def save(measured: dict[str, Any], file: Path) -> None:
    """Draw what growth.measure returned into a file; its ending says which format."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"font.size": 9, "svg.fonttype": "none", "svg.hashsalt": "minibert"}):
        figure = Figure(figsize=(9, 2.9), layout="constrained")
        axes = figure.subplots(1, 4, sharey=True)
        for place, (name, by_engine) in zip(axes, measured["least"].items(), strict=True):
            panel(place, name, by_engine, measured["at"][name])
        axes[0].set_ylabel("milliseconds")
        axes[0].yaxis.set_major_formatter("{x:g}")
        name_lines(axes[0], measured["least"]["layers"])
        figure.supxlabel("dotted: where each stays while another grows", color=GREY, fontsize=8)
        figure.savefig(file, dpi=160)


def panel(axes: Any, name: str, by_engine: Mapping[str, dict[str, float]], at: int) -> None:
    """Draw one axis's times."""
    for engine, times in by_engine.items():
        values = [int(value) for value in times]
        axes.plot(values, [1000 * t for t in times.values()], markersize=4, **LOOKS[engine])
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(values, values)
    axes.minorticks_off()
    axes.axvline(at, color=GREY, linewidth=0.6, linestyle=":")
    axes.set_title(name, loc="left", fontweight="bold", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)


def name_lines(axes: Any, by_engine: Mapping[str, dict[str, float]]) -> None:
    """Write each engine's name beside its line, the slower above and the faster below."""
    slowest = max(by_engine, key=lambda engine: sum(by_engine[engine].values()))
    for engine, times in by_engine.items():
        above = engine == slowest
        value = list(times)[-2 if above else 1]
        axes.annotate(
            engine,
            (int(value), 1000 * times[value]),
            xytext=(-6, 6) if above else (6, -6),
            textcoords="offset points",
            ha="right" if above else "left",
            va="bottom" if above else "top",
            color=LOOKS[engine]["color"],
        )
