"""Prompts that leave no room in the context: left out of every run before its first step, and named."""

import json
from pathlib import Path
from typing import Any

import pytest

from labeling.models import Project, Prompt, Task
from labeling.prompts import add_prompts
from tests.training.factories import execute_run, make_policy, make_project, make_reward, queue_run
from training.execution.executor import execute
from training.models import Run

pytestmark = pytest.mark.django_db(transaction=True)

LONG = "hg" * 20
QUICK: dict[str, Any] = {"project": "letters", "max_new_tokens": 6, "device": "cpu", "seed": 1}
TUNING: dict[str, Any] = {"evaluate_every": 1, "heldout_prompts": 8}


@pytest.fixture
def project() -> Project:
    """A project with one prompt in each split that the policy `base` cannot complete."""
    make_policy()
    made = make_project(train=6, heldout=3)
    for split in Prompt.Split.values:
        add_prompts(made, [LONG + split[0]], split)
    return made


def named(run: Run) -> str:
    """The notes of a run, which must name the long prompt."""
    notes = "\n".join(run.metrics["notes"])
    assert "was left out, as it cannot be completed" in notes, notes
    assert "tokens leave no room in a context of 32" in notes
    assert f"it begins “{LONG[:20]}" in notes
    return notes


def test_sample_opens_tasks_for_the_others_again_and_again(project: Project) -> None:
    for opened in (6, 12):
        run = execute_run(Run.Kind.SAMPLE, policy="base", tasks=20, **QUICK)
        assert named(run).startswith("1 of 7 prompts")
        assert Task.objects.count() == opened
    assert not Task.objects.filter(prompt__text__startswith=LONG).exists()


def test_sample_finds_as_many_prompts_as_were_asked_for(project: Project) -> None:
    for _ in range(3):
        assert execute_run(Run.Kind.SAMPLE, policy="base", tasks=3, **QUICK).metrics["tasks"] == 3


def test_sample_is_refused_if_no_prompt_fits() -> None:
    make_policy()
    add_prompts(make_project(train=0), [LONG, LONG + "a"], "train")
    run = queue_run(Run.Kind.SAMPLE, detached=True, policy="base", tasks=2, **QUICK)
    assert not execute(run)
    assert run.error.startswith("prompts: none of 2 can be completed; the first: 4"), run.error


def test_finetune_leaves_them_out_of_both_splits(project: Project) -> None:
    make_reward()
    run = execute_run(
        Run.Kind.FINETUNE, policy="base", reward="taste", steps=4, prompts_per_step=4, **QUICK, **TUNING
    )
    assert named(run).count("cannot be completed") == 2
    assert run.metrics["steps"] == 4
    assert run.metrics["tuning"]["prompts"] == 3


def test_best_of_n_demonstrations_are_of_the_other_prompts(project: Project) -> None:
    make_reward()
    run = execute_run(
        Run.Kind.SUPERVISED, policy="base", reward="taste", best_of=2, prompts=20, **QUICK, **TUNING
    )
    assert named(run).startswith("Held out: 1 of 4 prompts")
    assert run.metrics["demonstrations"] <= 6
    assert run.log.filter(text__contains="1 of 7 prompts was left out").exists()


def test_dpo_evaluates_on_the_other_prompts(project: Project, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"prompt": a, "chosen": "aaa", "rejected": "hhh"} for a in "abcdefgh"]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = execute_run(Run.Kind.DPO, policy="base", preferences=str(pairs), epochs=1, **QUICK, **TUNING)
    assert named(run).startswith("Held out: 1 of 4 prompts")
    assert run.metrics["tuning"]["prompts"] == 3


def test_a_comparison_is_of_prompts_that_fit_both(project: Project) -> None:
    make_policy("wide", context=64)
    make_reward()
    for asked in ({"policy": "wide", "against": "base"}, {"policy": "base", "against": "wide"}):
        run = execute_run(Run.Kind.EVALUATE, judge="taste", prompts=4, **asked, **QUICK)
        assert run.metrics["prompts"] == 3
        assert named(run).startswith("base: 1 of 4 prompts")


def test_a_reward_model_takes_its_scale_from_prompts_that_fit(project: Project, tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"prompt": prompt, "chosen": "aaa", "rejected": "hhh"} for prompt in (LONG, "a", "b", "c", "d")]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    execute_run(
        Run.Kind.TRAIN_REWARD, policy="base", preferences=str(pairs), name="new", epochs=1, device="cpu"
    )
