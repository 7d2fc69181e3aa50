import pytest
from django.contrib.auth.models import User

from labeling import queue
from labeling.feedback import Answer, AnswerError
from labeling.models import Annotation, Assignment, Project
from labeling.queue import MAX_EDITABLE_ANSWERS, LeaseLost, NotEditable
from tests.labeling.objects import annotator, claimed, make_project, make_tasks

pytestmark = pytest.mark.django_db

ABC, CBA = Answer(ranks=(1, 2, 3)), Answer(ranks=(3, 2, 1))


def answer_some(user: User, project: Project, count: int = 1) -> list[Assignment]:
    """The assignments answered, the last one first."""
    done: list[Assignment] = []
    for _ in range(count):
        assignment = claimed(user, project)
        queue.submit(assignment, ABC, client_key="k")
        done.insert(0, assignment)
    return done


def test_a_revision_counts_and_the_first_answer_stays() -> None:
    project = make_project()
    make_tasks(project)
    ann = annotator()
    [assignment] = answer_some(ann, project)
    revision = queue.revise(assignment, CBA, client_key="r")
    assert revision.revision == 2
    assert Annotation.objects.get(revision=1).answer == ABC
    assert list(Annotation.objects.for_project(project).latest_revisions()) == [revision]
    assert Assignment.objects.get().state == Assignment.State.SUBMITTED


def test_a_retried_revision_is_stored_once() -> None:
    project = make_project()
    make_tasks(project)
    [assignment] = answer_some(annotator(), project)
    first = queue.revise(assignment, CBA, client_key="r")
    assert queue.revise(assignment, CBA, client_key="r") == first
    assert Annotation.objects.count() == 2


def test_an_impossible_revision_is_refused() -> None:
    project = make_project()
    make_tasks(project)
    [assignment] = answer_some(annotator(), project)
    with pytest.raises(AnswerError):
        queue.revise(assignment, Answer(ranks=(1, 9, 2)), client_key="r")
    assert Annotation.objects.count() == 1


def test_only_the_last_answers_can_be_revised() -> None:
    project = make_project()
    make_tasks(project, MAX_EDITABLE_ANSWERS + 1)
    ann = annotator()
    done = answer_some(ann, project, MAX_EDITABLE_ANSWERS + 1)
    assert queue.editable_assignments(annotator=ann, project=project) == done[:MAX_EDITABLE_ANSWERS]
    queue.revise(done[MAX_EDITABLE_ANSWERS - 1], CBA, client_key="r")
    with pytest.raises(NotEditable):
        queue.revise(done[MAX_EDITABLE_ANSWERS], CBA, client_key="r")


def test_a_revision_leaves_the_order_of_the_last_answers() -> None:
    project = make_project()
    make_tasks(project, 3)
    ann = annotator()
    done = answer_some(ann, project, 3)
    queue.revise(done[2], CBA, client_key="r")
    assert queue.editable_assignments(annotator=ann) == done


def test_what_is_only_held_or_skipped_cannot_be_revised() -> None:
    project = make_project()
    make_tasks(project, 2)
    ann = annotator()
    held = claimed(ann, project)
    with pytest.raises(NotEditable):
        queue.revise(held, ABC, client_key="r")
    queue.skip(held)
    with pytest.raises(NotEditable):
        queue.revise(held, ABC, client_key="r")


def test_the_last_answers_of_all_projects_are_in_the_order_of_time() -> None:
    stories, poems = make_project("stories"), make_project("poems")
    make_tasks(stories, 12)
    make_tasks(poems, 2)
    ann, bob = annotator("ann"), annotator("bob")
    older = answer_some(ann, poems)
    newer = answer_some(ann, stories, 11)
    newest = answer_some(ann, poems)
    answer_some(bob, stories)
    assert queue.editable_assignments(annotator=ann) == newest + newer[:10] + older


def test_a_skipped_task_is_listed_and_can_be_taken_up_again() -> None:
    project = make_project()
    make_tasks(project, 2)
    ann = annotator()
    skipped = claimed(ann, project)
    queue.skip(skipped, reason="too long")
    held = claimed(ann, project)
    queue.save_draft(held, {"order": [1]})
    assert queue.editable_assignments(annotator=ann) == [skipped]
    again = queue.reclaim(skipped)
    assert again == skipped
    assert again.is_leased
    assert again.skip_reason == ""
    queue.submit(again, ABC, client_key="k")
    # What was held went back, and comes next with its draft.
    back = claimed(ann, project)
    assert back == held
    assert back.draft == {"order": [1]}


def test_a_skipped_task_that_others_have_taken_is_gone() -> None:
    project = make_project()
    make_tasks(project, 2, need=1)
    ann, bob = annotator("ann"), annotator("bob")
    skipped = claimed(ann, project)
    queue.skip(skipped)
    held = claimed(ann, project)
    claimed(bob, project)
    with pytest.raises(LeaseLost, match="Others have taken"):
        queue.reclaim(skipped)
    assert claimed(ann, project) == held


def test_who_may_not_label_there_any_more_takes_nothing_up_again() -> None:
    project = make_project()
    make_tasks(project)
    ann = annotator()
    skipped = claimed(ann, project)
    queue.skip(skipped)
    Project.objects.update(everybody=False)
    with pytest.raises(LeaseLost):
        queue.reclaim(skipped)
