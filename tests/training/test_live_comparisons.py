"""Live comparisons: who may, what is stored, what is hidden, and what is counted apart."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db.models.functions import Now
from django.test import Client
from pytest_django import Settings

from labeling import control_tasks
from labeling.feedback import Answer
from labeling.models import Annotation, Project, Prompt, Sample, Task
from labeling.preferences import comparisons, create_snapshot
from labeling.quality.annotation_arrays import load_annotation_arrays
from labeling.quality.bradley_terry import generator_comparisons
from labeling.quality.report import QualityReport
from labeling.task_priorities import prioritisable_tasks
from tests.labeling.objects import admin, annotator, make_project, make_tasks, member
from tests.processes import eventually
from tests.training.lineage_factories import make_version
from tests.training.scripted_models import ScriptedModels, scripted_models
from training import provenance
from training.live import conversations
from training.models import LiveAnswer, LiveConversation, LiveTurn, ModelVersion

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("midday")]

REPLIES = {"north-1": "North.", "south-2": "South."}


@pytest.fixture
def models(settings: Settings) -> Iterator[ScriptedModels]:
    with scripted_models() as found:
        settings.SERVE_URL = found.url
        found.replies = dict(REPLIES)
        yield found


@pytest.fixture
def project(models: ScriptedModels) -> Project:
    """A project that allows live comparisons of its production version and another."""
    project = make_project(feedback="pair", samples_per_task=2, live_comparisons=True)
    first, second = (make_version(name, project=project) for name in REPLIES)
    ModelVersion.objects.filter(pk=first.pk).update(stage=ModelVersion.Stage.PRODUCTION)
    assert second.generator is not None
    project.live_generators.add(second.generator)
    return project


@pytest.fixture
def ann(project: Project) -> User:
    return annotator()


def browser(user: User) -> Client:
    client = Client(headers={"HX-Request": "true"})
    client.force_login(user)
    return client


def send(client: Client, message: str, *, wait: bool = True) -> Any:
    """Send a message; by default, wait for both answers."""
    response = client.post("/projects/stories/live/", {"message": message})
    if wait:
        assert eventually(lambda: not LiveAnswer.objects.running().exists())
    return response


def vote(client: Client, turn: LiveTurn, key: str = "k", **given: Any) -> Any:
    answer = json.dumps(given or {"grade": 2})
    return client.post(f"/live/turns/{turn.pk}/vote/", {"answer": answer, "client_key": key})


def test_it_is_off_unless_the_project_allows_it_and_compares_pairs(ann: User, project: Project) -> None:
    client = browser(ann)
    assert client.get("/projects/stories/live/").status_code == 200
    allowed = {"live_comparisons": True, "feedback": "pair", "is_active": True}
    for change in ({"live_comparisons": False}, {"feedback": "rank"}, {"is_active": False}):
        Project.objects.filter(pk=project.pk).update(**(allowed | change))
        assert client.get("/projects/stories/live/").status_code == 404
        assert client.post("/projects/stories/live/", {"message": "Hi"}).status_code == 404
    assert not LiveConversation.objects.exists()
    assert not make_project("new").live_comparisons, "off by default"


def test_only_annotators_of_the_project_and_only_ones_own(ann: User, project: Project) -> None:
    send(browser(ann), "Hi")
    turn = LiveTurn.objects.get()
    answer = turn.answers.first()
    assert answer is not None
    Project.objects.filter(pk=project.pk).update(everybody=False)
    outside, inside = browser(annotator("out")), browser(member(project))
    stranger = browser(User.objects.create_user("stranger"))
    assert outside.get("/projects/stories/live/").status_code == 404
    assert inside.get("/projects/stories/live/").status_code == 200
    assert stranger.get("/projects/stories/live/").status_code == 403
    assert Client().get("/projects/stories/live/").status_code == 302
    for client in (inside, browser(admin())):
        assert client.get(f"/live/turns/{turn.pk}/").status_code == 404
        assert vote(client, turn).status_code == 404
        assert client.post(f"/live/answers/{answer.pk}/retry/").status_code == 404
    assert browser(ann).get(f"/live/turns/{turn.pk}/").status_code == 404, "no longer a member"
    assert not Task.objects.exists()


def test_the_vote_becomes_a_task_with_its_answer(ann: User, project: Project) -> None:
    client = browser(ann)
    send(client, "Where to?\r\n")
    turn = LiveTurn.objects.get()
    first, second = turn.answers.all()
    assert vote(client, turn, grade=-1, comment="Clear.", seconds=3).status_code == 200
    [row] = comparisons(project)
    assert (row["chosen"], row["rejected"]) == (f" {first.text}", f" {second.text}")
    assert row["messages"] == [{"role": "user", "content": "Where to?"}]
    task = Task.objects.get()
    assert (task.kind, task.choice, task.need, task.open) == ("ordinary", "live", 1, 0)
    annotation = Annotation.objects.get()
    assert (annotation.comment, annotation.seconds, annotation.assignment.annotator) == ("Clear.", 3, ann)
    assert annotation.assignment.shown_samples() == list(task.samples.order_by("task_samples__position"))
    assert {each.generator.name: each.text for each in task.samples.all()} == {
        name: f" {text}" for name, text in REPLIES.items()
    }
    # Sent again, it is stored once; and it can be edited as any answer.
    assert vote(client, turn, key="again", grade=3).status_code == 200
    assert Annotation.objects.count() == 1
    page = client.get(f"/assignments/{annotation.assignment_id}/edit/").text
    assert 'class="turn user"' in page


def test_nothing_is_stored_before_both_answers_are_complete(
    ann: User, project: Project, models: ScriptedModels
) -> None:
    models.may_go_on.clear()
    client = browser(ann)
    send(client, "Hi", wait=False)
    turn = LiveTurn.objects.get()
    response = vote(client, turn)
    assert response.status_code == 422
    assert "both answers must be complete" in response.text
    refused = send(client, "And?", wait=False)
    assert refused.status_code == 422
    assert "Wait until both answers are complete" in refused.text
    models.may_go_on.set()
    assert eventually(lambda: not LiveAnswer.objects.running().exists())
    assert vote(client, turn, ranks=[1, 2]).status_code == 422, "an answer of another kind"
    assert not Prompt.objects.exists()
    assert not Sample.objects.exists()


def test_a_failure_can_be_repeated_and_its_reason_is_not_shown(
    ann: User, project: Project, models: ScriptedModels
) -> None:
    models.failures["south-2"] = (500, "south-2 has no memory left")
    client = browser(ann)
    send(client, "Hi")
    turn = LiveTurn.objects.get()
    failed = LiveAnswer.objects.get(status="failed")
    assert "south-2 has no memory left" in failed.error
    response = client.get(f"/live/turns/{turn.pk}/")
    assert response.headers["HX-Retarget"] == "#work"
    assert "This model could not answer" in response.text
    assert "Try again" in response.text
    assert not [name for name in (*REPLIES, "memory") if name in response.text]
    models.failures.clear()
    assert client.post(f"/live/answers/{failed.pk}/retry/").status_code == 200
    assert eventually(lambda: not LiveAnswer.objects.running().exists())
    failed.refresh_from_db()
    assert (failed.status, failed.text) == ("done", "South.")
    assert vote(client, turn).status_code == 200


def test_an_answer_whose_process_died_has_failed(ann: User, project: Project, models: ScriptedModels) -> None:
    client = browser(ann)
    send(client, "Hi")
    LiveAnswer.objects.update(status="writing", updated=Now() - timedelta(minutes=5))
    assert "Try again" in client.get(f"/live/turns/{LiveTurn.objects.get().pk}/").text


def test_the_conversation_goes_on_from_the_better_answer(
    ann: User, project: Project, models: ScriptedModels
) -> None:
    client = browser(ann)
    send(client, "One")
    turn = LiveTurn.objects.get()
    better = turn.answers.get(position=1).text
    vote(client, turn, grade=1)
    models.requests.clear()
    send(client, "Two")
    expected = [
        {"role": "user", "content": "One"},
        {"role": "assistant", "content": better},
        {"role": "user", "content": "Two"},
    ]
    assert [asked["messages"] for asked in models.requests] == [expected, expected]
    assert {asked["max_tokens"] for asked in models.requests} == {project.live_max_tokens}


def test_two_different_models_answer_in_random_order(ann: User, project: Project) -> None:
    generators = [version.generator for version in ModelVersion.objects.all() if version.generator]
    drawn = {tuple(each.name for each in conversations.draw_pair(generators)) for _ in range(60)}
    assert drawn == {("north-1", "south-2"), ("south-2", "north-1")}


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (" \n", "Write a message first"),
        ("x" * 8001, "8,001 characters; at most 8,000"),
        ("a\x00b", "no text"),
    ],
)
def test_messages_that_cannot_be_sent_are_refused(
    ann: User, project: Project, message: str, problem: str
) -> None:
    response = send(browser(ann), message)
    assert response.status_code == 422
    assert problem in response.text
    assert not LiveConversation.objects.exists()


def test_so_many_messages_a_minute(ann: User, project: Project) -> None:
    conversation = LiveConversation.objects.create(project=project, person=ann, is_blind=False)
    for number in range(conversations.MAX_TURNS_PER_MINUTE):
        LiveTurn.objects.create(conversation=conversation, number=number, content="Hi")
    response = send(browser(ann), "Hi")
    assert response.status_code == 422
    assert "At most 10 messages a minute" in response.text


def test_the_page_says_how_to_start_the_server_and_who_can_choose_models(
    ann: User, project: Project, settings: Settings
) -> None:
    settings.SERVE_URL = "http://127.0.0.1:9"
    assert "Ask an admin to start them (<code>manage.py serve</code>)" in (
        browser(ann).get("/projects/stories/live/").text
    )
    shown = browser(admin()).get("/projects/stories/live/").text
    assert "<code>manage.py serve</code>" in shown
    assert "<code>manage.py up --serve</code>" in shown
    project.live_generators.clear()
    assert "Not enough models" in browser(ann).get("/projects/stories/live/").text


def test_limits_and_training_tasks_hold_here_too(ann: User, project: Project) -> None:
    client = browser(ann)
    send(client, "Hi")
    Project.objects.filter(pk=project.pk).update(limit_per_day=0)
    response = vote(client, LiveTurn.objects.get())
    assert response.status_code == 422
    assert "limit of this project" in response.text
    assert not Task.objects.exists()
    client.post("/projects/stories/live/new/")
    assert "Daily limit reached" in client.get("/projects/stories/live/").text
    Project.objects.filter(pk=project.pk).update(limit_per_day=None)
    [task] = make_tasks(project, samples=2)
    control_tasks.create_gold_task(
        task=task, answer=Answer(grade=1), author=None, kind=Task.Kind.TRAINING, explanation="So."
    )
    assert "Training comes first" in client.get("/projects/stories/live/").text


def test_estimates_from_random_tasks_leave_it_out_and_training_reads_it(ann: User, project: Project) -> None:
    client = browser(ann)
    send(client, "Hi")
    vote(client, LiveTurn.objects.get())
    assert len(list(create_snapshot(project).comparisons())) == 1
    assert not list(generator_comparisons(project)), "no leaderboard from it"
    assert not Annotation.objects.on_random_tasks().exists()
    report = QualityReport(load_annotation_arrays(project))
    assert report.has_other_than_random
    assert not prioritisable_tasks(project).exists()


def test_deleting_a_persons_answers_deletes_what_they_wrote(ann: User, project: Project) -> None:
    make_tasks(project, samples=2)
    client = browser(ann)
    send(client, "My secret")
    vote(client, LiveTurn.objects.get())
    boss = User.objects.create_superuser("boss")
    provenance.delete_answers(ann, projects=[project], by=boss)
    assert not LiveConversation.objects.exists()
    assert not Prompt.objects.filter(text__contains="secret").exists()
    assert Task.objects.count() == 1
    assert Sample.objects.count() == 2
