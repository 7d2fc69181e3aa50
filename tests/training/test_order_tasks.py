"""Ordering a project's waiting tasks by what they would teach: what it leaves, and what it refuses."""

from collections.abc import Sequence
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.test import APIClient

from labeling.models import Project, Task
from tests.labeling.objects import claimed
from tests.training.factories import (
    admin,
    annotator,
    execute_run,
    make_policy,
    make_project,
    make_reward,
    queue_run,
)
from training.execution.attempt import StopReason
from training.execution.executor import execute
from training.execution.model_loading import load_reward
from training.execution.simulated_annotators import answer_open_tasks
from training.forms.task_priorities import ACQUISITION_FUNCTIONS
from training.models import ModelVersion, Run
from training.reports.task_priorities import task_priorities
from training.rlhf.config import SimulatedAnnotatorsConfig
from training.rlhf.reward.acquisition import ACQUISITION_FUNCTIONS as IMPLEMENTED
from training.rlhf.reward.acquisition import acquisition_scores

pytestmark = pytest.mark.django_db(transaction=True)


def waiting_tasks(count: int = 20) -> Project:
    """A project in which so many tasks wait."""
    project = make_project(train=64)
    make_policy()
    execute_run(Run.Kind.SAMPLE, project=project.slug, policy="base", tasks=count, max_new_tokens=6)
    return project


def tasks_by_priority(project: Project) -> list[Task]:
    return list(project.tasks.order_by("priority", "id"))


def test_the_command_orders_and_says_what_it_did() -> None:
    project = waiting_tasks(40)
    make_reward("ensemble", members=4)
    out = StringIO()
    call_command("order_tasks", "--project=letters", "--reward=ensemble", stdout=out)
    output = out.getvalue()
    assert "40 open tasks prioritised by disagreement: " in output
    tasks = tasks_by_priority(project)
    assert [task.priority for task in tasks] == list(range(1, 41))
    chosen = [task for task in tasks if task.choice == Task.Choice.DISAGREEMENT]
    assert {task.choice for task in tasks} == {Task.Choice.DISAGREEMENT, Task.Choice.RANDOM}
    assert f"disagreement: {len(chosen)} selected by score, {40 - len(chosen)} at random" in output
    assert "Mean acquisition score: 0.0" in output
    values = [task.usefulness for task in chosen]
    assert values == sorted(values, key=lambda value: -(value or 0))
    assert {task.usefulness for task in tasks if task.choice == Task.Choice.RANDOM} == {None}
    for end in range(1, 41):
        among = sum(task.choice != Task.Choice.RANDOM for task in tasks[:end])
        assert among == end * len(chosen) // 40


def test_what_is_kept_is_what_the_reward_model_makes_of_the_samples() -> None:
    project = waiting_tasks(5)
    reward = make_reward("ensemble", members=3)
    execute_run(Run.Kind.ORDER_TASKS, project="letters", reward="ensemble", by="closeness", share=100)
    judge = load_reward(reward)
    for task in tasks_by_priority(project):
        texts = [sample.text for sample in task.samples.all()]
        rewards = judge.unnormalised(judge.member_scores([task.prompt.text] * len(texts), texts))
        assert acquisition_scores(rewards, [len(texts)], by="closeness") == pytest.approx(
            [task.usefulness], abs=1e-6
        )
        assert task.choice == Task.Choice.CLOSENESS


def test_people_get_the_tasks_in_the_order_and_what_they_have_begun_is_not_moved() -> None:
    project = waiting_tasks()
    make_reward("ensemble", members=2)
    begun = claimed(annotator("ann"), project).task
    run = execute_run(Run.Kind.ORDER_TASKS, project="letters", reward="ensemble")
    assert run.metrics["tasks"] == 19
    begun.refresh_from_db()
    assert (begun.priority, begun.choice) == (0, Task.Choice.RANDOM)
    expected = [task.pk for task in tasks_by_priority(project) if task != begun]
    given: list[int] = []

    def score_by_a(prompts: Sequence[str], completions: Sequence[str], /) -> list[float]:
        return [float(text.count("a")) for text in completions]

    people = SimulatedAnnotatorsConfig(count=1, noise=0.0)
    answer_open_tasks(project, score_by_a, people, on_answer=lambda _: given.append(0))
    answered = project.tasks.filter(assignments__state="submitted").order_by("assignments__finished")
    assert list(answered.values_list("pk", flat=True)) == expected
    assert len(given) == 19


