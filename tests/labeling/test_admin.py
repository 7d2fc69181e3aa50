from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from labeling import control_tasks, queue
from labeling.feedback import Answer
from labeling.models import (
    Adjudication,
    Annotation,
    Assignment,
    Generator,
    Gold,
    Invitation,
    PreferenceSnapshot,
    Project,
    Prompt,
    Sample,
    Task,
)
from labeling.people import invitations
from labeling.preferences import create_snapshot
from tests.labeling.objects import admin, annotator, claimed, make_project, make_tasks

pytestmark = pytest.mark.django_db

WRITTEN_BY_THE_SITE = [
    Sample, Assignment, Annotation, PreferenceSnapshot, Gold, Adjudication, Invitation,
]  # fmt: skip
MODELS = [Project, Prompt, Generator, Task, *WRITTEN_BY_THE_SITE]


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(admin())
    return client


def project_form(**changes: object) -> dict[str, object]:
    return {
        "name": "Stories",
        "is_active": "on",
        "feedback": "rank",
        "scale": 5,
        "criteria": "",
        "samples_per_task": 4,
        "text_format": "plain",
        "annotations_per_task": 1,
        "lease_minutes": 12,
        "gold_percent": 4,
        "repeat_percent": 3,
        "entry_percent": 80,
        "adjudicate_percent": 50,
        "chosen_percent": 50,
        "everybody": "on",
        "guidelines_text": "",
        "guidelines_versions-TOTAL_FORMS": 0,
        "guidelines_versions-INITIAL_FORMS": 0,
        **changes,
    }


def answered_project() -> Project:
    project = make_project()
    [task] = make_tasks(project)
    assignment = claimed(annotator(), project)
    queue.submit(assignment, Answer(ranks=(1, 2, 3)), client_key="k")
    create_snapshot(project)
    control_tasks.create_gold_task(task=task, answer=Answer(ranks=(1, 2, 3)), author=None)
    Adjudication.objects.create(task=task, assignment=assignment)
    root = User.objects.create_superuser("inviting")
    invitations.invite(name="Ben", by=root)
    return project


@pytest.mark.parametrize("model", MODELS)
def test_every_list_and_every_row_can_be_looked_at(ada: Client, model: Any) -> None:
    answered_project()
    address = f"/admin/labeling/{model._meta.model_name}/"
    assert ada.get(address).status_code == 200
    assert ada.get(address, {"q": "e"}).status_code == 200
    assert ada.get(f"{address}{model.objects.first().pk}/change/").status_code == 200


@pytest.mark.parametrize("model", [Task, *WRITTEN_BY_THE_SITE])
def test_what_the_site_writes_cannot_be_added_by_hand(ada: Client, model: Any) -> None:
    assert ada.get(f"/admin/labeling/{model._meta.model_name}/add/").status_code == 403


@pytest.mark.parametrize("model", WRITTEN_BY_THE_SITE)
def test_what_was_written_cannot_be_changed_or_deleted(client: Client, model: Any) -> None:
    answered_project()
    client.force_login(User.objects.create_superuser("root"))
    address = f"/admin/labeling/{model._meta.model_name}/{model.objects.first().pk}"
    assert client.post(f"{address}/change/").status_code == 403
    assert client.post(f"{address}/delete/").status_code == 403


def test_a_project_can_be_made_here_and_gets_its_address(ada: Client) -> None:
    form = project_form(guidelines_text="Be kind.", criteria="kindness, fluency", slug="mine")
    assert ada.post("/admin/labeling/project/add/", form).status_code == 302
    project = Project.objects.get()
    assert project.criteria == ["kindness", "fluency"]
    assert project.guidelines is not None
    assert project.guidelines.text == "Be kind."
    assert project.slug == "stories"
    assert "/projects/stories/setup/" in ada.get(f"/admin/labeling/project/{project.pk}/change/").text


def test_a_project_without_prompts_is_told_so(ada: Client) -> None:
    page = ada.post("/admin/labeling/project/add/", project_form(), follow=True).text
    assert "has no prompts yet. Import some on its setup page" in page
    assert "none yet" in ada.get("/admin/labeling/project/").text


