import pytest

from labeling import queue
from labeling.control_tasks import create_gold_task
from labeling.feedback import Answer
from labeling.models import Assignment
from tests.labeling.objects import admin, annotator, claimed, make_project, make_tasks

pytestmark = pytest.mark.django_db

ABC = Answer(ranks=(1, 2, 3))


def test_who_has_the_last_word_is_given_this_task_beside_all_who_were_asked() -> None:
    project = make_project()
    first, second = make_tasks(project, 2, need=1)
    queue.submit(claimed(annotator(), project), ABC, client_key="k")
    assignment = queue.claim_task(annotator=admin(), task=first)
    assert assignment.task == first
    assert assignment.is_leased
    first.refresh_from_db()
    assert (first.need, first.open) == (2, 0)
    queue.submit(assignment, ABC, client_key="k")
    second.refresh_from_db()
    assert (second.need, second.open) == (1, 1)


def test_a_place_that_is_free_is_taken_first() -> None:
    project = make_project()
    [task] = make_tasks(project, 1, need=2)
    queue.claim_task(annotator=admin(), task=task)
    task.refresh_from_db()
    assert (task.need, task.open) == (2, 1)


def test_claimed_again_it_is_the_same() -> None:
    project = make_project()
    [task] = make_tasks(project, 1, need=1)
    queue.submit(claimed(annotator(), project), ABC, client_key="k")
    ada = admin()
    first = queue.claim_task(annotator=ada, task=task)
    assert queue.claim_task(annotator=ada, task=task) == first
    queue.release(first)
    assert queue.claim_task(annotator=ada, task=task) == first
    task.refresh_from_db()
    assert (task.need, task.open) == (2, 0)


def test_what_was_held_goes_back_and_comes_next() -> None:
    project = make_project()
    tasks = make_tasks(project, 3)
    ada = admin()
    held = claimed(ada, project)
    queue.save_draft(held, {"order": [1]})
    assignment = queue.claim_task(annotator=ada, task=tasks[2])
    assert Assignment.objects.leased().get() == assignment
    queue.submit(assignment, ABC, client_key="k")
    back = claimed(ada, project)
    assert back == held
    assert back.draft == {"order": [1]}


def test_an_answered_task_comes_as_it_is() -> None:
    project = make_project()
    [task] = make_tasks(project, 1)
    ada = admin()
    answered = claimed(ada, project)
    queue.submit(answered, ABC, client_key="k")
    assignment = queue.claim_task(annotator=ada, task=task)
    assert assignment == answered
    assert assignment.state == Assignment.State.SUBMITTED


def test_gold_needs_no_last_word() -> None:
    project = make_project()
    [task] = make_tasks(project)
    gold = create_gold_task(task=task, answer=ABC, author=None)
    with pytest.raises(ValueError, match="not an ordinary task"):
        queue.claim_task(annotator=admin(), task=gold)
