"""Texts in any language and of any length: Markdown, code, right-to-left, Chinese, long ones."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from labeling.models import Generator
from labeling.prompts import add_prompts
from labeling.tasks import create_tasks
from tests.e2e.task_page import log_in
from tests.labeling.objects import annotator, make_project
from tests.processes import eventually

pytestmark = pytest.mark.django_db(transaction=True)

ARABIC = "كان في قديم الزمان حارس منارة.\nThen an English line.\nوانتهت القصة."
CHINESE = "从前有一位守灯塔的老人，自秋天的风暴以来，他再也没有见过别的人。" * 4
LONG = "He waved until his arm ached, and then he went back up the stairs and lit the lamp.\n\n" * 12


def show(page: Page, prompt: str, texts: list[str], **settings: Any) -> None:
    project = make_project(feedback="best", samples_per_task=len(texts), **settings)
    writer, _ = Generator.objects.get_or_create(name="writer")
    [row] = add_prompts(project, [prompt])
    create_tasks(project=project, generator=writer, completions={row: texts})
    log_in(page, annotator())
    page.goto("/projects/stories/work/")
    expect(page.locator("#task")).to_be_focused()


def test_each_line_runs_in_its_own_direction(page: Page) -> None:
    show(page, "قصة", [ARABIC, "plain"])
    card = page.locator(".sample", has_text="English")
    lefts = card.locator(".text").evaluate(
        """text => {
            const box = text.getBoundingClientRect();
            const range = document.createRange();
            const node = text.firstChild;
            return node.data.split("\\n").map((line) => {
                const at = node.data.indexOf(line);
                range.setStart(node, at);
                range.setEnd(node, at + line.length);
                const drawn = range.getBoundingClientRect();
                return drawn.left - box.left > box.right - drawn.right ? "right" : "left";
            });
        }"""
    )
    assert lefts == ["right", "left", "right"]
    expect(page.locator(".prompt .text")).to_have_css("unicode-bidi", "plaintext")


def test_chinese_breaks_between_signs_and_stays_in_its_card(page: Page) -> None:
    show(page, "讲一个故事。", [CHINESE, CHINESE])
    text = page.locator(".sample > .text").first
    expect(text).to_have_attribute("lang", "")
    lines = text.evaluate(
        """text => {
            const range = document.createRange();
            range.selectNodeContents(text);
            return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size;
        }"""
    )
    assert lines > 2
    assert text.evaluate("text => text.scrollWidth <= text.clientWidth")


def test_markdown_and_code_are_drawn_and_can_be_seen_as_written(page: Page) -> None:
    show(
        page,
        "Write `f`.",
        ["Like **this**:\n\n```python\ndef f():\n    return 1\n```", "no"],
        text_format="markdown",
    )
    card = page.locator(".sample", has_text="Like")
    expect(card.locator("strong")).to_have_text("this")
    expect(card.locator("pre code")).to_have_text("def f():\n    return 1\n", use_inner_text=False)
    page.keyboard.press("m")
    expect(card.locator(".source")).to_have_text("Like **this**: ```python def f(): return 1 ```")
    expect(card.locator("strong")).to_be_hidden()
    expect(page.locator(".prompt .source")).to_have_text("Write `f`.")
    page.reload()
    expect(card.locator(".source")).to_be_visible()
    page.get_by_role("button", name="Markdown source").click()
    expect(card.locator("strong")).to_be_visible()


def test_plain_text_keeps_its_spaces_and_its_signs(page: Page) -> None:
    show(page, "a\n  b", ["**not bold**\n    indented", "x"])
    expect(page.locator(".sample strong")).to_have_count(0)
    expect(page.locator('[data-act="source"]')).to_have_count(0)
    texts = page.locator(".sample > .text").all_text_contents()
    assert "**not bold**\n    indented" in texts
    expect(page.locator(".sample > .text").first).to_have_css("white-space-collapse", "preserve")


def test_a_long_prompt_is_folded_on_top_and_opens_by_a_key(page: Page) -> None:
    show(page, LONG, ["short", "brief"])
    prompt = page.locator("#prompt-text")
    folded = prompt.bounding_box()
    assert folded is not None
    assert folded["height"] < 140
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Show less")).to_have_attribute("aria-expanded", "true")
    opened = prompt.bounding_box()
    assert opened is not None
    assert opened["height"] > 500
    page.reload()
    expect(page.get_by_role("button", name="Show less")).to_be_visible()
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Show all")).to_be_visible()


def test_a_short_prompt_has_nothing_to_unfold(page: Page) -> None:
    show(page, "Go on.", ["short", "brief"])
    expect(page.locator('[data-act="prompt"]')).to_be_hidden()


def test_long_samples_keep_prompt_number_and_buttons_in_sight(page: Page) -> None:
    show(page, "Go on.", [LONG * 3, LONG * 3])
    page.mouse.move(400, 500)
    page.mouse.wheel(0, 900)
    assert eventually(lambda: page.evaluate("window.scrollY") > 500)
    for part in (".prompt h2", ".sample .number", ".sample footer button", ".actions .primary"):
        expect(page.locator(part).first).to_be_in_viewport()
    wide = page.locator(".sample > .text").first.evaluate(
        "text => text.clientWidth / parseFloat(getComputedStyle(text).fontSize)"
    )
    assert wide < 72 * 0.62, "no more than some 72 signs a line"
