"""The playground: two named models side by side, and the settings of live comparisons."""

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from labeling.models import Project, Task
from tests.labeling.objects import admin, make_project, reviewer
from tests.processes import eventually
from tests.training.lineage_factories import make_version
from tests.training.scripted_models import ScriptedModels, scripted_models
from training.models import Endpoint, LiveAnswer, LiveConversation, LiveTurn, ModelVersion

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def models(settings: Settings) -> Iterator[ScriptedModels]:
    with scripted_models() as found:
        settings.SERVE_URL = found.url
        settings.ENDPOINT_TRUSTED_NETWORKS = [ip_network("127.0.0.0/8")]
        found.replies = {"north-1": "North it is.", "large": "South it is."}
        yield found


@pytest.fixture
def project(models: ScriptedModels) -> Project:
    project = make_project(feedback="pair", samples_per_task=2)
    make_version("north-1", project=project)
    Endpoint.objects.create(name="elsewhere", url=f"{models.url}/v1", model="large")
    return project


@pytest.fixture
def ada(project: Project) -> Client:
    client = Client(headers={"HX-Request": "true"})
    client.force_login(admin())
    return client


def send(client: Client, message: str = "Hi", **changes: Any) -> Any:
    """Send a message with both models, and wait for both answers."""
    version, endpoint = ModelVersion.objects.get(), Endpoint.objects.get()
    fields = {
        "first": version.generator_id,
        "second": endpoint.generator_id,
        "is_chat": "yes",
        "temperature": 0.5,
        "top_p": 0.9,
        "max_new_tokens": 7,
        "message": message,
        **changes,
    }
    response = client.post("/projects/stories/playground/", fields)
    assert eventually(lambda: not LiveAnswer.objects.running().exists())
    return response


def test_a_version_and_an_endpoint_answer_side_by_side(ada: Client, models: ScriptedModels) -> None:
    response = send(ada, "Where to?", system="Be brief.")
    assert response.status_code == 200
    conversation = LiveConversation.objects.get()
    assert response.headers["HX-Push-Url"] == f"/projects/stories/playground/?conversation={conversation.pk}"
    turn = LiveTurn.objects.get()
    shown = ada.get(f"/playground/turns/{turn.pk}/").text
    assert shown.index("north-1") < shown.index("North it is.") < shown.index("elsewhere")
    assert "South it is." in shown
    assert 'hx-trigger="every' not in shown, "nothing is polled once both are complete"
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Where to?"}]
    for asked in models.requests:
        assert asked["messages"] == messages
        assert (asked["temperature"], asked["top_p"], asked["max_tokens"]) == (0.5, 0.9, 7)
    assert not Task.objects.exists(), "the playground makes no tasks"
    whole = ada.get(
        f"/projects/stories/playground/?conversation={conversation.pk}", headers={"HX-Request": ""}
    )
    assert "North it is." in whole.text
    assert 'value="0.5"' in whole.text


def test_each_model_reads_its_own_answers(ada: Client, models: ScriptedModels) -> None:
    send(ada, "One")
    models.requests.clear()
    send(ada, "Two", conversation=LiveConversation.objects.get().pk)
    replies = {asked["model"]: asked["messages"][1]["content"] for asked in models.requests}
    assert replies == models.replies


def test_a_text_is_continued_as_it_is(ada: Client, models: ScriptedModels) -> None:
    response = send(ada, "Once upon a time", is_chat="no", second=ModelVersion.objects.get().generator_id)
    assert response.status_code == 200
    assert {asked["prompt"] for asked in models.requests} == {"Once upon a time"}
    again = send(ada, "More", conversation=LiveConversation.objects.get().pk)
    assert again.status_code == 422
    assert "A text is continued once" in again.text


