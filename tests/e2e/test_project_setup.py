"""A project from creation to its first answer, in a browser."""

import json
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, FilePayload, Page, expect

from labeling.models import Annotation, Project, Task
from tests.e2e.conftest import Problems, sign_in
from tests.labeling.objects import admin, annotator, joins, make_project, make_tasks

pytestmark = pytest.mark.django_db(transaction=True)

TWO_MINUTES = 120
ROWS = [
    {
        "prompt": "Explain rain to a child.",
        "responses": ["Clouds get heavy.", "Water falls down."],
        "model": "a",
    },
    {"prompt": "用一句话介绍北京。", "responses": ["北京是中国的首都。", "北京很大。"], "split": "train"},
]
FILE: FilePayload = {
    "name": "questions.jsonl",
    "mimeType": "application/jsonl",
    "buffer": "\n".join(json.dumps(row) for row in ROWS).encode(),
}


def test_a_project_in_two_minutes(
    page: Page, open_context: Callable[..., BrowserContext], axe: Callable[[Page], None]
) -> None:
    sign_in(page, admin())
    began = time.monotonic()

    # A name and a kind, by keyboard alone.
    page.goto("/projects/new/")
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.type("Kitchen questions")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("radio", name="Compare two samples")).to_be_checked()
    expect(page.locator("#preview .sample")).to_have_count(2)
    expect(page.locator("#preview .window-bar")).to_have_text("Kitchen questions")
    page.keyboard.press("Enter")
    page.wait_for_url("**/setup/#import")
    expect(page.get_by_text("No prompts yet")).to_be_visible()

    # A file, looked at before it is stored.
    page.get_by_label("or choose a file").set_input_files(FILE)
    expect(page.locator("#import-plan")).to_contain_text("2 tasks")
    expect(page.get_by_role("cell", name="用一句话介绍北京。")).to_be_visible()
    assert not Task.objects.exists()
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("Imported: 2 prompts")).to_be_focused()
    expect(page.locator("#steps")).to_contain_text("2 tasks, 2 of them open")
    expect(page.locator("#preview")).to_contain_text("Clouds get heavy.")

    # Somebody who will answer.
    page.get_by_role("link", name="Invite someone").click()
    page.get_by_label("Name", exact=True).focus()
    page.keyboard.type("Ben")
    page.keyboard.press("Enter")
    link = page.get_by_label("Link", exact=True).input_value()
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("[data-copied]")).not_to_be_empty()

    theirs = open_context(viewport={"width": 1440, "height": 900}).new_page()
    theirs.goto(link)
    expect(theirs.get_by_label("User name")).to_be_focused()
    for text in ("ben", "a quiet harbour", "a quiet harbour"):
        theirs.keyboard.type(text)
        theirs.keyboard.press("Tab")
    theirs.keyboard.press("Enter")
    theirs.get_by_role("link", name="Kitchen questions").first.click()
    expect(theirs.locator("#task .sample")).to_have_count(2)
    expect(theirs.locator("#task")).to_be_focused()
    first = theirs.locator("#task").inner_text()
    theirs.keyboard.press("2")
    theirs.keyboard.press("Enter")
    expect(theirs.locator("#task")).not_to_contain_text("Explain rain" if "Explain rain" in first else "北京")
    took = time.monotonic() - began
    print(f"From the first page to the first answer: {took:.1f} s")
    assert took < TWO_MINUTES
    assert Annotation.objects.count() == 1

    page.set_viewport_size({"width": 390, "height": 844})
    for address in ("/people/", "/projects/kitchen-questions/setup/"):
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
    expect(page.locator("#preview .sample").first).to_be_attached()
    axe(page)


def test_what_is_typed_survives_what_is_wrong(
    page: Page, problems: Problems, axe: Callable[[Page], None]
) -> None:
    problems.expected = "422"
    make_project()
    sign_in(page, admin())
    page.goto("/projects/stories/setup/")
    page.get_by_label("Name", exact=True).fill("Tales")
    page.get_by_label("Instructions for annotators").fill("Be **kind**.")
    expect(page.locator("#preview strong", has_text="kind")).to_be_visible()
    page.get_by_text("Quality and limits").click()
    page.get_by_label("Gold, percent").fill("70")
    page.get_by_role("button", name="Save settings").click()
    expect(page.get_by_text("Saved, except for the fields marked below")).to_be_visible()
    expect(page.get_by_label("Gold, percent")).to_have_value("70")
    expect(page.get_by_label("Gold, percent")).to_be_visible()
    assert Project.objects.get().name == "Tales"

    # Rows that are wrong are named, and can be left out.
    page.get_by_label("Paste prompts").fill('{"prompt": "Once"}\n{"x": 1}')
    expect(page.get_by_text("Row 2: the columns “x” are not known")).to_be_visible()
    expect(page.get_by_role("button", name="Import")).to_have_count(0)
    page.get_by_label("Leave this row out").check()
    page.get_by_role("button", name="Import").click()
    expect(page.get_by_text("Imported: 1 prompt")).to_be_visible()
    axe(page)


def test_people_are_found_sent_away_and_brought_back(page: Page, axe: Callable[[Page], None]) -> None:
    annotator("ann")
    project = make_project("inner", everybody=False)
    make_tasks(project)
    ada = joins(admin(), project, "admins")
    sign_in(page, ada)
    page.goto("/projects/inner/setup/")
    page.get_by_label("User name").fill("ann")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_text("ann: saved.")).to_be_visible()
    axe(page)
    page.goto("/people/")
    page.get_by_role("link", name="ann", exact=True).click()
    expect(page.get_by_label("Inner")).to_have_value("annotators")
    page.get_by_label("Inner").select_option("Reviewer")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_label("Inner")).to_have_value("reviewers")
    page.get_by_role("button", name="Deactivate").click()
    expect(page.get_by_text("ann can no longer sign in")).to_be_visible()
    page.get_by_role("button", name="Reactivate").click()
    expect(page.get_by_text("ann can sign in again")).to_be_visible()
    page.goto("/people/")
    axe(page)


@pytest.mark.parametrize("width", [390, 1024, 1440])
@pytest.mark.parametrize("samples", [2, 4, 9])
def test_buttons_in_the_preview_stay_inside_their_cards(page: Page, width: int, samples: int) -> None:
    project = make_project(feedback="rank", samples_per_task=samples)
    make_tasks(project, samples=samples)
    sign_in(page, admin())
    page.set_viewport_size({"width": width, "height": 900})
    page.goto("/projects/stories/setup/")
    cards = page.locator("#preview .sample")
    expect(cards).to_have_count(samples)
    outside = page.locator("#preview").evaluate(
        """preview => {
            const isInside = (inner, outer) => inner.left >= outer.left - 0.5 && inner.top >= outer.top - 0.5
                && inner.right <= outer.right + 0.5 && inner.bottom <= outer.bottom + 0.5;
            const holders = [...preview.querySelectorAll(".sample, .dock")];
            return holders.flatMap(holder => [...holder.querySelectorAll("button")]
                .filter(button => button.checkVisibility())
                .filter(button => button.scrollWidth > button.clientWidth
                    || !isInside(button.getBoundingClientRect(), holder.getBoundingClientRect()))
                .map(button => button.outerHTML));
        }"""
    )
    assert outside == []
    assert cards.first.locator("button:visible").count() == 3
