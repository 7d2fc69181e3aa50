"""Plots as SVG for light and dark pages."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

COLOURS = ("#3b82c4", "#d9772b", "#3a9e6f", "#b65fb0", "#c94f4f", "#9a8430", "#7f8791")
"""Distinct for most colour vision, and visible on white and on black."""

GREY = "#7f8791"

# Text and axes are drawn in a colour that nothing else has, which is then replaced by the page's own.
_TEXT_COLOUR = "#010203"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hone",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _TEXT_COLOUR,
    "axes.edgecolor": _TEXT_COLOUR,
    "axes.labelcolor": _TEXT_COLOUR,
    "axes.titlecolor": _TEXT_COLOUR,
    "axes.titlesize": 10,
    "xtick.color": _TEXT_COLOUR,
    "ytick.color": _TEXT_COLOUR,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _TEXT_COLOUR,
    "grid.alpha": 0.15,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
_THEME = "<style>svg{color:#1f2328}@media (prefers-color-scheme:dark){svg{color:#e6edf3}}</style>"


@contextmanager
def svg_subplots(path: Path, *, rows: int = 1, columns: int = 1, legend: bool = True) -> Iterator[list[Axes]]:
    """Empty axes, row by row; on exit they are written to `path`, with one legend below."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.2 * columns, 3.1 * rows + 0.4), layout="constrained")
        FigureCanvasSVG(figure)
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        yield axes
        if legend:
            named = {
                label: handle
                for each in axes
                for handle, label in zip(*each.get_legend_handles_labels(), strict=True)
            }
            figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=min(4, 2 * columns))
        figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})
    svg = path.read_text(encoding="utf-8").replace(_TEXT_COLOUR, "currentColor")
    head, mark, rest = svg.partition("<defs>")
    path.write_text(head + _THEME + mark + rest, encoding="utf-8")


def plot_band(
    ax: Axes, x: Sequence[float], estimates: Sequence[Mapping[str, float]], *, colour: str, label: str
) -> None:
    """A line of estimates over `x`, with a band for their intervals."""
    ax.plot(x, [each["value"] for each in estimates], "o-", ms=3, color=colour, label=label)
    ax.fill_between(
        x,
        [each["low"] for each in estimates],
        [each["high"] for each in estimates],
        color=colour,
        alpha=0.13,
        linewidth=0,
    )


def plot_error_bars(
    ax: Axes, x: Sequence[float], estimates: Sequence[Mapping[str, float]], *, colour: str, label: str
) -> None:
    """Points of estimates at `x`, with bars for their intervals."""
    below = [each["value"] - each["low"] for each in estimates]
    above = [each["high"] - each["value"] for each in estimates]
    values = [each["value"] for each in estimates]
    ax.errorbar(x, values, yerr=[below, above], fmt="o", color=colour, capsize=3, label=label)
