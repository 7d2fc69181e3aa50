from typing import Any

import pytest
from django.db import IntegrityError, transaction

from labeling import queue
from labeling.feedback import Answer, AnswerError
from labeling.models import Annotation, Assignment, Judgement, Sample, Task
from labeling.queue import LeaseLost
from tests.labeling.objects import annotator, claimed, letters, make_project, make_tasks, ranks_for

pytestmark = pytest.mark.django_db


def stored_ranks(annotation: Annotation) -> dict[str, int]:
    return {item.sample.text[0]: item.rank or 0 for item in annotation.judgements.select_related("sample")}


def test_it_stores_each_samples_rank_whatever_the_order_shown() -> None:
    project = make_project()
    make_tasks(project, samples=4)
    assignment = claimed(annotator(), project)
    annotation = queue.submit(assignment, Answer(ranks=ranks_for(assignment, "CAD=B")), client_key="k")
    assert stored_ranks(annotation) == {"C": 1, "A": 2, "D": 3, "B": 3}
    assert Assignment.objects.get().state == Assignment.State.SUBMITTED


def test_it_makes_ranks_dense() -> None:
    project = make_project()
    make_tasks(project)
    assignment = claimed(annotator(), project)
    annotation = queue.submit(assignment, Answer(ranks=(1, 3, 3)), client_key="k")
    assert sorted(stored_ranks(annotation).values()) == [1, 2, 2]


def test_all_bad_is_kept_without_judgements() -> None:
    project = make_project()
    make_tasks(project)
    annotation = queue.submit(claimed(annotator(), project), Answer(all_bad=True), client_key="k")
    assert annotation.all_bad
    assert not annotation.judgements.exists()


def test_all_bad_with_an_order_is_refused() -> None:
    project = make_project()
    make_tasks(project)
    assignment = claimed(annotator(), project)
    with pytest.raises(AnswerError, match="all_bad"):
        queue.submit(assignment, Answer(all_bad=True, ranks=(1, 2, 3)), client_key="k")
    assert Assignment.objects.get().is_leased


@pytest.mark.parametrize("ranks", [(), (1, 2), (1, 2, 3, 4), (0, 1, 2), (1, 2, 4)])
def test_an_incomplete_or_impossible_ranking_is_refused_and_keeps_the_lease(ranks: tuple[int, ...]) -> None:
    project = make_project()
    make_tasks(project)
    assignment = claimed(annotator(), project)
    with pytest.raises(AnswerError, match="ranks"):
        queue.submit(assignment, Answer(ranks=ranks), client_key="k")
    assert not Annotation.objects.exists()
    assert Assignment.objects.get().is_leased


def test_it_stores_scores_and_criteria() -> None:
    project = make_project(feedback="score", criteria=["kind"], samples_per_task=2)
    make_tasks(project, samples=2)
    assignment = claimed(annotator(), project)
    answer = Answer(scores=(4, 1), criteria=({"kind": 5}, {"kind": 2}))
    annotation = queue.submit(assignment, answer, client_key="k")
    given = {item.sample.text[0]: (item.score, item.criteria) for item in annotation.judgements.all()}
    first, second = list(letters(assignment))
    assert given == {first: (4, {"kind": 5}), second: (1, {"kind": 2})}


@pytest.mark.parametrize(
    "answer",
    [
        Answer(scores=(4, 6), criteria=({"kind": 5}, {"kind": 2})),
        Answer(scores=(4, 1)),
        Answer(scores=(4, 1), criteria=({"kind": 5}, {"rude": 2})),
        Answer(scores=(4, 1), criteria=({"kind": 5}, {"kind": 0})),
        Answer(ranks=(1, 2)),
    ],
)
def test_scores_outside_the_projects_questions_are_refused(answer: Answer) -> None:
    project = make_project(feedback="score", criteria=["kind"], samples_per_task=2)
    make_tasks(project, samples=2)
    with pytest.raises(AnswerError):
        queue.submit(claimed(annotator(), project), answer, client_key="k")
    assert not Judgement.objects.exists()


def test_a_retry_with_the_same_key_gets_the_stored_answer() -> None:
    project = make_project()
    make_tasks(project)
    assignment = claimed(annotator(), project)
    first = queue.submit(assignment, Answer(ranks=(1, 2, 3)), client_key="k")
    again = queue.submit(assignment, Answer(ranks=(3, 2, 1)), client_key="k")
    assert again == first
    assert Annotation.objects.count() == 1
    assert Judgement.objects.count() == 3


def test_another_answer_to_an_answered_task_is_refused() -> None:
    project = make_project()
    make_tasks(project)
    assignment = claimed(annotator(), project)
    queue.submit(assignment, Answer(ranks=(1, 2, 3)), client_key="k")
    with pytest.raises(LeaseLost):
        queue.submit(assignment, Answer(ranks=(1, 2, 3)), client_key="another")
    assert Annotation.objects.count() == 1


def test_an_answer_without_the_lease_is_refused() -> None:
    project = make_project()
    [task] = make_tasks(project)
    assignment = claimed(annotator(), project)
    queue.release(assignment)
    with pytest.raises(LeaseLost):
        queue.submit(assignment, Answer(ranks=(1, 2, 3)), client_key="k")
    task.refresh_from_db()
    assert task.open == 1


def test_a_skipped_task_goes_to_others_and_not_back() -> None:
    project = make_project()
    [task] = make_tasks(project, 1, need=1)
    ann, bob = annotator("ann"), annotator("bob")
    queue.skip(claimed(ann, project), reason="not my language")
    assert queue.claim(annotator=ann, project=project) is None
    assert claimed(bob, project).task == task
    assert Assignment.objects.get(annotator=ann).skip_reason == "not my language"


def test_a_skip_without_the_lease_opens_no_place() -> None:
    project = make_project()
    [task] = make_tasks(project)
    assignment = claimed(annotator(), project)
    queue.skip(assignment)
    with pytest.raises(LeaseLost):
        queue.skip(assignment)
    task.refresh_from_db()
    assert task.open == 1


def test_an_answer_keeps_the_guidelines_it_was_given_under() -> None:
    project = make_project()
    make_tasks(project, 2)
    ann = annotator()
    old = project.revise_guidelines("Be kind.")
    first = queue.submit(claimed(ann, project), Answer(ranks=(1, 2, 3)), client_key="k")
    project.revise_guidelines("Be brief.")
    second = queue.submit(claimed(ann, project), Answer(ranks=(1, 2, 3)), client_key="k")
    assert first.guidelines == old
    assert second.guidelines is not None
    assert second.guidelines.version == 2


@pytest.mark.parametrize("model", [Sample, Annotation, Judgement])
def test_the_database_refuses_to_change_what_was_written(model: Any) -> None:
    project = make_project()
    make_tasks(project)
    queue.submit(claimed(annotator(), project), Answer(ranks=(1, 2, 3)), client_key="k")
    row = model.objects.first()
    with pytest.raises(IntegrityError, match="never changed"), transaction.atomic():
        row.save()


def test_the_database_refuses_more_places_than_asked_for() -> None:
    project = make_project()
    [task] = make_tasks(project, 1, need=2)
    with pytest.raises(IntegrityError, match="labeling_task_open_within_need"), transaction.atomic():
        Task.objects.filter(pk=task.pk).update(open=3)
