"""The work page for people who cannot see it, or cannot use a mouse."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import sign_in
from tests.labeling.objects import annotator, make_project, make_tasks

pytestmark = pytest.mark.django_db(transaction=True)


def test_axe_finds_nothing_serious_on_the_work_page(page: Page, axe: Callable[[Page], None]) -> None:
    make_tasks(make_project())
    sign_in(page, annotator())
    page.goto("/projects/stories/work/")
    expect(page.locator("#task")).to_be_visible()
    axe(page)
