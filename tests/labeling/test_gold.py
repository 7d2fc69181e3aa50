import pytest
from django.db import IntegrityError, transaction

from labeling import control_tasks, queue
from labeling.feedback import Answer, AnswerError
from labeling.models import Assignment, Task
from tests.labeling.objects import (
    admin,
    annotator,
    checking,
    claimed,
    letters,
    make_project,
    make_tasks,
    ranks_for,
)

pytestmark = pytest.mark.django_db

ABC = Answer(ranks=(1, 2, 3))


def test_gold_comes_in_the_stead_of_an_ordinary_task() -> None:
    project = checking(make_project(), gold=100)
    first, second, _third = make_tasks(project, 3)
    gold = control_tasks.create_gold_task(task=second, answer=ABC, author=admin())
    ann = annotator()
    assert claimed(ann, project).task == gold
    first.refresh_from_db()
    assert first.open == 1


def test_gold_comes_about_as_often_as_the_project_says() -> None:
    project = make_project(gold_percent=30, samples_per_task=2)
    tasks = make_tasks(project, 100, samples=2)
    for task in tasks[60:]:
        control_tasks.create_gold_task(task=task, answer=Answer(ranks=(1, 2)), author=None)
    ann = annotator()
    kinds = []
    for number in range(60):
        assignment = claimed(ann, project)
        kinds.append(assignment.task.kind)
        queue.submit(assignment, Answer(ranks=(1, 2)), client_key=str(number))
    assert 4 <= kinds.count("gold") <= 36  # 18 expected; others come less than once in 10,000 runs


def test_nobody_meets_gold_whose_task_they_had_nor_a_task_they_had_as_gold() -> None:
    project = checking(make_project(), gold=100)
    [task, other] = make_tasks(project, 2, need=2)
    gold = control_tasks.create_gold_task(task=task, answer=ABC, author=None)
    ann, bob = annotator("ann"), annotator("bob")
    checking(project, gold=0)
    mine = claimed(ann, project)
    assert mine.task == task
    queue.submit(mine, ABC, client_key="k")
    checking(project, gold=100)
    assert claimed(ann, project).task == other
    bobs = claimed(bob, project)
    assert bobs.task == gold
    queue.submit(bobs, ABC, client_key="k")
    bobs = claimed(bob, project)
    assert bobs.task == other
    queue.submit(bobs, ABC, client_key="k")
    assert queue.claim(annotator=bob, project=project) is None
    assert Task.objects.filter(project=project).approximate_waiting_count(bob) == 0


def test_nobody_meets_the_same_gold_twice() -> None:
    project = checking(make_project(), gold=100)
    tasks = make_tasks(project, 3)
    gold = control_tasks.create_gold_task(task=tasks[2], answer=ABC, author=None)
    ann = annotator()
    queue.submit(claimed(ann, project), ABC, client_key="k")
    assert claimed(ann, project).task == tasks[0] != gold


def test_gold_does_not_come_where_nothing_else_waits() -> None:
    """It would be known for what it is."""
    project = make_project()
    [task] = make_tasks(project, 1)
    control_tasks.create_gold_task(task=task, answer=ABC, author=None)
    claimed(annotator("ann"), project)
    checking(project, gold=100)
    assert queue.claim(annotator=annotator("bob"), project=project) is None


def test_lost_gold_comes_back_first_in_the_same_order() -> None:
    project = checking(make_project(), gold=100)
    tasks = make_tasks(project, 2, samples=5)
    gold = control_tasks.create_gold_task(task=tasks[1], answer=Answer(ranks=(1, 2, 3, 4, 5)), author=None)
    ann = annotator()
    held = claimed(ann, project)
    queue.release(held)
    checking(project, gold=0)
    again = claimed(ann, project)
    assert again == held
    assert again.task == gold
    assert again.shown_order == held.shown_order


def test_people_who_go_without_checks_are_given_none() -> None:
    project = make_project(gold_percent=50, repeat_percent=50)
    tasks = make_tasks(project, 12)
    control_tasks.create_gold_task(task=tasks[11], answer=ABC, author=None)
    control_tasks.create_gold_task(task=tasks[10], answer=ABC, author=None, kind="training")
    ann = annotator()
    for number in range(12):
        assignment = queue.claim(annotator=ann, project=project, control_tasks=False)
        assert assignment is not None
        assert assignment.task.kind == Task.Kind.ORDINARY
        queue.submit(assignment, ABC, client_key=str(number))


