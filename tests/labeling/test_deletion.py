"""Deleting what somebody answered."""

import json

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Adjudication, Annotation, Assignment, Cursor, Judgement, Project, Task
from labeling.people.answer_deletion import can_delete_answers, delete_answers, summarise_deletion
from labeling.preferences import comparisons, create_snapshot
from tests.labeling.objects import admin, annotator, answered, claimed, make_project, make_tasks, says

pytestmark = pytest.mark.django_db

RANKED = Answer(ranks=(1, 2, 3))


def two_people(project: Project) -> tuple[User, User]:
    """Ann and Bob, who have both answered the project's two tasks."""
    tasks = make_tasks(project, 2, need=2)
    people = annotator("ann"), annotator("bob")
    for person in people:
        for task in tasks:
            says(person, task, RANKED)
    Task.objects.update(open=0)
    return people


def test_everything_that_a_person_answered_goes_and_nothing_else() -> None:
    project = make_project()
    ann, bob = two_people(project)
    there_was = delete_answers(ann, projects=[project], by=admin())
    assert (there_was.answers, there_was.skipped, there_was.unfinished) == (2, 0, 0)
    assert {each.assignment.annotator for each in Annotation.objects.all()} == {bob}
    assert Judgement.objects.count() == 6
    assert not Assignment.objects.filter(annotator=ann).exists()
    assert not Cursor.objects.filter(annotator=ann).exists()
    assert not summarise_deletion(ann, [project])
    assert summarise_deletion(bob, [project]).answers == 2


def test_drafts_skips_and_what_is_held_go_too_and_the_places_open() -> None:
    project = make_project()
    make_tasks(project, 3)
    ann = annotator()
    queue.skip(claimed(ann, project), reason="I would rather not read this")
    given_back = claimed(ann, project)
    queue.save_draft(given_back, {"order": [2, 1]})
    queue.release(given_back)
    held = claimed(ann, project)
    there_was = summarise_deletion(ann, [project])
    assert (there_was.answers, there_was.skipped, there_was.unfinished) == (0, 1, 1)
    assert held == given_back
    delete_answers(ann, projects=[project], by=admin())
    assert not Assignment.objects.exists()
    assert [task.open for task in Task.objects.all()] == [1, 1, 1]


def test_the_places_open_for_others() -> None:
    project = make_project()
    make_tasks(project)
    ann, bob = annotator("ann"), annotator("bob")
    answered(ann, project, RANKED)
    assert queue.claim(annotator=bob, project=project) is None
    delete_answers(ann, projects=[project], by=admin())
    assert answered(bob, project, RANKED).assignment.annotator == bob


def test_snapshots_lose_the_rows_and_keep_their_names() -> None:
    project = make_project()
    ann, bob = two_people(project)
    before = create_snapshot(project)
    name = before.hash
    delete_answers(ann, projects=[project], by=admin())
    before.refresh_from_db()
    assert before.hash == name
    assert (before.withdrawn, before.count) == (2, 6)
    assert before.withdrawn_at is not None
    assert {row["annotator"] for row in before.comparisons()} == {str(bob.pk)}
    assert list(before.comparisons()) == list(comparisons(project))
    assert {each.assignment.annotator for each in before.answers.all()} == {bob}
    after = create_snapshot(project)
    assert after != before
    assert (after.withdrawn, after.count) == (0, 6)


def test_an_earlier_version_of_an_answer_leaves_the_snapshot_that_holds_it() -> None:
    project = make_project()
    make_tasks(project)
    ann = annotator()
    first = answered(ann, project, RANKED)
    snapshot = create_snapshot(project)
    queue.revise(first.assignment, Answer(ranks=(3, 2, 1)), client_key="again")
    assert create_snapshot(project) != snapshot
    delete_answers(ann, projects=[project], by=admin())
    for each in project.snapshots.all():
        assert each.json_lines() == b""
        assert (each.count, each.withdrawn) == (0, 1)


