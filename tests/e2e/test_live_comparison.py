"""A blind live comparison in a browser, with the models of a real `manage.py serve`."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Response, expect
from pytest_django import Settings

from labeling.models import Annotation, Project, Task
from labeling.preferences import comparisons
from tests.e2e.task_page import log_in
from tests.labeling.objects import annotator, make_project
from tests.training.factories import execute_run
from tests.training.serving.conftest import RunningServer, publish
from training.models import LiveConversation, ModelVersion, Run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("midday", "own_artifacts")]

NAMES = ("lighthouse-1", "lighthouse-2")


@pytest.fixture
def project(settings: Settings, tmp_path: Path) -> Iterator[Project]:
    """A project that allows live comparisons of two versions, which a server of its own has."""
    project = make_project(feedback="pair", samples_per_task=2, live_comparisons=True, live_max_tokens=24)
    for seed, name in enumerate(NAMES):
        stage = ModelVersion.Stage.CANDIDATE if seed else ModelVersion.Stage.PRODUCTION
        version = publish(name, seed=seed, project=project, stage=stage)
        assert version.generator is not None
        project.live_generators.add(version.generator)
    server = RunningServer(tmp_path)
    settings.SERVE_URL = server.url
    yield project
    assert server.stop() == 0


def as_shown(*texts: str) -> list[str]:
    """Texts with the line ends that browsers make of those of a model of random weights."""
    return [text.replace("\r\n", "\n").replace("\r", "\n") for text in texts]


def send(page: Page, text: str) -> None:
    """Type a message and send it."""
    expect(page.get_by_label("message").or_(page.get_by_label("Write to two models"))).to_be_focused()
    page.keyboard.type(text)
    page.keyboard.press("Enter")


def test_from_typing_to_a_comparison_that_a_reward_model_learns_from(page: Page, project: Project) -> None:
    bodies: list[str] = []

    def keep(response: Response) -> None:
        if "/live/" in response.url:
            bodies.append(json.dumps(response.all_headers()) + response.text())

    page.on("response", keep)
    ann = annotator()
    log_in(page, ann)
    page.goto(f"/projects/{project.slug}/live/")
    send(page, "the cat")
    expect(page.locator("#task")).to_be_focused(timeout=60_000)
    shown = page.locator(".sample > .text").all_text_contents()
    assert len(shown) == 2
    assert not Task.objects.exists(), "nothing is stored before the vote"
    page.keyboard.press("6")
    page.keyboard.press("Enter")

    # The conversation goes on from the better answer.
    expect(page.locator(".banner")).to_contain_text("Saved: Second: better")
    expect(page.locator(".prompt .turn.user")).to_have_text("User the cat", use_inner_text=True)
    assert page.locator(".prompt .turn.assistant .text").text_content() == shown[1]
    [row] = comparisons(project)
    assert row["prompt"] == "\n\nHuman: the cat\n\nAssistant:"
    assert row["messages"] == [{"role": "user", "content": "the cat"}]
    assert as_shown(row["chosen"], row["rejected"]) == [f" {shown[1]}", f" {shown[0]}"]
    assert (row["choice"], row["split"], row["margin"]) == ("live", "train", pytest.approx(2 / 3, abs=1e-5))
    samples = Task.objects.get().samples.select_related("generator")
    assert {sample.generator.name for sample in samples} == set(NAMES)
    assert {sample.parameters["max_new_tokens"] for sample in samples} == {24}

    send(page, "the mat")
    expect(page.locator("#task")).to_be_focused(timeout=60_000)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator(".banner")).to_contain_text("Saved: First: much better")
    second = Task.objects.latest("pk").prompt
    assert second.messages is not None
    contents = as_shown(*(each["content"] for each in second.messages))
    assert contents == ["the cat", shown[1], "the mat"]

    assert bodies
    assert not [name for name in NAMES for body in bodies if name in body], "no page names a model"
    run = execute_run(
        Run.Kind.TRAIN_REWARD, project=project.slug, policy=NAMES[0], name="taste", steps=2, batch_size=2
    )
    assert run.metrics["comparisons"] == 2


def test_a_conversation_is_where_it_was_left_and_can_be_left_for_another(
    page: Page, project: Project
) -> None:
    log_in(page, annotator())
    page.goto(f"/projects/{project.slug}/live/")
    send(page, "the cat")
    expect(page.locator("#task")).to_be_focused(timeout=60_000)
    page.reload()
    expect(page.locator("#task")).to_be_focused(timeout=60_000)
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    expect(page.locator(".banner")).to_contain_text("Saved: All bad")
    expect(page.get_by_label("Write to two models")).to_be_focused()
    assert Annotation.objects.get().all_bad
    page.keyboard.press("Enter")
    expect(page.locator("[data-composer]")).to_be_focused()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    expect(page.locator("#task")).to_be_focused(timeout=60_000)
    expect(page.locator(".prompt .turn.user .text")).to_have_text("one\ntwo", use_inner_text=True)
    page.keyboard.press("4")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="New conversation").click()
    expect(page.get_by_label("Write to two models")).to_be_focused()
    assert LiveConversation.objects.filter(ended=None).count() == 0
