"""Conversations on the task page: turns, folding, samples as the next turn, every kind of feedback."""

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

from labeling import control_tasks
from labeling.feedback import Answer
from labeling.models import Annotation, Generator, Project, Prompt, Task
from labeling.preferences import comparisons, demonstrations
from labeling.tasks import create_tasks
from tests.e2e.task_page import PHONE_WIDTH, fits_touch_targets, log_in, phone_page, submitted_annotation
from tests.labeling.objects import annotator, make_project, reviewer
from training.formats.messages import Message, completion_text, render_messages

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("midday")]

SYSTEM: Message = {"role": "system", "content": "Answer in **one** sentence."}
WEATHER: list[Message] = [
    SYSTEM,
    {"role": "user", "content": "Is it warm in Lisbon?"},
    {"role": "assistant", "content": "Let me look."},
    {"role": "tool", "content": '{"air": 31, "note": "**sun**"}'},
]
ANSWERS = ["Yes, it is warm.", "No, it is cold."]


def long_conversation(turns: int = 21) -> list[Message]:
    """A conversation that starts and ends with the user."""
    return [
        {"role": "assistant" if number % 2 else "user", "content": f"Turn {number}. {'A word or two. ' * 8}"}
        for number in range(turns)
    ]


def make_conversation(messages: list[Message], texts: list[str] = ANSWERS, **settings: Any) -> Task:
    """A task of a new project whose samples are the assistant's next turns."""
    given = {"feedback": "pair", "samples_per_task": len(texts), **settings}
    project = make_project(**given)
    writer, _ = Generator.objects.get_or_create(name="writer")
    prompt = Prompt.objects.create(project=project, messages=messages)
    completions = {prompt: [completion_text(text) for text in texts]}
    [task] = create_tasks(project=project, generator=writer, completions=completions)
    return task


def show(page: Page, messages: list[Message], texts: list[str] = ANSWERS, **settings: Any) -> Project:
    task = make_conversation(messages, texts, **settings)
    log_in(page, annotator())
    page.goto("/projects/stories/work/")
    expect(page.locator("#task")).to_be_focused()
    return task.project


def turns(page: Page) -> Locator:
    return page.locator(".prompt .turn")


def test_each_turn_says_who_speaks_and_the_samples_are_the_next(page: Page) -> None:
    show(page, WEATHER, text_format="markdown")
    listed = page.get_by_role("region", name="Conversation").get_by_role("list")
    expect(listed.get_by_role("listitem")).to_have_count(4)
    names = listed.get_by_role("heading", level=3).all_inner_texts()
    assert names == ["System", "User", "Assistant", "Tool"]
    expect(turns(page).nth(0).locator("strong")).to_have_text("one")
    expect(turns(page).nth(3).locator(".text")).to_have_text(WEATHER[3]["content"])
    expect(page.locator(".sample .role")).to_have_text(["Assistant", "Assistant"])
    page.keyboard.press("m")
    expect(turns(page).nth(0).locator(".source")).to_have_text(SYSTEM["content"])


def test_samples_have_no_joining_space_and_differ_word_by_word(page: Page) -> None:
    show(page, WEATHER)
    assert set(page.locator(".sample > .text").all_text_contents()) == set(ANSWERS)
    page.keyboard.press("d")
    marked = page.locator(".sample ins, .sample del").all_inner_texts()
    assert set(marked) == {"Yes", "warm", "No", "cold"}


def test_a_long_conversation_shows_its_last_turns_and_a_key_shows_the_earlier_ones(page: Page) -> None:
    show(page, [SYSTEM, *long_conversation()])
    button = page.locator('[data-act="prompt"]')
    last = turns(page).last
    expect(last).to_contain_text("Turn 20.")
    expect(last).to_be_visible()
    expect(turns(page).first).to_be_hidden()
    folded = page.locator(".prompt .turn[hidden]").count() - 1
    expect(button).to_contain_text(f"Show system message and {folded} earlier turns")
    expect(button).to_have_attribute("aria-expanded", "false")
    expect(button.locator("kbd")).to_have_text("P")
    page.keyboard.press("p")
    expect(turns(page).first).to_be_visible()
    expect(turns(page).first).to_be_in_viewport()
    expect(button).to_have_attribute("aria-expanded", "true")
    expect(page.locator("#announcement")).to_contain_text("The whole conversation is shown.")
    page.keyboard.press("p")
    expect(turns(page).first).to_be_hidden()
    expect(last).to_be_visible()


