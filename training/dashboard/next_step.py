"""The one next step worth taking in a project's loop. The rules are asked in their order; the first that
applies is the step."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from labeling.setup.readiness import counted
from training.dashboard.project_status import Standing
from training.models import Gate, ModelVersion, Run

FEWEST = 50
"""From fewer comparisons a reward model learns next to nothing."""
FAILURE_MATTERS = timedelta(days=1)
"""A run that failed longer ago was seen, or nobody misses it."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """What to do next, why, and the button that does it."""

    what: str
    why: str
    button: str = ""
    url: str = ""
    right: str = ""
    """What one may have to be allowed in the project to follow the button."""
    posts: bool = False
    """Whether the button does something, rather than leading somewhere."""
    waits: bool = False
    """Whether there is nothing to do but to wait."""


Rule = Callable[[Standing], Step | None]


def next_step(standing: Standing) -> Step:
    """The step of the first rule that applies."""
    return next(step for rule in RULES if (step := rule(standing)) is not None)


# -- Setting up --------------------------------------------------------------------------------------------


def closed(at: Standing) -> Step | None:
    if at.project.is_active:
        return None
    return Step(
        what="Open the project again",
        why="It is closed: it hands out no tasks.",
        button="Set up",
        url=_setup(at, "people"),
        right="labeling.change_project",
    )


def no_prompts(at: Standing) -> Step | None:
    if at.tally.prompts:
        return None
    why = "A model needs something to write to."
    if at.tally.heldout:
        why = f"{counted(at.tally.heldout, 'prompt')} held out, and none to train on."
    return Step(
        what="Import prompts",
        why=why,
        button="Import",
        url=_setup(at, "import"),
        right="labeling.change_project",
    )


def last_run_failed(at: Standing) -> Step | None:
    run = at.last_run
    if run is None or run.status != Run.Status.FAILED or run.finished_at is None:
        return None
    if run.finished_at < timezone.now() - FAILURE_MATTERS:
        return None
    return Step(
        what=f"See why {run} failed",
        why=run.error.strip().partition("\n")[0],
        button="Open the run",
        url=run.get_absolute_url(),
        right="training.view_run",
    )


def no_policy(at: Standing) -> Step | None:
    # Where samples came with a file, people have something to do; the first model can wait for that.
    if at.policies or at.production or at.others_write or at.tally.tasks:
        return None
    if run := at.doing(Run.Kind.PRETRAIN):
        return _wait_for(run, "It makes the first policy.")
    return Step(
        what="Train the first policy",
        why="Nothing is there yet that could write samples. A small one takes minutes.",
        button="Pretrain",
        url=_start(at, Run.Kind.PRETRAIN),
        right="training.add_run",
    )


def no_tasks(at: Standing) -> Step | None:
    if at.tally.tasks:
        return None
    if run := at.doing(Run.Kind.SAMPLE) or at.doing(Run.Kind.PRETRAIN):
        return _wait_for(run, "Its samples become the first tasks.")
    return _sample(at, "Let a model write the first tasks", "People have nothing to answer yet.")


def nobody_labels(at: Standing) -> Step | None:
    if at.tally.annotators or at.tally.answers or not at.tally.open_tasks:
        return None
    return Step(
        what="Invite annotators",
        why=f"{counted(at.tally.open_tasks, 'task')} open, and nobody who may answer.",
        button="Invite",
        url=reverse("labeling:people"),
        right="labeling.invite",
    )


# -- Deciding ----------------------------------------------------------------------------------------------


def nothing_in_production(at: Standing) -> Step | None:
    if at.production or not at.policies:
        return None
    # A candidate is compared with what it came from: that is what is in use until people say otherwise.
    newest = at.policies[0]
    parent = newest.parent if at.candidate else None
    version = parent if parent is not None and parent.stage == ModelVersion.Stage.CANDIDATE else newest
    return Step(
        what=f"Put {version} into production",
        why="Nothing is in production: candidates have nothing to be compared with.",
        button="Decide",
        url=version.get_absolute_url(),
        right="training.promote_modelversion",
    )


def gate_met(at: Standing) -> Step | None:
    if at.gate is None or at.gate.outcome != Gate.Outcome.MET:
        return None
    return Step(
        what=f"Promote {at.candidate}",
        why=f"People prefer it to {at.gate.against}: its gate is met.",
        button="Decide",
        url=at.gate.candidate.get_absolute_url(),
        right="training.promote_modelversion",
    )


def gate_open(at: Standing) -> Step | None:
    if at.gate is None or at.gate.outcome != Gate.Outcome.OPEN:
        return None
    return Step(
        what=f"Let people compare {at.gate.candidate} with {at.gate.against}",
        why="Its gate is open: blind tasks on held-out prompts come first in the queue.",
        button="See the gate",
        url=at.gate.get_absolute_url(),
        right="training.view_modelversion",
    )


def gate_undecided(at: Standing) -> Step | None:
    # More prompts can settle it, unless something newer is on its way.
    if at.gate is None or at.gate.outcome != Gate.Outcome.UNDECIDED or at.is_in_a_round or at.new >= at.every:
        return None
    return Step(
        what=f"Ask more about {at.gate.candidate}, or leave it",
        why=f"People saw no clear difference from {at.gate.against}.",
        button="See the gate",
        url=at.gate.get_absolute_url(),
        right="training.view_modelversion",
    )


def candidate_without_gate(at: Standing) -> Step | None:
    if at.candidate is None or at.production is None or at.gate is not None:
        return None
    if not at.tally.heldout or not at.project.kind.compares:
        return None
    return Step(
        what=f"Open a gate for {at.candidate}",
        why=f"People have not compared it with {at.production} yet, which is in production.",
        button="Open the gate",
        url=reverse("training:open_gate", args=[at.candidate.name]),
        right="training.add_run",
        posts=True,
    )


# -- Training ----------------------------------------------------------------------------------------------


def round_going(at: Standing) -> Step | None:
    if at.round is None or not at.is_in_a_round:
        return None
    doing = at.doing(Run.Kind.FINETUNE) or at.doing(Run.Kind.TRAIN_REWARD)
    return Step(
        what=f"Wait for round {at.round.number}",
        why=f"{doing.get_kind_display() if doing else 'The next run'} is at work; a candidate follows.",
        button="See the round",
        url=_rounds(at),
        right="training.view_run",
        waits=True,
    )


def enough_is_new(at: Standing) -> Step | None:
    dry = not at.tally.open_tasks and at.new >= FEWEST
    if at.new < at.every and not dry:
        return None
    if run := at.doing(Run.Kind.TRAIN_REWARD) or at.doing(Run.Kind.SUPERVISED):
        return _wait_for(run, "It learns from the new answers.")
    if not at.project.kind.compares:
        return Step(
            what="Tune on what people wrote",
            why=f"{counted(at.new, 'text')} that no version has learned from.",
            button="Supervised fine-tune",
            url=_start(at, Run.Kind.SUPERVISED),
            right="training.add_run",
        )
    if not at.tally.heldout:
        return Step(
            what="Keep some prompts back",
            why="A candidate is measured on held-out prompts, and there are none.",
            button="Import",
            url=_setup(at, "import"),
            right="labeling.change_project",
        )
    if not at.policies and not at.production and not at.others_write:
        return Step(
            what="Train or import a policy",
            why=f"{counted(at.new, 'comparison')} wait for a model that could learn from them.",
            button="Pretrain",
            url=_start(at, Run.Kind.PRETRAIN),
            right="training.add_run",
        )
    since = f"the last reward model, {at.reward}" if at.reward else "the beginning"
    number = at.round.number + 1 if at.round else 1
    return Step(
        what=f"Begin round {number}",
        why=f"{counted(at.new, 'new comparison')} since {since}: train a reward model, and a candidate.",
        button=f"Begin round {number}",
        url=reverse("training:begin_round", args=[at.project.slug]),
        right="training.add_run",
        posts=True,
    )


def reward_without_policy(at: Standing) -> Step | None:
    tuned = next((each for each in at.policies if each.parent_id is not None), None)
    if at.reward is None or (tuned is not None and tuned.pk > at.reward.pk):
        return None
    base = at.production or (at.policies[0] if at.policies else None)
    if base is None or not at.tally.heldout:
        return None
    if run := at.doing(Run.Kind.FINETUNE):
        return _wait_for(run, "It makes a candidate.")
    return Step(
        what=f"Tune {base} against {at.reward}",
        why="The reward model is newer than every policy that was tuned.",
        button="Fine-tune",
        url=_start(at, Run.Kind.FINETUNE, policy=base.name, reward=at.reward.name),
        right="training.add_run",
    )


# -- Labelling ---------------------------------------------------------------------------------------------


def open_tasks(at: Standing) -> Step | None:
    if not at.tally.open_tasks:
        return None
    thing = "comparison" if at.project.kind.compares else "text"
    missing = counted(max(at.every - at.new, 0), f"more {thing}")
    then = "the next round begins by itself" if at.is_automatic else "the next round is worth it"
    return Step(
        what="Let people answer",
        why=f"{counted(at.tally.open_tasks, 'task')} open; {missing} until {then}.",
        button="Answer tasks",
        url=at.project.get_absolute_url(),
        right="labeling.label",
    )


def open_more(at: Standing) -> Step | None:
    if run := at.doing(Run.Kind.SAMPLE):
        return _wait_for(run, "Its samples become the next tasks.")
    return _sample(at, "Open more tasks", "All tasks are answered or held.")


RULES: tuple[Rule, ...] = (
    closed, no_prompts, last_run_failed, no_policy, no_tasks, nobody_labels, gate_met, gate_open,
    nothing_in_production, candidate_without_gate, round_going, gate_undecided, enough_is_new,
    reward_without_policy, open_tasks, open_more,
)  # fmt: skip
"""In the order in which they are asked; the last applies always."""


# -- What several steps share ------------------------------------------------------------------------------


def _wait_for(run: Run, why: str) -> Step:
    return Step(
        what=f"Wait for {run}",
        why=why,
        button="Open the run",
        url=run.get_absolute_url(),
        right="training.view_run",
        waits=True,
    )


def _sample(at: Standing, what: str, why: str) -> Step:
    return Step(
        what=what,
        why=why,
        button="Let it write",
        url=reverse("training:samples", args=[at.project.slug]),
        right="training.add_run",
    )


def _setup(at: Standing, anchor: str) -> str:
    return f"{reverse('labeling:setup', args=[at.project.slug])}#{anchor}"


def _rounds(at: Standing) -> str:
    return reverse("training:rounds", args=[at.project.slug])


def _start(at: Standing, kind: Run.Kind, **given: str) -> str:
    asked: dict[str, str] = {"kind": kind.value, "project": at.project.slug, **given}
    return f"{reverse('admin:training_run_add')}?{urlencode(asked)}"
