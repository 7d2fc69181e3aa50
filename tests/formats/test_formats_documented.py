"""The table of formats in the documentation is that of the code."""

import re
from pathlib import Path

import pytest

from training.formats.reader import FORMATS, SHAPES

GUIDE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")


def rows(columns: int) -> list[list[str]]:
    lines = [
        line for line in GUIDE.splitlines() if line.startswith("| ") and line.count(" | ") == columns - 1
    ]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines][1:]


def test_every_shape_is_in_the_table_in_its_place() -> None:
    documented = [(name.strip("`"), tool, title) for name, tool, title, _ in rows(4)]
    assert documented == [
        (name, title, shape.title)
        for name, title in FORMATS.items()
        for shape in SHAPES
        if shape.format == name and shape.parse
    ]


def test_the_columns_in_the_table_tell_the_shape() -> None:
    for name, _, title, cell in rows(4):
        columns = [column.replace("NAME", "quality") for column in re.findall("`(.+?)`", cell)]
        (shape,) = [each for each in SHAPES if (each.format, each.title) == (name.strip("`"), title)]
        assert shape.fits(columns), title


@pytest.mark.parametrize("refusal", [shape.refusal for shape in SHAPES if shape.parse is None])
def test_every_refusal_is_explained(refusal: str) -> None:
    assert refusal[0].upper() + refusal[1:] in GUIDE


def test_every_format_has_a_name_and_a_shape() -> None:
    assert {shape.format for shape in SHAPES} == set(FORMATS)
