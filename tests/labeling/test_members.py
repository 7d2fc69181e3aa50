import pytest
from django.contrib.auth.models import User
from django.test import Client
from rest_framework.authtoken.models import Token

from tests.labeling.objects import admin, annotator, claimed, make_project, make_tasks

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(client: Client) -> Client:
    client.force_login(annotator())
    return client


def test_a_project_of_others_is_not_there(ann: Client) -> None:
    make_tasks(make_project("inner", everybody=False))
    assert "Inner" not in ann.get("/").text
    for part in ("work", "guidelines"):
        assert ann.get(f"/projects/inner/{part}/").status_code == 404
    assert ann.post("/projects/inner/claim/").status_code == 404


def test_its_members_find_it(ann: Client) -> None:
    project = make_project("inner", everybody=False)
    make_tasks(project)
    project.members.add(User.objects.get(username="ann"))
    assert "Inner" in ann.get("/").text
    assert ann.get("/projects/inner/work/").status_code == 200


def test_the_api_knows_no_project_of_others(client: Client) -> None:
    make_tasks(make_project("inner", everybody=False))
    make_tasks(make_project("open"))
    token = Token.objects.create(user=annotator())
    headers = {"Authorization": f"Token {token.key}"}
    listed = client.get("/api/projects/", headers=headers).json()
    assert [project["slug"] for project in listed["results"]] == ["open"]
    assert client.post("/api/projects/inner/claim/", headers=headers).status_code == 404


def test_a_task_of_somebody_else_is_not_there(ann: Client) -> None:
    project = make_project()
    make_tasks(project)
    theirs = claimed(annotator("ben"), project)
    for act in ("submit", "skip", "renew"):
        assert ann.post(f"/assignments/{theirs.pk}/{act}/", {"answer": "{}"}).status_code == 404


def test_membership_is_chosen_on_a_persons_page(client: Client) -> None:
    one, two = make_project("one", everybody=False), make_project("two", everybody=False)
    ann = annotator()
    two.members.add(ann)
    client.force_login(admin())
    assert "One" in client.get(f"/people/{ann.pk}/").text
    client.post(f"/people/{ann.pk}/projects/", {"projects": [one.pk]})
    assert list(ann.projects.all()) == [one]
    gone = client.post(f"/people/{ann.pk}/projects/", {"projects": [999]}, follow=True).text
    assert "nothing was changed" in gone
    assert list(ann.projects.all()) == [one]


def test_a_membership_of_an_open_project_is_kept(client: Client) -> None:
    opened = make_project("opened")
    ann = annotator()
    opened.members.add(ann)
    client.force_login(admin())
    client.post(f"/people/{ann.pk}/projects/", {})
    assert list(ann.projects.all()) == [opened]
