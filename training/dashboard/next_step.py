"""The recommended next step of a project: the result of the first rule in `RULES` that applies."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from labeling.setup.readiness import pluralise_count
from training.dashboard.project_status import ProjectStatus
from training.models import Gate, ModelVersion, Run

MIN_COMPARISONS = 50
"""A reward model learns next to nothing from fewer comparisons."""
FAILURE_SHOWN_FOR = timedelta(days=1)
"""Runs that failed longer ago are not suggested."""


@dataclass(frozen=True, kw_only=True)
class NextStep:
    """What to do next, the reason, and the button that does it."""

    title: str
    reason: str
    button: str = ""
    url: str = ""
    permission: str = ""
    """The permission in the project that the button needs."""
    is_post: bool = False
    """Whether the button sends a POST request instead of following a link."""
    is_waiting: bool = False
    """Whether there is nothing to do but wait."""


Rule = Callable[[ProjectStatus], NextStep | None]


def next_step(status: ProjectStatus) -> NextStep:
    """The step of the first rule that applies."""
    return next(step for rule in RULES if (step := rule(status)) is not None)


# -- Setting up --------------------------------------------------------------------------------------------


def project_closed(status: ProjectStatus) -> NextStep | None:
    if status.project.is_active:
        return None
    return NextStep(
        title="Open the project again",
        reason="It is closed and hands out no tasks.",
        button="Set up",
        url=_setup(status, "people"),
        permission="labeling.change_project",
    )


def no_prompts(status: ProjectStatus) -> NextStep | None:
    if status.counts.prompts:
        return None
    reason = "A model needs something to write to."
    if status.counts.heldout:
        reason = f"{pluralise_count(status.counts.heldout, 'prompt')} held out, and none to train on."
    return NextStep(
        title="Import prompts",
        reason=reason,
        button="Import",
        url=_setup(status, "import"),
        permission="labeling.change_project",
    )


def last_run_failed(status: ProjectStatus) -> NextStep | None:
    run = status.last_run
    if run is None or run.status != Run.Status.FAILED or run.finished_at is None:
        return None
    if run.finished_at < timezone.now() - FAILURE_SHOWN_FOR:
        return None
    return NextStep(
        title=f"See why {run} failed",
        reason=run.error.strip().partition("\n")[0],
        button="Open the run",
        url=run.get_absolute_url(),
        permission="training.view_run",
    )


def no_policy(status: ProjectStatus) -> NextStep | None:
    # With imported samples there are tasks to answer already: the first model can wait.
    if status.policies or status.production or status.has_shared_models or status.counts.tasks:
        return None
    if run := status.active_run(Run.Kind.PRETRAIN):
        return _wait_for(run, "It makes the first policy.")
    return NextStep(
        title="Train the first policy",
        reason="No model can write samples yet. A small one takes minutes.",
        button="Pretrain",
        url=_start(status, Run.Kind.PRETRAIN),
        permission="training.add_run",
    )


def no_tasks(status: ProjectStatus) -> NextStep | None:
    if status.counts.tasks:
        return None
    if run := status.active_run(Run.Kind.SAMPLE) or status.active_run(Run.Kind.PRETRAIN):
        return _wait_for(run, "Its samples become the first tasks.")
    return _sample(status, "Generate samples for the first tasks", "People have nothing to answer yet.")


def no_annotators(status: ProjectStatus) -> NextStep | None:
    if status.counts.annotators or status.counts.answers or not status.counts.open_tasks:
        return None
    return NextStep(
        title="Invite annotators",
        reason=f"{pluralise_count(status.counts.open_tasks, 'task')} open, and no annotators.",
        button="Invite",
        url=reverse("labeling:people"),
        permission="labeling.invite",
    )


# -- Deciding ----------------------------------------------------------------------------------------------


def nothing_in_production(status: ProjectStatus) -> NextStep | None:
    if status.production or not status.policies:
        return None
    # A candidate is compared with the policy it was tuned from, which is in use until people prefer another.
    newest = status.policies[0]
    parent = newest.parent if status.candidate else None
    version = parent if parent is not None and parent.stage == ModelVersion.Stage.CANDIDATE else newest
    return NextStep(
        title=f"Put {version} into production",
        reason="Nothing is in production, so there is nothing to compare candidates with.",
        button="Decide",
        url=version.get_absolute_url(),
        permission="training.promote_modelversion",
    )


def gate_met(status: ProjectStatus) -> NextStep | None:
    if status.gate is None or status.gate.outcome != Gate.Outcome.MET:
        return None
    return NextStep(
        title=f"Promote {status.candidate}",
        reason=f"People prefer it to {status.gate.against}: its gate is met.",
        button="Decide",
        url=status.gate.candidate.get_absolute_url(),
        permission="training.promote_modelversion",
    )


def gate_open(status: ProjectStatus) -> NextStep | None:
    if status.gate is None or status.gate.outcome != Gate.Outcome.OPEN:
        return None
    return NextStep(
        title=f"Let people compare {status.gate.candidate} with {status.gate.against}",
        reason="Its gate is open: blind tasks on held-out prompts come first in the queue.",
        button="See the gate",
        url=status.gate.get_absolute_url(),
        permission="training.view_modelversion",
    )


def gate_undecided(status: ProjectStatus) -> NextStep | None:
    # More prompts can decide it, unless a newer candidate is coming.
    if (
        status.gate is None
        or status.gate.outcome != Gate.Outcome.UNDECIDED
        or status.is_in_a_round
        or status.new >= status.comparisons_per_round
    ):
        return None
    return NextStep(
        title=f"Ask more about {status.gate.candidate}, or leave it",
        reason=f"People saw no clear difference from {status.gate.against}.",
        button="See the gate",
        url=status.gate.get_absolute_url(),
        permission="training.view_modelversion",
    )


def candidate_without_gate(status: ProjectStatus) -> NextStep | None:
    if status.candidate is None or status.production is None or status.gate is not None:
        return None
    if not status.counts.heldout or not status.project.kind.is_comparative:
        return None
    return NextStep(
        title=f"Open a gate for {status.candidate}",
        reason=f"People have not compared it with {status.production} yet, which is in production.",
        button="Open the gate",
        url=reverse("training:open_gate", args=[status.candidate.name]),
        permission="training.add_run",
        is_post=True,
    )


# -- Training ----------------------------------------------------------------------------------------------


def round_in_progress(status: ProjectStatus) -> NextStep | None:
    if status.round is None or not status.is_in_a_round:
        return None
    active = status.active_run(Run.Kind.FINETUNE) or status.active_run(Run.Kind.TRAIN_REWARD)
    return NextStep(
        title=f"Wait for round {status.round.number}",
        reason=f"{active.get_kind_display() if active else 'The next run'} is running; a candidate follows.",
        button="See the round",
        url=_rounds(status),
        permission="training.view_run",
        is_waiting=True,
    )


def round_due(status: ProjectStatus) -> NextStep | None:
    is_exhausted = not status.counts.open_tasks and status.new >= MIN_COMPARISONS
    if status.new < status.comparisons_per_round and not is_exhausted:
        return None
    if run := status.active_run(Run.Kind.TRAIN_REWARD) or status.active_run(Run.Kind.SUPERVISED):
        return _wait_for(run, "It learns from the new answers.")
    if not status.project.kind.is_comparative:
        return NextStep(
            title="Tune on what people wrote",
            reason=f"{pluralise_count(status.new, 'text')} that no version was trained on.",
            button="Supervised fine-tune",
            url=_start(status, Run.Kind.SUPERVISED),
            permission="training.add_run",
        )
    if not status.counts.heldout:
        return NextStep(
            title="Hold out some prompts",
            reason="Candidates are evaluated on held-out prompts, and there are none.",
            button="Import",
            url=_setup(status, "import"),
            permission="labeling.change_project",
        )
    if not status.policies and not status.production and not status.has_shared_models:
        return NextStep(
            title="Train or import a policy",
            reason=f"{pluralise_count(status.new, 'comparison')}, and no model to train on them.",
            button="Pretrain",
            url=_start(status, Run.Kind.PRETRAIN),
            permission="training.add_run",
        )
    since = f"the last reward model, {status.reward}" if status.reward else "the beginning"
    number = status.round.number + 1 if status.round else 1
    return NextStep(
        title=f"Begin round {number}",
        reason=f"{pluralise_count(status.new, 'new comparison')} since {since}: "
        "train a reward model, then tune.",
        button=f"Begin round {number}",
        url=reverse("training:begin_round", args=[status.project.slug]),
        permission="training.add_run",
        is_post=True,
    )


def untuned_reward_model(status: ProjectStatus) -> NextStep | None:
    tuned = next((each for each in status.policies if each.parent_id is not None), None)
    if status.reward is None or (tuned is not None and tuned.pk > status.reward.pk):
        return None
    base = status.production or (status.policies[0] if status.policies else None)
    if base is None or not status.counts.heldout:
        return None
    if run := status.active_run(Run.Kind.FINETUNE):
        return _wait_for(run, "It makes a candidate.")
    return NextStep(
        title=f"Tune {base} against {status.reward}",
        reason="The reward model is newer than every tuned policy.",
        button="Fine-tune",
        url=_start(status, Run.Kind.FINETUNE, policy=base.name, reward=status.reward.name),
        permission="training.add_run",
    )


# -- Labelling ---------------------------------------------------------------------------------------------


def open_tasks(status: ProjectStatus) -> NextStep | None:
    if not status.counts.open_tasks:
        return None
    thing = "comparison" if status.project.kind.is_comparative else "text"
    missing = pluralise_count(max(status.comparisons_per_round - status.new, 0), f"more {thing}")
    then = (
        "the next round starts automatically" if status.is_automatic else "the next round is worth starting"
    )
    return NextStep(
        title="Let people answer",
        reason=f"{pluralise_count(status.counts.open_tasks, 'task')} open; {missing} until {then}.",
        button="Answer tasks",
        url=status.project.get_absolute_url(),
        permission="labeling.label",
    )


def no_open_tasks(status: ProjectStatus) -> NextStep | None:
    if run := status.active_run(Run.Kind.SAMPLE):
        return _wait_for(run, "Its samples become the next tasks.")
    return _sample(status, "Open more tasks", "All tasks are answered or assigned.")


RULES: tuple[Rule, ...] = (
    project_closed, no_prompts, last_run_failed, no_policy, no_tasks, no_annotators, gate_met, gate_open,
    nothing_in_production, candidate_without_gate, round_in_progress, gate_undecided, round_due,
    untuned_reward_model, open_tasks, no_open_tasks,
)  # fmt: skip
"""By priority; the last one always applies."""


# -- Helpers -----------------------------------------------------------------------------------------------


def _wait_for(run: Run, reason: str) -> NextStep:
    return NextStep(
        title=f"Wait for {run}",
        reason=reason,
        button="Open the run",
        url=run.get_absolute_url(),
        permission="training.view_run",
        is_waiting=True,
    )


def _sample(status: ProjectStatus, title: str, reason: str) -> NextStep:
    return NextStep(
        title=title,
        reason=reason,
        button="Generate samples",
        url=reverse("training:samples", args=[status.project.slug]),
        permission="training.add_run",
    )


def _setup(status: ProjectStatus, anchor: str) -> str:
    return f"{reverse('labeling:setup', args=[status.project.slug])}#{anchor}"


def _rounds(status: ProjectStatus) -> str:
    return reverse("training:rounds", args=[status.project.slug])


def _start(status: ProjectStatus, kind: Run.Kind, **given: str) -> str:
    query: dict[str, str] = {"kind": kind.value, "project": status.project.slug, **given}
    return f"{reverse('admin:training_run_add')}?{urlencode(query)}"
