import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import StreamingHttpResponse
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Annotation, Assignment, Judgement
from tests.labeling.objects import GENERATOR, admin, annotator, claimed, make_project, make_tasks, ranks_for

pytestmark = pytest.mark.django_db


def api(user: User) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {Token.objects.create(user=user).key}")
    return client


def claim(client: APIClient) -> dict[str, Any]:
    response = client.post("/api/projects/stories/claim/")
    assert response.status_code == 200
    task: dict[str, Any] = response.json()
    return task


def submit(client: APIClient, pk: int, **given: object) -> Any:
    return client.post(f"/api/assignments/{pk}/submit/", {"client_key": "k", **given}, format="json")


def test_a_token_is_had_for_a_name_and_a_password() -> None:
    user = annotator()
    user.set_password("a pass phrase")
    user.save()
    response = APIClient().post("/api/token/", {"username": "ann", "password": "a pass phrase"})
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Token {response.json()['token']}")
    assert client.get("/api/projects/").status_code == 200


def test_projects_say_about_how_much_is_waiting() -> None:
    project = make_project()
    project.revise_guidelines("Be **kind**.")
    make_tasks(project, 13)
    [row] = api(annotator()).get("/api/projects/").json()["results"]
    assert row["slug"] == "stories"
    assert row["guidelines"] == "Be **kind**."
    assert row["waiting"] == 10


def test_a_claimed_task_has_all_that_is_needed_and_not_who_wrote_it() -> None:
    make_tasks(make_project())
    response = api(annotator()).post("/api/projects/stories/claim/")
    task = response.json()
    assert task["prompt"] == "Prompt 0"
    assert sorted(task["samples"]) == ["A0", "B0", "C0"]
    assert task["feedback"] == "rank"
    assert GENERATOR not in response.text
    assert "generator" not in response.text


def test_an_answer_is_stored_in_the_order_given() -> None:
    make_tasks(make_project())
    client = api(annotator())
    task = claim(client)
    ranks = [{"A0": 2, "B0": 1, "C0": 2}[text] for text in task["samples"]]
    response = submit(client, task["id"], ranks=ranks, comment="fine")
    assert response.status_code == 200
    annotation = Annotation.objects.get(pk=response.json()["annotation"])
    assert {item.sample.text: item.rank for item in annotation.judgements.all()} == {
        "A0": 2,
        "B0": 1,
        "C0": 2,
    }


def test_a_retry_gets_the_same_answer_back() -> None:
    make_tasks(make_project())
    client = api(annotator())
    task = claim(client)
    first = submit(client, task["id"], ranks=[1, 2, 3]).json()
    assert submit(client, task["id"], ranks=[1, 2, 3]).json() == first
    assert Annotation.objects.count() == 1


def test_a_lost_lease_is_a_conflict() -> None:
    make_tasks(make_project())
    client = api(annotator())
    task = claim(client)
    queue.release(Assignment.objects.get())
    response = submit(client, task["id"], ranks=[1, 2, 3])
    assert response.status_code == 409
    assert "no longer yours" in response.json()["detail"]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"ranks": [1, 2]},
        {"ranks": "abc"},
        {"ranks": [1, 2, "x"]},
        {"scores": [1, 2, 3]},
        {"ranks": [1, 2, 9]},
    ],
)
def test_an_invalid_answer_is_refused_with_a_reason(given: dict[str, object]) -> None:
    make_tasks(make_project())
    client = api(annotator())
    response = submit(client, claim(client)["id"], **given)
    assert response.status_code == 400
    assert response.json()
    assert not Annotation.objects.exists()


def test_an_answer_cannot_be_given_in_another_name() -> None:
    make_tasks(make_project())
    bob = annotator("bob")
    client = api(annotator("ann"))
    submit(client, claim(client)["id"], ranks=[1, 2, 3], annotator=bob.pk, revision=7)
    annotation = Annotation.objects.get()
    assert annotation.assignment.annotator.username == "ann"
    assert annotation.revision == 1


def test_no_task_is_no_content() -> None:
    make_project()
    assert api(annotator()).post("/api/projects/stories/claim/").status_code == 204


def test_a_task_can_be_skipped() -> None:
    make_tasks(make_project())
    client = api(annotator())
    assert (
        client.post(f"/api/assignments/{claim(client)['id']}/skip/", {"reason": "unclear"}).status_code == 204
    )
    assert Assignment.objects.get().skip_reason == "unclear"


