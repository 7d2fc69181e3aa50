"""An admin cancels a training and has it go on, with a real worker behind the page."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.conftest import sign_in
from tests.processes import eventually, worker
from tests.training.factories import admin, queue_run
from training.models import ModelVersion, Run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("own_artifacts")]


@pytest.mark.slow
def test_a_cancelled_training_is_resumed_from_its_page_and_watched_to_its_end(
    page: Page, tmp_path: Path
) -> None:
    sign_in(page, admin())
    run = queue_run(
        Run.Kind.PRETRAIN,
        detached=True,
        name="again",
        stories=400,
        vocab_size=300,
        context=64,
        batch_size=4,
        steps=250,
        minutes=0,
        evaluate_every=200,
        evaluation_tokens=500,
    )
    page.goto(run.get_absolute_url())
    with worker(tmp_path):
        assert eventually(lambda: run.points.filter(step__gte=1).exists())
        page.once("dialog", lambda dialog: dialog.accept())
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator(".status")).to_have_text("Cancelled", timeout=60_000)
        run.refresh_from_db()
        expect(page.get_by_text(f"saved at step {run.saved_step}")).to_be_visible()
        page.get_by_role("button", name="Resume").click()
        expect(page.locator(".status")).to_have_text("Succeeded", timeout=120_000)
    expect(page.get_by_role("link", name="again")).to_be_visible()
    assert list(run.points.values_list("step", flat=True)) == list(range(251))
    assert ModelVersion.objects.get().run == run
