"""Helpers for browser tests of the task page."""

from collections.abc import Callable
from typing import Any

from django.conf import settings as site
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import BrowserContext, Locator, Page, expect

from labeling.models import Annotation, Project
from tests.labeling.objects import annotator, make_project, make_tasks

PHONE_WIDTH = 390
MIN_TOUCH_TARGET = 44  # pixels


def log_in(page: Page, user: User) -> None:
    """Sign in by session cookie, without the sign-in page."""
    client = Client()
    client.force_login(user)
    cookie = client.cookies[site.SESSION_COOKIE_NAME].value
    page.context.add_cookies(
        [{"name": site.SESSION_COOKIE_NAME, "value": cookie, "domain": "localhost", "path": "/"}]
    )


def open_task(page: Page, feedback: str, *, samples: int = 3, count: int = 1, **settings: Any) -> Project:
    """Sign in and open the first task of a new project: samples read A0, B0, … in a random order."""
    project = make_project(feedback=feedback, samples_per_task=samples, **settings)
    make_tasks(project, count, samples=samples)
    log_in(page, annotator())
    page.goto(f"/projects/{project.slug}/work/")
    expect(page.locator("#task")).to_be_focused()
    return project


def phone_page(open_context: Callable[..., BrowserContext]) -> Page:
    """A page 390 pixels wide, with touch."""
    return open_context(
        viewport={"width": PHONE_WIDTH, "height": 844}, has_touch=True, is_mobile=True
    ).new_page()


def sample_letters(page: Page) -> list[str]:
    """The letters of the samples in the order on the page."""
    return [text[0] for text in page.locator(".sample > .text").all_inner_texts()]


def card(page: Page, letter: str) -> Locator:
    """The card of the sample with this letter."""
    return page.locator(".sample").nth(sample_letters(page).index(letter))


def press_digits_of(page: Page, letters: str) -> None:
    """Press the digits of these samples in order."""
    order = sample_letters(page)
    for letter in letters:
        page.keyboard.press(str(order.index(letter) + 1))


def submitted_annotation(page: Page) -> Annotation:
    """The stored annotation, once the page shows that no task is left."""
    expect(page.locator("#idle")).to_be_visible()
    return Annotation.objects.get()


def values_by_letter(annotation: Annotation, field: str) -> dict[str, object]:
    """The stored value of each sample, by its letter."""
    judgements = annotation.judgements.select_related("sample")
    return {each.sample.text[0]: getattr(each, field) for each in judgements}


def fits_touch_targets(page: Page, selector: str) -> bool:
    """Whether all matching elements are at least 44 pixels in each direction, and the page fits the phone."""
    boxes = [box for each in page.locator(selector).all() if (box := each.bounding_box())]
    wide = page.evaluate("document.documentElement.scrollWidth")
    return wide == PHONE_WIDTH and all(min(box["width"], box["height"]) >= MIN_TOUCH_TARGET for box in boxes)
