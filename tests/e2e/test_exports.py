"""The export page in a browser."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from labeling.feedback import Answer
from labeling.models import Project
from tests.e2e.conftest import Problems, sign_in
from tests.labeling.objects import annotator, make_project, make_tasks, reviewer, says

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def project() -> Project:
    project = make_project(feedback="pair", samples_per_task=2)
    for task in make_tasks(project, 3, samples=2):
        says(annotator(f"ann {task.pk}"), task, Answer(grade=2))
    return project


def test_a_reviewer_downloads_comparisons(
    page: Page, axe: Callable[[Page], None], project: Project, tmp_path: Path
) -> None:
    sign_in(page, reviewer())
    page.goto(f"/projects/{project.slug}/quality/")
    page.get_by_role("link", name="Export", exact=True).click()
    expect(page.get_by_role("heading", name="Export answers")).to_be_visible()
    axe(page)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "stories-trl-preference.jsonl"
    download.value.save_as(tmp_path / "pairs.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "pairs.jsonl").read_text().splitlines()]
    assert [(row["chosen"], row["rejected"]) for row in rows] == [(f"B{n}", f"A{n}") for n in range(3)]


def test_a_choice_that_does_not_fit_is_marked_and_can_be_corrected(
    page: Page, problems: Problems, project: Project
) -> None:
    problems.expected = "400"
    sign_in(page, reviewer())
    page.goto(f"/projects/{project.slug}/export/")
    page.get_by_role("radio", name="argilla").check()
    page.get_by_label("File").select_option("parquet")
    page.get_by_role("button", name="Download").click()
    expect(page.get_by_role("alert").first).to_contain_text("Nothing was exported")
    expect(page.get_by_text("argilla is written as JSON: choose JSON or JSON Lines.")).to_be_visible()
    expect(page.get_by_role("radio", name="argilla")).to_be_checked()


def test_it_fits_a_phone(open_context: Callable[..., BrowserContext], project: Project) -> None:
    page = open_context(viewport={"width": 390, "height": 844}).new_page()
    sign_in(page, reviewer())
    page.goto(f"/projects/{project.slug}/export/")
    expect(page.get_by_role("button", name="Download")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
