"""What is learned from each kind of feedback: the loss that suits it, margins, and what people wrote."""

from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from labeling import queue
from labeling.feedback import Answer
from labeling.models import Judgement, Project
from labeling.preferences import comparisons, create_snapshot, json_line
from tests.labeling.objects import claimed
from tests.training.factories import annotator, execute_run, make_policy, make_project
from tests.training.test_reward_runs import likes_a
from training.execution.simulated_annotators import answer_open_tasks
from training.gpt.errors import InputError
from training.models import ModelVersion, Run
from training.rlhf.config import SimulatedAnnotatorsConfig

pytestmark = pytest.mark.django_db(transaction=True)

QUICK: dict[str, Any] = {"project": "letters", "policy": "base", "epochs": 2, "device": "cpu"}
MARGINS = {0.333333, 0.666667, 1.0}


def make_project_with_tasks(kind: str, *, samples: int = 2, tasks: int = 20, **settings: Any) -> Project:
    """A project of this kind with open tasks."""
    make_policy()
    project = make_project()
    Project.objects.update(feedback=kind, samples_per_task=samples, **settings)
    project.refresh_from_db()
    execute_run(Run.Kind.SAMPLE, project=project.slug, policy="base", tasks=tasks, max_new_tokens=6, seed=0)
    return project


def make_answered_project(kind: str, **settings: Any) -> Project:
    """The same, answered by people who like the letter a."""
    project = make_project_with_tasks(kind, **settings)
    assert answer_open_tasks(project, likes_a, SimulatedAnnotatorsConfig(noise=0.0)) == 20
    return project


@pytest.mark.parametrize(
    ("kind", "samples", "criteria"),
    [("pair", 2, ["kind"]), ("best", 3, []), ("score", 3, ["kind"]), ("rank", 4, [])],
)
def test_simulated_people_answer_every_kind_that_compares(
    kind: str, samples: int, criteria: list[str]
) -> None:
    project = make_answered_project(kind, samples=samples, criteria=criteria)
    rows = [row for row in comparisons(project) if not row["tie"]]
    assert rows
    worse = sum(row["chosen"].count("a") < row["rejected"].count("a") for row in rows)
    assert worse == 0
    if kind != "best":  # which breaks ties by the order shown
        assert all(row["chosen"].count("a") > row["rejected"].count("a") for row in rows)
    assert {row["margin"] > 0 for row in rows} == {kind == "pair"}
    assert all(list(judgement.criteria) == criteria for judgement in Judgement.objects.all())


def test_simulated_people_cannot_rewrite() -> None:
    project = make_project_with_tasks("rewrite", samples=1)
    with pytest.raises(InputError, match="a simulated annotator cannot rewrite the samples of “letters”"):
        answer_open_tasks(project, likes_a, SimulatedAnnotatorsConfig())


@pytest.mark.parametrize(
    ("kind", "samples", "loss"), [("pair", 2, "pairs"), ("score", 3, "pairs"), ("score", 1, "auto")]
)
def test_the_loss_is_what_the_kind_is_for(kind: str, samples: int, loss: str) -> None:
    make_answered_project(kind, samples=samples)
    run = execute_run(Run.Kind.TRAIN_REWARD, **QUICK)
    assert run.parameters["loss"] == loss
    assert ("score_correlation" in run.metrics) == (loss == "auto")
    assert bool(run.metrics["comparisons"]) == (samples > 1)


def test_a_loss_that_was_asked_for_stays() -> None:
    make_answered_project("score", samples=3)
    run = execute_run(Run.Kind.TRAIN_REWARD, loss="scores+pairs", **QUICK)
    assert run.parameters["loss"] == "scores+pairs"
    assert run.metrics["ratings"] == 60


