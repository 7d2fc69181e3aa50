"""The one next step worth taking: each rule by itself, then the order in which they are asked."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from labeling.models import Project
from labeling.project_counts import ProjectCounts
from training.dashboard.next_step import MIN_COMPARISONS, next_step
from training.dashboard.project_status import ProjectStatus
from training.models import Automation, Gate, ModelVersion, Round, Run

PROJECT = Project(pk=1, slug="stories", name="Stories")
REWRITES = Project(pk=1, slug="stories", name="Stories", feedback="rewrite", samples_per_task=1)
EVERY = Automation().every
CLOSED = Project(pk=1, slug="stories", name="Stories", is_active=False)


def version(pk: int, *, parent: ModelVersion | None = None, stage: str = "candidate") -> ModelVersion:
    return ModelVersion(pk=pk, name=f"stories-{pk}", kind="policy", stage=stage, parent=parent)


BASE = version(1, stage="production")
CANDIDATE = version(5, parent=BASE)
REWARD = ModelVersion(pk=3, name="taste", kind="reward")
TUNED = version(4, parent=version(2), stage="production")


def gate(outcome: Gate.Outcome) -> dict[int, Gate]:
    return {CANDIDATE.pk: Gate(pk=9, project=PROJECT, candidate=CANDIDATE, against=BASE, outcome=outcome)}


def run(kind: Run.Kind, status: Run.Status = Run.Status.RUNNING, **fields: Any) -> Run:
    return Run(pk=7, kind=kind, status=status, **fields)


def make_status(*, counts: dict[str, int] | None = None, **changes: Any) -> ProjectStatus:
    """A loop at work: tasks are open, the base is in production, nothing is decided."""
    typical: dict[str, Any] = {
        "prompts": 80,
        "heldout": 20,
        "tasks": 60,
        "open_tasks": 40,
        "annotators": 3,
        "answers": 20,
    }
    usual: dict[str, Any] = {"project": PROJECT, "new": 10, "production": BASE, "policies": [BASE]}
    return ProjectStatus(counts=ProjectCounts(**(typical | (counts or {}))), **(usual | changes))


EMPTY = {"prompts": 0, "heldout": 0, "tasks": 0, "open_tasks": 0, "answers": 0}
NO_TASKS = {"tasks": 0, "open_tasks": 0, "answers": 0}
DRY = {"open_tasks": 0}
NO_MODEL: dict[str, Any] = {"policies": [], "production": None}


@pytest.mark.parametrize(
    ("at", "what"),
    [
        (make_status(project=CLOSED), "Open the project again"),
        (make_status(counts=EMPTY, **NO_MODEL), "Import prompts"),
        (make_status(counts=EMPTY | {"heldout": 5}), "Import prompts"),
        (make_status(counts=NO_TASKS, **NO_MODEL), "Train the first policy"),
        (make_status(counts=NO_TASKS, active=[run(Run.Kind.PRETRAIN)], **NO_MODEL), "Wait for Pretrain #7"),
        (
            make_status(counts=NO_TASKS, has_shared_models=True, **NO_MODEL),
            "Generate samples for the first tasks",
        ),
        (make_status(counts=NO_TASKS), "Generate samples for the first tasks"),
        (make_status(counts=NO_TASKS, active=[run(Run.Kind.SAMPLE)]), "Wait for Sample #7"),
        (make_status(counts={"annotators": 0, "answers": 0}), "Invite annotators"),
        (make_status(production=None, policies=[version(2)]), "Put stories-2 into production"),
        (
            make_status(production=None, policies=[version(5, parent=version(1)), version(1)]),
            "Put stories-1 into production",
        ),
        (make_status(policies=[CANDIDATE, BASE]), "Open a gate for stories-5"),
        (
            make_status(policies=[CANDIDATE, BASE], gates=gate(Gate.Outcome.OPEN)),
            "Let people compare stories-5 with stories-1",
        ),
        (make_status(policies=[CANDIDATE, BASE], gates=gate(Gate.Outcome.MET)), "Promote stories-5"),
        (
            make_status(policies=[CANDIDATE, BASE], gates=gate(Gate.Outcome.UNDECIDED)),
            "Ask more about stories-5, or leave it",
        ),
        (make_status(policies=[CANDIDATE, BASE], gates=gate(Gate.Outcome.REFUSED)), "Let people answer"),
        (make_status(policies=[CANDIDATE, BASE], decided={CANDIDATE.pk}), "Let people answer"),
        (make_status(round=Round(number=2, outcome="going")), "Wait for round 2"),
        (make_status(new=EVERY), "Begin round 1"),
        (make_status(new=EVERY, round=Round(number=4, outcome="done")), "Begin round 5"),
        (make_status(new=200, automation=Automation(every=200)), "Begin round 1"),
        (make_status(new=MIN_COMPARISONS, counts=DRY), "Begin round 1"),
        (make_status(new=MIN_COMPARISONS - 1, counts=DRY), "Open more tasks"),
        (make_status(new=EVERY, active=[run(Run.Kind.TRAIN_REWARD)]), "Wait for Train a reward model #7"),
        (make_status(new=EVERY, counts={"heldout": 0}), "Hold out some prompts"),
        (make_status(new=EVERY, **NO_MODEL), "Train or import a policy"),
        (make_status(new=EVERY, project=REWRITES), "Tune on what people wrote"),
        (make_status(reward=REWARD), "Tune stories-1 against taste"),
        (make_status(reward=REWARD, active=[run(Run.Kind.FINETUNE)]), "Wait for Fine-tune #7"),
        (make_status(reward=REWARD, production=TUNED, policies=[TUNED]), "Let people answer"),
        (make_status(), "Let people answer"),
        (make_status(counts=DRY), "Open more tasks"),
        (make_status(counts=DRY, active=[run(Run.Kind.SAMPLE)]), "Wait for Sample #7"),
    ],
)
def test_the_step_fits_where_the_loop_stands(at: ProjectStatus, what: str) -> None:
    step = next_step(at)
    assert step.title == what
    assert step.reason.endswith(".")
    assert step.url
    assert step.button
    assert step.permission


def test_a_run_that_failed_lately_comes_first_and_one_of_last_week_does_not() -> None:
    now = timezone.now()
    failed = run(Run.Kind.FINETUNE, Run.Status.FAILED, error="Out of memory.\nTrace", finished_at=now)
    step = next_step(make_status(last_run=failed, policies=[CANDIDATE, BASE]))
    assert (step.title, step.reason) == ("See why Fine-tune #7 failed", "Out of memory.")
    failed.finished_at = now - timedelta(days=7)
    assert next_step(make_status(last_run=failed)).title == "Let people answer"


def test_what_changes_something_is_posted_and_what_leads_somewhere_is_not() -> None:
    assert next_step(make_status(new=EVERY)).is_post
    assert next_step(make_status(policies=[CANDIDATE, BASE])).is_post
    assert not next_step(make_status()).is_post


def test_the_start_form_opens_with_what_the_step_is_about() -> None:
    url = next_step(make_status(reward=REWARD)).url
    assert url.endswith("?kind=finetune&project=stories&policy=stories-1&reward=taste")


def test_it_says_how_far_the_next_round_is() -> None:
    by_hand = next_step(make_status(new=400)).reason
    assert by_hand == "40 tasks open; 600 more comparisons until the next round is worth starting."
    alone = next_step(make_status(new=150, automation=Automation(every=200, is_on=True))).reason
    assert alone == "40 tasks open; 50 more comparisons until the next round starts automatically."
