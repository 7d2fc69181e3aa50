"""What the browser tests of the annotator's page do again and again."""

from collections.abc import Callable
from typing import Any

from django.conf import settings as site
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import BrowserContext, Locator, Page, expect

from labeling.models import Annotation, Project
from tests.labeling.objects import annotator, make_project, make_tasks

PHONE_WIDTH = 390
FINGER = 44  # pixels


def signed_in(page: Page, user: User) -> None:
    """Sign in without the page for it, which has tests of its own."""
    client = Client()
    client.force_login(user)
    cookie = client.cookies[site.SESSION_COOKIE_NAME].value
    page.context.add_cookies(
        [{"name": site.SESSION_COOKIE_NAME, "value": cookie, "domain": "localhost", "path": "/"}]
    )


def start(page: Page, feedback: str, *, samples: int = 3, count: int = 1, **settings: Any) -> Project:
    """Sign in and open a project's first task: samples read A0, B0, … in an order drawn by the server."""
    project = make_project(feedback=feedback, samples_per_task=samples, **settings)
    make_tasks(project, count, samples=samples)
    signed_in(page, annotator())
    page.goto(f"/projects/{project.slug}/work/")
    expect(page.locator("#task")).to_be_focused()
    return project


def phone(open_context: Callable[..., BrowserContext]) -> Page:
    """A page at 390 pixels, for a finger."""
    return open_context(
        viewport={"width": PHONE_WIDTH, "height": 844}, has_touch=True, is_mobile=True
    ).new_page()


def shown(page: Page) -> list[str]:
    """The samples' letters in the order on the page."""
    return [text[0] for text in page.locator(".sample > .text").all_inner_texts()]


def card(page: Page, letter: str) -> Locator:
    """The card of the sample with this letter."""
    return page.locator(".sample").nth(shown(page).index(letter))


def press(page: Page, letters: str) -> None:
    """Press the digits of these samples in turn."""
    order = shown(page)
    for letter in letters:
        page.keyboard.press(str(order.index(letter) + 1))


def submitted(page: Page) -> Annotation:
    """The answer, once the page says that nothing else is to do."""
    expect(page.locator("#idle")).to_be_visible()
    return Annotation.objects.get()


def by_letter(annotation: Annotation, field: str) -> dict[str, object]:
    """What was stored of each sample."""
    judgements = annotation.judgements.select_related("sample")
    return {each.sample.text[0]: getattr(each, field) for each in judgements}


def fits_a_finger(page: Page, selector: str) -> bool:
    """Whether all that matches are targets of at least 44 pixels, and the page is no wider than the phone."""
    boxes = [box for each in page.locator(selector).all() if (box := each.bounding_box())]
    wide = page.evaluate("document.documentElement.scrollWidth")
    return wide == PHONE_WIDTH and all(min(box["width"], box["height"]) >= FINGER for box in boxes)
