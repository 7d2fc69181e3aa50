"""Many people at once, on real connections."""

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Count
from django.utils import timezone

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Annotation, Assignment, Project, Task
from labeling.queue import LeaseLost
from tests.labeling.objects import annotator, make_project, make_tasks

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE = 8
TASKS = 200
NEED = 2


def work(project: Project, user: User, seed: int) -> Counter[str]:
    """Answer until there is nothing left; skip some, lose the lease of some."""
    chance = random.Random(seed)
    done: Counter[str] = Counter()
    idle = 0
    try:
        while idle < 3:
            assignment = queue.claim(annotator=user, project=project)
            if assignment is None:
                idle += 1  # another person may hold the row this very moment
                continue
            idle = 0
            draw = chance.random()
            if draw < 0.04:
                queue.skip(assignment)
                done["skipped"] += 1
                continue
            if draw < 0.10:
                past = timezone.now() - timedelta(seconds=1)
                Assignment.objects.filter(pk=assignment.pk).update(lease_until=past)
                queue.expire()
            try:
                queue.submit(assignment, Answer(ranks=(1, 2)), client_key="k")
                queue.submit(assignment, Answer(ranks=(1, 2)), client_key="k")
                done["submitted"] += 1
            except LeaseLost:
                done["lost"] += 1
    finally:
        connection.close()
    return done


def test_nobody_answers_twice_and_no_task_is_answered_more_often_than_asked() -> None:
    project = make_project(samples_per_task=2)
    make_tasks(project, TASKS, samples=2, need=NEED)
    people = [annotator(f"person {number}") for number in range(PEOPLE)]
    with ThreadPoolExecutor(PEOPLE) as pool:
        done = sum(pool.map(work, [project] * PEOPLE, people, range(PEOPLE)), Counter[str]())

    assert done["lost"] > 0
    assert done["skipped"] > 0
    assert Annotation.objects.count() == done["submitted"]
    answers = Task.objects.filter(assignments__state="submitted").annotate(answers=Count("assignments"))
    assert max(answers.values_list("answers", flat=True)) == NEED
    pairs = Annotation.objects.values_list("assignment__task", "assignment__annotator")
    assert len(set(pairs)) == len(pairs)
    # The places nobody holds are exactly those that are not leased or answered.
    for task in Task.objects.prefetch_related("assignments"):
        held = sum(item.state in {"leased", "submitted"} for item in task.assignments.all())
        assert task.open + held == task.need
    # Each task has eight people who could answer it, so only skips can leave a place unfilled.
    assert done["submitted"] >= NEED * TASKS - done["skipped"]


def test_two_tabs_that_claim_at_once_get_one_task() -> None:
    project = make_project(samples_per_task=2)
    make_tasks(project, 50, samples=2)
    ann = annotator()

    def claim(_: int) -> int | None:
        try:
            assignment = queue.claim(annotator=ann, project=project)
            return assignment.pk if assignment else None
        finally:
            connection.close()

    with ThreadPoolExecutor(PEOPLE) as pool:
        assert len(set(pool.map(claim, range(PEOPLE)))) == 1
    assert Assignment.objects.count() == 1


def test_two_submits_at_once_store_one_answer() -> None:
    project = make_project(samples_per_task=2)
    make_tasks(project, 1, samples=2)
    assignment = queue.claim(annotator=annotator(), project=project)
    assert assignment is not None

    def submit(key: int) -> str:
        try:
            queue.submit(assignment, Answer(ranks=(1, 2)), client_key=f"tab {key % 2}")
        except LeaseLost:
            return "lost"
        finally:
            connection.close()
        return "stored"

    with ThreadPoolExecutor(PEOPLE) as pool:
        outcomes = Counter(pool.map(submit, range(PEOPLE)))
    assert outcomes == {"stored": PEOPLE // 2, "lost": PEOPLE // 2}
    assert Annotation.objects.count() == 1
