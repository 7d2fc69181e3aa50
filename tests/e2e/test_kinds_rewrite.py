"""Rewriting, by keyboard alone, by mouse alone and by touch."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from labeling.models import Annotation
from labeling.preferences import comparisons, demonstrations
from labeling.text_limits import MAX_TEXT_LENGTH
from tests.e2e.task_page import (
    card,
    fits_touch_targets,
    open_task,
    phone_page,
    press_digits_of,
    sample_letters,
    submitted_annotation,
)

pytestmark = pytest.mark.django_db(transaction=True)


def test_by_keyboard_a_sample_is_edited_and_sent_from_the_text_field(page: Page) -> None:
    project = open_task(page, "rewrite")
    press_digits_of(page, "B")
    text = page.get_by_label("Your text")
    expect(text).to_be_focused()
    expect(text).to_have_value("B0")
    expect(text).to_have_attribute("maxlength", str(MAX_TEXT_LENGTH))
    page.keyboard.press("End")
    page.keyboard.type(" and 3 foxes")
    expect(page.locator(".count")).to_contain_text("4 words")
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    expect(page.locator(".difference ins")).to_have_text("and 3 foxes")
    page.keyboard.press("d")
    press_digits_of(page, "B")
    page.keyboard.press("Control+Enter")
    annotation = submitted_annotation(page)
    assert annotation.text == "B0 and 3 foxes"
    assert annotation.edited
    assert annotation.edited.text == "B0"
    assert list(comparisons(project)) == []
    assert len(list(demonstrations(project))) == 1


def test_another_source_asks_first_and_each_keeps_its_own_text(page: Page) -> None:
    open_task(page, "rewrite")
    text = page.get_by_label("Your text")
    press_digits_of(page, "A")
    page.keyboard.press("End")
    page.keyboard.type(" changed")
    page.keyboard.press("Escape")
    page.keyboard.press("w")
    expect(page.get_by_role("dialog")).to_contain_text("is kept")
    page.keyboard.press("Escape")
    expect(text).to_have_value("A0 changed")
    page.keyboard.press("Escape")
    page.keyboard.press("w")
    page.keyboard.press("Enter")
    expect(text).to_be_focused()
    expect(text).to_have_value("")
    page.keyboard.type("Mine")
    page.reload()
    expect(text).to_have_value("Mine")
    press_digits_of(page, "A")
    page.keyboard.press("Enter")
    expect(text).to_have_value("A0 changed")
    page.keyboard.press("Escape")
    page.keyboard.press("u")
    expect(text).to_have_value("Mine")
    page.keyboard.press("Enter")
    annotation = submitted_annotation(page)
    assert annotation.text == "Mine"
    assert annotation.edited is None


def test_by_mouse_from_nothing(page: Page) -> None:
    open_task(page, "rewrite", samples=1)
    page.get_by_role("button", name="Write from scratch").click()
    page.get_by_label("Your text").fill("كان يا ما كان ثعلب صغير")
    page.get_by_role("button", name="Submit").click()
    assert submitted_annotation(page).text == "كان يا ما كان ثعلب صغير"


def test_by_touch_on_a_phone(open_context: Callable[..., BrowserContext]) -> None:
    page = phone_page(open_context)
    open_task(page, "rewrite", samples=2)
    card(page, "A").get_by_role("button", name="Edit").tap()
    text = page.get_by_label("Your text")
    expect(text).to_be_in_viewport(ratio=0.9)
    assert fits_touch_targets(page, ".sample footer button, .bar button")
    text.fill("A0 在森林里")
    expect(page.locator(".count")).to_contain_text("words")
    page.get_by_role("button", name="Submit").tap()
    assert submitted_annotation(page).text == "A0 在森林里"


def test_nothing_written_and_an_unchanged_copy_ask_first(page: Page) -> None:
    project = open_task(page, "rewrite")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("Nothing is written yet")
    page.keyboard.press("1")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_role("dialog")).to_contain_text("This is sample 1, unchanged")
    page.keyboard.press("Escape")
    assert not Annotation.objects.exists()
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Enter")
    annotation = submitted_annotation(page)
    assert annotation.edited
    assert annotation.text == annotation.edited.text.strip()
    assert len(list(demonstrations(project))) == 1


def test_all_bad_leaves_no_demonstration(page: Page) -> None:
    project = open_task(page, "rewrite")
    assert len(sample_letters(page)) == 3
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    assert submitted_annotation(page).all_bad
    assert list(demonstrations(project)) == []
