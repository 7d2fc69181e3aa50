from typing import Any

import pytest

from labeling import queue
from labeling.feedback import Answer, AnswerError
from labeling.models import Assignment
from labeling.text_limits import MAX_DRAFT_LENGTH
from tests.labeling.objects import annotator, claimed, make_project, make_tasks
from tests.labeling.test_claim import lapse

pytestmark = pytest.mark.django_db

DRAFT = {"order": [3, 1, 2], "comment": 'print("\\u0000") — 你好, مرحبا 🙂'}


def test_a_draft_is_kept_with_the_task_and_renews_the_lease() -> None:
    project = make_project()
    make_tasks(project)
    ann = annotator()
    held = claimed(ann, project)
    lapse(held)
    assert queue.save_draft(held, DRAFT)
    assert queue.expire() == 0
    assert claimed(ann, project).draft == DRAFT


def test_a_draft_without_the_lease_is_not_kept() -> None:
    project = make_project()
    make_tasks(project)
    held = claimed(annotator(), project)
    queue.release(held)
    assert not queue.save_draft(held, DRAFT)
    assert Assignment.objects.get().draft is None


def test_a_lapsed_lease_keeps_its_draft_for_the_one_who_made_it() -> None:
    project = make_project()
    make_tasks(project)
    ann = annotator()
    held = claimed(ann, project)
    queue.save_draft(held, DRAFT)
    lapse(held)
    queue.expire()
    assert claimed(ann, project).draft == DRAFT


@pytest.mark.parametrize("leave", ["submit", "skip"])
def test_a_draft_is_gone_once_the_task_is_answered_or_left(leave: str) -> None:
    project = make_project()
    make_tasks(project)
    held = claimed(annotator(), project)
    queue.save_draft(held, DRAFT)
    if leave == "submit":
        queue.submit(held, Answer(ranks=(1, 2, 3)), client_key="k")
    else:
        queue.skip(held)
    assert Assignment.objects.get().draft is None


@pytest.mark.parametrize(
    "draft",
    [
        {"comment": "x" * (MAX_DRAFT_LENGTH + 1)},
        {"comment": "a \x00 byte"},
        {"a \x00 name": 1},
        {"comment": "half of a pair: \ud83d"},
        {"seconds": float("nan")},
        ["not", "an", "object"],
    ],
)
def test_a_draft_that_cannot_be_kept_is_refused(draft: Any) -> None:
    project = make_project()
    make_tasks(project)
    held = claimed(annotator(), project)
    with pytest.raises(AnswerError, match="draft"):
        queue.save_draft(held, draft)
