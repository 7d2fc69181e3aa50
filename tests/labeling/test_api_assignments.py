"""The API beyond claim and submit: revisions, drafts, leases, training feedback."""

import json
from typing import Any

import pytest
from rest_framework.test import APIClient

from labeling import control_tasks, queue
from labeling.feedback import Answer
from labeling.models import Annotation, Assignment
from tests.labeling.objects import annotator, claimed, make_project, make_tasks, ranks_for
from tests.labeling.test_api import api, claim, submit

pytestmark = pytest.mark.django_db

ABC = Answer(ranks=(1, 2, 3))
ACTIONS = ["submit", "revise", "draft", "renew", "skip", "release", "take-again"]


def act(client: Any, action: str, pk: int, **given: object) -> Any:
    return client.post(f"/api/assignments/{pk}/{action}/", given, format="json")


def test_a_revision_is_stored_and_listed() -> None:
    make_tasks(make_project())
    client = api(annotator())
    task = claim(client)
    submit(client, task["id"], ranks=[1, 2, 3])
    revised = act(
        client, "revise", task["id"], client_key="r", ranks=[3, 2, 1], comment="On second thoughts."
    )
    assert revised.status_code == 200
    assert revised.json()["revision"] == 2
    [last] = client.get("/api/assignments/last/").json()
    assert last["id"] == task["id"]
    assert last["samples"] == task["samples"]
    assert last["answer"] == {"ranks": [3, 2, 1], "comment": "On second thoughts."}
    assert (last["state"], last["revision"]) == ("submitted", 2)


def test_last_answers_are_ones_own_and_of_one_project_if_asked() -> None:
    stories, poems = make_project("stories"), make_project("poems")
    make_tasks(stories, 3)
    make_tasks(poems, 1)
    ann, bob = annotator("ann"), annotator("bob")
    queue.submit(claimed(ann, stories), ABC, client_key="k")
    queue.skip(claimed(ann, poems), reason="no poet")
    queue.submit(claimed(bob, stories), ABC, client_key="k")
    client = api(ann)
    skipped, answered = client.get("/api/assignments/last/").json()
    assert (skipped["answer"], skipped["skip_reason"], skipped["revision"]) == (None, "no poet", 0)
    assert answered["project"] == "stories"
    assert client.get("/api/assignments/last/?project=poems").json() == [skipped]
    assert client.get("/api/assignments/last/?project=nowhere").status_code == 404


def test_a_conversation_comes_with_its_messages() -> None:
    [task] = make_tasks(make_project())
    client = api(annotator())
    assert claim(client)["messages"] is None
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    task.prompt.messages = turns
    task.prompt.save()
    claimed_again = claim(client)
    assert claimed_again["messages"] == turns
    assert claimed_again["prompt"] == task.prompt.text
    submit(client, claimed_again["id"], ranks=[1, 2, 3])
    assert client.get("/api/assignments/last/").json()[0]["messages"] == turns


def test_a_draft_comes_back_with_the_task() -> None:
    make_tasks(make_project())
    client = api(annotator())
    task = claim(client)
    assert task["draft"] is None
    assert act(client, "draft", task["id"], draft={"order": [2, 1]}).status_code == 204
    assert claim(client)["draft"] == {"order": [2, 1]}


@pytest.mark.parametrize("draft", ["text", None, [1], {"a": "x" * 2_000_000}, {"a": "\ud83d"}, {"a": "\x00"}])
def test_a_draft_that_cannot_be_kept_is_refused(draft: object) -> None:
    make_tasks(make_project())
    client = api(annotator())
    body = json.dumps({"draft": draft})
    path = f"/api/assignments/{claim(client)['id']}/draft/"
    assert client.post(path, body, content_type="application/json").status_code == 400
    assert Assignment.objects.get().draft is None


