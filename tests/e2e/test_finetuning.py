"""An admin at the controls of a fine-tune, with a real worker behind the page."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import sign_in
from tests.processes import eventually, worker
from tests.training.objects import admin, make_policy, make_project, make_reward
from training.models import ModelVersion, Run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("own_artifacts", "no_jobs_left"),
]


def start_finetune(page: Page, *, steps: int) -> None:
    """From the Django admin's first page to the page of a new fine-tune."""
    page.goto("/admin/")
    page.locator("#content-main").get_by_role("link", name="Runs").click()
    page.get_by_role("link", name="Add run").click()
    page.get_by_role("link", name="Fine-tune", exact=True).click()
    page.get_by_label("Project").select_option(label="Letters")
    page.get_by_label("Policy").select_option(label="base")
    page.get_by_label("Reward").select_option(label="taste")
    page.get_by_text("More options").click()
    page.get_by_label("Steps:", exact=True).fill(str(steps))
    page.get_by_label("Max new tokens:").fill("5")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Fine-tune #")


def test_an_admin_starts_a_finetune_watches_it_move_and_cancels_it(page: Page, tmp_path: Path) -> None:
    make_project()
    make_policy()
    make_reward()
    sign_in(page, admin())
    start_finetune(page, steps=5000)
    with worker(tmp_path):
        expect(page.locator(".status")).to_have_text("Running", timeout=60_000)
        expect(page.locator(".chart")).not_to_have_count(0, timeout=60_000)
        moving = page.locator("progress")
        before = float(moving.get_attribute("value") or 0)
        assert eventually(lambda: float(moving.get_attribute("value") or 0) > before)
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator(".status")).to_have_text("Cancelled", timeout=60_000)
    expect(page.get_by_role("button", name="Cancel")).to_have_count(0)
    assert Run.objects.get().status == Run.Status.CANCELLED
    assert not ModelVersion.objects.filter(run__isnull=False).exists()


def test_a_finished_finetune_shows_what_it_made(page: Page, tmp_path: Path) -> None:
    make_project()
    make_policy()
    make_reward()
    sign_in(page, admin())
    start_finetune(page, steps=3)
    with worker(tmp_path):
        expect(page.locator(".status")).to_have_text("Succeeded", timeout=60_000)
    expect(page.locator("progress")).to_have_count(0)
    page.get_by_role("link", name="base-2").click()
    expect(page).to_have_url(re.compile(r"/admin/training/modelversion/\d+/change/"))
    expect(page.locator(".field-parent")).to_contain_text("base")
    expect(page.locator(".field-made_by")).to_contain_text("Fine-tune #")
