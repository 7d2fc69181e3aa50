"""Gold accuracy and repeat agreement, shown without revealing which tasks were gold or repeats."""

from datetime import datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from labeling import queue
from labeling.control_tasks import create_gold_task
from labeling.feedback import Answer
from labeling.models import Annotation, Assignment, Project, Task, TaskSample
from labeling.workspace.pace import day_start
from labeling.workspace.self_agreement import BATCH_ANSWERS, gold_accuracy, repeat_agreement
from tests.labeling.objects import annotator, answered, leased, make_project, make_tasks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("midday")]


@pytest.fixture
def project() -> Project:
    return make_project(feedback="pair", samples_per_task=2)


@pytest.fixture
def user() -> User:
    return annotator()


def days_ago(days: int) -> datetime:
    return day_start(timezone.localdate() - timedelta(days=days)) + timedelta(hours=9)


def grade(user: User, task: Task, grade: int, at: datetime) -> Annotation:
    annotation = queue.submit(leased(user, task), Answer(grade=grade), client_key="k")
    Assignment.objects.filter(pk=annotation.assignment_id).update(finished=at)
    return annotation


def answer_gold(user: User, project: Project, *, right: int, wrong: int = 0, at: datetime) -> None:
    """Answers to gold whose known answer is that the second is better."""
    for number, task in enumerate(make_tasks(project, right + wrong, samples=2)):
        gold = create_gold_task(task=task, answer=Answer(grade=2), author=None)
        grade(user, gold, 1 if number < right else -1, at)
        Task.objects.filter(pk=task.pk).update(open=0)


def answer_others(user: User, project: Project, count: int, *, at: datetime) -> None:
    make_tasks(project, count, samples=2)
    for _ in range(count):
        answered(user, project, at=at)


def repeat(user: User, project: Project, first: int, again: int, at: datetime) -> None:
    """The same pair twice, the other way round at the second time."""
    [task] = make_tasks(project, samples=2)
    grade(user, task, first, at)
    copy = Task.objects.create(
        project=project, prompt=task.prompt, kind="repeat", origin=task, need=1, open=1
    )
    for place in task.task_samples.all():
        TaskSample.objects.create(task=copy, sample=place.sample, position=3 - place.position)
    grade(user, copy, again, at)


def test_agreement_is_the_share_of_right_answers_to_gold(user: User, project: Project) -> None:
    answer_gold(user, project, right=6, wrong=2, at=days_ago(1))
    answer_others(user, project, BATCH_ANSWERS, at=days_ago(1))
    share = gold_accuracy(user)
    assert share is not None
    assert (share.count, share.n, share.percent) == (6, 8, 75)
    assert (share.low_percent, share.high_percent) == (41, 93)


def test_of_fewer_than_five_nothing_is_said(user: User, project: Project) -> None:
    answer_gold(user, project, right=4, at=days_ago(1))
    answer_others(user, project, BATCH_ANSWERS, at=days_ago(1))
    assert gold_accuracy(user) is None


def test_todays_answers_do_not_move_the_figure(user: User, project: Project) -> None:
    answer_gold(user, project, right=6, at=days_ago(1))
    answer_others(user, project, BATCH_ANSWERS, at=days_ago(1))
    before = gold_accuracy(user)
    answer_gold(user, project, right=0, wrong=9, at=timezone.now())
    answer_others(user, project, BATCH_ANSWERS, at=timezone.now())
    assert gold_accuracy(user) == before


def test_days_with_few_answers_are_counted_together(user: User, project: Project) -> None:
    """Who answers one task a day would else learn on the morrow whether it was gold."""
    answer_gold(user, project, right=6, at=days_ago(9))
    answer_others(user, project, BATCH_ANSWERS, at=days_ago(9))
    before = gold_accuracy(user)
    answer_gold(user, project, right=0, wrong=1, at=days_ago(2))
    assert gold_accuracy(user) == before
    answer_others(user, project, BATCH_ANSWERS - 1, at=days_ago(1))
    after = gold_accuracy(user)
    assert after is not None
    assert (after.count, after.n) == (6, 7)


def test_changing_an_answer_does_not_move_the_figure(user: User, project: Project) -> None:
    answer_others(user, project, BATCH_ANSWERS, at=days_ago(1))
    answer_gold(user, project, right=6, at=days_ago(1))
    before = gold_accuracy(user)
    last = queue.editable_assignments(annotator=user, project=project)[0]
    queue.revise(last, Answer(grade=-3), client_key="again")
    assert gold_accuracy(user) == before


def test_nobody_elses_answers_count(user: User, project: Project) -> None:
    answer_gold(annotator("bob"), project, right=9, at=days_ago(1))
    answer_others(user, project, BATCH_ANSWERS, at=days_ago(1))
    assert gold_accuracy(user) is None
    assert repeat_agreement(user) is None


def test_the_same_choice_again_is_of_the_sample_and_not_of_the_side(user: User, project: Project) -> None:
    for first, again in ((2, -1), (3, -3), (0, 0), (-1, 2), (1, 1), (1, 0)):
        repeat(user, project, first, again, days_ago(1))
    answer_others(user, project, BATCH_ANSWERS, at=days_ago(1))
    share = repeat_agreement(user)
    assert share is not None
    assert (share.count, share.n) == (4, 6)


def test_the_figures_take_few_queries(
    user: User, project: Project, django_assert_max_num_queries: object
) -> None:
    answer_gold(user, project, right=12, at=days_ago(1))
    answer_others(user, project, BATCH_ANSWERS, at=days_ago(1))
    with django_assert_max_num_queries(4):  # type: ignore[operator]
        gold_accuracy(user)
