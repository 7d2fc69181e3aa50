"""Drafts: saved in the browser at once and on the server a moment later, until the answer is stored."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import BrowserContext, Page, expect

from labeling import queue
from labeling.models import Annotation, Assignment
from tests.e2e.conftest import Problems
from tests.e2e.task_page import (
    card,
    log_in,
    open_task,
    press_digits_of,
    sample_letters,
    submitted_annotation,
    values_by_letter,
)

pytestmark = pytest.mark.django_db(transaction=True)


def kept(page: Page) -> None:
    """Wait until the server has the draft."""
    expect(page.locator(".saved")).to_have_text("Saved")


def in_browser(page: Page) -> list[str]:
    return list(page.evaluate("Object.keys(localStorage)"))


def test_a_draft_survives_a_reload(page: Page) -> None:
    open_task(page, "rank")
    press_digits_of(page, "CA")
    page.keyboard.press("c")
    page.keyboard.type("odd")
    page.reload()
    expect(page.locator(".order .chip")).to_have_count(2)
    expect(card(page, "C").locator(".status")).to_have_text("1st")
    expect(page.locator("#comment")).to_have_value("odd")


def test_a_draft_begun_in_one_browser_goes_on_in_another(
    page: Page, open_context: Callable[..., BrowserContext]
) -> None:
    open_task(page, "rank")
    press_digits_of(page, "BA")
    kept(page)
    other = open_context().new_page()
    log_in(other, Assignment.objects.get().annotator)
    other.goto("/projects/stories/work/")
    expect(other.locator(".order .chip")).to_have_count(2)
    assert sample_letters(other) == sample_letters(page)
    press_digits_of(other, "C")
    other.keyboard.press("Enter")
    assert values_by_letter(submitted_annotation(other), "rank") == {"B": 1, "A": 2, "C": 3}


def test_of_two_drafts_the_newer_one_wins(page: Page) -> None:
    open_task(page, "rank")
    press_digits_of(page, "A")
    kept(page)
    assignment = Assignment.objects.get()
    assert assignment.draft is not None
    newer = assignment.draft | {"comment": "from elsewhere", "saved": assignment.draft["saved"] + 1000}
    Assignment.objects.update(draft=newer)
    page.reload()
    expect(page.locator("#comment")).to_have_value("from elsewhere")
    Assignment.objects.update(draft=newer | {"comment": "long ago", "saved": 1})
    page.reload()
    expect(page.locator(".order .chip")).to_have_count(1)
    expect(page.locator("#comment")).to_have_value("")
    kept(page)
    assignment.refresh_from_db()
    assert assignment.draft["comment"] == ""


def test_a_draft_survives_a_lost_server_and_reaches_it_later(page: Page, problems: Problems) -> None:
    problems.expected = "ERR_FAILED"
    open_task(page, "rank")
    page.route("**/draft/", lambda route: route.abort())
    press_digits_of(page, "BA")
    expect(page.locator(".saved")).to_have_text("No connection: saved in this browser")
    assert Assignment.objects.get().draft is None
    page.unroute("**/draft/")
    page.reload()
    expect(page.locator(".order .chip")).to_have_count(2)
    kept(page)
    draft = Assignment.objects.get().draft
    assert draft is not None
    assert draft["state"]


def test_a_draft_the_server_refuses_breaks_nothing(page: Page, problems: Problems) -> None:
    problems.expected = "422"
    open_task(page, "rank")
    page.route("**/draft/", lambda route: route.fulfill(status=422, body="no"))
    press_digits_of(page, "BAC")
    expect(page.locator(".saved")).to_have_text("Saved in this browser")
    page.keyboard.press("Enter")
    assert values_by_letter(submitted_annotation(page), "rank") == {"B": 1, "A": 2, "C": 3}


def test_a_draft_of_another_version_of_the_page_is_left_alone(page: Page) -> None:
    open_task(page, "rank")
    drafts: list[Any] = [{"state": {"groups": [[7]]}}, {"state": None}, {"comment": 3, "saved": "x"}, [], 5]
    for draft in drafts:
        Assignment.objects.update(draft=draft)
        page.reload()
        expect(page.locator("#task")).to_be_focused()
        expect(page.locator(".order .chip")).to_have_count(0)
    press_digits_of(page, "A")
    expect(page.locator(".order .chip")).to_have_count(1)


def test_a_stored_answer_leaves_no_draft_behind(page: Page) -> None:
    open_task(page, "rank", count=2)
    press_digits_of(page, "BAC")
    kept(page)
    page.keyboard.press("Enter")
    expect(page.locator(".prompt .text")).to_have_text("Prompt 1")
    assert Assignment.objects.submitted().get().draft is None
    assert in_browser(page) == []
    page.keyboard.press("s")
    page.keyboard.press("Enter")
    expect(page.locator("#idle")).to_be_visible()
    assert in_browser(page) == []


def test_a_stale_lease_keeps_the_draft_and_claims_again(page: Page, problems: Problems) -> None:
    problems.expected = "409"
    open_task(page, "rank", count=2)
    press_digits_of(page, "BA")
    kept(page)
    queue.release(Assignment.objects.get())
    press_digits_of(page, "C")
    expect(page.locator("#notice")).to_contain_text("no longer reserved for you")
    expect(page.locator(".order .chip")).to_have_count(3)
    page.get_by_role("button", name="Claim it again").click()
    expect(page.locator("#notice")).to_contain_text("as you left it")
    page.keyboard.press("Enter")
    expect(page.locator(".prompt .text")).to_have_text("Prompt 1")
    assert values_by_letter(Annotation.objects.get(), "rank") == {"B": 1, "A": 2, "C": 3}


def test_signed_out_elsewhere_the_answer_stays_and_the_page_says_so(page: Page) -> None:
    project = open_task(page, "rank")
    page.context.clear_cookies(name=settings.SESSION_COOKIE_NAME)
    press_digits_of(page, "BA")
    expect(page.locator("#notice")).to_contain_text("You are signed out")
    log_in(page, Assignment.objects.get().annotator)
    page.goto(f"/projects/{project.slug}/work/")
    expect(page.locator(".order .chip")).to_have_count(2)


def test_old_drafts_do_not_stay_in_the_browser(page: Page) -> None:
    open_task(page, "rank")
    stale, fresh = json.dumps({"saved": 1}), "JSON.stringify({ saved: Date.now() })"
    page.evaluate(
        f"localStorage.setItem('hone:draft:998', {stale!r}); localStorage.setItem('hone:draft:999', {fresh})"
    )
    page.reload()
    expect(page.locator("#task")).to_be_focused()
    assert in_browser(page) == ["hone:draft:999"]
