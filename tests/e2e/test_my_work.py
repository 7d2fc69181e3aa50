"""Annotators' own pages in a browser: projects, my work, settings, guidelines."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import BrowserContext, Locator, Page, expect

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Annotation, Project, WorkSettings
from labeling.workspace.keyboard_shortcuts import keys_for
from tests.e2e.conftest import Problems, sign_in
from tests.labeling.objects import admin, annotator, answered, claimed, make_project, make_tasks

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "Helpful-answers-to-programming-questions, " * 2
NARROW = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}

PAGES = [
    "/",
    "/me/",
    "/me/settings/",
    "/projects/stories/guidelines/",
    "/projects/stories/guidelines/?since=1",
    "/nowhere/",
]
SMALL_TARGETS = """
[...document.querySelectorAll("button, .button, header nav a, summary, input:not([type=hidden])")]
  .filter((one) => one.checkVisibility() && one.getBoundingClientRect().height < 43.9)
  .map((one) => one.outerHTML)
"""


def worked(user: User) -> Project:
    """A project in which this person has done something of every sort."""
    project = make_project("stories", name=LONG, feedback="pair", samples_per_task=2, daily_goal=9)
    project.revise_guidelines("# Endings\n\nPrefer the kind ending.\n\n```\nassert " + "x" * 90 + "\n```")
    project.revise_guidelines("# Endings\n\nPrefer the kinder ending.\n\n| if | then |\n|---|---|\n| a | b |")
    make_tasks(project, 5, samples=2)
    answered(user, project, Answer(grade=-2, seconds=31.0, flagged=True))
    answered(user, project, Answer(grade=0, seconds=12.0))
    queue.skip(claimed(user, project), reason="not my language")
    queue.save_draft(claimed(user, project), {})
    return project


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus, as somebody without a mouse does."""
    for _ in range(40):
        if target.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"{target} cannot be reached with Tab")


def test_a_key_is_set_by_pressing_it_with_the_keyboard_alone(page: Page) -> None:
    user = annotator()
    worked(user)
    sign_in(page, user)
    tab_to(page, page.get_by_role("link", name="My work"))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("link", name="Settings"))
    page.keyboard.press("Enter")

    goal = page.get_by_label("Answers per day")
    tab_to(page, goal)
    page.keyboard.type("40")
    skip = page.get_by_label("Skip", exact=False)
    tab_to(page, skip)
    page.keyboard.press("f")
    expect(skip).to_have_value("F")
    expect(page.locator("#id_key-skip-problem")).to_contain_text("F is already used for “Flag")
    page.keyboard.press("7")
    expect(page.locator("#id_key-skip-problem")).to_contain_text("Digits are reserved")
    page.keyboard.press("x")
    expect(skip).to_have_value("X")
    expect(page.locator(".field-problem:not(:empty)")).to_have_count(0)
    page.keyboard.press("Enter")

    expect(page.get_by_role("status")).to_contain_text("Saved.")
    assert keys_for(user)["skip"] == "x"
    assert WorkSettings.objects.get().daily_goal == 40
    tab_to(page, page.get_by_role("button", name="Reset shortcuts to defaults"))
    page.keyboard.press("Enter")
    expect(skip).to_have_value("S")


def test_keys_are_set_without_script_too(
    open_context: Callable[..., BrowserContext], problems: Problems
) -> None:
    user = annotator()
    page = open_context(java_script_enabled=False).new_page()
    sign_in(page, user)
    page.goto("/me/settings/")
    problems.expected = "422"
    page.get_by_label("Skip", exact=False).fill("f")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Not saved. Check the field marked below.")
    page.get_by_label("Skip", exact=False).fill("x")
    page.get_by_role("button", name="Save").click()
    assert keys_for(user)["skip"] == "x"


def test_the_last_answer_is_changed_with_the_keyboard_alone(page: Page) -> None:
    user = annotator()
    worked(user)
    sign_in(page, user)
    page.goto("/me/")
    tab_to(page, page.get_by_role("link", name="Edit").first)
    page.keyboard.press("Enter")
    expect(page.locator("#task")).to_be_focused()
    expect(page.get_by_role("radio", name="About the same")).to_be_checked()
    page.keyboard.press("7")
    page.keyboard.press("Enter")
    page.wait_for_url("**/me/")
    expect(page.locator(".last .answer-text").nth(1)).to_contain_text("Second: much better edited")
    assert Annotation.objects.filter(revision=2).count() == 1


def test_a_skipped_task_is_taken_again(page: Page) -> None:
    user = annotator()
    project = worked(user)
    queue.release(claimed(user, project))
    sign_in(page, user)
    page.goto("/me/")
    page.get_by_role("button", name="Reopen").click()
    expect(page.locator("#task")).to_be_visible()


def test_guidelines_show_what_changed_with_the_mouse_alone(page: Page) -> None:
    user = annotator()
    worked(user)
    sign_in(page, user)
    page.get_by_role("link", name="Guidelines").click()
    expect(page.get_by_role("heading", name="Endings")).to_be_visible()
    page.get_by_role("link", name="What changed since").click()
    expect(page.locator(".differences ins").first).to_contain_text("kinder")
    expect(page.locator(".differences del").first).to_contain_text("kind")


@pytest.mark.parametrize("width", [390, 2560])
def test_nothing_is_cut_off(
    open_context: Callable[..., BrowserContext], problems: Problems, width: int
) -> None:
    problems.expected = "404"
    user = admin("a-rather-long-user-name-of-an-admin")
    worked(user)
    options = NARROW if width == 390 else {"viewport": {"width": width, "height": 1400}}
    page = open_context(**options).new_page()
    sign_in(page, user)
    for path in PAGES:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        for link in page.locator("header.site").get_by_role("link").all():
            box = link.bounding_box()
            assert box is not None
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width, path
        if width == 390:
            assert page.evaluate(SMALL_TARGETS) == [], path


def test_axe_finds_nothing_serious(page: Page, axe: Callable[[Page], None], problems: Problems) -> None:
    user = admin()
    worked(user)
    problems.expected = "404"
    sign_in(page, user)
    for path in PAGES:
        page.goto(path)
        axe(page)


def test_axe_finds_nothing_serious_where_one_signs_in(page: Page, axe: Callable[[Page], None]) -> None:
    page.goto("/accounts/login/")
    page.get_by_label("User name").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    axe(page)
