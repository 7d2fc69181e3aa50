"""Differences between samples, highlighted word by word."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from labeling.models import Generator
from labeling.prompts import add_prompts
from labeling.tasks import create_tasks
from tests.e2e.task_page import log_in, open_task
from tests.labeling.objects import annotator, make_project

pytestmark = pytest.mark.django_db(transaction=True)


def show(page: Page, texts: list[str], **settings: Any) -> None:
    """Open a task with these samples."""
    project = make_project(feedback="best", samples_per_task=len(texts), **settings)
    writer, _ = Generator.objects.get_or_create(name="writer")
    prompts = add_prompts(project, ["Go on."])
    create_tasks(project=project, generator=writer, completions=dict.fromkeys(prompts, texts))
    log_in(page, annotator())
    page.goto("/projects/stories/work/")
    expect(page.locator("#task")).to_be_focused()


def marked(page: Page) -> set[tuple[str, ...]]:
    cards = page.locator(".sample").all()
    return {tuple(card.locator("ins, del").all_inner_texts()) for card in cards}


def test_in_a_pair_each_text_shows_what_the_other_has_not(page: Page) -> None:
    texts = ["The old fox ran home.", "The red fox ran all the way home."]
    show(page, texts)
    page.keyboard.press("d")
    assert marked(page) == {("old",), ("red", "all the way")}
    expect(page.locator('[data-act="changes"]')).to_have_attribute("aria-pressed", "true")
    underlined = page.locator(".sample ins, .sample del").evaluate_all(
        "nodes => nodes.every(node => getComputedStyle(node).textDecorationLine === 'underline')"
    )
    assert underlined, "not by colour alone"
    page.keyboard.press("d")
    assert marked(page) == {()}
    assert set(page.locator(".sample > .text").all_text_contents()) == set(texts)


def test_of_more_than_two_all_are_compared_with_the_one_in_focus(page: Page) -> None:
    show(page, ["a small dog", "a small cat", "a large dog"])
    texts = page.locator(".sample > .text").all_inner_texts()
    dog, cat = texts.index("a small dog"), texts.index("a small cat")
    page.locator(".sample").nth(dog).focus()
    page.keyboard.press("d")
    expect(page.locator(".sample").nth(dog)).to_contain_text("compared with this one")
    assert marked(page) == {(), ("cat",), ("large",)}
    page.locator(".sample").nth(cat).focus()
    assert marked(page) == {(), ("dog",), ("large dog",)}


def test_chinese_is_compared_sign_by_sign(page: Page) -> None:
    show(page, ["我今天去学校。", "我昨天去学校。"])
    page.keyboard.press("d")
    assert marked(page) == {("今",), ("昨",)}


def test_markdown_keeps_its_markup_while_it_is_compared(page: Page) -> None:
    texts = ["Use **two** words:\n\n```\nx = 1\n```", "Use **three** words:\n\n```\nx = 2\n```"]
    show(page, texts, text_format="markdown")
    page.keyboard.press("d")
    assert marked(page) == {("two", "1"), ("three", "2")}
    assert page.locator(".sample strong :is(ins, del)").count() == 2
    page.keyboard.press("m")
    assert page.locator(".sample .source:visible :is(ins, del)").count() == 4
    page.keyboard.press("d")
    page.keyboard.press("m")
    assert marked(page) == {()}


def test_word_diff_gives_back_both_texts(page: Page) -> None:
    open_task(page, "rank")
    wrong = page.evaluate(
        """async () => {
            const { wordDiff } = await import("/static/labeling/diff.js");
            const words = ["the", "a", "fox", "dog", "ran", "去", "学校", "—", "مرحبا", "\\n", "it’s", "x=1"];
            let seed = 7;
            const next = (below) => (seed = (seed * 16807) % 2147483647) % below;
            const join = (list) => list.join(next(2) ? " " : "");
            const text = () => join(Array.from({ length: next(25) }, () => words[next(words.length)]));
            const without = (parts, change) =>
                parts.flatMap((part) => (part.change === change ? [] : [part.text])).join("");
            const bare = (string) => string.replace(/\\s+/gu, "");
            for (let round = 0; round < 500; round += 1) {
                const [a, b] = [text(), text()];
                const parts = wordDiff(a, b);
                const [to, from] = [without(parts, "removed"), without(parts, "added")];
                if (to !== b || bare(from) !== bare(a)) return [a, b, parts];
            }
            const long = "one two three ".repeat(3000), other = "vier fünf sechs ".repeat(3000);
            const started = performance.now();
            wordDiff(long, other);
            return performance.now() - started < 3000 ? null : "slow";
        }"""
    )
    assert wrong is None
