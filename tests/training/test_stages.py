"""Each stage as a run: what it needs, what it leaves. The thread of the heartbeat needs committed rows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from labeling.models import Sample, Task
from labeling.preferences import create_snapshot
from tests.training.factories import (
    QUICK_PRETRAIN,
    execute_run,
    make_policy,
    make_project,
    make_reward,
    queue_run,
)
from training import artifacts, runs
from training.execution.executor import execute
from training.execution.model_loading import load_policy
from training.execution.simulated_annotators import answer_open_tasks
from training.models import ModelVersion, Run
from training.rlhf.config import SimulatedAnnotatorsConfig

pytestmark = pytest.mark.django_db(transaction=True)

QUICK_STEPS: dict[str, Any] = {"batch_size": 4, "steps": 40, "minutes": 0}


def likes_a(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
    """A scorer that likes the letter a."""
    return [float(text.count("a")) for text in completions]


def answer_tasks(project_slug: str = "letters") -> None:
    """Tasks in the project, sampled from `base` and ranked by people who like the letter a."""
    run = execute_run(Run.Kind.SAMPLE, project=project_slug, policy="base", tasks=20, max_new_tokens=6)
    assert run.project is not None
    answer_open_tasks(run.project, likes_a, SimulatedAnnotatorsConfig(noise=0.0))


def test_pretraining_makes_a_policy_that_can_be_loaded_and_a_row_of_metrics_a_step() -> None:
    run = execute_run(Run.Kind.PRETRAIN, name="small", **QUICK_PRETRAIN)
    version = ModelVersion.objects.get(name="small")
    assert version.run == run
    assert version.generator is not None
    assert version.metrics["perplexity"] > 1
    assert [point.step for point in run.points.all()][-1] == 4
    assert "loss" in run.points.get(step=4).values
    model, tokenizer = load_policy(version)
    assert model.config.vocab_size >= tokenizer.vocab_size


def test_a_policy_is_trained_further_with_its_own_tokenizer(tmp_path: Path) -> None:
    parent = make_policy()
    file = tmp_path / "letters.txt"
    file.write_text("abcdefgh\n" * 300 + "hgfedcba\n" * 300)
    corpus = {"source": str(file), "documents": "line", "context": 8, "holdout": "tail"}
    run = execute_run(Run.Kind.PRETRAIN, policy="base", **QUICK_STEPS, **corpus)
    child = ModelVersion.objects.get(run=run)
    assert child.name == "base-2"
    assert child.parent == parent
    (before, letters), (after, same_letters) = load_policy(parent), load_policy(child)
    assert same_letters.fingerprint == letters.fingerprint
    assert after.config.layers == before.config.layers
    first, *_, last = (point.values["validation_loss"] for point in run.points.filter(step__in=(0, 40)))
    assert last < first
    assert not {"preset", "tokenizer", "vocab_size"} & set(run.parameters)


def test_pretraining_with_tasks_opens_them_in_the_project_when_it_is_done() -> None:
    project = make_project()
    execute_run(Run.Kind.PRETRAIN, name="small", project=project.slug, tasks=5, **QUICK_PRETRAIN)
    assert project.tasks.count() == 5
    assert Sample.objects.filter(generator__name="small").count() == 15


def test_sampling_opens_a_task_for_each_prompt_with_as_many_samples_as_the_project_asks() -> None:
    project = make_project()
    make_policy()
    run = execute_run(Run.Kind.SAMPLE, project=project.slug, policy="base", tasks=10, max_new_tokens=5)
    assert run.metrics == {"tasks": 10, "samples": 30, "notes": []}
    assert {task.samples.count() for task in Task.objects.all()} == {3}
    assert {task.prompt.split for task in Task.objects.all()} == {"train"}


def test_sampling_turns_to_the_prompts_that_have_had_the_fewest_tasks() -> None:
    project = make_project(train=8)
    make_policy()
    for _ in range(2):
        execute_run(Run.Kind.SAMPLE, project=project.slug, policy="base", tasks=4, max_new_tokens=3)
    assert Task.objects.values("prompt").distinct().count() == 8


def test_a_reward_model_learns_a_taste_from_answers_and_names_its_snapshot() -> None:
    project = make_project()
    make_policy()
    answer_tasks()
    run = execute_run(Run.Kind.TRAIN_REWARD, project=project.slug, policy="base", name="judge", epochs=10)
    assert run.snapshot == create_snapshot(project)
    assert run.metrics["comparisons"] == run.snapshot.count
    version = ModelVersion.objects.get(name="judge")
    assert version.kind == ModelVersion.Kind.REWARD
    assert version.parent is not None
    assert version.parent.name == "base"
    assert version.generator is None


def test_a_reward_model_learns_from_a_file(tmp_path: Path) -> None:
    make_policy()
    pairs = [
        {"prompt": f"{a}{b}", "chosen": "aaa", "rejected": "hhh"} for a in "abcdefgh" for b in "abcdefgh"
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    run = execute_run(Run.Kind.TRAIN_REWARD, preferences=str(file), policy="base", name="judge", epochs=4)
    assert run.metrics["accuracy"] == 1.0


def test_finetuning_makes_a_child_of_the_policy() -> None:
    project = make_project()
    make_policy()
    make_reward()
    run = execute_run(
        Run.Kind.FINETUNE,
        project=project.slug,
        policy="base",
        reward="taste",
        steps=3,
        max_new_tokens=5,
        evaluate_every=1,
    )
    version = ModelVersion.objects.get(run=run)
    assert version.name == "base-2"
    assert version.parent is not None
    assert version.parent.name == "base"
    assert version.metrics["kl"] is not None
    assert {"reward", "kl", "entropy"} <= set(run.points.get(step=3).values)


def test_evaluating_compares_two_versions_on_heldout_prompts() -> None:
    project = make_project()
    make_policy()
    make_policy("other")
    make_reward()
    run = execute_run(
        Run.Kind.EVALUATE,
        policy="other",
        against="base",
        project=project.slug,
        judge="taste",
        max_new_tokens=4,
    )
    assert run.metrics["prompts"] == len(run.metrics["examples"]) == 6
    (judged,) = run.metrics["judges"]
    assert judged["won"]["low"] < 0.5 < judged["won"]["high"]  # the same weights


def test_evaluating_on_a_corpus_gives_perplexity(tmp_path: Path) -> None:
    make_policy()
    file = tmp_path / "letters.txt"
    file.write_text("abcdefgh\n" * 50)
    run = execute_run(Run.Kind.EVALUATE, policy="base", source=str(file), split="all")
    assert run.metrics["perplexity"] > 1
    assert run.metrics["documents"] == 50


def test_a_cancelled_run_leaves_no_version() -> None:
    run = queue_run(Run.Kind.PRETRAIN, name="small", **QUICK_PRETRAIN | {"steps": 100_000})

    def cancel_when_it_moves(progress: float, message: str, metrics: dict[str, float]) -> None:
        if metrics:
            runs.cancel(run_again)

    run_again = Run.objects.get(pk=run.pk)
    assert not execute(run, observer=cancel_when_it_moves)
    run.refresh_from_db()
    assert run.status == Run.Status.CANCELLED
    assert not ModelVersion.objects.exists()


def test_a_tampered_artifact_is_refused() -> None:
    project = make_project()
    version = make_policy()
    path = Path(artifacts.artifact_storage().path(version.artifact)) / "config.json"
    path.write_text(path.read_text() + " ")
    run = queue_run(Run.Kind.SAMPLE, project=project.slug, policy="base", detached=True)
    assert not execute(run)
    run.refresh_from_db()
    assert run.status == Run.Status.FAILED
    assert "hash differs" in run.error


def test_an_executed_run_cannot_be_executed_again() -> None:
    make_project()
    make_policy()
    run = execute_run(Run.Kind.SAMPLE, project="letters", policy="base", tasks=2, max_new_tokens=3)
    assert not execute(Run.objects.get(pk=run.pk))
    assert Task.objects.count() == 2