@pytest.mark.parametrize(
    ("kind", "given"), [("score", Answer(scores=(1, 2))), ("rewrite", Answer(text="Once more.", edited=1))]
)
def test_ratings_and_demonstrations_leave_as_comparisons_do(kind: str, given: Answer) -> None:
    project = make_project(feedback=kind, samples_per_task=2)
    tasks = make_tasks(project, 1, samples=2, need=2)
    ann, bob = annotator("ann"), annotator("bob")
    for person in (ann, bob):
        says(person, tasks[0], given)
    Task.objects.update(open=0)
    snapshot = create_snapshot(project)
    before = (snapshot.rating_count, snapshot.demonstration_count)
    delete_answers(ann, projects=[project], by=admin())
    snapshot.refresh_from_db()
    assert (snapshot.rating_count, snapshot.demonstration_count) == (before[0] // 2, before[1] // 2)
    groups = {json.loads(line)["annotator"] for line in snapshot.json_lines().splitlines()}
    assert groups == {str(bob.pk)}


def test_where_theirs_was_the_last_word_all_answers_count_again() -> None:
    project = make_project()
    ann, _ = two_people(project)
    own = Annotation.objects.filter(assignment__annotator=ann)[0].assignment
    Adjudication.objects.create(task=own.task, assignment=own)
    assert len(list(comparisons(project))) == 9
    delete_answers(ann, projects=[project], by=admin())
    assert not Adjudication.objects.exists()
    assert len(list(comparisons(project))) == 6


def test_a_task_that_came_to_them_again_goes() -> None:
    project = make_project()
    [task] = make_tasks(project)
    ann = annotator()
    says(ann, task, RANKED)
    again = Task.objects.create(
        project=project, prompt=task.prompt, need=1, open=0, kind=Task.Kind.REPEAT, origin=task
    )
    for place in task.task_samples.all():
        again.task_samples.create(sample=place.sample, position=place.position)
    says(ann, again, RANKED)
    Task.objects.update(open=0)
    delete_answers(ann, projects=[project], by=admin())
    assert [each.open for each in Task.objects.all()] == [1]


def test_only_the_chosen_projects_are_touched_and_it_stands_in_the_log() -> None:
    project, other = make_project(), make_project("other")
    make_tasks(project)
    make_tasks(other)
    ann = annotator()
    answered(ann, project, RANKED)
    kept = answered(ann, other, RANKED)
    ada = admin()
    delete_answers(ann, projects=[project], by=ada)
    assert list(Annotation.objects.all()) == [kept]
    entry = LogEntry.objects.get()
    assert (entry.user, entry.object_id) == (ada, str(ann.pk))
    assert "Deleted all answers in Stories: 1 answers" in entry.change_message


def test_it_takes_the_right_in_every_project_named() -> None:
    project = make_project()
    closed = make_project("closed", everybody=False)
    ann, bob = annotator("ann"), annotator("bob")
    ada, eve = admin("ada"), admin("eve")
    for by, projects in ((bob, [project]), (ada, [project, closed])):
        with pytest.raises(PermissionDenied):
            delete_answers(ann, projects=projects, by=by)
    assert can_delete_answers(ada, ann)
    assert can_delete_answers(ada, ada)
    assert not can_delete_answers(ada, eve)
    assert can_delete_answers(User.objects.create_superuser("root"), eve)


def test_a_page_that_is_still_open_is_told() -> None:
    project = make_project()
    make_tasks(project, 2)
    ann = annotator()
    done = claimed(ann, project)
    queue.submit(done, RANKED, client_key="k")
    skipped = claimed(ann, project)
    queue.skip(skipped)
    delete_answers(ann, projects=[project], by=admin())
    with pytest.raises(queue.NotEditable, match="deleted"):
        queue.revise(done, RANKED, client_key="r")
    with pytest.raises(queue.LeaseLost, match="deleted"):
        queue.reclaim(skipped)
    assert not Assignment.objects.exists()
