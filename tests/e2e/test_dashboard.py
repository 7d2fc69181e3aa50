"""An admin follows the next step from the dashboard: a round, begun and stopped in the browser."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from labeling.models import Project
from tests.e2e.conftest import sign_in
from tests.labeling.objects import admin
from tests.training.test_rounds import make_ready_project
from training.models import Automation, ModelVersion, Round, Run

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_round_is_begun_from_the_dashboard_and_stopped(page: Page, axe: Callable[[Page], None]) -> None:
    project: Project = make_ready_project()
    Automation.objects.update(every=5)
    ModelVersion.objects.update(stage=ModelVersion.Stage.PRODUCTION)
    sign_in(page, admin())
    page.get_by_role("link", name="Dashboard", exact=True).click()
    expect(page.get_by_role("heading", name="Letters")).to_be_visible()
    page.get_by_role("button", name="Begin round 1").click()
    expect(page.get_by_role("heading", name="Round 1 is running")).to_be_visible()
    assert Run.objects.get(kind=Run.Kind.TRAIN_REWARD).project == project
    page.get_by_role("navigation", name="Letters").get_by_role("link", name="Dashboard").click()
    expect(page.get_by_text("Wait for round 1")).to_be_visible()
    page.get_by_role("link", name="See the round").click()
    page.get_by_role("button", name="Stop the round").click()
    expect(page.get_by_role("button", name="Start a round")).to_be_visible()
    assert Round.objects.get().outcome == Round.Outcome.STOPPED
    page.set_viewport_size({"width": 390, "height": 844})
    for name in ("Rounds", "Dashboard"):
        page.get_by_role("navigation", name="Letters").get_by_role("link", name=name).click()
        expect(page.locator("html")).to_have_js_property("scrollWidth", 390)
    axe(page)
