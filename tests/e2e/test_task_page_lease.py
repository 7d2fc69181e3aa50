"""The lease: time left, renewed while the page is in use, extended before it expires."""

from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from labeling import queue
from labeling.models import Annotation, Assignment
from tests.e2e.conftest import Problems
from tests.e2e.task_page import open_task, press_digits_of, submitted_annotation

pytestmark = pytest.mark.django_db(transaction=True)


def nearly_over() -> None:
    """Let the lease in the database end in a moment, as the clock of the page will say."""
    Assignment.objects.update(lease_until=timezone.now() + timedelta(seconds=90))


def renewed() -> bool:
    return Assignment.objects.get().lease_until > timezone.now() + timedelta(minutes=5)


def test_it_says_for_how_long_the_task_is_held(page: Page) -> None:
    page.clock.install()
    open_task(page, "rank", lease_minutes=12)
    expect(page.locator(".lease")).to_have_text("Reserved: 12 min")
    page.clock.fast_forward("05:00")
    expect(page.locator(".lease")).to_have_text("Reserved: 7 min")
    expect(page.get_by_role("button", name="Keep working")).to_be_hidden()


def test_it_is_renewed_while_the_page_is_in_use(page: Page) -> None:
    page.clock.install()
    open_task(page, "rank", lease_minutes=12)
    nearly_over()
    page.clock.fast_forward("05:00")
    page.mouse.move(300, 300)
    page.clock.run_for(2000)
    expect(page.locator(".lease")).to_have_text("Reserved: 12 min")
    assert renewed()


def test_it_is_not_renewed_for_a_page_that_is_left_alone(page: Page) -> None:
    page.clock.install()
    open_task(page, "rank", lease_minutes=12)
    nearly_over()
    page.clock.fast_forward("10:30")
    expect(page.locator(".held")).to_contain_text("Reserved: 1:30")
    assert not renewed()
    expect(page.locator("#announcement")).to_contain_text("Reserved:")


def test_in_the_last_minutes_it_can_be_kept(page: Page) -> None:
    page.clock.install()
    open_task(page, "rank", lease_minutes=12)
    nearly_over()
    page.clock.fast_forward("10:30")
    keep = page.get_by_role("button", name="Keep working")
    keep.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".lease")).to_have_text("Reserved: 12 min")
    expect(keep).to_be_hidden()
    assert renewed()


def test_a_lease_lost_while_away_is_said_on_coming_back(page: Page, problems: Problems) -> None:
    problems.expected = "409"
    page.clock.install()
    open_task(page, "rank", lease_minutes=12)
    press_digits_of(page, "AB")
    page.clock.run_for(1000)
    expect(page.locator(".saved")).to_have_text("Saved")
    Assignment.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert queue.expire() == 1
    page.clock.fast_forward("13:00")
    expect(page.locator(".lease")).to_have_text("Reservation expired: others may get this task")
    page.mouse.move(300, 300)
    page.clock.run_for(2000)
    expect(page.locator("#notice")).to_contain_text("no longer reserved for you")
    expect(page.locator(".order .chip")).to_have_count(2)


def test_seconds_count_only_while_the_page_is_in_use(page: Page) -> None:
    page.clock.install()
    open_task(page, "rank", lease_minutes=60)
    page.clock.run_for(10_000)
    page.mouse.move(300, 300)
    # Twenty minutes of which nobody was there after the first.
    page.clock.fast_forward("20:00")
    press_digits_of(page, "ABC")
    page.keyboard.press("Enter")
    seconds = submitted_annotation(page).seconds
    assert seconds is not None
    assert 65 <= seconds <= 80


def test_seconds_do_not_count_while_the_page_is_out_of_sight(page: Page) -> None:
    page.clock.install()
    open_task(page, "rank", lease_minutes=60)
    hidden = "Object.defineProperty(document, 'hidden', { value: %s, configurable: true });"
    change = "document.dispatchEvent(new Event('visibilitychange'))"
    page.evaluate(hidden % "true" + change)
    page.clock.fast_forward("00:50")
    page.evaluate(hidden % "false" + change)
    page.clock.fast_forward("00:05")
    press_digits_of(page, "ABC")
    page.keyboard.press("Enter")
    seconds = submitted_annotation(page).seconds
    assert seconds is not None
    assert 5 <= seconds <= 15


def test_time_spent_before_a_reload_counts(page: Page) -> None:
    page.clock.install()
    open_task(page, "rank", lease_minutes=60)
    page.clock.fast_forward("00:40")
    press_digits_of(page, "A")
    page.clock.run_for(1000)
    expect(page.locator(".saved")).to_have_text("Saved")
    page.reload()
    expect(page.locator("#task")).to_be_focused()
    page.clock.fast_forward("00:20")
    press_digits_of(page, "BC")
    page.keyboard.press("Enter")
    expect(page.locator("#idle")).to_be_visible()
    seconds = Annotation.objects.get().seconds
    assert seconds is not None
    assert 55 <= seconds <= 75