def test_a_model_learns_from_graded_pairs_how_much_better_one_is(tmp_path: Path) -> None:
    project = make_answered_project("pair")
    graded = execute_run(Run.Kind.TRAIN_REWARD, name="graded", **QUICK)
    assert {row["strength"] for row in graded.metrics["by_strength"]} <= MARGINS
    rows = list(comparisons(project))
    assert {row["margin"] for row in rows if not row["tie"]} <= MARGINS
    # From a file it is the same; and something else, had nobody been asked how much.
    with_margins, without = tmp_path / "with.jsonl", tmp_path / "without.jsonl"
    with_margins.write_bytes(b"".join(map(json_line, rows)))
    without.write_bytes(b"".join(json_line({**row, "margin": 0.0}) for row in rows))
    asked = {name: value for name, value in QUICK.items() if name != "project"}
    same, other = (
        execute_run(Run.Kind.TRAIN_REWARD, preferences=str(file), **asked) for file in (with_margins, without)
    )
    losses = [first_losses(run) for run in (graded, same, other)]
    assert losses[0] == pytest.approx(losses[1])
    assert sum(losses[0]) > sum(losses[2]) + 0.05


def first_losses(run: Run) -> list[float]:
    values = run.points.order_by("step").values_list("values", flat=True)
    return [found["loss"] for found in values if "loss" in found][:5]


def make_rewritten_project(*, tasks: int = 20) -> Project:
    """A project in which a person wrote `aaa` in place of each sample."""
    project = make_project_with_tasks("rewrite", samples=1, tasks=tasks)
    ann = annotator()
    for number in range(tasks):
        queue.submit(claimed(ann, project), Answer(text="aaa", edited=1), client_key=str(number))
    return project


def test_supervised_learns_what_people_wrote() -> None:
    project = make_rewritten_project()
    asked = {**QUICK, "epochs": 6, "max_new_tokens": 6, "evaluate_every": 20, "heldout_prompts": 6}
    run = execute_run(Run.Kind.SUPERVISED, **asked)
    assert run.metrics["demonstrations"] == 20
    assert run.snapshot == create_snapshot(project)
    rows = {row["measure"]: row for row in run.metrics["tuning"]["changes"]}
    assert rows["likelihood"]["after"] > rows["likelihood"]["before"]
    assert ModelVersion.objects.get(run=run).parent == run.policy


def test_supervised_learns_from_an_earlier_snapshot_of_what_people_wrote() -> None:
    project = make_rewritten_project(tasks=8)
    early = create_snapshot(project)
    execute_run(Run.Kind.SAMPLE, project=project.slug, policy="base", tasks=4, max_new_tokens=6)
    ann = annotator("ben")
    queue.submit(claimed(ann, project), Answer(text="aab"), client_key="k")
    run = execute_run(Run.Kind.SUPERVISED, snapshot=early.hash[:10], max_new_tokens=6, **QUICK)
    assert run.metrics["demonstrations"] == 8


def test_where_nobody_wrote_anything_it_is_said_in_one_line() -> None:
    make_project_with_tasks("rewrite", samples=1)
    with pytest.raises(CommandError, match="“letters” has no demonstrations yet") as refused:
        call_command("supervised", project="letters", policy="base")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("command", ["train_reward", "dpo"])
def test_what_compares_is_not_learned_from_rewritings(command: str) -> None:
    make_project_with_tasks("rewrite", samples=1)
    with pytest.raises(CommandError, match=r"--project: “letters” collects rewrites.* --project letters"):
        call_command(command, "--project=letters", "--policy=base")
    assert not Run.objects.exclude(kind=Run.Kind.SAMPLE).exists()


def test_people_who_rewrite_are_no_judges() -> None:
    make_project_with_tasks("rewrite", samples=1)
    make_policy("other", seed=1)
    with pytest.raises(CommandError, match="--project: “letters” collects rewrites, not comparisons"):
        call_command(
            "evaluate", "--policy=other", "--against=base", "--project=letters", "--judge=people", "--tasks=2"
        )


def test_the_loop_compares() -> None:
    make_project_with_tasks("rewrite", samples=1)
    with pytest.raises(CommandError, match="--project: people rewrite in “letters”"):
        call_command("loop", "--project=letters", "--policy=base")
