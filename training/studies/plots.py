"""Figures as SVG that reads on a light page and on a dark one."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

COLOURS = ("#3b82c4", "#d9772b", "#3a9e6f", "#b65fb0", "#c94f4f", "#9a8430", "#7f8791")
"""Apart from one another for most eyes, and visible on white and on black."""

# Text and axes are drawn in a colour that nothing else has, and that becomes the page's own.
_INK = "#010203"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "hone",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": _INK,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.titlesize": 10,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _INK,
    "grid.alpha": 0.15,
    "legend.frameon": False,
    "legend.fontsize": 9,
}
_THEME = "<style>svg{color:#1f2328}@media (prefers-color-scheme:dark){svg{color:#e6edf3}}</style>"  # the ink


@contextmanager
def panels(path: Path, *, rows: int = 1, columns: int = 1, legend: bool = True) -> Iterator[list[Axes]]:
    """Empty axes to draw in, row by row; at the end they are written to `path`, with one legend below."""
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
    drawn = path.read_text(encoding="utf-8").replace(_INK, "currentColor")
    head, mark, rest = drawn.partition("<defs>")
    path.write_text(head + _THEME + mark + rest, encoding="utf-8")
