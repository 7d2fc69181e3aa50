from datetime import UTC, datetime
from unittest.mock import patch
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from labeling import control_tasks, queue
from labeling.feedback import Answer
from labeling.models import Assignment, Project
from labeling.queue import LeaseLost
from tests.labeling.objects import annotator, checking, claimed, make_project, make_tasks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("midday")]

ABC = Answer(ranks=(1, 2, 3))


def answer_until_it_rests(user: User, project: Project) -> int:
    count = 0
    while assignment := queue.claim(annotator=user, project=project):
        queue.submit(assignment, ABC, client_key="k")
        count += 1
    return count


def test_nobody_answers_more_than_the_project_allows_one_person() -> None:
    project = make_project(limit_per_person=3)
    make_tasks(project, 8)
    ann, bob = annotator("ann"), annotator("bob")
    assert answer_until_it_rests(ann, project) == 3
    assert queue.no_task_reason(annotator=ann, project=project) == "person"
    assert answer_until_it_rests(bob, project) == 3


def test_nobody_answers_more_in_a_day_than_the_project_allows() -> None:
    project = make_project(limit_per_day=2)
    make_tasks(project, 8)
    ann = annotator()
    assert answer_until_it_rests(ann, project) == 2
    assert queue.no_task_reason(annotator=ann, project=project) == "day"


def test_a_day_begins_at_midnight_where_the_site_is() -> None:
    project = make_project(limit_per_day=1)
    make_tasks(project, 8)
    ann = annotator()
    answer_until_it_rests(ann, project)
    with timezone.override(ZoneInfo("Asia/Kolkata")):  # midnight there is 18:30 in UTC
        noon = datetime(2026, 5, 4, 12, tzinfo=UTC)
        with patch("django.utils.timezone.now", return_value=noon):
            Assignment.objects.update(finished=datetime(2026, 5, 3, 18, 29, tzinfo=UTC))
            assert queue.no_task_reason(annotator=ann, project=project) == "empty"
            Assignment.objects.update(finished=datetime(2026, 5, 3, 18, 31, tzinfo=UTC))
            assert queue.no_task_reason(annotator=ann, project=project) == "day"


def test_a_held_task_is_still_given_at_the_limit() -> None:
    project = make_project(limit_per_person=1)
    make_tasks(project, 3)
    ann = annotator()
    held = claimed(ann, project)
    assert claimed(ann, project) == held


def test_gold_and_repeats_count_as_answers() -> None:
    """A limit that passed over them would tell which they were."""
    project = make_project(limit_per_person=8)
    tasks = make_tasks(project, 20)
    for task in tasks[15:]:
        control_tasks.create_gold_task(task=task, answer=ABC, author=None)
    assert answer_until_it_rests(annotator(), checking(project, gold=50, repeat=50)) == 8
    assert Assignment.objects.exclude(task__kind="ordinary").exists()


def test_at_a_limit_nothing_is_taken_up_again() -> None:
    project = make_project(limit_per_person=1)
    make_tasks(project, 3)
    ann = annotator()
    skipped = claimed(ann, project)
    queue.skip(skipped)
    answer_until_it_rests(ann, project)
    with pytest.raises(LeaseLost):
        queue.reclaim(skipped)


def test_revisions_and_skips_count_towards_no_limit() -> None:
    project = make_project(limit_per_person=2)
    make_tasks(project, 5)
    ann = annotator()
    queue.skip(claimed(ann, project))
    first = claimed(ann, project)
    queue.submit(first, ABC, client_key="k")
    queue.revise(first, ABC, client_key="r")
    assert answer_until_it_rests(ann, project) == 1


def test_it_says_why_there_is_nothing() -> None:
    project = make_project()
    ann = annotator()
    assert queue.no_task_reason(annotator=ann, project=project) == "empty"
    project.is_active = False
    assert queue.no_task_reason(annotator=ann, project=project) == "inactive"
