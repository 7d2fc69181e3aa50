"""Recent answers: edited, saved as a new version, reopened after a skip."""

import pytest
from playwright.sync_api import Page, expect

from labeling.models import Annotation, Assignment
from tests.e2e.task_page import open_task, press_digits_of, values_by_letter

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("midday")]


def prompt_is(page: Page, text: str) -> None:
    expect(page.locator(".prompt .text")).to_have_text(text)


def answer_first(page: Page, order: str = "ABC") -> None:
    """Answer Prompt 0, so that Prompt 1 is on the page."""
    press_digits_of(page, order)
    page.keyboard.press("Enter")
    prompt_is(page, "Prompt 1")


def revisions() -> list[tuple[int, dict[str, object]]]:
    return [(each.revision, values_by_letter(each, "rank")) for each in Annotation.objects.order_by("id")]


def test_undo_on_an_empty_task_opens_the_last_answer_and_saves_it_as_a_new_revision(page: Page) -> None:
    open_task(page, "rank", count=2)
    answer_first(page)
    page.keyboard.press("u")
    prompt_is(page, "Prompt 0")
    expect(page.locator(".dock .banner")).to_contain_text("new version")
    expect(page.locator(".order .chip")).to_have_count(3)
    press_digits_of(page, "ABC")  # once more takes each out again
    press_digits_of(page, "CBA")
    page.keyboard.press("Enter")
    prompt_is(page, "Prompt 1")
    assert revisions() == [(1, {"A": 1, "B": 2, "C": 3}), (2, {"C": 1, "B": 2, "A": 3})]
    assert Assignment.objects.leased().get().task.prompt.text == "Prompt 1"
    expect(page.locator(".today")).to_contain_text("1 today")


def test_undo_takes_back_steps_first_and_leaves_a_task_that_is_begun(page: Page) -> None:
    open_task(page, "rank", count=2)
    answer_first(page)
    press_digits_of(page, "A")
    page.keyboard.press("u")
    expect(page.locator(".order .chip")).to_have_count(0)
    page.keyboard.press("f")
    page.keyboard.press("u")
    expect(page.locator("#announcement")).to_have_text("Nothing to undo.")
    prompt_is(page, "Prompt 1")


def test_a_comment_can_be_added_later_without_another_order(page: Page) -> None:
    open_task(page, "rank", count=2)
    answer_first(page)
    page.keyboard.press("u")
    prompt_is(page, "Prompt 0")
    page.keyboard.press("c")
    page.keyboard.type("hm")
    page.keyboard.press("Control+Enter")
    prompt_is(page, "Prompt 1")
    assert [(each.revision, each.comment) for each in Annotation.objects.order_by("id")] == [
        (1, ""),
        (2, "hm"),
    ]
    assert values_by_letter(Annotation.objects.get(revision=2), "rank") == {"A": 1, "B": 2, "C": 3}


def test_an_unchanged_answer_asks_before_it_is_stored_again(page: Page) -> None:
    open_task(page, "rank", count=2)
    answer_first(page)
    page.keyboard.press("u")
    prompt_is(page, "Prompt 0")
    page.keyboard.press("Enter")
    expect(page.locator("#unchanged")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#unchanged")).to_be_hidden()
    page.get_by_role("button", name="Cancel editing").click()
    prompt_is(page, "Prompt 1")
    assert Annotation.objects.count() == 1


def test_what_was_begun_is_there_again_after_a_look_at_the_last_answer(page: Page) -> None:
    open_task(page, "rank", count=2)
    answer_first(page)
    press_digits_of(page, "B")
    page.keyboard.press("l")
    expect(page.locator("#last .answer-text")).to_have_count(1)
    page.keyboard.press("1")
    prompt_is(page, "Prompt 0")
    page.get_by_role("button", name="Cancel editing").click()
    prompt_is(page, "Prompt 1")
    expect(page.locator(".order .chip")).to_have_count(1)


def test_undo_goes_on_to_the_answer_before(page: Page) -> None:
    open_task(page, "rank", count=3)
    answer_first(page)
    press_digits_of(page, "CAB")
    page.keyboard.press("Enter")
    prompt_is(page, "Prompt 2")
    for expected in ("Prompt 1", "Prompt 0", "Prompt 0"):
        page.keyboard.press("u")
        prompt_is(page, expected)
    expect(page.locator("#announcement")).to_have_text("Nothing to undo.")


def test_after_the_last_task_undo_still_opens_the_last_answer(page: Page) -> None:
    open_task(page, "rank")
    press_digits_of(page, "ABC")
    page.keyboard.press("Enter")
    expect(page.locator("#idle")).to_be_focused()
    page.keyboard.press("u")
    prompt_is(page, "Prompt 0")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    expect(page.locator("#idle")).to_be_focused()
    assert [each.all_bad for each in Annotation.objects.order_by("id")] == [False, True]


def test_a_skipped_task_can_be_taken_again(page: Page) -> None:
    open_task(page, "rank", count=2)
    page.keyboard.press("s")
    page.keyboard.press("3")
    prompt_is(page, "Prompt 1")
    assert Assignment.objects.get(state="skipped").skip_reason == "The prompt makes no sense"
    page.keyboard.press("l")
    expect(page.locator("#last .answer-text")).to_have_text("Skipped")
    page.keyboard.press("1")
    prompt_is(page, "Prompt 0")
    press_digits_of(page, "ABC")
    page.keyboard.press("Enter")
    prompt_is(page, "Prompt 1")
    assert Annotation.objects.get().assignment.task.prompt.text == "Prompt 0"


def test_an_answer_opened_from_my_work_leads_back_there(page: Page) -> None:
    open_task(page, "rank", count=2)
    answer_first(page)
    edited = Assignment.objects.submitted().get()
    page.goto(f"/assignments/{edited.pk}/edit/?next=/me/")
    expect(page.locator("#task")).to_be_focused()
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="My work")).to_be_visible()
    assert Annotation.objects.get(revision=2).all_bad


def test_a_held_task_has_an_address_of_its_own(page: Page) -> None:
    open_task(page, "rank", count=2)
    held = Assignment.objects.get()
    page.goto(f"/assignments/{held.pk}/?next=/me/")
    expect(page.locator("#task")).to_be_focused()
    press_digits_of(page, "CBA")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="My work")).to_be_visible()
    assert values_by_letter(Annotation.objects.get(), "rank") == {"C": 1, "B": 2, "A": 3}
