"""Keyboard shortcuts: shown on buttons, changed by the annotator, off in text fields."""

import pytest
from playwright.sync_api import Page, expect

from labeling.models import Annotation, WorkSettings
from tests.e2e.task_page import log_in, open_task, press_digits_of, submitted_annotation
from tests.labeling.objects import annotator, make_project, make_tasks

pytestmark = pytest.mark.django_db(transaction=True)


def start_with(page: Page, keys: object) -> None:
    """Open a task as somebody who has chosen these keys."""
    user = annotator()
    WorkSettings.objects.create(annotator=user, keys=keys)
    make_tasks(make_project())
    log_in(page, user)
    page.goto("/projects/stories/work/")
    expect(page.locator("#task")).to_be_focused()


def test_keys_of_ones_own_are_printed_and_work(page: Page) -> None:
    start_with(page, {"all_bad": "x", "tie": "b"})
    expect(page.locator('[data-act="all_bad"] kbd')).to_have_text("X")
    expect(page.locator('[data-act="tie"] kbd')).to_have_text("B")
    press_digits_of(page, "A")
    page.keyboard.press("b")
    press_digits_of(page, "B")
    expect(page.locator("#announcement")).to_contain_text("tied 1st")
    page.keyboard.press("t")
    page.keyboard.press("x")
    expect(page.locator("#announcement")).to_have_text("All bad. Enter submits.")
    page.keyboard.press("Enter")
    assert submitted_annotation(page).all_bad


def test_markup_in_keys_is_neither_printed_nor_run(page: Page) -> None:
    attack = "<img src=x onerror=alert(1)>"
    start_with(page, {"all_bad": attack, attack: "x", "skip": '"'})
    expect(page.locator('[data-act="all_bad"] kbd')).to_have_text("B")
    assert page.locator("img").count() == 0
    page.keyboard.press("b")
    expect(page.locator("#announcement")).to_have_text("All bad. Enter submits.")


def test_a_sign_that_html_knows_is_a_key_like_any_other(page: Page) -> None:
    start_with(page, {"all_bad": "<", "skip": "&", "flag": '"'})
    expect(page.locator('[data-act="all_bad"] kbd')).to_have_text("<")
    page.keyboard.press("<")
    expect(page.locator("#announcement")).to_have_text("All bad. Enter submits.")
    page.keyboard.press('"')
    expect(page.locator("#announcement")).to_contain_text("Flagged.")


def test_keys_are_only_letters_in_a_text_field(page: Page) -> None:
    open_task(page, "rank")
    page.keyboard.press("c")
    page.keyboard.type("1 bad story? see")
    page.keyboard.press("Enter")
    expect(page.locator("#comment")).to_have_value("1 bad story? see\n")
    expect(page.locator(".order .chip")).to_have_count(0)
    page.keyboard.press("Escape")
    page.keyboard.press("f")
    press_digits_of(page, "ABC")
    page.keyboard.press("Enter")
    annotation = submitted_annotation(page)
    assert annotation.comment == "1 bad story? see"
    assert annotation.flagged


def test_control_and_enter_submits_from_a_text_field(page: Page) -> None:
    open_task(page, "rank")
    press_digits_of(page, "ABC")
    page.keyboard.press("c")
    page.keyboard.type("good")
    page.keyboard.press("Control+Enter")
    assert submitted_annotation(page).comment == "good"


def test_keys_with_control_or_alt_are_the_browsers(page: Page) -> None:
    open_task(page, "rank")
    for key in ("Control+b", "Alt+b", "Meta+b"):
        page.keyboard.press(key)
    expect(page.locator('[data-act="all_bad"]')).to_have_attribute("aria-pressed", "false")


def test_a_keyboard_of_another_script_has_its_keys_in_the_same_places(page: Page) -> None:
    open_task(page, "rank")
    page.evaluate(
        """for (const [key, code] of [["и", "KeyB"], ["١", "Digit1"]]) {
            document.activeElement.dispatchEvent(new KeyboardEvent("keydown", { key, code, bubbles: true }));
        }"""
    )
    expect(page.locator(".order .chip")).to_have_count(1)


def test_each_window_opens_and_closes_by_its_key(page: Page) -> None:
    open_task(page, "rank")
    for key, name in (("g", "Guidelines"), ("?", "Keyboard shortcuts"), ("l", "Your recent answers")):
        dialog = page.get_by_role("dialog", name=name)
        page.keyboard.press(key)
        expect(dialog).to_be_visible()
        page.keyboard.press("b")
        page.keyboard.press(key)
        expect(dialog).to_be_hidden()
        page.keyboard.press(key)
        expect(dialog).to_be_visible()
        page.keyboard.press("Enter")
        expect(dialog).to_be_hidden()
    assert not Annotation.objects.exists()
    expect(page.locator('[data-act="all_bad"]')).to_have_attribute("aria-pressed", "false")


def test_skipping_takes_a_reason_by_its_number_or_in_words_or_none(page: Page) -> None:
    project = open_task(page, "rank", count=3)
    page.keyboard.press("s")
    page.keyboard.press("2")
    expect(page.locator(".prompt .text")).to_have_text("Prompt 1")
    page.keyboard.press("s")
    page.keyboard.press("6")
    page.keyboard.type("2 of them are cut off")
    page.keyboard.press("Enter")
    expect(page.locator(".prompt .text")).to_have_text("Prompt 2")
    page.keyboard.press("s")
    page.keyboard.press("Enter")
    expect(page.locator("#idle")).to_be_visible()
    reasons = project.assignments.order_by("id").values_list("skip_reason", flat=True)
    assert list(reasons) == ["I do not know the language", "2 of them are cut off", ""]


def test_a_flag_offers_a_comment_without_taking_the_keys(page: Page) -> None:
    open_task(page, "rank")
    page.keyboard.press("f")
    expect(page.get_by_label("What is wrong with this task?")).to_be_visible()
    press_digits_of(page, "ABC")
    expect(page.locator(".order .chip")).to_have_count(3)
    page.keyboard.press("Enter")
    assert submitted_annotation(page).flagged
