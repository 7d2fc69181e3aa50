"""A real browser on a real server. A console error or a policy violation fails the test that caused it."""

import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

# Playwright's synchronous interface runs an event loop in this thread, where Django would refuse queries.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")

# A shared machine may stand still for seconds. What is as expected costs no more for it.
expect.set_options(timeout=20_000)

PASSWORD = "a pass phrase"
CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
AXE = Path(__file__).parent / "node_modules/axe-core/axe.min.js"
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy violation: ${event.violatedDirective} ${event.blockedURI}`);
});
"""


REPLACED = re.compile("^htmx:(afterRequest|sendAbort),")
"""What htmx logs about a request that a newer one replaced. A request that really failed logs more."""


class Problems(list[str]):
    """What browsers complained about. A test may expect some of it: `problems.expected = "409"`."""

    expected = ""

    def unexpected(self) -> list[str]:
        """Whatever the pattern `expected` does not match."""
        return [text for text in self if not (self.expected and re.search(self.expected, text))]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests: the one at CHROMIUM, else Playwright's own."""
    with sync_playwright() as playwright:
        path = CHROMIUM if Path(CHROMIUM).exists() else None
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def problems() -> Iterator[Problems]:
    """Filled by every page of the test; checked at its end."""
    found = Problems()
    yield found
    assert found.unexpected() == []


@pytest.fixture
def open_context(
    browser: Browser, live_server: LiveServer, problems: Problems
) -> Iterator[Callable[..., BrowserContext]]:
    """Makes browser contexts (one for each person) whose complaints are collected."""
    contexts = []

    def complain(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not REPLACED.match(message.text):
            problems.append(f"{message.text} ({message.location.get('url')})")

    def open_one(**options: object) -> BrowserContext:
        context = browser.new_context(base_url=live_server.url, **options)  # type: ignore[arg-type]
        context.set_default_timeout(20_000)
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", complain)
        context.on("weberror", lambda error: problems.append(str(error.error)))
        contexts.append(context)
        return context

    yield open_one
    for context in contexts:
        context.close()
    # What the server still answers needs the database, which the test gives back next.
    for thread in threading.enumerate():
        if "process_request_thread" in thread.name:
            thread.join(timeout=10)


@pytest.fixture
def page(open_context: Callable[..., BrowserContext]) -> Page:
    """A page at 1440 by 900."""
    return open_context(viewport={"width": 1440, "height": 900}).new_page()


@pytest.fixture
def axe() -> Callable[[Page], None]:
    """Fails on what axe-core finds serious or critical on the page as it stands, light and dark.

    `script/test` installs axe-core; without it the test fails.
    """

    def check(page: Page) -> None:
        if not AXE.exists():
            pytest.fail("axe-core is not installed: run script/npm-ci tests/e2e")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = []
        for scheme in ("light", "dark"):
            # Of the rules, contrast alone asks for colours: in the dark nothing else can be otherwise.
            rules = {"runOnly": ["color-contrast"]} if scheme == "dark" else {}
            # Without motion: a colour on its way from one to another has no contrast to speak of.
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            # No preloading: axe would copy imported sheets into inline styles, which our policy refuses.
            options = {"preload": False, "resultTypes": ["violations"], **rules}
            violations = page.evaluate("(rules) => axe.run(rules).then((found) => found.violations)", options)
            found += [
                f"{scheme}: {item['id']}: {item['help']}: {node['target']} {node['failureSummary']}"
                for item in violations
                if item["impact"] in {"serious", "critical"}
                for node in item["nodes"]
            ]
        page.emulate_media(color_scheme="null", reduced_motion="null")
        assert found == []

    return check


def sign_in(page: Page, user: User) -> None:
    """Give the browser a session of this person, and arrive at the first page."""
    client = Client()
    client.force_login(user)
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    page.context.add_cookies(
        [{"name": cookie.key, "value": cookie.value, "domain": "localhost", "path": "/"}]
    )
    page.goto("/")


def type_in(page: Page, user: User) -> None:
    """Sign in with the keyboard, as a person does, and arrive at the first page."""
    user.set_password(PASSWORD)
    user.save()
    page.goto("/accounts/login/")
    expect(page.get_by_label("User name")).to_be_focused()
    page.keyboard.type(user.get_username())
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/accounts/" not in url)
