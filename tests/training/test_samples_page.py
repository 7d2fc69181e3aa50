import pytest
from django.test import Client

from labeling.prompts import add_prompts
from tests.labeling.objects import admin, annotator, make_project
from tests.training.factories import make_policy
from training.models import Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(client: Client) -> Client:
    client.force_login(admin())
    return client


def test_a_model_is_let_to_write_for_the_project_of_the_page(ada: Client) -> None:
    project = make_project()
    other = make_project("other")
    add_prompts(project, ["Once"])
    add_prompts(other, ["Twice"])
    make_policy("tiny")
    response = ada.post("/projects/stories/samples/", {"policy": "tiny", "tasks": 3, "project": "other"})
    assert response.headers["Location"] == "/projects/stories/samples/"
    run = Run.objects.get()
    assert (run.kind, run.project, run.parameters["tasks"], run.owner) == (
        "sample",
        project,
        3,
        response.wsgi_request.user,
    )
    page = ada.get("/projects/stories/samples/").text
    assert f"/runs/{run.pk}/progress/" in page
    assert "no worker is running" in page


def test_what_is_wrong_is_said_beside_its_field(ada: Client) -> None:
    add_prompts(make_project(), ["Once"])
    make_policy("tiny")
    response = ada.post("/projects/stories/samples/", {"policy": "other", "tasks": 0, "temperature": -1})
    assert response.status_code == 422
    assert "there is no “other”" in response.text
    assert not Run.objects.exists()


def test_what_is_missing_is_said(ada: Client) -> None:
    make_project()
    assert "no policy yet" in ada.get("/projects/stories/samples/").text
    make_policy("tiny")
    assert "no training prompts yet" in ada.get("/projects/stories/samples/").text


def test_the_set_up_page_leads_there(ada: Client) -> None:
    make_project()
    assert "/projects/stories/samples/" in ada.get("/projects/stories/setup/").text


def test_annotators_let_nothing_be_written(client: Client) -> None:
    make_project()
    client.force_login(annotator())
    assert client.get("/projects/stories/samples/").status_code == 403
    assert client.post("/projects/stories/samples/", {}).status_code == 403
