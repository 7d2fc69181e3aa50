"""The form that starts a run, in a browser: it follows what is chosen, and says how long that would take."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from labeling.models import Project
from tests.e2e.conftest import sign_in
from tests.training.factories import admin, make_policy, make_project, make_reward, queue_run
from training.models import ModelVersion, Run

pytestmark = pytest.mark.django_db(transaction=True)


def with_versions(slug: str) -> Project:
    """A project with a policy and a reward model of its own, and a minute of fine-tuning behind it."""
    project = make_project(slug)
    versions = [make_policy(f"{slug}-policy"), make_reward(f"{slug}-taste")]
    ModelVersion.objects.filter(pk__in=[each.pk for each in versions]).update(project=project)
    run = queue_run("finetune", project=slug, policy=f"{slug}-policy", reward=f"{slug}-taste")
    Run.objects.filter(pk=run.pk).update(
        status=Run.Status.SUCCEEDED, started_at=run.created_at, spent=timedelta(minutes=1)
    )
    return project


def test_the_start_form_follows_what_is_chosen(page: Page, axe: Callable[[Page], None]) -> None:
    with_versions("letters")
    with_versions("stories")
    sign_in(page, admin())
    page.goto("/admin/training/run/add/?kind=finetune&project=letters")
    estimate = page.locator("#estimate")
    expect(estimate).to_contain_text("About 60 s on this machine")

    page.get_by_role("link", name="Thorough").click()
    expect(page.get_by_label("Steps", exact=True)).to_have_value("400")
    expect(estimate).to_contain_text("About 4 min on this machine")

    page.get_by_label("Project", exact=True).select_option("stories")
    expect(page.get_by_label("Policy", exact=True)).to_have_value("stories-policy")
    expect(page.get_by_label("Reward model", exact=True)).to_have_value("stories-taste")
    expect(page.get_by_label("Steps", exact=True)).to_have_value("400")

    page.get_by_label("Steps", exact=True).fill("-1")
    expect(estimate).to_contain_text("Before it can start")
    page.get_by_role("button", name="Start", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("The run was not started")
    expect(page.get_by_label("Project", exact=True)).to_have_value("stories")
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    axe(page)
