"""An admin follows a version to an answer and back, and deletes what somebody answered."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from labeling.feedback import Answer
from labeling.models import Annotation, Task
from labeling.preferences import create_snapshot
from tests.e2e.conftest import sign_in
from tests.labeling.objects import admin, annotator, make_project, make_tasks, says
from tests.training.lineage_factories import make_tuned_versions

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_version_leads_to_its_answers_and_is_marked_once_they_are_deleted(
    page: Page, axe: Callable[[Page], None]
) -> None:
    project = make_project()
    tasks = make_tasks(project, 3, need=2)
    people = annotator("amal"), annotator("chen")
    for task in tasks:
        for person in people:
            says(person, task, Answer(ranks=(1, 2, 3), seconds=20))
    Task.objects.update(open=0)
    _, _, policy = make_tuned_versions(project, create_snapshot(project))
    sign_in(page, admin())

    page.goto(policy.get_absolute_url())
    page.get_by_role("link", name="6 answers by 2 annotators").click()
    page.get_by_role("link", name="amal").click()
    expect(page.get_by_role("heading", name="Answers 3")).to_be_visible()
    page.get_by_role("row", name="Prompt 1").get_by_role("link").click()
    expect(page.get_by_text("1 › 2 › 3")).to_be_visible()
    expect(page.get_by_role("link", name=policy.name)).to_be_visible()
    axe(page)

    page.goto(f"/people/{people[0].pk}/")
    page.get_by_role("link", name="Delete their answers…").click()
    axe(page)
    page.get_by_label("To confirm, type the user name").fill("amal")
    page.get_by_role("button", name="Delete answers").click()
    expect(page.get_by_text("3 answers by amal in Stories are deleted")).to_be_visible()
    assert {each.assignment.annotator for each in Annotation.objects.all()} == {people[1]}
    page.goto(policy.get_absolute_url())
    expect(page.get_by_text("At least 3 answers that it learned from have been deleted")).to_be_visible()