def test_a_failure_says_why_and_can_be_repeated(ada: Client, models: ScriptedModels) -> None:
    models.failures["north-1"] = (400, "messages: 9 tokens leave no room in the model's context of 8.")
    send(ada, "Where to?")
    turn = LiveTurn.objects.get()
    shown = ada.get(f"/playground/turns/{turn.pk}/").text
    assert "leave no room in the model&#x27;s context of 8" in shown
    assert "Try again" in shown
    models.failures.clear()
    ada.post(f"/playground/answers/{LiveAnswer.objects.get(status='failed').pk}/retry/")
    assert eventually(lambda: LiveAnswer.objects.filter(status="done").count() == 2)


def test_an_answer_that_is_cut_off_has_failed_and_what_came_is_shown(
    ada: Client, models: ScriptedModels
) -> None:
    models.cut.add("large")
    send(ada, "Where to?")
    failed = LiveAnswer.objects.get(status="failed")
    assert (failed.text, failed.generator.name) == ("South it is.", "elsewhere")
    assert "cut off" in failed.error
    refused = send(ada, "And then?", conversation=LiveConversation.objects.get().pk)
    assert refused.status_code == 422


def test_an_endpoint_inside_the_own_network_is_refused(
    ada: Client, models: ScriptedModels, settings: Settings
) -> None:
    settings.ENDPOINT_TRUSTED_NETWORKS = []
    send(ada, "Where to?")
    failed = LiveAnswer.objects.get(status="failed")
    assert "ENDPOINT_TRUSTED_NETWORKS" in failed.error


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"first": 0}, "First model"),
        ({"temperature": "hot"}, "Temperature"),
        ({"max_new_tokens": 10**6}, "Longest answer"),
        ({"message": ""}, "Write a message first"),
    ],
)
def test_what_cannot_be_sent_is_said(ada: Client, changes: dict[str, Any], problem: str) -> None:
    response = send(ada, **changes)
    assert response.status_code == 422
    assert problem in response.text
    assert not LiveConversation.objects.exists()


def test_conversations_are_ones_own(ada: Client) -> None:
    send(ada, "Hi")
    turn, answer = LiveTurn.objects.get(), LiveAnswer.objects.earliest("pk")
    other = Client()
    other.force_login(admin("bea"))
    assert other.get(f"/playground/turns/{turn.pk}/").status_code == 404
    assert other.post(f"/playground/answers/{answer.pk}/retry/").status_code == 404
    assert other.get(f"/projects/stories/playground/?conversation={turn.conversation_id}").status_code == 404
    assert ada.get(f"/live/turns/{turn.pk}/").status_code == 404, "not a live comparison"
    assert Client().get(f"/playground/turns/{turn.pk}/").status_code == 302
    rea = Client()
    rea.force_login(reviewer())
    assert rea.get("/projects/stories/playground/").status_code == 403


def test_without_the_server_the_page_says_how_to_start_it(ada: Client, settings: Settings) -> None:
    settings.SERVE_URL = "http://127.0.0.1:9"
    page = ada.get("/projects/stories/playground/", headers={"HX-Request": ""}).text
    assert "<code>manage.py serve</code>" in page
    assert "<code>manage.py up --serve</code>" in page
    send(ada, "Hi")
    assert "cannot be reached" in LiveAnswer.objects.get(status="failed").error


def test_admins_choose_who_takes_part_in_live_comparisons(ada: Client, project: Project) -> None:
    generators = [ModelVersion.objects.get().generator_id, Endpoint.objects.get().generator_id]
    fields = {"live_comparisons": "on", "live_max_tokens": 99, "live_generators": generators}
    assert ada.post("/projects/stories/playground/live/", fields).status_code == 302
    project.refresh_from_db()
    assert (project.live_comparisons, project.live_max_tokens) == (True, 99)
    assert set(project.live_generators.values_list("pk", flat=True)) == set(generators)
    ada.post("/projects/stories/playground/live/", {"live_max_tokens": 99})
    project.refresh_from_db()
    assert not project.live_comparisons
    assert not project.live_generators.exists()
