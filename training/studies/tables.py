"""Tables in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

from training.studies.intervals import Estimate


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table; all columns but the first are aligned to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(_text(each) for each in line) + " |" for line in lines)


def annotations_table(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> str:
    """Estimates by number of annotations. A key is `metric/arm`; the arm becomes the head of its column.

    The row without a number of annotations is the mean over all of them.
    """
    body = [
        [
            f"{row['annotations']:,}" if row["annotations"] else "mean",
            *(str(Estimate(**row[key])) for key in keys),
        ]
        for row in rows
    ]
    return markdown_table(["annotations", *(key.partition("/")[2] for key in keys)], body)


def _text(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.3f}"  # noqa: PLR0124 - NaN alone differs from itself
    return str(value)
