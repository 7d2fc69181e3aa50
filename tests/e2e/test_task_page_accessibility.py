"""The task page with a screen reader, by keyboard, at all widths, in light and dark."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from labeling import control_tasks
from labeling.feedback import Answer
from labeling.models import Project
from tests.e2e.task_page import fits_touch_targets, log_in, open_task, phone_page, press_digits_of
from tests.labeling.objects import admin, annotator, make_project, make_tasks
from tests.processes import eventually

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("midday")]

Check = Callable[[Page], None]


def test_axe_finds_nothing_serious_from_the_task_to_the_empty_queue(page: Page, axe: Check) -> None:
    project = open_task(page, "rank", count=2, daily_goal=10, text_format="markdown")
    project.revise_guidelines("Be **kind**.")
    page.reload()
    expect(page.locator("#task")).to_be_focused()
    press_digits_of(page, "A")
    page.keyboard.press("f")
    page.keyboard.press("d")
    axe(page)
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    expect(page.locator(".prompt .text")).to_have_text("Prompt 1")
    page.keyboard.press("u")
    expect(page.locator(".dock .banner")).to_be_visible()
    axe(page)
    page.get_by_role("button", name="Cancel editing").click()
    expect(page.locator(".prompt .text")).to_have_text("Prompt 1")
    page.keyboard.press("s")
    page.keyboard.press("1")
    expect(page.locator("#idle")).to_be_focused()
    axe(page)


def test_axe_finds_nothing_serious_in_any_window(page: Page, axe: Check) -> None:
    project = open_task(page, "score", count=2, criteria=["kind"])
    project.revise_guidelines("# Rules\n\nBe **kind**.")
    page.keyboard.press("s")
    page.keyboard.press("Enter")
    expect(page.locator(".prompt .text")).to_have_text("Prompt 1")
    for key, shown in (
        ("g", "#guidelines-title"),
        ("?", "#help-title"),
        ("l", "#last .answer-text"),
        ("s", "#skip-title"),
    ):
        page.keyboard.press(key)
        expect(page.locator(shown)).to_be_visible()
        axe(page)
        page.keyboard.press("Escape")


def test_every_step_is_said_and_the_focus_stays_on_the_task(page: Page) -> None:
    open_task(page, "rank", count=2)
    announcement = page.locator("#announcement")
    expect(announcement).to_have_attribute("aria-live", "polite")
    press_digits_of(page, "A")
    expect(announcement).to_contain_text("1st. 2 left.")
    page.keyboard.press("b")
    expect(announcement).to_have_text("All bad. Enter submits.")
    page.keyboard.press("Enter")
    expect(announcement).to_have_text("Next task.")
    expect(page.locator("#task")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Nothing is ranked yet")


def test_everything_is_reached_by_tab(page: Page) -> None:
    open_task(page, "rank")
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.dataset.act ?? document.activeElement.className"))
    assert {
        "changes",
        "sample",
        "place",
        "better",
        "worse",
        "tie",
        "undo",
        "all_bad",
        "skip",
        "flag",
        "comment",
    } <= reached
    assert "primary" in reached


@pytest.mark.parametrize("width", [390, 768, 1024, 1440, 2560])
def test_nothing_is_cut_off_at_any_width(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    open_task(
        page, "rank", samples=5, count=1, name="A rather long name of a project about stories", daily_goal=100
    )
    assert page.evaluate("document.documentElement.scrollWidth") == width
    boxes = [box for each in page.locator("#task button:visible").all() if (box := each.bounding_box())]
    assert all(box["x"] >= 0 and box["x"] + box["width"] <= width for box in boxes)


def test_on_a_phone_buttons_fit_a_finger(open_context: Callable[..., BrowserContext]) -> None:
    page = phone_page(open_context)
    open_task(page, "rank", text_format="markdown")
    assert fits_touch_targets(page, "#work button:visible, .site nav button:visible")


def test_who_wants_no_motion_sees_none(open_context: Callable[..., BrowserContext]) -> None:
    page = open_context(reduced_motion="reduce").new_page()
    open_task(page, "rank")
    moving = "nodes => nodes.filter(node => parseFloat(getComputedStyle(node).transitionDuration) > 0).length"
    assert page.locator("body *").evaluate_all(moving) == 0


def test_the_next_task_is_there_in_an_instant(page: Page) -> None:
    """From the answer's response to the next task, ready for keys."""
    open_task(page, "rank", count=4, samples=4)
    page.evaluate(
        """() => {
            window.times = [];
            let began = 0;
            document.addEventListener("htmx:beforeSwap", () => { began = performance.now(); });
            document.addEventListener("htmx:afterSettle", () => window.times.push(performance.now() - began));
        }"""
    )
    for number in range(1, 4):
        page.keyboard.press("b")
        page.keyboard.press("Enter")
        expect(page.locator(".prompt .text")).to_have_text(f"Prompt {number}")
    assert eventually(lambda: page.evaluate("window.times.length") >= 3)
    assert min(page.evaluate("window.times")) < 150


