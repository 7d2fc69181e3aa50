"""The map of the code names files that exist, and the ten most likely changes."""

import re
from pathlib import Path

import pytest
from django.conf import settings

DOCS = Path(settings.BASE_DIR) / "docs"
PATH = re.compile(
    r"`((?:feedback_site|labeling|training|templates|static|tests|script)(?:/[\w.]+)*/?|[\w.]+\.(?:toml|md|py))`"
)


def paths_in(document: str) -> list[str]:
    """Paths in code marks, and the targets of relative links."""
    text = (DOCS / document).read_text(encoding="utf-8")
    links = [f"docs/{target}" for target in re.findall(r"\]\((?!https?:)([^)#]+)", text)]
    return [*PATH.findall(text), *links]


@pytest.mark.parametrize("document", sorted(path.name for path in DOCS.glob("*.md")))
def test_every_path_that_a_document_names_exists(document: str) -> None:
    missing = [path for path in paths_in(document) if not (Path(settings.BASE_DIR) / path).exists()]
    assert missing == []


def test_the_map_answers_the_ten_most_likely_changes() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (?!I want|---)(.+?) \| `", text, flags=re.MULTILINE)
    assert len(rows) == 10
    assert len(set(paths_in("architecture.md"))) > 40


def test_the_layers_in_the_picture_are_those_that_are_checked() -> None:
    text = (DOCS / "architecture.md").read_text(encoding="utf-8")
    contracts = (Path(settings.BASE_DIR) / "pyproject.toml").read_text(encoding="utf-8")
    drawn = set(re.findall(r"training/(\w+)", text.split("```")[1]))
    assert {name for name in drawn if f"training.{name}" not in contracts} == set()