@pytest.mark.parametrize("action", ["submit", "skip"])
def test_somebody_elses_task_is_not_there(action: str) -> None:
    project = make_project()
    make_tasks(project)
    assignment = claimed(annotator("bob"), project)
    client = api(annotator("ann"))
    given = {"client_key": "k", "ranks": [1, 2, 3]}
    assert client.post(f"/api/assignments/{assignment.pk}/{action}/", given, format="json").status_code == 404


def test_admins_stream_comparisons_as_json_lines() -> None:
    project = make_project()
    make_tasks(project)
    assignment = claimed(annotator(), project)
    queue.submit(assignment, Answer(ranks=ranks_for(assignment, "CAB")), client_key="k")
    response: Any = api(admin()).get("/api/projects/stories/comparisons/")
    assert isinstance(response, StreamingHttpResponse)
    assert response.headers["Content-Type"] == "application/x-ndjson"
    rows = [json.loads(line) for line in response.getvalue().splitlines()]
    assert {(row["chosen"], row["rejected"]) for row in rows} == {("C0", "A0"), ("C0", "B0"), ("A0", "B0")}


def test_admins_stream_ratings_as_json_lines() -> None:
    project = make_project(feedback="score", criteria=["kind"])
    make_tasks(project, samples=1)
    answer = Answer(scores=(2,), criteria=({"kind": 5},))
    queue.submit(claimed(annotator(), project), answer, client_key="k")
    response: Any = api(admin()).get("/api/projects/stories/ratings/")
    [row] = [json.loads(line) for line in response.getvalue().splitlines()]
    assert (row["completion"], row["score"], row["criteria"]) == ("A0", 0.25, {"kind": 1.0})


def test_admins_stream_demonstrations_as_json_lines() -> None:
    make_tasks(make_project(feedback="rewrite", samples_per_task=1), samples=1)
    client = api(annotator())
    task = claim(client)
    assert submit(client, task["id"], text="A better one.", edited=1).status_code == 200
    response: Any = api(admin()).get("/api/projects/stories/demonstrations/")
    assert response.headers["Content-Type"] == "application/x-ndjson"
    [row] = [json.loads(line) for line in response.getvalue().splitlines()]
    assert (row["prompt"], row["completion"]) == ("Prompt 0", "A better one.")


@pytest.mark.parametrize(
    ("kind", "given", "stored"),
    [
        ("pair", {"grade": -2}, [(2, None), (-2, None)]),
        ("pair", {"grade": 0}, [(0, None), (0, None)]),
        ("best", {"best": 2}, [(None, 2), (None, 1)]),
    ],
)
def test_every_kind_is_answered_in_the_order_given(
    kind: str, given: dict[str, Any], stored: list[tuple[int | None, int | None]]
) -> None:
    make_tasks(make_project(feedback=kind, samples_per_task=2), samples=2)
    client = api(annotator())
    task = claim(client)
    assert task["feedback"] == kind
    assert submit(client, task["id"], **given).status_code == 200
    by_text = {item.sample.text: (item.grade, item.rank) for item in Judgement.objects.all()}
    assert [by_text[text] for text in task["samples"]] == stored


@pytest.mark.parametrize("given", [{"text": "mine", "edited": 3}, {"text": "  "}, {"edited": 1}])
def test_a_rewriting_without_a_text_or_of_no_sample_is_refused(given: dict[str, Any]) -> None:
    make_tasks(make_project(feedback="rewrite", samples_per_task=2), samples=2)
    client = api(annotator())
    assert submit(client, claim(client)["id"], **given).status_code == 400
    assert not Annotation.objects.exists()


@pytest.mark.parametrize("what", ["comparisons", "ratings", "demonstrations"])
def test_annotators_may_not_export(what: str) -> None:
    make_project()
    assert api(annotator()).get(f"/api/projects/stories/{what}/").status_code == 403


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/api/projects/"),
        ("post", "/api/projects/stories/claim/"),
        ("get", "/api/projects/stories/comparisons/"),
        ("get", "/api/projects/stories/ratings/"),
        ("get", "/api/projects/stories/demonstrations/"),
        ("post", "/api/assignments/1/submit/"),
        ("post", "/api/assignments/1/skip/"),
    ],
)
def test_strangers_get_nothing(method: str, path: str) -> None:
    make_project()
    assert getattr(APIClient(), method)(path).status_code == 401


def test_people_outside_the_groups_get_nothing() -> None:
    make_project()
    outsider = annotator()
    outsider.groups.clear()
    assert api(outsider).post("/api/projects/stories/claim/").status_code == 403
