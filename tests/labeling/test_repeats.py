import pytest
from django.contrib.auth.models import User

from labeling import control_tasks, queue
from labeling.control_tasks import MIN_REPEAT_DISTANCE
from labeling.feedback import Answer
from labeling.models import Assignment, Project, Task
from labeling.preferences import comparisons
from tests.labeling.objects import annotator, checking, claimed, make_project, make_tasks

pytestmark = pytest.mark.django_db

ABC = Answer(ranks=(1, 2, 3))


def answered(user: User, project: Project, count: int) -> list[Assignment]:
    done = []
    for _ in range(count):
        assignment = claimed(user, project)
        queue.submit(assignment, ABC, client_key="k")
        done.append(assignment)
    return done


def test_a_task_far_enough_back_comes_again_swapped() -> None:
    project = make_project()
    make_tasks(project, 20, samples=3)
    ann = annotator()
    first, *_ = answered(ann, project, MIN_REPEAT_DISTANCE + 1)
    checking(project, repeat=100)
    again = claimed(ann, project)
    assert again.task.kind == Task.Kind.REPEAT
    assert again.task.origin == first.task
    assert again.shown_order == first.shown_order[::-1]
    assert [place.sample_id for place in again.task.task_samples.all()] == [
        place.sample_id for place in first.task.task_samples.all()
    ]
    assert (again.task.need, again.task.open) == (1, 0)


def test_the_last_tasks_do_not_come_again() -> None:
    project = make_project()
    make_tasks(project, 20)
    ann = annotator()
    answered(ann, project, MIN_REPEAT_DISTANCE)
    checking(project, repeat=100)
    assert claimed(ann, project).task.kind == Task.Kind.ORDINARY


def test_a_task_comes_again_once() -> None:
    project = checking(make_project(), repeat=100)
    make_tasks(project, 40)
    ann = annotator()
    answered(ann, project, 30)
    origins = [task.origin for task in Task.objects.filter(kind="repeat").select_related("origin")]
    assert len(origins) > 5
    assert len(set(origins)) == len(origins)
    # What comes again is what was new, not what came again.
    assert {origin.kind for origin in origins if origin} == {"ordinary"}


def test_nothing_comes_again_where_nothing_new_waits() -> None:
    project = make_project()
    make_tasks(project, MIN_REPEAT_DISTANCE + 3)
    ann = annotator()
    answered(ann, project, MIN_REPEAT_DISTANCE + 3)
    checking(project, repeat=100)
    assert queue.claim(annotator=ann, project=project) is None


def test_a_lost_repeat_comes_back_to_the_same_person_alone() -> None:
    project = make_project(annotations_per_task=2)
    make_tasks(project, 20)
    ann, bob = annotator("ann"), annotator("bob")
    answered(ann, project, MIN_REPEAT_DISTANCE + 1)
    checking(project, repeat=100)
    repeat = claimed(ann, project)
    queue.release(repeat)
    checking(project, repeat=0)
    for _ in range(20):
        bobs = queue.claim(annotator=bob, project=project)
        assert bobs is not None
        assert bobs.task.kind == Task.Kind.ORDINARY
        queue.submit(bobs, ABC, client_key="k")
    assert claimed(ann, project) == repeat


def test_a_repeat_gives_no_comparison() -> None:
    project = make_project()
    make_tasks(project, 20)
    ann = annotator()
    answered(ann, project, MIN_REPEAT_DISTANCE + 1)
    before = len(list(comparisons(project)))
    checking(project, repeat=100)
    queue.submit(claimed(ann, project), ABC, client_key="k")
    assert len(list(comparisons(project))) == before


def test_gold_does_not_come_again() -> None:
    project = checking(make_project(), gold=100)
    tasks = make_tasks(project, 20)
    gold = control_tasks.create_gold_task(task=tasks[-1], answer=ABC, author=None)
    ann = annotator()
    assert claimed(ann, project).task == gold
    checking(project, gold=0)
    answered(ann, project, MIN_REPEAT_DISTANCE + 1)
    checking(project, repeat=100)
    # Gold lies furthest back, but the only ordinary answer far enough back is none.
    assert claimed(ann, project).task.kind == Task.Kind.ORDINARY
