"""Nothing but its text distinguishes a gold task or a repeat from an ordinary task."""

import random
import re
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from labeling import queue
from labeling.control_tasks import MIN_REPEAT_DISTANCE, create_gold_task
from labeling.feedback import Answer
from labeling.models import Assignment, Project, Task
from tests.labeling.objects import annotator, claimed, make_project, make_tasks

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("midday")]

CHECK, NO_CHECK = 0.0, 99.0
LEFT_OUT = {"Expires", "Content-Length"}
"""Headers that go by the clock, and by how many digits a number has."""


@pytest.fixture
def dice(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the next draws are: CHECK takes the first check that the project has. Numbers are long, to be
    distinguished from others on a page."""
    thrown = {"next": NO_CHECK}
    with connection.cursor() as cursor:
        cursor.execute("SELECT setval('labeling_assignment_id_seq', 7000000)")
        cursor.execute("SELECT setval('labeling_annotation_id_seq', 8000000)")
    monkeypatch.setattr(random, "uniform", lambda _low, _high: thrown["next"])
    return thrown


class Browser:
    """One person's browser, which keeps the page, its headers and the number of queries."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.client = Client()
        self.client.force_login(user)
        self.api = APIClient()
        self.api.force_authenticate(user)

    def look(self, method: str, path: str, data: dict[str, Any] | None = None) -> dict[str, Any]:
        """What comes back, without what differs between any two answers."""
        client: Any = self.api if path.startswith("/api/") else self.client
        with CaptureQueriesContext(connection) as queries:
            response = getattr(client, method)(
                path, data, **({"format": "json"} if client is self.api else {})
            )
        text = response.content.decode()
        for token in (r'value="[0-9a-zA-Z]{32,64}"', r'"X-CSRFToken": ?"\w+"', r"\w{64}"):
            text = re.sub(token, "token", text)
        text = re.sub(r"\b[78]\d{6}\b", "number", text)  # of assignments and annotations, see `dice`
        text = re.sub(r"Prompt \d+|>A\d+<|\"A\d+\"", "text", text)
        text = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d)|\b\d\d:\d\d\b", "time", text)
        text = text.replace(self.user.username, "me")
        headers = {name: value for name, value in response.headers.items() if name not in LEFT_OUT}
        return {
            "status": response.status_code,
            "text": text.splitlines(),
            "headers": headers,
            "cookies": {name: {**morsel} | {"expires": ""} for name, morsel in response.cookies.items()},
            "queries": [shape(query["sql"]) for query in queries],
        }

    def answer(self, path: str) -> dict[str, Any]:
        """Answer what is held."""
        pk = Assignment.objects.leased().get(annotator=self.user).pk
        data: dict[str, Any] = {"client_key": "k"}
        data |= {"scores": [3]} if path == "/api/" else {"answer": '{"scores": [3]}'}
        return self.look("post", f"{path}assignments/{pk}/submit/", data)

    @property
    def kind(self) -> str:
        """Of the task that is held."""
        return Assignment.objects.leased().get(annotator=self.user).task.kind


def shape(sql: str) -> str:
    """A query without its values."""
    return re.sub(r"'[^']*'| ?-?\b\d+\b|\"s\d+_x\d+\"", "?", sql)


def with_gold() -> tuple[Project, Task]:
    """One sample each, so that there is one order to show, and gold of the first task."""
    project = make_project(feedback="score", gold_percent=50)
    tasks = make_tasks(project, 15, samples=1, need=2)
    create_gold_task(task=tasks[0], answer=Answer(scores=(5,)), author=None)
    return project, tasks[0]


