"""The three ways to tune a policy as runs: what each learns from, and the report that they share."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from labeling.models import Project
from labeling.preferences import create_snapshot
from tests.training.factories import execute_run, make_policy, make_project, make_reward, queue_run
from tests.training.test_resuming import artifact_of, curve, execute_until
from tests.training.test_stages import likes_a
from training import runs
from training.execution.executor import execute
from training.execution.simulated_annotators import answer_open_tasks
from training.models import ModelVersion, Run
from training.rlhf.config import SimulatedAnnotatorsConfig

pytestmark = pytest.mark.django_db(transaction=True)

QUICK: dict[str, Any] = {
    "project": "letters",
    "policy": "base",
    "max_new_tokens": 5,
    "batch_size": 8,
    "evaluate_every": 2,
    "device": "cpu",
}


@pytest.fixture
def project() -> Project:
    """A project answered by people who like the letter a, with a policy and a reward model."""
    project = make_project()
    make_policy()
    make_reward()
    execute_run(Run.Kind.SAMPLE, project=project.slug, policy="base", tasks=20, max_new_tokens=6)
    answer_open_tasks(project, likes_a, SimulatedAnnotatorsConfig(noise=0.0))
    return project


def steady_metrics(run: Run) -> list[tuple[int, dict[str, float]]]:
    return [
        (step, {name: v for name, v in values.items() if name != "step_time"}) for step, values in curve(run)
    ]


def test_all_tunings_leave_the_same_report(project: Project) -> None:
    finetune = {"steps": 2, "prompts_per_step": 4}
    del_batch = {name: value for name, value in QUICK.items() if name != "batch_size"}
    made = [
        execute_run(Run.Kind.FINETUNE, reward="taste", **del_batch, **finetune),
        execute_run(Run.Kind.DPO, reward="taste", **QUICK),
        # With so few texts any step may be the best: without patience it runs to the end.
        execute_run(Run.Kind.SUPERVISED, reward="taste", patience=0, **QUICK),
    ]
    for run in made:
        report = run.metrics["tuning"]
        rows = {row["measure"]: row for row in report["changes"]}
        assert {"reward", "win_rate", "kl", "length", "repetition", "ended"} <= rows.keys()
        assert report["chosen_by"] == "reward"
        assert rows["win_rate"]["before"] == 0.5
        assert rows["kl"]["before"] == pytest.approx(0.0, abs=1e-4)
        assert rows["reward"]["low"] <= rows["reward"]["after"] - rows["reward"]["before"] + 1e-6
        assert run.metrics["stopped"] == "steps"
        assert len(run.metrics["examples"]) == 6
        assert isinstance(run.metrics["examples"][0]["score"], float)
        assert run.metrics["reward_before"] == pytest.approx(rows["reward"]["before"], rel=1e-5)
        version = ModelVersion.objects.get(run=run)
        assert version.parent is not None
        assert version.parent.name == "base"
    assert made[1].snapshot == made[2].snapshot == create_snapshot(project)


def test_dpo_learns_from_an_earlier_snapshot_by_its_hash(project: Project) -> None:
    early = create_snapshot(project)
    execute_run(Run.Kind.SAMPLE, project=project.slug, policy="base", tasks=5, max_new_tokens=6, seed=5)
    answer_open_tasks(project, likes_a, SimulatedAnnotatorsConfig(noise=0.0))
    assert create_snapshot(project) != early
    run = execute_run(Run.Kind.DPO, snapshot=early.hash[:12], **QUICK)
    assert run.snapshot == early
    assert run.parameters["snapshot"] == early.hash
    assert run.metrics["tuning"]["chosen_by"] == "preference"


def test_dpo_learns_from_a_file(tmp_path: Path) -> None:
    make_project()
    make_policy()
    file = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"{a}{b}", "chosen": "aaa", "rejected": "hhh"} for a in "abcdefgh" for b in "abcdefgh"]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = execute_run(Run.Kind.DPO, preferences=str(file), epochs=2, **QUICK)
    assert run.snapshot is None
    assert run.metrics["comparisons"] == 64
    rows_of = {row["measure"]: row for row in run.metrics["tuning"]["changes"]}
    assert rows_of["preference"]["after"] > rows_of["preference"]["before"]
    assert rows_of["accuracy"]["after"] > 0.9


def test_supervised_learns_from_a_file_of_demonstrations(tmp_path: Path) -> None:
    make_project()
    make_policy()
    file = tmp_path / "d.jsonl"
    file.write_text("".join(json.dumps({"prompt": a, "completion": "bad"}) + "\n" for a in "abcdefgh" * 8))
    run = execute_run(Run.Kind.SUPERVISED, demonstrations=str(file), epochs=4, **QUICK)
    assert run.metrics["demonstrations"] == 64
    rows = {row["measure"]: row for row in run.metrics["tuning"]["changes"]}
    assert rows["likelihood"]["after"] > rows["likelihood"]["before"] + 0.5


def test_supervised_learns_from_the_best_of_its_own_samples(project: Project) -> None:
    asked = {"reward": "taste", "best_of": 4, "prompts": 20, "epochs": 3, **QUICK}
    run = execute_until(queue_run(Run.Kind.SUPERVISED, **asked), 3)
    assert len((run.folder / "demonstrations.jsonl").read_text().splitlines()) == 20
    runs.resume(run, detached=False)
    assert execute(run), run.error
    whole = execute_run(Run.Kind.SUPERVISED, **asked)
    assert steady_metrics(run) == steady_metrics(whole)
    assert artifact_of(run) == artifact_of(whole)


@pytest.mark.parametrize("kind", [Run.Kind.DPO, Run.Kind.SUPERVISED])
def test_a_cancelled_tuning_goes_on_to_the_very_version_it_would_have_made(
    kind: Run.Kind, project: Project
) -> None:
    asked = {"epochs": 2, "patience": 0, **QUICK}  # with so few texts, patience may end before step 3
    whole = execute_run(kind, **asked)
    run = execute_until(queue_run(kind, **asked), 3)
    assert run.status == Run.Status.CANCELLED
    assert run.saved_step == 3
    # Answers that come meanwhile change nothing.
    execute_run(Run.Kind.SAMPLE, project=project.slug, policy="base", tasks=5, max_new_tokens=6, seed=5)
    answer_open_tasks(project, likes_a, SimulatedAnnotatorsConfig(noise=0.0))
    runs.resume(run, detached=False)
    assert execute(run), run.error
    assert steady_metrics(run) == steady_metrics(whole)
    assert artifact_of(run) == artifact_of(whole)


@pytest.mark.parametrize(
    ("command", "options", "complaint"),
    [
        ("dpo", {"preferences": "none.jsonl"}, "--preferences: none.jsonl: there is no such file"),
        ("dpo", {"snapshot": "abc"}, "--snapshot: “abc”: there is no such snapshot; “letters” has none yet"),
        ("dpo", {"batch_size": "9", "accumulate": "2"}, "--accumulate: 2 does not divide a batch_size of 9"),
        ("dpo", {"gold": "nobody"}, "--gold: there is no reward model “nobody”"),
        ("supervised", {"best_of": "4"}, "--reward: name the reward model that picks"),
        ("supervised", {"best_of": "1"}, "--best-of: the best of one is that one"),
        (
            "supervised",
            {"demonstrations": "none.jsonl"},
            "--demonstrations: none.jsonl: there is no such file",
        ),
        ("supervised", {}, "project: “letters” has no comparisons yet"),
        ("dpo", {}, "project: “letters” has no comparisons yet"),
    ],
)
def test_what_is_missing_is_said_in_one_line(command: str, options: dict[str, Any], complaint: str) -> None:
    make_project()
    make_policy()
    with pytest.raises(CommandError) as refused:
        call_command(command, project="letters", policy="base", **options)
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not Run.objects.exists()


def test_held_out_prompts_are_needed_to_choose_the_best_version() -> None:
    make_project(heldout=0)
    make_policy()
    for command in ("dpo", "supervised"):
        with pytest.raises(CommandError, match="has no held-out prompts to evaluate on"):
            call_command(command, project="letters", policy="base")
