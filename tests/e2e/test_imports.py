"""A large file in a browser: previewed, a column named by hand, imported by a worker, cancelled once."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page, expect

from labeling.models import Assignment, DataImport, Generator, ImportedAnnotator, Prompt, Sample, Task
from labeling.preferences import comparisons
from tests.e2e.conftest import sign_in
from tests.labeling.objects import admin, make_project
from tests.processes import eventually, worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_artifacts")]


def write_parquet(path: Path, rows: int) -> Path:
    """Pairs whose prompt stands in a column of a name that says nothing."""
    table = pa.table(
        {
            "q": [f"Question {number // 2}: what happens next?" for number in range(rows)],
            "chosen": [f" The bear finds {number} apples." for number in range(rows)],
            "rejected": [f" The bear loses {number} apples." for number in range(rows)],
            "annotator": [number % 3 for number in range(rows)],
        }
    )
    pq.write_table(table, path)
    return path


@pytest.mark.parametrize("rows", [6_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_a_large_file_is_mapped_imported_and_cancelled(
    page: Page, tmp_path: Path, axe: Callable[[Page], None], rows: int
) -> None:
    project = make_project(feedback="pair", samples_per_task=2)
    sign_in(page, admin())
    page.goto("/projects/stories/setup/")
    file = write_parquet(tmp_path / "pairs.parquet", rows)

    def preview() -> None:
        page.get_by_label("or choose a file").set_input_files(file)
        expect(page.get_by_text("no column is taken for the prompt").first).to_be_visible()
        expect(page.get_by_role("button", name="Import", exact=True)).to_have_count(0)
        page.get_by_label("Column q", exact=True).select_option("prompt")
        expect(page.get_by_text("In the first 1,000 rows")).to_be_visible()
        expect(page.get_by_role("cell", name="Question 0: what happens next?").first).to_be_visible()

    preview()
    axe(page)
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1440, "height": 900})

    # Cancelled once: nothing of it stays.
    with worker(tmp_path):
        page.get_by_role("button", name="Import", exact=True).click()
        assert eventually(lambda: DataImport.objects.filter(state="running").exists())
        page.get_by_role("button", name="Cancel", exact=True).click()
        expect(page.get_by_text("Cancelled. Nothing was imported.")).to_be_visible()
        for model in (Prompt, Sample, Task, Assignment, Generator, ImportedAnnotator):
            assert not model.objects.exists()
        assert User.objects.count() == 1
        assert not list((tmp_path / "artifacts" / "imports").iterdir())

        # And once to its end.
        page.reload()
        preview()
        page.get_by_role("button", name="Import", exact=True).click()
        expect(page.get_by_role("progressbar")).to_be_visible()
        done = page.get_by_text(f"Imported: {rows // 2:,} prompts")
        expect(done).to_be_visible(timeout=300_000)
        expect(done).to_be_focused()
    assert sum(1 for _ in comparisons(project)) == rows
    assert ImportedAnnotator.objects.count() == 3
    axe(page)