@pytest.mark.parametrize("path", ["/", "/api/"])
def test_gold_is_not_told_by_page_payload_headers_or_queries(path: str, dice: dict[str, float]) -> None:
    with_gold()
    ann, bob = Browser(annotator("reader-a")), Browser(annotator("reader-b"))
    seen: list[list[dict[str, Any]]] = []
    for person, thrown in ((ann, NO_CHECK), (bob, CHECK)):
        dice["next"] = thrown
        claim = [person.look("post", f"{path}projects/stories/claim/")]
        assert person.kind == ("gold" if thrown == CHECK else "ordinary")
        dice["next"] = NO_CHECK
        pk = Assignment.objects.leased().get(annotator=person.user).pk
        if path == "/":
            claim.append(person.look("get", "/projects/stories/work/"))
            claim.append(person.look("post", f"/assignments/{pk}/renew/"))
            claim.append(person.look("get", "/"))
        else:
            claim.append(person.look("post", f"/api/assignments/{pk}/draft/", {"draft": {"order": [1]}}))
            claim.append(person.look("get", "/api/projects/"))
        claim.append(person.answer(path))
        if path == "/":
            claim.append(person.look("get", "/projects/stories/work/"))
            claim.append(person.look("get", "/"))
            claim.append(person.look("get", "/me/"))
        else:
            claim.append(person.look("get", "/api/projects/"))
            claim.append(person.look("get", "/api/assignments/last/"))
        seen.append(claim)
    for ordinary, gold in zip(*seen, strict=True):
        for lines in ("text", "queries"):
            assert set(gold[lines]) ^ set(ordinary[lines]) == set()
        assert gold == ordinary


def test_the_task_behind_an_answer_is_claimed_alike(dice: dict[str, float]) -> None:
    """The response to a submit carries the next task: gold for one of the two."""
    project, gold = with_gold()
    queries = []
    for name, thrown in (("reader-a", NO_CHECK), ("reader-b", CHECK)):
        person = Browser(annotator(name))
        gold.set_priority(1)  # so that another one comes first
        claimed(person.user, project)
        dice["next"] = thrown
        queries.append(person.answer("/")["queries"])
        assert person.kind == ("gold" if thrown == CHECK else "ordinary")
        dice["next"] = NO_CHECK
    assert queries[0] == queries[1]


@pytest.mark.parametrize("path", ["/", "/api/"])
def test_a_repeat_is_not_told_by_page_payload_headers_or_queries(path: str, dice: dict[str, float]) -> None:
    project = make_project(feedback="score", repeat_percent=50)
    make_tasks(project, 15, samples=1, need=3)
    seen = []
    for name, thrown in (("reader-a", NO_CHECK), ("reader-b", CHECK)):
        person = Browser(annotator(name))
        for _ in range(MIN_REPEAT_DISTANCE + 1):
            queue.submit(claimed(person.user, project), Answer(scores=(3,)), client_key="k")
        dice["next"] = thrown
        claim = person.look("post", f"{path}projects/stories/claim/")
        assert person.kind == ("repeat" if thrown == CHECK else "ordinary")
        dice["next"] = NO_CHECK
        seen.append([claim, person.answer(path)])
    assert seen[0] == seen[1]


def test_nothing_names_the_model_or_the_kind_of_task(dice: dict[str, float]) -> None:
    with_gold()
    bob = Browser(annotator("reader-b"))
    dice["next"] = CHECK
    texts = [
        bob.look("post", "/api/projects/stories/claim/")["text"],
        bob.look("get", "/projects/stories/work/")["text"],
        bob.answer("/api/")["text"],
        bob.look("get", "/api/assignments/last/")["text"],
    ]
    for text in map(" ".join, texts):
        for word in ("gold", "repeat", "origin", "story-model", "generator"):
            assert word not in text.lower()


def test_about_how_much_waits_is_said_in_steps() -> None:
    """An exact number would not fall when gold is answered."""
    project = make_project()
    ann = annotator()
    steps = []
    for opened in (0, 4, 8, 95):
        make_tasks(project, opened)
        steps.append(Task.objects.filter(project=project).approximate_waiting_count(ann))
    assert steps == [0, 1, 10, 100]
