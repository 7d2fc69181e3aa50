"""Two rounds of the loop, executed: which version came from which, and from which answers."""

from collections.abc import Sequence
from typing import Any

import pytest

from labeling import preferences
from labeling.models import Project, SnapshotAnswer
from tests.training.factories import execute_run, make_policy, make_project
from training import rounds
from training.execution.executor import execute
from training.execution.simulated_annotators import answer_open_tasks
from training.models import Automation, ModelVersion, Round, Run
from training.rlhf.config import SimulatedAnnotatorsConfig

pytestmark = pytest.mark.django_db(transaction=True)

QUICK_REWARD = {"epochs": 1, "device": "cpu"}
QUICK_TUNING: dict[str, Any] = {"steps": 1, "max_new_tokens": 4, "evaluate_every": 1, "heldout_prompts": 2}


def likes_a(prompts: Sequence[str], completions: Sequence[str]) -> list[float]:
    return [float(text.count("a")) for text in completions]


def more_answers(project: Project, *, policy: str = "base") -> None:
    """Tasks of a policy's samples, answered."""
    execute_run(Run.Kind.SAMPLE, project=project.slug, policy=policy, tasks=6, max_new_tokens=6)
    answer_open_tasks(project, likes_a, SimulatedAnnotatorsConfig(count=1, noise=0.0))


def execute_round(project: Project) -> Round:
    """A round begun by hand, its runs executed in this process."""
    current = rounds.begin(project)
    for _ in range(2):
        run = Run.objects.get(status=Run.Status.QUEUED)
        assert execute(run), run.error
        rounds.advance(project)
    current.refresh_from_db()
    return current


def test_two_rounds_leave_each_version_its_parent_and_its_snapshot() -> None:
    project = make_project()
    make_policy()
    Automation.objects.create(project=project, train_reward=QUICK_REWARD, finetune=QUICK_TUNING)
    more_answers(project)
    first = execute_round(project)
    candidate = ModelVersion.objects.get(run=first.finetune)
    candidate.stage = ModelVersion.Stage.PRODUCTION
    candidate.save()
    more_answers(project, policy=candidate.name)
    second = execute_round(project)

    assert [first.number, second.number] == [1, 2]
    assert {first.outcome, second.outcome} == {Round.Outcome.DONE}
    assert first.ended_at is not None
    assert second.comparisons > first.comparisons
    later = ModelVersion.objects.get(run=second.finetune)
    assert candidate.parent == ModelVersion.objects.get(name="base")
    assert later.parent == candidate
    assert later.project == candidate.project == project
    for current in (first, second):
        assert current.train_reward is not None
        assert current.finetune is not None
        assert current.finetune.reward == current.train_reward.version
        assert current.train_reward.snapshot is not None
    snapshots = [each.train_reward.snapshot for each in (first, second) if each.train_reward]
    assert snapshots[0] != snapshots[1]
    assert snapshots[1] == preferences.create_snapshot(project)
    answers = [
        set(SnapshotAnswer.objects.filter(snapshot=each).values_list("annotation")) for each in snapshots
    ]
    assert answers[0] < answers[1]
    assert rounds.count_new_comparisons(project) == 0
