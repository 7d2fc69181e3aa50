"""Nothing moves on the page when something is chosen."""

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.e2e.task_page import PHONE_WIDTH, open_task, press_digits_of, sample_letters

pytestmark = pytest.mark.django_db(transaction=True)

PLACES = """
[...document.querySelectorAll(".sample, .sample > *, .bar button")].map((part) => {
  const { x, y, width, height } = part.getBoundingClientRect();
  return [part.tagName, part.dataset.act, x, y + scrollY, width, height].join(" ");
})
"""


def places(page: Page) -> Any:
    return page.evaluate(PLACES)


@pytest.mark.parametrize("width", [1440, PHONE_WIDTH])
@pytest.mark.parametrize("feedback", ["pair", "rank", "best", "score"])
def test_choosing_and_undoing_moves_nothing(page: Page, feedback: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    samples = {"pair": 2, "rank": 5}.get(feedback, 3)
    open_task(page, feedback, samples=samples, criteria=["kind"] if feedback == "score" else [])
    before = places(page)
    if feedback == "rank":
        press_digits_of(page, "".join(sample_letters(page)[:2]))
        page.keyboard.press("t")
    for key in "34":
        page.keyboard.press(key)
        assert places(page) == before
    page.keyboard.press("u")
    page.keyboard.press("b")
    assert places(page) == before