def test_a_lease_is_renewed_and_given_back() -> None:
    make_tasks(make_project(lease_minutes=10))
    client = api(annotator())
    task = claim(client)
    renewed = act(client, "renew", task["id"])
    assert renewed.status_code == 200
    assert renewed.json()["lease_until"] > task["lease_until"]
    assert act(client, "release", task["id"]).status_code == 204
    for action in ("renew", "release", "skip"):
        assert act(client, action, task["id"]).status_code == 409
    assert act(client, "draft", task["id"], draft={}).status_code == 409


def test_a_skipped_task_is_taken_up_again() -> None:
    make_tasks(make_project())
    client = api(annotator())
    task = claim(client)
    act(client, "skip", task["id"], reason="?")
    assert act(client, "take-again", task["id"]).json()["id"] == task["id"]
    submit(client, task["id"], ranks=[1, 2, 3])
    assert act(client, "take-again", task["id"]).status_code == 409


def test_after_a_training_task_the_answer_tells_what_was_expected() -> None:
    project = make_project()
    [task] = make_tasks(project)
    control_tasks.create_gold_task(
        task=task, answer=ABC, author=None, kind="training", explanation="A is kind."
    )
    ann = annotator()
    client = api(ann)
    given = claim(client)
    assert given["training"] is True
    wrong = submit(client, given["id"], ranks=list(ranks_for(Assignment.objects.get(), "CBA")))
    assert wrong.json()["lesson"] == {
        "right": False,
        "expected": {"ranks": list(ranks_for(Assignment.objects.get(), "ABC"))},
        "explanation": "A is kind.",
    }


def test_too_late_a_revision_is_a_conflict() -> None:
    make_tasks(make_project(), 12)
    client = api(annotator())
    first = claim(client)["id"]
    submit(client, first, ranks=[1, 2, 3])
    for _ in range(10):
        submit(client, claim(client)["id"], ranks=[1, 2, 3])
    refused = act(client, "revise", first, client_key="r", ranks=[3, 2, 1])
    assert refused.status_code == 409
    assert "last 10" in refused.json()["detail"]


@pytest.mark.parametrize("action", ACTIONS)
def test_somebody_elses_assignment_is_not_there(action: str) -> None:
    project = make_project()
    make_tasks(project)
    theirs = claimed(annotator("bob"), project)
    given: dict[str, Any] = {"client_key": "k", "ranks": [1, 2, 3], "draft": {"mine": True}}
    assert act(api(annotator("ann")), action, theirs.pk, **given).status_code == 404
    theirs.refresh_from_db()
    assert theirs.is_leased
    assert theirs.draft is None


@pytest.mark.parametrize("action", ["submit", "revise", "draft", "skip"])
def test_nothing_but_what_is_asked_for_is_taken(action: str) -> None:
    project = make_project()
    [task, _] = make_tasks(project, 2)
    ann, bob = annotator("ann"), annotator("bob")
    client = api(ann)
    pk = claim(client)["id"]
    if action == "revise":
        submit(client, pk, ranks=[1, 2, 3])
    before = Assignment.objects.values("shown_order", "lease_until", "claimed").get()
    extra = {"annotator": bob.pk, "task": 0, "state": "released", "shown_order": [], "revision": 9, "id": 1}
    given = {"client_key": "x", "ranks": [1, 2, 3], "draft": {}, "kind": "gold", "gold": True, **extra}
    assert act(client, action, pk, **given).status_code in {200, 204}
    after = Assignment.objects.get()
    assert (after.annotator, after.task, after.shown_order) == (ann, task, before["shown_order"])
    assert after.state == {"skip": "skipped", "draft": "leased"}.get(action, "submitted")
    assert list(Annotation.objects.values_list("revision", flat=True)) == {
        "submit": [1], "revise": [1, 2]
    }.get(action, [])  # fmt: skip
    task.refresh_from_db()
    assert task.kind == "ordinary"


@pytest.mark.parametrize("action", ACTIONS)
def test_strangers_get_nothing(action: str) -> None:
    assert APIClient().post(f"/api/assignments/1/{action}/").status_code == 401
    assert APIClient().get("/api/assignments/last/").status_code == 401
