"""Tasks in an order by how much they would teach: the queue gives them out so, and what was begun stays."""

import pytest

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Project, Task
from labeling.task_priorities import LAST_PRIORITY, PrioritisedTask, prioritisable_tasks, set_task_priorities
from labeling.tasks import create_tasks
from tests.labeling.objects import annotator, claimed, make_project, make_tasks

pytestmark = pytest.mark.django_db

RANDOM, CHOSEN = Task.Choice.RANDOM, Task.Choice.DISAGREEMENT


def placed(tasks: list[Task], choice: Task.Choice = CHOSEN) -> list[PrioritisedTask]:
    return [PrioritisedTask(task.pk, choice, 0.25 if choice == CHOSEN else None) for task in tasks]


def given(project: Project, count: int, name: str = "ann") -> list[Task]:
    """The next tasks that a person gets, and answers."""
    user = annotator(name)
    found = []
    for number in range(count):
        assignment = claimed(user, project)
        queue.submit(assignment, Answer(ranks=(1, 2, 3)), client_key=str(number))
        found.append(assignment.task)
    return found


def test_the_queue_gives_tasks_out_in_the_order_and_keeps_why() -> None:
    project = make_project(gold_percent=0, repeat_percent=0)
    one, two, three, four = make_tasks(project, 4)
    order = [*placed([three]), *placed([one], RANDOM), *placed([four, two])]
    assert set_task_priorities(project, order) == 4
    assert given(project, 4) == [three, one, four, two]
    kept = dict(Task.objects.values_list("pk", "choice"))
    assert kept == {one.pk: RANDOM, two.pk: CHOSEN, three.pk: CHOSEN, four.pk: CHOSEN}
    assert dict(Task.objects.values_list("pk", "usefulness"))[one.pk] is None


def test_whoever_is_far_down_the_queue_gets_what_was_put_first() -> None:
    project = make_project(gold_percent=0, repeat_percent=0)
    tasks = make_tasks(project, 4, need=2)
    ann = annotator()
    for number in range(2):
        queue.submit(claimed(ann, project), Answer(ranks=(1, 2, 3)), client_key=str(number))
    set_task_priorities(project, placed([tasks[3], tasks[2]]))
    assert claimed(ann, project).task == tasks[3]


def test_what_somebody_has_begun_keeps_its_place() -> None:
    project = make_project(gold_percent=0, repeat_percent=0)
    begun, released, fresh = make_tasks(project, 3, need=2)
    assert claimed(annotator("ann"), project).task == begun
    ben = annotator("ben")
    queue.skip(claimed(ben, project))
    given_back = claimed(ben, project)
    assert given_back.task == released
    queue.release(given_back)
    assert list(prioritisable_tasks(project)) == [fresh]
    assert set_task_priorities(project, placed([begun, released, fresh])) == 1
    assert list(Task.objects.filter(choice=CHOSEN)) == [fresh]
    assert set(Task.objects.exclude(pk=fresh.pk).values_list("priority", flat=True)) == {0}


def test_what_was_put_ahead_stays_ahead_and_what_is_opened_later_comes_next() -> None:
    project = make_project(gold_percent=0, repeat_percent=0)
    ahead, one, two = make_tasks(project, 3)
    ahead.set_priority(-1)
    set_task_priorities(project, placed([ahead, two, one]))
    sample = one.samples.first()
    assert sample is not None
    (later,) = create_tasks(
        project=project, generator=sample.generator, completions={one.prompt: [" x", " y", " z"]}
    )
    assert given(project, 4) == [ahead, later, two, one]


def test_checks_and_held_out_prompts_and_other_projects_are_left_alone() -> None:
    project, other = make_project(), make_project("poems")
    gold, heldout, mine = make_tasks(project, 3)
    (theirs,) = make_tasks(other)
    Task.objects.filter(pk=gold.pk).update(kind=Task.Kind.GOLD, origin=mine)
    heldout.prompt.split = "heldout"
    heldout.prompt.save()
    assert list(prioritisable_tasks(project)) == [mine]
    assert set_task_priorities(project, placed([gold, mine, theirs])) == 1


def test_more_tasks_than_priorities_share_them_with_their_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labeling.task_priorities.LAST_PRIORITY", 3)
    project = make_project()
    tasks = make_tasks(project, 8)
    set_task_priorities(project, placed(tasks[::-1]))
    priorities = list(Task.objects.order_by("pk").values_list("priority", flat=True))
    assert priorities == [3, 3, 2, 2, 2, 1, 1, 1]
    assert LAST_PRIORITY < 2**15


def test_an_empty_order_moves_nothing() -> None:
    assert set_task_priorities(make_project(), []) == 0
