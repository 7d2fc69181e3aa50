"""Many people at once, on real connections."""

import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from threading import Barrier

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.utils import timezone

from labeling import queue
from labeling.control_tasks import create_gold_task
from labeling.feedback import Answer
from labeling.models import Annotation, Assignment, Project, Task
from labeling.queue import LeaseLost, NotEditable
from tests.labeling.objects import annotator, claimed, make_project, make_tasks

pytestmark = pytest.mark.django_db(transaction=True)

PEOPLE = 8


class Tab:
    """One tab of one person, who works as people do: skips, walks away, comes back, thinks better of it."""

    def __init__(self, project: Project, user: User, seed: int) -> None:
        self.project = project
        self.user = user
        self.chance = random.Random(seed)
        self.done: Counter[str] = Counter()

    def work(self) -> Counter[str]:
        """Answer until there is nothing left."""
        idle = 0
        try:
            while idle < 5:
                assignment = queue.claim(annotator=self.user, project=self.project)
                if assignment is None:
                    idle += 1  # another person may hold the row this very moment
                    time.sleep(0.01)
                    continue
                idle = 0
                try:
                    self.treat(assignment)
                except LeaseLost:
                    self.done["lost"] += 1  # to the clock, or to the other tab
        finally:
            connection.close()
        return self.done

    def treat(self, assignment: Assignment) -> None:
        draw = self.chance.random()
        if draw < 0.04:
            queue.skip(assignment)
            self.done["skipped"] += 1
        elif draw < 0.07:
            queue.release(assignment)
            self.done["released"] += 1
        elif draw < 0.09:
            queue.save_draft(assignment, {"order": [2, 1]})
            queue.renew(assignment)
        elif draw < 0.16:
            for skipped in queue.editable_assignments(annotator=self.user, project=self.project):
                if skipped.state == Assignment.State.SKIPPED:
                    queue.reclaim(skipped)
                    self.done["taken again"] += 1
                    break
        else:
            if draw < 0.26:
                past = timezone.now() - timedelta(seconds=1)
                Assignment.objects.leased().filter(pk=assignment.pk).update(lease_until=past)
                queue.expire()
            key = f"{assignment.pk} {self.chance.random()}"
            queue.submit(assignment, Answer(ranks=(1, 2)), client_key=key)
            self.done["submitted"] += 1
            if draw > 0.95:
                queue.submit(assignment, Answer(ranks=(1, 2)), client_key=key)
            elif draw > 0.90:
                self.revise(assignment)

    def revise(self, assignment: Assignment) -> None:
        try:
            queue.revise(assignment, Answer(ranks=(2, 1)), client_key="revised")
        except NotEditable:
            return  # the other tab was quick
        self.done["revised"] += 1


@pytest.mark.parametrize(
    ("tabs", "tasks"),
    [(16, 60), pytest.param(64, 2500, marks=pytest.mark.slow)],
    ids=["16 tabs, 120 places", "64 tabs, 5000 places"],
)
def test_every_place_is_filled_once_and_nobody_answers_a_task_twice(tabs: int, tasks: int) -> None:
    project = make_project(samples_per_task=2, gold_percent=5, repeat_percent=25)
    made = make_tasks(project, tasks, samples=2)
    for number, task in enumerate(made):
        Task.objects.filter(pk=task.pk).update(need=1 + number % 3, open=1 + number % 3)
    for task in made[::20]:
        create_gold_task(task=task, answer=Answer(ranks=(1, 2)), author=None)
    # One person in four has two tabs open.
    people = [annotator(f"person {number}") for number in range(tabs * 4 // 5)]
    workers = [Tab(project, people[number % len(people)], seed=number) for number in range(tabs)]
    with ThreadPoolExecutor(tabs) as pool:
        done = sum(pool.map(Tab.work, workers), Counter[str]())
    # Whatever was let go while others had stopped already.
    queue.expire()
    for user in people:
        while assignment := queue.claim(annotator=user, project=project):
            queue.submit(assignment, Answer(ranks=(1, 2)), client_key="k")
            done["submitted"] += 1

    assert {"submitted", "skipped", "released", "revised"} <= set(done)
    assert tabs < 64 or {"lost", "taken again"} <= set(done)
    first = Annotation.objects.filter(revision=1)
    assert first.count() == done["submitted"]
    assert Annotation.objects.exclude(revision=1).count() == done["revised"]
    pairs = first.values_list("assignment__task", "assignment__annotator")
    assert len(set(pairs)) == len(pairs)
    for task in Task.objects.prefetch_related("assignments"):
        states = Counter(assignment.state for assignment in task.assignments.all())
        # The places nobody holds are exactly those that are not leased or answered.
        assert task.open + states["leased"] + states["submitted"] == task.need
        if task.kind == Task.Kind.ORDINARY:
            assert states["submitted"] == task.need
    assert not Assignment.objects.leased().exists()
    repeats = Task.objects.filter(kind="repeat").values_list("origin", "assignments__annotator")
    assert 0 < len(repeats) == len(set(repeats))
    assert Assignment.objects.submitted().filter(task__kind="gold").exists()


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


def test_people_who_change_places_do_not_wait_for_each_other() -> None:
    """Each gives back the task that the other takes: whoever locks in their own order would be stuck."""
    project = make_project(samples_per_task=2)
    tasks = make_tasks(project, 2, samples=2, need=2)

    def swap(name: str) -> int:
        user = User.objects.get(username=name)
        order = tasks if name == "ann" else tasks[::-1]
        try:
            return sum(
                queue.claim_task(annotator=user, task=task).task_id == task.pk
                for _ in range(12)
                for task in order
            )
        finally:
            connection.close()

    people = [annotator(name).username for name in ("ann", "bob")]
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(swap, people)) == [24, 24]
    assert sorted(Task.objects.values_list("need", flat=True)) == [2, 2]


def test_a_task_answered_in_one_tab_is_lost_to_the_other_that_takes_it_up() -> None:
    project = make_project(samples_per_task=2)
    make_tasks(project, 5, samples=2)
    ann = annotator()
    skipped = []
    for _ in range(5):
        skipped.append(claimed(ann, project))
        queue.skip(skipped[-1])
    together = Barrier(2)

    def take_up(*, answers: bool) -> int:
        """Take up each again and again, until it is answered, here or there."""
        times = 0
        try:
            for assignment in skipped:
                together.wait(timeout=30)
                with suppress(LeaseLost):
                    for attempt in range(30):
                        queue.reclaim(assignment)
                        times += 1
                        if answers and attempt == 3:
                            queue.submit(assignment, Answer(ranks=(1, 2)), client_key="k")
        finally:
            connection.close()
        return times

    with ThreadPoolExecutor(2) as pool:
        tabs = [pool.submit(take_up, answers=answers) for answers in (True, False)]
        assert [tab.exception() for tab in tabs] == [None, None]
    assert Annotation.objects.count() == 5
    assert set(Task.objects.values_list("open", flat=True)) == {0}