# -- Around the task --------------------------------------------------------------------------------------


def open_project(page: Page, **settings: Any) -> Project:
    project = make_project(**settings)
    make_tasks(project, 2)
    log_in(page, annotator())
    page.goto("/projects/stories/work/")
    expect(page.locator("#task")).to_be_focused()
    return project


def test_new_guidelines_are_pointed_out_until_an_answer_is_given_under_them(page: Page) -> None:
    project = make_project()
    project.revise_guidelines("Be kind.")
    make_tasks(project, 3)
    log_in(page, annotator())
    page.goto("/projects/stories/work/")
    expect(page.locator("#task")).to_be_focused()
    hint = page.locator("#guidelines-new")
    expect(hint).to_contain_text("before your first answer")
    page.keyboard.press("g")
    expect(page.get_by_role("dialog", name="Guidelines")).to_contain_text("Be kind.")
    page.keyboard.press("g")
    expect(hint).to_have_count(0)
    page.keyboard.press("b")
    project.revise_guidelines("Be kind and short.")
    page.keyboard.press("Enter")
    expect(page.locator(".prompt .text")).to_have_text("Prompt 1")
    expect(hint).to_have_count(0)
    project.revise_guidelines("Be kind, and short, and clear.")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    expect(page.locator(".prompt .text")).to_have_text("Prompt 2")
    project.revise_guidelines("Be brave.")
    page.reload()
    expect(hint).to_contain_text("have changed since your last answer")
    page.get_by_role("button", name="Guidelines, version 4").click()
    expect(page.get_by_role("dialog", name="Guidelines")).to_contain_text("Be brave.")
    expect(page.get_by_role("link", name="See what changed")).to_be_visible()


def test_a_daily_goal_is_shown_quietly_and_counts_on(page: Page) -> None:
    open_project(page, daily_goal=100)
    expect(page.locator("#today")).to_have_text("0 of 100 today")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    expect(page.locator("#today")).to_have_text("1 of 100 today")


def test_an_empty_queue_says_why(page: Page) -> None:
    open_project(page, limit_per_day=1)
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Daily limit reached")).to_be_visible()
    expect(page.locator("#idle").get_by_role("link", name="My work")).to_be_visible()


def test_a_training_task_teaches_before_the_next_one(page: Page, axe: Check) -> None:
    project = make_project(feedback="best", entry_percent=100)
    [task, _] = make_tasks(project, 2)
    best = [place.sample.text[0] for place in task.task_samples.order_by("position")].index("B") + 1
    control_tasks.create_gold_task(
        task=task, answer=Answer(best=best), kind="training", explanation="B is **short**.", author=admin()
    )
    log_in(page, annotator())
    page.goto("/projects/stories/work/")
    expect(page.locator("#task")).to_be_focused()
    texts = page.locator(".sample > .text").all_inner_texts()
    wrong = next(number for number, text in enumerate(texts, start=1) if not text.startswith("B"))
    page.keyboard.press(str(wrong))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Not the expected answer")).to_be_visible()
    expect(page.locator(".training-feedback strong")).to_have_text("short")
    expect(page.get_by_role("button", name="Next")).to_be_focused()
    axe(page)
    page.keyboard.press("Enter")
    expect(page.locator("#task")).to_be_focused()
    texts = page.locator(".sample > .text").all_inner_texts()
    page.keyboard.press(str([text[0] for text in texts].index("B") + 1))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Correct")).to_be_visible()
    expect(page.locator(".training-feedback")).to_contain_text("From now on your answers count")
