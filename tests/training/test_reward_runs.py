"""Reward models as runs: resumed, shared by two processes, and learned from scores by criteria."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Project
from tests.labeling.objects import claimed
from tests.training.factories import annotator, execute_run, make_policy, make_project, queue_run
from tests.training.test_resuming import artifact_of, curve, execute_until
from tests.training.test_torchrun import options, torchrun
from training import runs
from training.execution import reference_samples
from training.execution.executor import execute
from training.execution.model_loading import load_reward
from training.execution.simulated_annotators import answer_open_tasks
from training.models import ModelVersion, Run
from training.rlhf.config import SimulatedAnnotatorsConfig

pytestmark = pytest.mark.django_db(transaction=True)

QUICK: dict[str, Any] = {"project": "letters", "policy": "base", "epochs": 2, "device": "cpu"}


def likes_a(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
    return [float(text.count("a")) for text in completions]


def tasks_in(project: Project) -> int:
    make_policy()
    run = execute_run(Run.Kind.SAMPLE, project=project.slug, policy="base", tasks=20, max_new_tokens=6)
    opened: int = run.metrics["tasks"]
    return opened


def make_ranked_project() -> Project:
    """A project whose tasks people who like the letter a have answered."""
    project = make_project()
    tasks_in(project)
    answer_open_tasks(project, likes_a, SimulatedAnnotatorsConfig(noise=0.0))
    return project


def make_scored_project() -> Project:
    """A project in which one person gave scores for the letter a, and for shortness."""
    project = make_project()
    Project.objects.update(feedback="score", criteria=["short"])
    project.refresh_from_db()
    ann = annotator()
    for number in range(tasks_in(project)):
        assignment = claimed(ann, project)
        texts = [sample.text for sample in assignment.shown_samples()]
        scores = tuple(min(5, 1 + text.count("a")) for text in texts)
        criteria = tuple({"short": max(1, 5 - len(text))} for text in texts)
        queue.submit(assignment, Answer(scores=scores, criteria=criteria), client_key=str(number))
    return project


def test_a_cancelled_run_goes_on_to_the_very_model_though_more_was_answered() -> None:
    project = make_ranked_project()
    whole = execute_run(Run.Kind.TRAIN_REWARD, name="whole", **QUICK)
    run = execute_until(queue_run(Run.Kind.TRAIN_REWARD, name="halves", **QUICK), 2)
    assert run.status == Run.Status.CANCELLED
    assert run.saved_step == 2
    assert run.snapshot == whole.snapshot
    execute_run(Run.Kind.SAMPLE, project=project.slug, policy="base", tasks=3, max_new_tokens=6)
    answer_open_tasks(project, likes_a, SimulatedAnnotatorsConfig(noise=0.0))
    runs.resume(run, detached=False)
    assert execute(run), run.error
    assert curve(run) == curve(whole)
    assert artifact_of(run) == artifact_of(whole)
    assert run.snapshot == whole.snapshot


def test_scores_are_learned_by_the_weights_of_their_criteria() -> None:
    make_scored_project()
    asked = QUICK | {"loss": "scores+pairs", "epochs": 20}
    for name, criteria in (("likes", "overall=1"), ("shortens", "short=1")):
        run = execute_run(Run.Kind.TRAIN_REWARD, name=name, criteria=criteria, **asked)
        assert run.metrics["ratings"] == 60
        assert "score_correlation" in run.metrics
    short, long = (
        load_reward(ModelVersion.objects.get(name="shortens")).score([""], [text])[0]
        for text in ("b", "bcdefg")
    )
    assert short > long


@pytest.mark.parametrize("enough", [1, 300])
def test_the_scale_comes_from_stored_samples_and_from_new_ones_where_they_are_few(
    enough: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reference_samples, "TARGET_SAMPLES", enough)
    project = make_ranked_project()
    run = execute_run(Run.Kind.TRAIN_REWARD, **QUICK)
    samples = reference_samples.stored_samples(run)
    assert len(samples) < project.tasks.count() * 10
    if enough == 1:
        assert len(samples) == 1


def test_an_ensemble_is_stored_and_loaded_whole() -> None:
    make_ranked_project()
    execute_run(Run.Kind.TRAIN_REWARD, name="three", members=3, ensemble="models", **QUICK)
    version = ModelVersion.objects.get(name="three")
    assert load_reward(version).members == 3


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["--criteria=kind"], "--criteria: “kind” is not a weight"),
        (["--members=0"], "--members"),
        (["--loss=scores"], "loss: scores needs scores, and there are none"),
        (["--criteria=kind=1"], "criteria: there are no scores"),
    ],
)
def test_what_cannot_be_learned_is_refused_by_the_option(asked: list[str], says: str) -> None:
    make_ranked_project()
    with pytest.raises(CommandError, match=says):
        call_command("train_reward", "--project=letters", "--policy=base", *asked)


@pytest.mark.slow
def test_two_processes_make_one_reward_model_with_the_losses_of_one(tmp_path: Path) -> None:
    make_ranked_project()
    with torchrun(tmp_path, "train_reward", *options(QUICK), "--name=two") as process:
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    two = ModelVersion.objects.get(name="two").run
    assert two is not None
    one = execute_run(Run.Kind.TRAIN_REWARD, name="one", **QUICK)
    assert two.snapshot == one.snapshot
    for (step, ours), (also, theirs) in zip(curve(two), curve(one), strict=True):
        assert step == also
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