def test_a_short_conversation_has_nothing_to_unfold(page: Page) -> None:
    show(page, WEATHER[:2])
    expect(page.locator('[data-act="prompt"]')).to_be_hidden()


def test_a_long_last_turn_is_clipped_and_can_be_read_in_full(page: Page) -> None:
    show(page, [*long_conversation(3)[:2], {"role": "user", "content": "So many words. " * 200}])
    expect(turns(page).last).to_be_visible()
    assert page.locator("#prompt-text").evaluate("text => text.scrollHeight > text.clientHeight")
    page.keyboard.press("p")
    assert page.locator("#prompt-text").evaluate("text => text.scrollHeight <= text.clientHeight")


@pytest.mark.parametrize(
    ("feedback", "keys"),
    [("pair", "2"), ("rank", "12"), ("best", "1"), ("score", "53"), ("rewrite", "")],
)
def test_every_kind_of_feedback_answers_a_conversation(page: Page, feedback: str, keys: str) -> None:
    project = show(page, WEATHER, feedback=feedback)
    first = page.locator(".sample > .text").first.inner_text()
    if feedback == "rewrite":
        page.keyboard.press("1")
        expect(page.locator(".writing textarea")).to_have_value(first)
        page.keyboard.press("End")
        page.keyboard.type(" Bring a hat.")
        page.keyboard.press("Control+Enter")
    else:
        for key in keys:
            page.keyboard.press(key)
        page.keyboard.press("Enter")
    submitted_annotation(page)
    if feedback == "rewrite":
        [row] = demonstrations(project)
        assert row["completion"] == f" {first} Bring a hat."
    else:
        [row] = comparisons(project)
        assert row["chosen"] == f" {first}"
    assert row["prompt"] == render_messages(WEATHER)


def test_own_answers_reviewers_and_newcomers_see_the_turns(page: Page) -> None:
    task = make_conversation(WEATHER, feedback="best")
    control_tasks.create_gold_task(
        task=task, answer=Answer(best=1), author=None, kind=Task.Kind.TRAINING, explanation="It is."
    )
    log_in(page, annotator())
    page.goto("/projects/stories/work/")
    expect(turns(page)).to_have_count(4)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator(".verdict")).to_be_visible()
    expect(turns(page)).to_have_count(4)
    expect(page.locator(".sample .role")).to_have_count(2)
    log_in(page, reviewer())
    page.goto(f"/projects/stories/adjudication/{task.pk}/")
    page.get_by_role("button", name="Answer this task").click()
    page.wait_for_url("**/assignments/**")
    expect(turns(page)).to_have_count(4)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="All answers")).to_be_visible()
    expect(turns(page)).to_have_count(4)
    answer = Annotation.objects.latest("pk")
    page.goto(f"/answers/{answer.pk}/?show=1")
    expect(turns(page)).to_have_count(4)
    expect(page.locator(".turn.tool .text")).to_have_text(WEATHER[3]["content"])


def test_right_to_left_turns_run_their_own_way(page: Page) -> None:
    arabic: list[Message] = [
        {"role": "user", "content": "ما هي عاصمة المغرب؟\nIn English, please."},
        {"role": "assistant", "content": "الرباط"},
        {"role": "user", "content": "请用中文再说一遍。" * 30},
    ]
    show(page, arabic, text_format="markdown")
    expect(turns(page).nth(1).locator("[dir=auto]").first).to_have_css("direction", "rtl")
    expect(turns(page).nth(2).locator("[dir=auto]").first).to_have_css("direction", "ltr")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_axe_finds_nothing_serious_in_a_conversation(page: Page, axe: Callable[[Page], None]) -> None:
    show(page, [SYSTEM, *long_conversation()], text_format="markdown")
    axe(page)
    page.keyboard.press("p")
    axe(page)


def test_a_conversation_fits_a_phone(open_context: Callable[..., BrowserContext]) -> None:
    page = phone_page(open_context)
    show(page, [SYSTEM, *long_conversation()], text_format="markdown")
    page.locator('[data-act="prompt"]').tap()
    expect(turns(page).first).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE_WIDTH
    assert fits_touch_targets(page, ".tools button:not([hidden])")
