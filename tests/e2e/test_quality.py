"""The quality page and adjudication in a browser."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from labeling.feedback import Answer
from labeling.models import Adjudication, Gold, Project, Task
from tests.e2e.conftest import sign_in
from tests.labeling.objects import admin, annotator, make_project, make_tasks, says

pytestmark = pytest.mark.django_db(transaction=True)


def answered_project(tasks: int = 14) -> Project:
    """Pairs answered by three who agree and one who always takes the first; on the first task all differ."""
    project = make_project(feedback="pair", samples_per_task=2, annotations_per_task=4, adjudicate_percent=50)
    people = [annotator(name) for name in ("amal", "beatriz", "chen", "karin")]
    for number, task in enumerate(make_tasks(project, tasks, samples=2)):
        for place, user in enumerate(people):
            lazy, turned = user.username == "karin", (number + place) % 2 == 0
            right = -2 if turned == (number % 3 == 0) else 2
            grade = -3 if lazy else (place - 1) * 3 if number == 0 else right
            given = Answer(
                grade=grade, seconds=20 + place, comment=f"{user} on {number}" if number < 2 else ""
            )
            says(user, task, given, turned=turned)
    Task.objects.filter(project=project).update(open=0)
    return project


def test_the_page_shows_who_to_look_at_first(page: Page, axe: Callable[[Page], None]) -> None:
    project = answered_project()
    sign_in(page, admin())
    page.goto(f"/projects/{project.slug}/quality/")
    expect(page.get_by_role("heading", name="Needs attention")).to_be_visible()
    expect(page.locator(".findings li").first).to_contain_text(
        "Picks the sample shown first in 14 of 14 answers"
    )
    expect(page.locator(".people tbody th").first).to_contain_text("karin")
    expect(page.get_by_text("No samples of two generators have been compared yet.")).to_be_visible()
    chart = page.get_by_role("img", name="Answers by day")
    expect(chart).to_be_visible()
    page.locator(".chart summary").first.click()
    expect(page.get_by_role("table").filter(has_text="56")).to_be_visible()
    axe(page)


def test_one_annotator_s_page_follows_them_over_time(page: Page, axe: Callable[[Page], None]) -> None:
    project = answered_project()
    sign_in(page, admin())
    page.goto(f"/projects/{project.slug}/quality/")
    page.locator(".people").get_by_role("link", name="karin").click()
    expect(page.get_by_role("heading", name="karin")).to_be_visible()
    expect(page.get_by_role("img", name=re.compile("Picks the first sample shown by day"))).to_be_visible()
    axe(page)


def test_on_a_phone_no_page_is_wider_than_the_screen(open_context: Callable[..., BrowserContext]) -> None:
    project = answered_project()
    task = project.tasks.earliest("pk")
    page = open_context(viewport={"width": 390, "height": 844}, has_touch=True).new_page()
    ada = admin()
    says(ada, task, Answer(grade=1))
    sign_in(page, ada)
    person = project.assignments.earliest("pk").annotator_id
    for path in ("quality/", f"quality/{person}/", "adjudication/", f"adjudication/{task.pk}/", "gold/"):
        page.goto(f"/projects/{project.slug}/{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, path


def test_the_last_word_comes_after_an_own_vote(page: Page, axe: Callable[[Page], None]) -> None:
    project = answered_project()
    task = project.tasks.earliest("pk")
    sign_in(page, admin())
    page.goto(f"/projects/{project.slug}/adjudication/")
    page.get_by_role("link", name="Prompt 0").click()
    expect(page.get_by_role("heading", name="Answer this task first")).to_be_visible()
    assert "on 0" not in page.content()
    page.get_by_role("button", name="Answer this task").click()
    page.wait_for_url(re.compile(r"/assignments/\d+/"))
    assert "on 0" not in page.content()
    page.keyboard.press("6")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(rf"/adjudication/{task.pk}/$"))
    expect(page.get_by_text("amal on 0")).to_be_visible()
    page.get_by_label("Reason").fill("The second keeps its promise.")
    page.get_by_role("button", name="Use my answer as final").click()
    expect(page.get_by_text("Your answer is now the final decision on this task.")).to_be_visible()
    assert Adjudication.objects.get().task == task
    page.get_by_label("Explanation").fill("Because it keeps its promise.")
    page.get_by_role("button", name="Use as training task").click()
    expect(page.get_by_text("Training task since")).to_be_visible()
    assert Gold.objects.get().explanation == "Because it keeps its promise."
    axe(page)


def test_the_pages_around_a_last_word_are_read_by_everybody(page: Page, axe: Callable[[Page], None]) -> None:
    project = answered_project(tasks=3)
    task = project.tasks.earliest("pk")
    ada = admin()
    sign_in(page, ada)
    for path in ("adjudication/", f"adjudication/{task.pk}/", "gold/"):
        page.goto(f"/projects/{project.slug}/{path}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        axe(page)
