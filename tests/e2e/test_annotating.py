"""An annotator at work."""

import pytest
from playwright.sync_api import Locator, Page, expect

from labeling.models import Annotation, Assignment
from tests.e2e.conftest import Problems, sign_in, type_in
from tests.labeling.objects import annotator, make_project, make_tasks

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("midday")]


def start(page: Page, slug: str = "stories") -> None:
    page.goto(f"/projects/{slug}/work/")
    expect(page.locator("#task")).to_be_focused()


def digits(page: Page) -> dict[str, str]:
    """The digit of each sample by its letter: the server draws the order."""
    texts = page.locator(".sample > .text").all_inner_texts()
    return {text[0]: str(number) for number, text in enumerate(texts, start=1)}


def card(page: Page, letter: str) -> Locator:
    return page.locator(".sample").nth(int(digits(page)[letter]) - 1)


def rank(page: Page, order: str) -> None:
    """Press the digits for an order such as "CAB=D"."""
    keys = digits(page)
    for at, letter in enumerate(order):
        if letter == "=":
            page.keyboard.press("t")
        else:
            page.keyboard.press(keys[letter])
            expect(page.locator(".order .chip")).to_have_count(len(order[: at + 1].replace("=", "")))


def stored(annotation: Annotation) -> dict[str, int | None]:
    return {item.sample.text[0]: item.rank for item in annotation.judgements.select_related("sample")}


def test_by_keyboard_alone_from_signing_in_to_the_last_task(page: Page) -> None:
    make_tasks(make_project(), 3, samples=4)
    type_in(page, annotator())
    start_link = page.get_by_role("link", name="Start")
    while not start_link.evaluate("link => link === document.activeElement"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    expect(page.locator(".prompt .text")).to_have_text("Prompt 0")
    expect(page.locator("#task")).to_be_focused()
    rank(page, "CAB=D")
    page.keyboard.press("Enter")

    expect(page.locator(".prompt .text")).to_have_text("Prompt 1")
    expect(page.locator(".today")).to_have_text("1 today")
    page.keyboard.press("b")
    page.keyboard.press("Enter")

    expect(page.locator(".prompt .text")).to_have_text("Prompt 2")
    page.keyboard.press("s")
    page.keyboard.press("6")
    page.keyboard.type("not my language")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="No tasks right now")).to_be_visible()
    ranking, all_bad = Annotation.objects.order_by("id")
    assert stored(ranking) == {"C": 1, "A": 2, "B": 3, "D": 3}
    assert not ranking.all_bad
    assert ranking.seconds
    assert all_bad.all_bad
    assert stored(all_bad) == {}
    skipped = Assignment.objects.get(state="skipped")
    assert skipped.skip_reason == "not my language"
    assert not skipped.annotations.exists()
    assert [item.task.prompt.text for item in (ranking.assignment, all_bad.assignment, skipped)] == [
        "Prompt 0",
        "Prompt 1",
        "Prompt 2",
    ]


def test_guidelines_and_help_are_one_key_away(page: Page) -> None:
    project = make_project()
    project.revise_guidelines("Be **kind**.")
    make_tasks(project)
    sign_in(page, annotator())
    start(page)
    page.keyboard.press("g")
    expect(page.get_by_role("dialog", name="Guidelines")).to_contain_text("Be kind.")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Enter")
    rank(page, "A")


def test_a_lost_connection_keeps_the_answer(page: Page, problems: Problems) -> None:
    problems.expected = "ERR_|SendError|htmx"
    make_tasks(make_project())
    sign_in(page, annotator())
    start(page)
    rank(page, "BAC")
    page.context.set_offline(True)
    page.keyboard.press("Enter")
    expect(page.locator("#notice")).to_contain_text("No connection")
    page.context.set_offline(False)
    page.keyboard.press("Enter")
    expect(page.locator("#idle")).to_be_visible()
    assert stored(Annotation.objects.get()) == {"B": 1, "A": 2, "C": 3}


def test_a_waiting_page_shows_the_next_task_by_itself(page: Page) -> None:
    project = make_project()
    sign_in(page, annotator())
    page.goto("/projects/stories/work/")
    expect(page.locator("#idle")).to_be_visible()
    make_tasks(project)
    expect(page.locator("#task")).to_be_visible()
    rank(page, "ABC")


def test_two_tabs_hold_one_task(page: Page, problems: Problems) -> None:
    problems.expected = "409"
    make_tasks(make_project(), 2)
    sign_in(page, annotator())
    start(page)
    other = page.context.new_page()
    start(other)
    assert page.locator("#task").get_attribute("data-task") == other.locator("#task").get_attribute(
        "data-task"
    )
    rank(page, "ABC")
    page.keyboard.press("Enter")
    expect(page.locator(".prompt .text")).to_have_text("Prompt 1")
    rank(other, "CBA")
    other.keyboard.press("Enter")
    expect(other.locator("#notice")).to_contain_text("no longer reserved for you")
    assert stored(Annotation.objects.get()) == {"A": 1, "B": 2, "C": 3}