def test_ordering_again_keeps_who_comes_at_random() -> None:
    project = waiting_tasks(30)
    make_reward("one", members=2)
    make_reward("two", members=2)
    execute_run(Run.Kind.ORDER_TASKS, project="letters", reward="one")
    at_random = [task.pk for task in tasks_by_priority(project) if task.choice == Task.Choice.RANDOM]
    execute_run(Run.Kind.ORDER_TASKS, project="letters", reward="two", by="closeness")
    assert [task.pk for task in tasks_by_priority(project) if task.choice == Task.Choice.RANDOM] == at_random


@pytest.mark.parametrize(("share", "count"), [(0, 0), (100, 12)])
def test_the_share_of_the_project_or_of_the_run(share: int, count: int) -> None:
    project = waiting_tasks(12)
    make_reward("ensemble", members=2)
    Project.objects.update(chosen_percent=share)
    run = execute_run(Run.Kind.ORDER_TASKS, project="letters", reward="ensemble")
    assert run.parameters["share"] == share
    assert project.tasks.filter(choice=Task.Choice.DISAGREEMENT).count() == count
    other = execute_run(Run.Kind.ORDER_TASKS, project="letters", reward="ensemble", share=100 - share)
    assert project.tasks.filter(choice=Task.Choice.DISAGREEMENT).count() == 12 - count
    report = task_priorities(run if share else other)
    assert report is not None
    assert "none at random, so quality metrics on these tasks are biased" in report.text


def test_one_reward_model_alone_cannot_disagree() -> None:
    project = waiting_tasks(5)
    make_reward("single")
    with pytest.raises(CommandError, match=r"reward: “single” is a single model.*--members 4"):
        call_command("order_tasks", "--project=letters", "--reward=single")
    assert {task.priority for task in tasks_by_priority(project)} == {0}
    execute_run(Run.Kind.ORDER_TASKS, project="letters", reward="single", by="closeness")
    assert {task.priority for task in tasks_by_priority(project)} == set(range(1, 6))


def test_bad_input_is_named() -> None:
    make_project()
    make_reward("ensemble", members=2)
    for asked, says in (
        (["--reward=ensemble"], "--project: “letters” has no open task that nobody has started"),
        (["--reward=nobody"], "--reward: there is no “nobody”; there are: ensemble"),
        (["--reward=ensemble", "--share=101"], "--share"),
        (["--reward=ensemble", "--by=length"], "--by"),
    ):
        with pytest.raises(CommandError, match=says):
            call_command("order_tasks", "--project=letters", *asked)
    assert not Run.objects.exists()


def test_the_api_queues_it_and_the_page_shows_what_it_did(client: Client) -> None:
    waiting_tasks(24)
    make_reward("ensemble", members=3)
    ada = admin()
    api = APIClient()
    api.force_authenticate(ada)
    asked = {"kind": "order_tasks", "parameters": {"project": "letters", "reward": "ensemble"}}
    answer = api.post("/api/runs/", asked, format="json")
    assert answer.status_code == 201
    run = Run.objects.get(pk=answer.json()["id"])
    assert run.reward == ModelVersion.objects.get(name="ensemble")
    assert execute(run), run.error
    client.force_login(ada)
    page = client.get(run.get_absolute_url()).content.decode()
    assert "24 open tasks prioritised by disagreement: " in page
    assert "part-chosen" in page
    assert "style=" not in page
    report = task_priorities(run)
    assert report is not None
    picture = report.histogram
    assert sum(picture.chosen) + sum(picture.random) == 3
    assert sum(picture.later) == 21
    assert "21 later" in picture.summary
    for bar in picture.bars:
        assert picture.plot["left"] <= bar["x"] <= picture.plot["right"]
        assert picture.plot["top"] <= bar["y"] <= bar["y"] + bar["height"] <= picture.plot["bottom"] + 0.1
    form = client.get("/admin/training/run/add/?kind=order_tasks").content.decode()
    assert 'name="share"' in form


def test_what_may_be_asked_is_what_is_measured() -> None:
    assert [name for name, _ in ACQUISITION_FUNCTIONS] == list(IMPLEMENTED)


def test_a_cancelled_order_moves_nothing() -> None:
    project = waiting_tasks(5)
    make_reward("ensemble", members=2)
    run = queue_run(Run.Kind.ORDER_TASKS, project="letters", reward="ensemble")
    assert not execute(run, on_attempt=lambda attempt: attempt.stop(StopReason.CANCELLED))
    assert {task.priority for task in tasks_by_priority(project)} == {0}