@pytest.mark.parametrize(("given", "right"), [("ABC", True), ("ACB", False), ("A=BC", False), ("CBA", False)])
def test_an_answer_to_gold_is_right_where_it_agrees_whatever_the_order_shown(given: str, right: bool) -> None:
    project = checking(make_project(), gold=100)
    tasks = make_tasks(project, 2)
    control_tasks.create_gold_task(task=tasks[1], answer=ABC, author=None)
    assignment = claimed(annotator(), project)
    answer = Answer(ranks=ranks_for(assignment, given))
    annotation = queue.submit(assignment, answer, client_key="k")
    assert control_tasks.is_correct(annotation) is right
    assert [control_tasks.is_correct(known) for known in control_tasks.gold_annotations(project)] == [right]


def test_gold_may_be_that_all_are_bad() -> None:
    project = checking(make_project(), gold=100)
    tasks = make_tasks(project, 3)
    control_tasks.create_gold_task(task=tasks[2], answer=Answer(all_bad=True), author=None)
    right = queue.submit(claimed(annotator("ann"), project), Answer(all_bad=True), client_key="k")
    wrong = queue.submit(claimed(annotator("bob"), project), ABC, client_key="k")
    assert control_tasks.is_correct(right) is True
    assert control_tasks.is_correct(wrong) is False


def test_a_pair_that_is_known_to_be_about_the_same_is_kept_as_that() -> None:
    project = checking(make_project(feedback="pair", samples_per_task=2), gold=100)
    tasks = make_tasks(project, 2, samples=2)
    gold = control_tasks.create_gold_task(task=tasks[1], answer=Answer(grade=0), author=None)
    assert gold.gold.answer == {"grade": 0}
    annotation = queue.submit(claimed(annotator(), project), Answer(grade=0), client_key="k")
    assert control_tasks.is_correct(annotation) is True


def test_whether_an_ordinary_answer_is_right_nobody_knows() -> None:
    project = make_project()
    make_tasks(project)
    annotation = queue.submit(claimed(annotator(), project), ABC, client_key="k")
    assert control_tasks.is_correct(annotation) is None
    assert control_tasks.training_feedback(annotation) is None


def test_gold_shows_no_lesson() -> None:
    project = checking(make_project(), gold=100)
    tasks = make_tasks(project, 2)
    control_tasks.create_gold_task(task=tasks[1], answer=ABC, author=None, explanation="Because.")
    annotation = queue.submit(claimed(annotator(), project), ABC, client_key="k")
    assert control_tasks.training_feedback(annotation) is None


def test_gold_made_again_takes_the_new_answer() -> None:
    project = make_project()
    [task] = make_tasks(project)
    first = control_tasks.create_gold_task(task=task, answer=ABC, author=None)
    again = control_tasks.create_gold_task(task=first, answer=Answer(ranks=(3, 2, 1)), author=None)
    assert again == first
    assert again.gold.answer == {"ranks": [3, 2, 1]}
    assert Task.objects.filter(kind="gold").count() == 1


@pytest.mark.parametrize("answer", [Answer(), Answer(ranks=(1, 2)), Answer(scores=(1, 2, 3))])
def test_an_answer_that_is_none_makes_no_gold(answer: Answer) -> None:
    project = make_project()
    [task] = make_tasks(project)
    with pytest.raises(AnswerError):
        control_tasks.create_gold_task(task=task, answer=answer, author=None)
    assert not Task.objects.filter(kind="gold").exists()


def test_where_people_write_there_is_no_gold() -> None:
    project = make_project(feedback="rewrite", samples_per_task=1)
    [task] = make_tasks(project, samples=1)
    with pytest.raises(AnswerError, match="no single text"):
        control_tasks.create_gold_task(task=task, answer=Answer(text="mine"), author=None)


def test_the_database_refuses_a_second_gold_of_one_task() -> None:
    project = make_project()
    [task] = make_tasks(project)
    gold = control_tasks.create_gold_task(task=task, answer=ABC, author=None)
    gold.pk = None
    with pytest.raises(IntegrityError, match="labeling_task_one_gold_an_origin"), transaction.atomic():
        gold.save(force_insert=True)


def test_the_database_refuses_a_check_that_is_no_copy() -> None:
    project = make_project()
    make_tasks(project)
    with pytest.raises(IntegrityError, match="copies_have_an_origin"), transaction.atomic():
        Task.objects.update(kind="gold")


def test_skipped_gold_does_not_come_back() -> None:
    project = checking(make_project(), gold=100)
    tasks = make_tasks(project, 2)
    gold = control_tasks.create_gold_task(task=tasks[1], answer=ABC, author=None)
    ann = annotator()
    queue.skip(claimed(ann, project))
    assert claimed(ann, project).task == tasks[0]
    gold.refresh_from_db()
    assert gold.open == gold.need
    assert letters(Assignment.objects.get(annotator=ann, task=tasks[0]))
