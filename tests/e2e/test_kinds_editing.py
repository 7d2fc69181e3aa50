"""A stored answer of every kind of feedback, opened for editing."""

from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Annotation
from tests.e2e.task_page import log_in
from tests.labeling.objects import annotator, claimed, make_project, make_tasks

pytestmark = pytest.mark.django_db(transaction=True)

CRITERIA = ["kind", "fluent"]
ANSWERS = {
    "pair": Answer(grade=-2, criteria=({"kind": 3, "fluent": 0},)),
    "rank": Answer(ranks=(2, 1, 2)),
    "best": Answer(best=3),
    "score": Answer(scores=(4, 1), criteria=({"kind": 5, "fluent": 2}, {"kind": 1, "fluent": 3})),
    "rewrite": Answer(text="A fox, and\n\nan owl <b>too</b>", edited=2),
}
FEWER = {"pair": 2, "score": 2}


@pytest.mark.parametrize("feedback", list(ANSWERS))
def test_it_stands_as_it_was_given_and_asks_before_it_is_sent_unchanged(page: Page, feedback: str) -> None:
    samples = FEWER.get(feedback, 3)
    criteria = CRITERIA if ANSWERS[feedback].criteria else []
    project = make_project(feedback=feedback, samples_per_task=samples, criteria=criteria)
    make_tasks(project, samples=samples)
    person = annotator()
    assignment = claimed(person, project)
    queue.submit(assignment, ANSWERS[feedback], client_key="first")
    log_in(page, person)
    page.goto(f"/assignments/{assignment.pk}/edit/")
    expect(page.locator("#task")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator("#idle")).to_be_visible()
    revision = Annotation.objects.get(revision=2)
    assert replace(revision.answer, seconds=None) == ANSWERS[feedback]
