import pytest
from django.contrib.auth.models import User

from labeling import control_tasks, queue
from labeling.feedback import Answer
from labeling.models import Annotation, Assignment, Cursor, Project, Task
from labeling.queue import LeaseLost
from tests.labeling.objects import annotator, checking, claimed, make_project, make_tasks, ranks_for

pytestmark = pytest.mark.django_db


def with_training(
    count: int = 2, *, entry_percent: int = 100, **settings: object
) -> tuple[Project, list[Task]]:
    """A project with so many training tasks, in all of which A is best and C is worst."""
    project = make_project("stories", entry_percent=entry_percent, annotations_per_task=3, **settings)
    tasks = make_tasks(project, count + 3)
    training = [
        control_tasks.create_gold_task(
            task=task,
            answer=Answer(ranks=(1, 2, 3)),
            author=None,
            kind="training",
            explanation="**A** is kind.",
        )
        for task in tasks[:count]
    ]
    return project, training


def give(user: User, project: Project, order: str, key: str = "k") -> Annotation:
    assignment = claimed(user, project)
    return queue.submit(assignment, Answer(ranks=ranks_for(assignment, order)), client_key=key)


def test_training_comes_before_everything_else() -> None:
    project, [first, second] = with_training()
    ann = annotator()
    assert give(ann, project, "ABC").assignment.task == first
    assert give(ann, project, "ABC").assignment.task == second
    assert claimed(ann, project).task.kind == Task.Kind.ORDINARY
    assert Cursor.objects.get(annotator=ann).qualified is not None


def test_a_lesson_says_what_was_expected_in_the_order_shown() -> None:
    project, _ = with_training()
    annotation = give(annotator(), project, "CBA")
    lesson = control_tasks.training_feedback(annotation)
    assert lesson is not None
    assert not lesson.correct
    assert lesson.expected.ranks == ranks_for(annotation.assignment, "ABC")
    assert lesson.explanation == "**A** is kind."


def test_wrong_answers_come_again_after_the_others_until_enough_are_right() -> None:
    project, [first, second] = with_training()
    ann = annotator()
    wrong = give(ann, project, "CBA")
    assert wrong.assignment.task == first
    assert control_tasks.entry_test_progress(
        annotator=ann, project=project
    ) == control_tasks.EntryTestProgress(total=2, correct=0, passed=False)
    assert give(ann, project, "ABC").assignment.task == second
    again = give(ann, project, "ABC", key="another")
    assert again.assignment == wrong.assignment
    assert again.revision == 2
    assert control_tasks.entry_test_progress(
        annotator=ann, project=project
    ) == control_tasks.EntryTestProgress(total=2, correct=2, passed=True)
    assert claimed(ann, project).task.kind == Task.Kind.ORDINARY
    first.refresh_from_db()
    assert first.open == first.need - 1


def test_the_percentage_is_enough() -> None:
    project, _ = with_training(2, entry_percent=50)
    ann = annotator()
    give(ann, project, "ABC")
    assert claimed(ann, project).task.kind == Task.Kind.ORDINARY


def test_who_has_passed_is_not_asked_again_for_new_training() -> None:
    project, _ = with_training(1)
    ann = annotator()
    give(ann, project, "ABC")
    queue.release(claimed(ann, project))
    [task] = make_tasks(project, 1)
    control_tasks.create_gold_task(task=task, answer=Answer(ranks=(1, 2, 3)), author=None, kind="training")
    assert claimed(ann, project).task.kind == Task.Kind.ORDINARY
    assert control_tasks.entry_test_progress(annotator=ann, project=project).passed


def test_a_skipped_training_task_comes_again() -> None:
    project, [first] = with_training(1)
    ann = annotator()
    queue.skip(claimed(ann, project))
    assert claimed(ann, project).task == first


def test_a_lost_training_task_comes_again() -> None:
    project, [first, _] = with_training()
    ann = annotator()
    held = claimed(ann, project)
    queue.release(held)
    assert claimed(ann, project) == held
    assert held.task == first


def test_a_retry_of_a_wrong_answer_gets_it_back_even_when_the_task_is_held_again() -> None:
    project, _ = with_training(1)
    ann = annotator()
    wrong = give(ann, project, "CBA", key="first")
    held = claimed(ann, project)
    assert held == wrong.assignment
    assert queue.submit(held, Answer(ranks=(1, 2, 3)), client_key="first") == wrong
    assert Assignment.objects.get(pk=held.pk).is_leased


def test_a_training_answer_cannot_be_revised_with_the_lesson_in_hand() -> None:
    project, _ = with_training()
    ann = annotator()
    wrong = give(ann, project, "CBA")
    assert queue.editable_assignments(annotator=ann, project=project) == []
    with pytest.raises(queue.NotEditable):
        queue.revise(wrong.assignment, Answer(ranks=(1, 2, 3)), client_key="r")
    with pytest.raises(LeaseLost):
        queue.reclaim(wrong.assignment)


def test_what_somebody_learned_from_is_not_asked_of_them_again() -> None:
    project, [training] = with_training(1)
    checking(project, gold=100)
    ann = annotator()
    give(ann, project, "ABC")
    origin = training.origin
    assert origin is not None
    control_tasks.create_gold_task(task=origin, answer=Answer(ranks=(1, 2, 3)), author=None)
    assert claimed(ann, project).task.kind == Task.Kind.ORDINARY
    assert claimed(ann, project).task != origin
    seen = set()
    while assignment := queue.claim(annotator=ann, project=project):
        seen.add(assignment.task_id)
        queue.submit(assignment, Answer(ranks=(1, 2, 3)), client_key="k")
    assert len(seen) == 3
    assert origin.pk not in seen


def test_training_answers_count_towards_no_limit() -> None:
    project, _ = with_training(2, limit_per_person=1, limit_per_day=1)
    ann = annotator()
    give(ann, project, "ABC")
    give(ann, project, "ABC")
    assert give(ann, project, "ABC").assignment.task.kind == Task.Kind.ORDINARY
    assert queue.claim(annotator=ann, project=project) is None
