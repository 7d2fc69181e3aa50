"""Every kind of feedback with a screen reader, half answered."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.task_page import open_task

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("feedback", "keys", "announcement"),
    [
        ("pair", "26", "kind: Second: better. Enter submits."),
        ("rank", "1", "Sample 1: 1st. 1 left."),
        ("best", "2", "Sample 2 is the best. Enter submits."),
        ("score", "4", "Sample 1, overall: 4. Next: Sample 1, kind."),
        ("rewrite", "1", "Your text, from sample 1."),
    ],
)
def test_each_step_is_said_and_nothing_serious_is_found(
    page: Page, axe: Callable[[Page], None], feedback: str, keys: str, announcement: str
) -> None:
    criteria = ["kind"] if feedback in {"pair", "score"} else []
    open_task(page, feedback, samples=2, criteria=criteria)
    for key in keys:
        page.keyboard.press(key)
    expect(page.locator("#announcement")).to_have_text(announcement)
    if feedback == "rewrite":
        page.keyboard.press("Escape")
        page.keyboard.press("d")
    axe(page)
