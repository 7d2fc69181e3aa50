"""Picking the best, by keyboard alone, by mouse alone and by touch."""

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
    press_digits_of,
    submitted_annotation,
    values_by_letter,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_by_keyboard_a_digit_picks_and_once_more_takes_back(page: Page) -> None:
    project = open_task(page, "best", samples=4)
    press_digits_of(page, "B")
    expect(page.locator("#announcement")).to_contain_text("is the best")
    press_digits_of(page, "B")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("Nothing is picked yet")
    press_digits_of(page, "BD")
    page.keyboard.press("Enter")
    assert values_by_letter(submitted_annotation(page), "rank") == {"D": 1, "A": 2, "B": 2, "C": 2}
    assert len(list(comparisons(project))) == 3


def test_by_mouse(page: Page) -> None:
    open_task(page, "best")
    card(page, "A").get_by_role("button", name="Pick").click()
    card(page, "C").get_by_role("button", name="Pick").click()
    expect(card(page, "A").get_by_role("button", name="Pick")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Undo").click()
    expect(card(page, "A").locator(".status")).to_have_text("Best")
    page.get_by_role("button", name="Submit").click()
    assert values_by_letter(submitted_annotation(page), "rank") == {"A": 1, "B": 2, "C": 2}


def test_by_touch(open_context: Callable[..., BrowserContext]) -> None:
    page = phone_page(open_context)
    open_task(page, "best")
    card(page, "C").get_by_role("button", name="Pick").tap()
    assert fits_touch_targets(page, ".sample footer button")
    page.get_by_role("button", name="Submit").tap()
    assert values_by_letter(submitted_annotation(page), "rank") == {"A": 2, "B": 2, "C": 1}


def test_without_a_pick_it_asks_and_all_bad_compares_nothing(page: Page) -> None:
    project = open_task(page, "best")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("Nothing is picked yet")
    assert not Annotation.objects.exists()
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    assert submitted_annotation(page).all_bad
    assert list(comparisons(project)) == []
