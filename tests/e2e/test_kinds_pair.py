"""A graded pair, answered by keyboard alone, by mouse alone and by touch."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from labeling.models import Annotation
from labeling.preferences import comparisons
from tests.e2e.task_page import (
    fits_touch_targets,
    open_task,
    phone_page,
    sample_letters,
    submitted_annotation,
    values_by_letter,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_by_keyboard_the_criteria_come_after_the_overall_choice(page: Page) -> None:
    open_task(page, "pair", samples=2, criteria=["kind", "fluent", "true"])
    first, second = sample_letters(page)
    expect(page.get_by_role("radiogroup", name="kind")).to_be_hidden()
    height = page.locator(".dock").bounding_box()
    page.keyboard.press("2")
    expect(page.get_by_role("radiogroup", name="kind")).to_be_visible()
    assert page.locator(".dock").bounding_box() == height  # nothing moves
    page.keyboard.press("7")
    page.keyboard.press("t")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_have_text("Still to compare: true.")
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    annotation = submitted_annotation(page)
    assert values_by_letter(annotation, "grade") == {first: 2, second: -2}
    assert values_by_letter(annotation, "criteria") == {
        first: {"kind": -3, "fluent": 0, "true": 1},
        second: {"kind": 3, "fluent": 0, "true": -1},
    }


def test_arrow_keys_move_the_choice_one_step_and_say_so(page: Page) -> None:
    open_task(page, "pair", samples=2)
    first, second = sample_letters(page)
    announcement = page.locator("#announcement")
    page.keyboard.press("5")
    expect(announcement).to_contain_text("Second: slightly better")
    page.keyboard.press("ArrowLeft")
    expect(announcement).to_contain_text("About the same")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    expect(announcement).to_contain_text("First: much better")
    page.keyboard.press("u")
    expect(announcement).to_contain_text("First: better")
    page.keyboard.press("Enter")
    assert values_by_letter(submitted_annotation(page), "grade") == {first: 2, second: -2}


def test_by_mouse(page: Page) -> None:
    open_task(page, "pair", samples=2, criteria=["kind"])
    first, second = sample_letters(page)
    overall = page.get_by_role("radiogroup", name="Which is better?")
    overall.get_by_role("radio", name="First: much better").click()
    page.get_by_role("radiogroup", name="kind").get_by_role("radio", name="Second: better").click()
    overall.get_by_role("radio", name="Second: slightly better").click()
    page.get_by_role("button", name="Submit").click()
    annotation = submitted_annotation(page)
    assert values_by_letter(annotation, "grade") == {first: -1, second: 1}
    assert values_by_letter(annotation, "criteria") == {first: {"kind": -2}, second: {"kind": 2}}


def test_by_touch_the_samples_are_stacked_and_each_step_fits_a_finger(
    open_context: Callable[..., BrowserContext],
) -> None:
    page = phone_page(open_context)
    open_task(page, "pair", samples=2, criteria=["kind"])
    first, second = sample_letters(page)
    above, below = (each.bounding_box() for each in page.locator(".sample").all())
    assert above
    assert below
    assert above["y"] + above["height"] <= below["y"]
    overall = page.get_by_role("radiogroup", name="Which is better?")
    before = overall.bounding_box()
    overall.get_by_role("radio", name="Second: much better").tap()
    assert overall.bounding_box() == before  # what is under the finger stays
    assert fits_touch_targets(page, ".scale label")
    page.get_by_role("radiogroup", name="kind").get_by_role("radio", name="About the same").tap()
    page.get_by_role("button", name="Submit").tap()
    annotation = submitted_annotation(page)
    assert values_by_letter(annotation, "grade") == {first: -3, second: 3}
    assert values_by_letter(annotation, "criteria") == {first: {"kind": 0}, second: {"kind": 0}}


def test_without_a_choice_it_asks_and_all_bad_compares_nothing(page: Page) -> None:
    project = open_task(page, "pair", samples=2)
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("Nothing is chosen yet")
    assert not Annotation.objects.exists()
    page.keyboard.press("6")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    assert submitted_annotation(page).all_bad
    assert list(comparisons(project)) == []