def test_changed_guidelines_are_a_new_version(ada: Client) -> None:
    project = make_project()
    project.revise_guidelines("Be kind.")
    form = project_form(guidelines_text="Be brief.")
    address = f"/admin/labeling/project/{project.pk}/change/"
    ada.post(address, form)
    ada.post(address, form)
    assert [row.text for row in project.guidelines_versions.order_by("version")] == ["Be kind.", "Be brief."]
    latest = project.guidelines
    assert latest is not None
    assert latest.author is not None
    assert latest.author.username == "ada"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"criteria": "kind, kind"}, "each named once"),
        ({"criteria": "a, b, c, d, e"}, "At most 4"),
        ({"criteria": "a" * 41}, "at most 40 characters"),
        ({"samples_per_task": 1}, "takes 2 to 9 samples, not 1"),
        ({"samples_per_task": 10}, "less than or equal to 9"),
    ],
)
def test_settings_that_make_no_sense_are_refused(
    ada: Client, changes: dict[str, object], message: str
) -> None:
    page = ada.post("/admin/labeling/project/add/", project_form(**changes)).text
    assert message in page
    assert not Project.objects.exists()


def test_the_kind_of_feedback_stays_once_there_are_tasks(ada: Client) -> None:
    project = answered_project()
    page = ada.post(f"/admin/labeling/project/{project.pk}/change/", project_form(feedback="score")).text
    assert "The kind of feedback cannot change" in page


def test_a_prompt_is_not_stored_twice(ada: Client) -> None:
    project = make_project()
    form = {"project": project.pk, "text": "Once", "split": "train"}
    ada.post("/admin/labeling/prompt/add/", form)
    assert "already has this prompt" in ada.post("/admin/labeling/prompt/add/", form).text
    assert Prompt.objects.count() == 1


def test_a_task_can_be_made_urgent(ada: Client) -> None:
    project = make_project()
    _first, second = make_tasks(project, 2)
    form = {"priority": -3}
    for prefix in ("task_samples", "gold", "assignments"):
        form |= {f"{prefix}-TOTAL_FORMS": 0, f"{prefix}-INITIAL_FORMS": 0}
    ada.post(f"/admin/labeling/task/{second.pk}/change/", form)
    assert claimed(annotator(), project).task == second


# -- Nobody raises their own rights -----------------------------------------------------------------------


def test_admins_may_look_at_users_and_not_change_them(ada: Client) -> None:
    me = User.objects.get(username="ada")
    assert ada.get("/admin/auth/user/").status_code == 200
    ada.post(f"/admin/auth/user/{me.pk}/change/", {"username": "ada", "is_superuser": "on"})
    me.refresh_from_db()
    assert not me.is_superuser
    assert ada.get(f"/admin/auth/user/{me.pk}/password/").status_code == 403
    assert ada.get("/admin/auth/user/add/").status_code == 403
    assert ada.get("/admin/auth/group/").status_code == 403
    assert ada.get("/admin/authtoken/tokenproxy/").status_code == 403


@pytest.mark.parametrize(
    "address",
    [
        "/admin/auth/user/?password__startswith=p",
        "/admin/labeling/assignment/?annotator__password__startswith=p",
        "/admin/labeling/annotation/?assignment__annotator__password__startswith=p",
        "/admin/labeling/guidelines/?author__password__startswith=p",
        "/admin/labeling/invitation/?invited_by__password__startswith=p",
        "/admin/labeling/gold/?author__password__startswith=p",
        "/admin/labeling/project/?members__password__startswith=p",
    ],
)
def test_nobody_filters_by_a_password(ada: Client, address: str) -> None:
    answered_project()
    assert ada.get(address).status_code in {302, 400, 404}


def test_annotators_have_no_admin(client: Client) -> None:
    client.force_login(annotator())
    assert client.get("/admin/", follow=False).status_code == 302


def test_the_groups_hold_their_rights() -> None:
    annotators = Group.objects.get(name="annotators")
    assert [right.codename for right in annotators.permissions.all()] == ["label"]
    admins = Group.objects.get(name="admins").permissions
    assert admins.filter(codename="export").exists()
    assert admins.filter(content_type__app_label="training").exists()
    assert not admins.filter(codename__startswith="delete_").exists()
    rights = admins.exclude(content_type__app_label__in=["labeling", "training"])
    assert [right.codename for right in rights] == ["view_user"]
