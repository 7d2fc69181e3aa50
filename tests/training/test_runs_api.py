"""The REST API of runs and model versions, as a client of it sees it."""

import pytest
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from tests.training.factories import admin, annotator, make_policy, make_project, make_reward
from training.models import ModelVersion, Run

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=admin()).key}")
    return client


def test_starting_a_run_queues_it(api: APIClient) -> None:
    make_project()
    make_policy()
    make_reward()
    parameters = {"project": "letters", "policy": "base", "reward": "taste", "steps": 5}
    answer = api.post("/api/runs/", {"kind": "finetune", "parameters": parameters}, format="json")
    assert answer.status_code == 201
    assert answer.json()["status"] == "queued"
    assert answer.json()["parameters"]["steps"] == 5
    assert Run.objects.get().detached


def test_bad_parameters_are_named(api: APIClient) -> None:
    make_policy()
    answer = api.post(
        "/api/runs/", {"kind": "sample", "parameters": {"policy": "nobody", "project": "x"}}, format="json"
    )
    assert answer.status_code == 400
    assert "there are: base" in str(answer.json()["parameters"]["policy"])
    assert not Run.objects.exists()


def test_an_unknown_parameter_is_refused(api: APIClient) -> None:
    answer = api.post("/api/runs/", {"kind": "pretrain", "parameters": {"owner": 1}}, format="json")
    assert answer.status_code == 400
    assert "owner" in str(answer.json())


def test_cancelling(api: APIClient) -> None:
    run = Run.objects.create(kind=Run.Kind.PRETRAIN)
    assert api.post(f"/api/runs/{run.pk}/cancel/").json()["status"] == "cancelled"
    assert api.post(f"/api/runs/{run.pk}/cancel/").status_code == 409


def test_resuming(api: APIClient) -> None:
    run = Run.objects.create(kind=Run.Kind.PRETRAIN, status=Run.Status.CANCELLED, saved_step=12)
    answer = api.post(f"/api/runs/{run.pk}/resume/")
    assert answer.status_code == 200
    assert answer.json()["status"] == "queued"
    assert answer.json()["saved_step"] == 12
    again = api.post(f"/api/runs/{run.pk}/resume/")
    assert again.status_code == 409
    assert "is queued" in again.json()["detail"]


def test_listing_versions_and_runs(api: APIClient) -> None:
    parent = make_policy()
    child = make_policy("child")
    ModelVersion.objects.filter(pk=child.pk).update(parent=parent)
    results = api.get("/api/models/").json()["results"]
    assert [(row["name"], row["parent"]) for row in results] == [("child", "base"), ("base", None)]
    assert api.get("/api/models/child/").json()["kind"] == "policy"
    assert api.get("/api/runs/").json()["results"] == []


def test_annotators_and_strangers_may_do_none_of_it() -> None:
    run = Run.objects.create(kind=Run.Kind.PRETRAIN)
    client = APIClient()
    paths = (
        ("get", "/api/runs/"),
        ("get", "/api/models/"),
        ("post", f"/api/runs/{run.pk}/cancel/"),
        ("post", f"/api/runs/{run.pk}/resume/"),
    )
    for method, path in paths:
        assert getattr(client, method)(path).status_code == 401
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=annotator()).key}")
    for method, path in (*paths, ("post", "/api/runs/")):
        assert getattr(client, method)(path, {"kind": "pretrain"}, format="json").status_code == 403
    run.refresh_from_db()
    assert run.status == Run.Status.QUEUED
