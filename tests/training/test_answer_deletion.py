"""Deleting a person's answers: what it leaves of them in runs and versions, and the page for it."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from labeling.feedback import Answer
from labeling.models import Annotation, Membership, Project, Task
from labeling.preferences import create_snapshot
from tests.labeling.objects import admin, annotator, make_project, make_tasks, says
from tests.training.lineage_factories import make_tuned_versions, make_version
from training import provenance
from training.models import ModelVersion, Run

pytestmark = pytest.mark.django_db


def make_answered_project(*names: str, slug: str = "stories") -> tuple[Project, list[User]]:
    """A project whose one task these people have answered."""
    project = make_project(slug)
    [task] = make_tasks(project, 1, need=len(names))
    known = {user.get_username(): user for user in User.objects.filter(username__in=names)}
    people = [known.get(name) or annotator(name) for name in names]
    for person in people:
        says(person, task, Answer(ranks=(1, 2, 3)))
    Task.objects.filter(pk=task.pk).update(open=0)
    return project, people


def test_figures_about_the_person_leave_runs_and_versions() -> None:
    project, (ann, bob) = make_answered_project("ann", "bob")
    rows: list[dict[str, Any]] = [{"annotator": str(each.pk), "reliability": 0.9} for each in (ann, bob)]
    annotator_rows = [{"annotator": each.get_username(), "answers": 3, "rate": 0.5} for each in (ann, bob)]
    judges: list[dict[str, Any]] = [
        {"judge": "people", "won": None, "annotators": annotator_rows},
        {"judge": "taste"},
    ]
    reward = make_version("taste", kind=Run.Kind.TRAIN_REWARD, project=project, metrics={"annotators": rows})
    evaluation = Run.objects.create(
        kind=Run.Kind.EVALUATE, project=project, status=Run.Status.SUCCEEDED, metrics={"judges": judges}
    )
    provenance.delete_answers(ann, projects=[project], by=admin())
    reward.refresh_from_db()
    evaluation.refresh_from_db()
    assert reward.run is not None
    assert reward.metrics["annotators"] == reward.run.metrics["annotators"] == rows[1:]
    assert evaluation.metrics["judges"] == [judges[0] | {"annotators": annotator_rows[1:]}, judges[1]]


def test_a_run_that_learned_meanwhile_keeps_no_figures_about_the_person() -> None:
    project, (ann, bob) = make_answered_project("ann", "bob")
    snapshot = create_snapshot(project)
    metrics = {"annotators": [{"annotator": str(each.pk)} for each in (ann, bob)]}
    assert provenance.without_deleted_annotators(metrics, snapshot) == metrics
    provenance.delete_answers(ann, projects=[project], by=admin())
    assert provenance.without_deleted_annotators(metrics, snapshot) == {
        "annotators": [{"annotator": str(bob.pk)}]
    }


def test_a_run_that_waits_to_go_on_begins_anew(
    settings: Settings, tmp_path: Any, django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks
) -> None:
    settings.RUN_FOLDERS = tmp_path
    project, (ann, _) = make_answered_project("ann", "bob")
    learning = {"kind": Run.Kind.TRAIN_REWARD, "status": Run.Status.PAUSED, "saved_step": 40}
    run = Run.objects.create(project=project, snapshot=create_snapshot(project), **learning)
    other = Run.objects.create(**learning)
    run.folder.mkdir()
    with django_capture_on_commit_callbacks(execute=True):
        provenance.delete_answers(ann, projects=[project], by=admin())
    run.refresh_from_db()
    other.refresh_from_db()
    assert (run.saved_step, run.folder.exists()) == (None, False)
    assert other.saved_step == 40


# -- The page ---------------------------------------------------------------------------------------------


def deletion_url(person: User) -> str:
    return reverse("training:delete_answers", args=[person.pk])


def test_the_page_says_what_would_be_deleted_and_what_it_touches(client: Client) -> None:
    project, (ann, _) = make_answered_project("ann", "bob")
    _, reward, policy = make_tuned_versions(project, create_snapshot(project))
    client.force_login(admin())
    page = client.get(deletion_url(ann)).content.decode()
    for part in (project.name, "removed from 1 snapshot", "You cannot undo this.", reward.name, policy.name):
        assert part in page
    assert Annotation.objects.count() == 2


def test_the_typed_name_deletes_and_the_versions_are_marked(client: Client) -> None:
    project, (ann, bob) = make_answered_project("ann", "bob")
    _, _, policy = make_tuned_versions(project, create_snapshot(project))
    client.force_login(admin())
    chosen = {"projects": [project.slug], "name": "ann"}
    page = client.post(deletion_url(ann), chosen, follow=True).content.decode()
    assert "1 answer by ann in Stories is deleted, and removed from 1 snapshot." in page
    assert "Nothing to delete" in page
    assert [each.assignment.annotator for each in Annotation.objects.all()] == [bob]
    shown = client.get(ModelVersion.objects.get(pk=policy.pk).get_absolute_url()).content.decode()
    assert "At least 1 answer that it learned from has been deleted since" in shown


@pytest.mark.parametrize(
    ("sent", "line"),
    [
        ({"projects": "stories", "name": ""}, "Type the user name, ann, to confirm."),
        ({"projects": "stories", "name": "bob"}, "Type the user name, ann, to confirm."),
        ({"name": "ann"}, "Choose at least one project."),
        ({"projects": "nowhere", "name": "ann"}, "Choose at least one project."),
    ],
)
def test_without_the_name_and_a_project_nothing_is_deleted(
    client: Client, sent: dict[str, str], line: str
) -> None:
    _, (ann,) = make_answered_project("ann")
    client.force_login(admin())
    response = client.post(deletion_url(ann), sent)
    assert response.status_code == 422
    assert line in response.content.decode()
    assert Annotation.objects.exists()


def test_an_admin_of_one_project_deletes_there_alone(client: Client) -> None:
    project, (ann,) = make_answered_project("ann")
    other, _ = make_answered_project("ann", slug="other")
    ada = User.objects.create_user("ada")
    Membership.objects.create(project=project, person=ada, role=Membership.Role.ADMIN)
    client.force_login(ada)
    page = client.get(deletion_url(ann)).content.decode()
    assert "1 other project" in page
    assert other.name not in page
    client.post(deletion_url(ann), {"projects": ["stories", "other"], "name": "ann"})
    assert [each.assignment.project for each in Annotation.objects.all()] == [other]


def test_people_without_the_right_are_refused(client: Client) -> None:
    project, (ann, bob) = make_answered_project("ann", "bob")
    Membership.objects.create(project=project, person=bob, role=Membership.Role.REVIEWER)
    for person in (ann, bob):
        client.force_login(person)
        assert client.get(deletion_url(ann)).status_code == 403
        sent = {"projects": [project.slug], "name": "ann"}
        assert client.post(deletion_url(ann), sent).status_code == 403
    client.force_login(admin())
    assert client.get(deletion_url(admin("eve"))).status_code == 403
    assert Annotation.objects.count() == 2


def test_my_work_says_whom_to_ask(client: Client) -> None:
    _, (ann,) = make_answered_project("ann")
    admin("ada")
    client.force_login(ann)
    page = client.get(reverse("labeling:my_work")).content.decode()
    assert "You can have all your answers deleted. Ask ada" in page
