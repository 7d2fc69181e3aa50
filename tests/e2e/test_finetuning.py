"""An admin at the controls of runs, which are really executed behind the page."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import sign_in
from tests.e2e.controls import start_run
from tests.processes import eventually, worker
from tests.training.factories import admin, make_policy, make_project, make_reward
from training.execution.executor import execute
from training.models import ModelVersion, Run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_artifacts")]

PATIENCE = 120_000  # milliseconds


def test_a_run_is_watched_cancelled_resumed_and_cloned(page: Page, tmp_path: Path) -> None:
    make_project()
    make_policy()
    make_reward()
    sign_in(page, admin())
    start_run(page, "Fine-tune", project="letters", steps=5000, max_new_tokens=5)
    status = page.locator("#progress .status").first
    with worker(tmp_path):
        expect(status).to_have_text("Running", timeout=PATIENCE)
        expect(page.locator(".chart")).not_to_have_count(0, timeout=PATIENCE)
        moving = page.locator("#progress progress").first
        before = float(moving.get_attribute("value") or 0)
        assert eventually(lambda: float(moving.get_attribute("value") or 0) > before)
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Cancel").click()
        expect(status).to_have_text("Cancelled", timeout=PATIENCE)
        saved = Run.objects.get().saved_step
        assert saved
        page.get_by_role("button", name="Resume").click()
        expect(status).to_have_text("Running", timeout=PATIENCE)
        page.get_by_role("button", name="Pause").click()
        expect(status).to_have_text("Paused", timeout=PATIENCE)
    run = Run.objects.get()
    assert run.attempts == 2
    assert run.saved_step is not None
    assert run.saved_step >= saved
    assert not ModelVersion.objects.filter(run__isnull=False).exists()

    page.get_by_role("link", name="Clone").click()
    expect(page.get_by_text(re.compile("Cloned from"))).to_be_visible()
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Fine-tune #")
    cloned = Run.objects.exclude(pk=run.pk).get()
    assert cloned.parameters | {"name": ""} == run.parameters | {"name": ""}


def test_a_run_whose_corpus_was_removed_says_so_and_what_to_do(page: Page, tmp_path: Path) -> None:
    corpus = tmp_path / "tales.txt"
    corpus.write_text("Once there was a hare.\n" * 200)
    sign_in(page, admin())
    start_run(page, "Pretrain", source=corpus)
    expect(page.locator("#progress .status").first).to_have_text("Queued")
    corpus.unlink()
    assert not execute(Run.objects.get())
    expect(page.locator("#progress .status").first).to_have_text("Failed")
    expect(page.get_by_role("alert")).to_contain_text(str(corpus))
    expect(page.locator("#progress")).to_contain_text(re.compile("put (it|them) back|clone", re.IGNORECASE))
