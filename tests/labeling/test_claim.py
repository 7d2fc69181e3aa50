from datetime import timedelta

import pytest
from django.utils import timezone

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Assignment, Cursor
from tests.labeling.objects import annotator, claimed, letters, make_project, make_tasks

pytestmark = pytest.mark.django_db


def lapse(assignment: Assignment) -> None:
    Assignment.objects.filter(pk=assignment.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def test_it_gives_the_first_task_and_takes_a_place() -> None:
    project = make_project()
    first, _second = make_tasks(project, 2, need=2)
    assignment = claimed(annotator(), project)
    first.refresh_from_db()
    assert assignment.task == first
    assert first.open == 1
    assert assignment.is_leased


def test_it_gives_the_same_task_to_two_tabs() -> None:
    project = make_project()
    make_tasks(project, 2)
    ann = annotator()
    assert claimed(ann, project) == claimed(ann, project)


def test_it_gives_different_tasks_to_two_people() -> None:
    project = make_project()
    make_tasks(project, 2, need=1)
    assert claimed(annotator("ann"), project).task != claimed(annotator("bob"), project).task


def test_it_gives_nothing_when_all_places_are_taken() -> None:
    project = make_project()
    make_tasks(project, 1, need=1)
    claimed(annotator("ann"), project)
    assert queue.claim(annotator=annotator("bob"), project=project) is None


def test_it_gives_nothing_in_an_inactive_project() -> None:
    project = make_project(is_active=False)
    make_tasks(project)
    assert queue.claim(annotator=annotator(), project=project) is None


def test_it_gives_nobody_a_task_twice() -> None:
    project = make_project()
    make_tasks(project, 1, need=2)
    ann = annotator()
    queue.submit(claimed(ann, project), Answer(ranks=(1, 2, 3)), client_key="k")
    assert queue.claim(annotator=ann, project=project) is None


def test_it_follows_the_priority() -> None:
    project = make_project()
    _first, second = make_tasks(project, 2)
    second.set_priority(-1)
    assert claimed(annotator(), project).task == second


def test_a_task_that_becomes_urgent_is_found_by_those_who_are_past_it() -> None:
    project = make_project()
    tasks = make_tasks(project, 3, need=2)
    ann = annotator()
    for _ in range(2):
        queue.submit(claimed(ann, project), Answer(ranks=(1, 2, 3)), client_key="k")
    [urgent] = make_tasks(project, 1)
    urgent.set_priority(-5)
    assert claimed(ann, project).task == urgent != tasks[2]


def test_the_cursor_wraps_to_places_that_opened_behind_it() -> None:
    project = make_project()
    first, second = make_tasks(project, 2, need=1)
    bob = annotator("bob")
    bobs = claimed(bob, project)
    ann = annotator("ann")
    queue.submit(claimed(ann, project), Answer(ranks=(1, 2, 3)), client_key="k")
    assert Cursor.objects.get(annotator=ann).after == second.pk
    queue.release(bobs)
    assert claimed(ann, project).task == first


def test_the_order_shown_is_drawn_by_the_server_and_stored() -> None:
    project = make_project()
    make_tasks(project, 1, samples=3, need=40)
    orders = {letters(claimed(annotator(f"person {number}"), project)) for number in range(40)}
    assert len(orders) > 3  # of 6; the chance of fewer is below 1e-8


def test_a_lapsed_lease_is_given_to_somebody_else() -> None:
    project = make_project()
    make_tasks(project, 1, need=1)
    lapsed = claimed(annotator("ann"), project)
    lapse(lapsed)
    assert claimed(annotator("bob"), project).task == lapsed.task
    lapsed.refresh_from_db()
    assert lapsed.state == Assignment.State.EXPIRED


def test_a_lapsed_lease_that_nobody_took_goes_on() -> None:
    project = make_project()
    make_tasks(project, 2, need=1)
    ann = annotator()
    lapsed = claimed(ann, project)
    lapse(lapsed)
    again = claimed(ann, project)
    assert again == lapsed
    assert again.lease_until > timezone.now()


def test_an_expired_task_comes_back_first_in_the_same_order() -> None:
    project = make_project()
    make_tasks(project, 3, samples=5, need=1)
    ann = annotator()
    lapsed = claimed(ann, project)
    lapse(lapsed)
    assert queue.expire() == 1
    again = claimed(ann, project)
    assert again == lapsed
    assert again.shown_order == lapsed.shown_order


def test_renewing_keeps_a_lease_and_fails_on_a_lost_one() -> None:
    project = make_project(lease_minutes=12)
    make_tasks(project)
    assignment = claimed(annotator(), project)
    lapse(assignment)
    assert queue.renew(assignment)
    assert queue.expire() == 0
    lapse(assignment)
    queue.expire()
    assert not queue.renew(assignment)


def test_expiry_opens_every_place_again() -> None:
    project = make_project()
    [task] = make_tasks(project, 1, need=3)
    for assignment in [claimed(annotator(name), project) for name in ("ann", "bob", "cem")]:
        lapse(assignment)
    assert queue.expire() == 3
    task.refresh_from_db()
    assert task.open == 3
