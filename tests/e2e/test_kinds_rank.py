"""A ranking, made by keyboard alone, by mouse alone and by touch."""

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Annotation
from labeling.preferences import comparisons
from tests.e2e.task_page import (
    card,
    fits_touch_targets,
    log_in,
    open_task,
    phone_page,
    press_digits_of,
    sample_letters,
    submitted_annotation,
    values_by_letter,
)
from tests.labeling.objects import annotator, claimed, make_project, make_tasks, ranks_for

pytestmark = pytest.mark.django_db(transaction=True)


def test_by_keyboard_digits_give_the_order_and_t_a_tie(page: Page) -> None:
    open_task(page, "rank", samples=4)
    press_digits_of(page, "CA")
    page.keyboard.press("t")
    press_digits_of(page, "BD")
    page.keyboard.press("Enter")
    assert values_by_letter(submitted_annotation(page), "rank") == {"C": 1, "A": 2, "B": 2, "D": 3}


def test_arrow_keys_move_a_sample_through_ties_and_say_so(page: Page) -> None:
    open_task(page, "rank")
    press_digits_of(page, "ABC")
    card(page, "C").focus()
    announcement = page.locator("#announcement")
    for expected in ("tied 2nd", ": 2nd", "tied 1st", ": 1st"):
        page.keyboard.press("ArrowUp")
        expect(announcement).to_contain_text(expected)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    assert values_by_letter(submitted_annotation(page), "rank") == {"A": 1, "C": 1, "B": 2}


def test_by_mouse_with_clicks_and_drags(page: Page) -> None:
    open_task(page, "rank")
    card(page, "A").get_by_role("button", name="Rank next").click()
    card(page, "B").get_by_role("button", name="Rank next").click()
    card(page, "C").locator(".number").drag_to(page.locator(".order .gap").first)
    expect(card(page, "C").locator(".status")).to_have_text("1st")
    page.locator(".order .chip").last.drag_to(page.locator(".order .group").nth(1))
    expect(card(page, "B").locator(".status")).to_have_text("tied 2nd")
    page.get_by_role("button", name="Submit").click()
    assert values_by_letter(submitted_annotation(page), "rank") == {"C": 1, "A": 2, "B": 2}


def test_the_order_itself_takes_clicks_without_a_scroll_to_the_sample(page: Page) -> None:
    open_task(page, "rank")
    order = page.locator(".order")
    for number in "312":
        order.get_by_text(number, exact=True).click()
    order.get_by_text("1", exact=True).click()
    page.get_by_role("button", name="Tie").click()
    order.get_by_text("1", exact=True).click()
    first, second, third = sample_letters(page)
    page.get_by_role("button", name="Submit").click()
    assert values_by_letter(submitted_annotation(page), "rank") == {third: 1, second: 2, first: 2}


def test_by_touch_buttons_do_what_a_drag_does(open_context: Callable[..., BrowserContext]) -> None:
    page = phone_page(open_context)
    open_task(page, "rank")
    for letter in "BAC":
        card(page, letter).get_by_role("button", name="Rank next").tap()
    card(page, "C").get_by_role("button", name="up").tap()
    assert fits_touch_targets(page, ".sample footer button, .ranking button")
    page.get_by_role("button", name="Submit").tap()
    assert values_by_letter(submitted_annotation(page), "rank") == {"B": 1, "A": 2, "C": 2}


def test_nothing_is_ranked_beforehand_so_that_enter_asks(page: Page) -> None:
    open_task(page, "rank")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("Nothing is ranked yet")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_have_text("Samples 1 and 3 are not ranked yet.")
    assert not Annotation.objects.exists()


def test_a_stored_order_that_nobody_touched_asks_before_it_is_sent_again(page: Page) -> None:
    project = make_project()
    make_tasks(project)
    person = annotator()
    assignment = claimed(person, project)
    queue.submit(assignment, Answer(ranks=ranks_for(assignment, "CA=B")), client_key="first")
    log_in(page, person)
    page.goto(f"/assignments/{assignment.pk}/edit/")
    expect(card(page, "C").locator(".status")).to_have_text("1st")
    expect(card(page, "B").locator(".status")).to_have_text("tied 2nd")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("as it is?")
    page.keyboard.press("Escape")
    assert Annotation.objects.count() == 1
    card(page, "B").get_by_role("button", name="down").click()
    page.keyboard.press("Enter")
    expect(page.locator("#idle")).to_be_visible()
    assert values_by_letter(Annotation.objects.latest("id"), "rank") == {"C": 1, "A": 2, "B": 3}


def test_undo_takes_back_step_after_step(page: Page) -> None:
    open_task(page, "rank")
    press_digits_of(page, "AB")
    page.keyboard.press("t")
    press_digits_of(page, "C")
    chips = page.locator(".order .chip")
    expect(chips).to_have_count(3)
    page.keyboard.press("b")
    page.keyboard.press("u")
    expect(page.locator("#announcement")).to_have_text("All bad: off.")
    for left in (2, 2, 1, 0):
        page.keyboard.press("u")
        expect(chips).to_have_count(left)
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("Nothing is ranked yet")


def test_all_bad_compares_nothing(page: Page) -> None:
    project = open_task(page, "rank")
    press_digits_of(page, "AB")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    annotation = submitted_annotation(page)
    assert annotation.all_bad
    assert values_by_letter(annotation, "rank") == {}
    assert list(comparisons(project)) == []
