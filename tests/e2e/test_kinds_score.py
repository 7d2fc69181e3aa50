"""Scores, given by keyboard alone, by mouse alone and by touch."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from labeling.models import Annotation
from labeling.preferences import comparisons
from tests.e2e.task_page import (
    card,
    fits_touch_targets,
    open_task,
    phone_page,
    sample_letters,
    submitted_annotation,
    values_by_letter,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_by_keyboard_the_mark_moves_on_and_criteria_come_after_the_overall_score(page: Page) -> None:
    open_task(page, "score", samples=2, criteria=["kind"])
    first, second = sample_letters(page)
    expect(card(page, first).get_by_role("radio", name="3").last).to_be_disabled()
    for key in "4351":
        page.keyboard.press(key)
    expect(page.locator(".left")).to_contain_text("4 of 4")
    page.keyboard.press("u")
    page.keyboard.press("2")
    page.keyboard.press("ArrowUp")  # back to the second's overall score
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    annotation = submitted_annotation(page)
    assert values_by_letter(annotation, "score") == {first: 4, second: 3}
    assert values_by_letter(annotation, "criteria") == {first: {"kind": 3}, second: {"kind": 2}}


def test_by_mouse_in_any_order(page: Page) -> None:
    open_task(page, "score", samples=2, criteria=["kind"])
    first, second = sample_letters(page)
    for letter, overall, kind in ((second, "5", "1"), (first, "2", "4")):
        group = card(page, letter).get_by_role("group", name="Overall")
        group.get_by_role("radio", name=overall).click()
        card(page, letter).get_by_role("group", name="kind").get_by_role("radio", name=kind).click()
    page.get_by_role("button", name="Submit").click()
    annotation = submitted_annotation(page)
    assert values_by_letter(annotation, "score") == {first: 2, second: 5}
    assert values_by_letter(annotation, "criteria") == {first: {"kind": 4}, second: {"kind": 1}}


def test_by_touch_nine_steps_fit_a_finger(open_context: Callable[..., BrowserContext]) -> None:
    page = phone_page(open_context)
    open_task(page, "score", samples=2, scale=9)
    assert fits_touch_targets(page, ".scale label")
    card(page, "A").get_by_role("radio", name="9").tap()
    card(page, "B").get_by_role("radio", name="2").tap()
    page.get_by_role("button", name="Submit").tap()
    assert values_by_letter(submitted_annotation(page), "score") == {"A": 9, "B": 2}


def test_what_is_missing_is_said_and_all_bad_compares_nothing(page: Page) -> None:
    project = open_task(page, "score", samples=2)
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("Nothing is scored yet")
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_have_text("Still to score: sample 2, overall.")
    assert not Annotation.objects.exists()
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    assert submitted_annotation(page).all_bad
    assert list(comparisons(project)) == []
