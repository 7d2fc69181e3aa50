"""Rounds of the loop: from people's answers a reward model, and against it a candidate.

A round is two runs. It is advanced where they are watched anyway, by the worker's upkeep, so that it goes on
whoever began it. A run that ends early stops it; when that run is resumed, so is the round. `Automation` lets
a project's rounds begin by themselves.
"""

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Exists, Max, OuterRef, Q, QuerySet
from django.utils import timezone

from labeling.models import Project
from labeling.project_counts import count_to_learn_from
from training import runs
from training.forms.base import RunForm
from training.forms.error_messages import page_message
from training.models import Automation, ModelVersion, Round, Run
from training.models.versions import ModelVersionQuerySet

logger = logging.getLogger(__name__)


class CannotBegin(Exception):  # noqa: N818 -- a refusal, in one line for the person who asked
    """Says why a round cannot begin, and what to do."""


# -- Beginning ---------------------------------------------------------------------------------------------


def begin(project: Project, *, by: User | None = None, is_automatic: bool = False) -> Round:
    """Begin a round: queue the training of a reward model from all answers there are.

    Its runs belong to `by`, who is told of their end. Raises CannotBegin.
    """
    with transaction.atomic():
        # Of two that begin at once, the second finds the round of the first.
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        form = _checked_form(project, by=by)
        number = (project.rounds.aggregate(last=Max("number"))["last"] or 0) + 1
        return Round.objects.create(
            project=project,
            number=number,
            is_automatic=is_automatic,
            comparisons=count_to_learn_from([project])[project.pk],
            train_reward=runs.start(form, owner=by),
            started_by=by,
        )


def obstacle(project: Project) -> str:
    """Why no round can begin now, in one line; empty where one can."""
    try:
        _checked_form(project)
    except CannotBegin as refusal:
        return str(refusal)
    return ""


def _checked_form(project: Project, *, by: User | None = None) -> RunForm:
    """The valid form of the reward model's training, once all is there for the whole round."""
    going = project.rounds.filter(outcome=Round.Outcome.IN_PROGRESS).first()
    if going is not None:
        raise CannotBegin(f"Round {going.number} is going on: wait for its end, or stop it first.")
    if not project.kind.compares:
        raise CannotBegin(
            "People rewrite in this project, which compares nothing: start a supervised fine-tune instead."
        )
    base = base_of(project)
    if base is None:
        raise CannotBegin("There is no policy to begin from: train or import one, and let it write samples.")
    form = _form(project, Run.Kind.TRAIN_REWARD, base, by=by)
    refuse_invalid(form)
    # What the second run will need is known already, its reward model apart.
    refuse_invalid(_form(project, Run.Kind.FINETUNE, base, by=by), ignore="reward")
    return form


def refuse_invalid(form: RunForm, *, ignore: str = "") -> None:
    """Raise CannotBegin with the first thing that a form finds wrong, other than with the field `ignore`."""
    for name, errors in form.errors.items():
        if name != ignore:
            raise CannotBegin(f"{form.kind.label}: {page_message(str(errors[0]), form)}")


def _form(
    project: Project, kind: Run.Kind, base: ModelVersion, *, by: User | None = None, reward: str = ""
) -> RunForm:
    """The bound form of one of a round's runs, with the project's options; by `by` it asks what they may."""
    automation = Automation.objects.filter(project=project).first()
    options = getattr(automation, kind) if automation else {}
    given = {**options, "project": project.slug, "policy": base.name, "reward": reward}
    return runs.form_for(kind, given, user=by)


def base_of(project: Project) -> ModelVersion | None:
    """The policy that a round begins from: the one in production, else the newest in the project's loop."""
    return ModelVersion.objects.production(project) or in_loop_of(project).first()


def in_loop_of(project: Project) -> ModelVersionQuerySet:
    """Policies made in a project, and those of no project that one of its runs has used; newest first."""
    used = Q(project=None, pk__in=Run.objects.filter(project=project).values("policy"))
    policies = ModelVersion.objects.policies().filter(Q(project=project) | used)
    return policies.exclude(stage=ModelVersion.Stage.ARCHIVED)


# -- Going on ----------------------------------------------------------------------------------------------


def advance(project: Project) -> Round | None:
    """Take a project's round as far as its runs have come; returns the round that was going, if one was.

    Safe to call at any time and twice at once: where another process has the round in hand, nothing happens.
    """
    with transaction.atomic():
        locked = Round.objects.select_for_update(of=("self",), skip_locked=True)
        current = locked.filter(project=project, outcome=Round.Outcome.IN_PROGRESS).first()
        if current is None:
            return None
        run = current.finetune or current.train_reward
        if run is None:
            _end(current, Round.Outcome.STOPPED, "Its run is gone.")
        elif run.status in {Run.Status.FAILED, Run.Status.CANCELLED}:
            _end(current, Round.Outcome.STOPPED, why_stopped(run))
        elif run.status == Run.Status.SUCCEEDED and run.kind == Run.Kind.FINETUNE:
            _end(current, Round.Outcome.DONE)
        elif run.status == Run.Status.SUCCEEDED:
            _finetune(current, run)
        return current


def _finetune(current: Round, trained: Run) -> None:
    """Queue the tuning against the round's reward model, from what is the base now."""
    base = base_of(current.project)
    try:
        if base is None:
            raise CannotBegin("There is no policy to tune any more.")
        form = _form(current.project, Run.Kind.FINETUNE, base, reward=trained.version.name)
        refuse_invalid(form)
    except CannotBegin as refusal:
        _end(current, Round.Outcome.STOPPED, str(refusal))
        return
    current.finetune = runs.start(form, owner=trained.owner)
    current.save(update_fields=["finetune"])


def stop(project: Project, *, by: User) -> bool:
    """Stop a project's round and cancel what it runs; False if none was going."""
    with transaction.atomic():
        going = Round.objects.select_for_update(of=("self",)).filter(outcome=Round.Outcome.IN_PROGRESS)
        current = going.filter(project=project).first()
        if current is None:
            return False
        _end(current, Round.Outcome.STOPPED, f"Stopped by {by}.")
        if run := current.finetune or current.train_reward:
            runs.cancel(run)
        return True


def _end(current: Round, outcome: Round.Outcome, message: str = "") -> None:
    current.outcome, current.message, current.ended_at = outcome, message, timezone.now()
    current.save(update_fields=["outcome", "message", "ended_at"])


def why_stopped(run: Run) -> str:
    """In one line, why a round ends with a run of its that ended early."""
    if run.status == Run.Status.CANCELLED:
        return f"{run} was cancelled."
    return f"{run} failed. {run.error.strip().partition(chr(10))[0]}".strip()


# -- By themselves -----------------------------------------------------------------------------------------


def advance_all() -> None:
    """Take every round on, and begin those that are due. What fails in one project stops no other's."""
    for stopped in taken_up_again():
        _or_log(_go_on, stopped)
    for project in Project.objects.filter(rounds__outcome=Round.Outcome.IN_PROGRESS):
        _or_log(advance, project)
    resting = Automation.objects.filter(is_on=True, project__is_active=True).exclude(
        project__rounds__outcome=Round.Outcome.IN_PROGRESS
    )
    for automation in resting.select_related("project", "changed_by"):
        _or_log(_begin_if_due, automation)


def taken_up_again() -> QuerySet[Round]:
    """Stopped rounds whose last run somebody resumed, where no other round has begun since."""
    active = (Run.Status.QUEUED, Run.Status.RUNNING)
    resumed: dict[str, Any] = {"status__in": active, "cancel_requested": False}
    tuning = Q(**{f"finetune__{name}": value for name, value in resumed.items()})
    learning = Q(finetune=None, **{f"train_reward__{name}": value for name, value in resumed.items()})
    later = Round.objects.filter(project=OuterRef("project"), number__gt=OuterRef("number"))
    return Round.objects.filter(tuning | learning, ~Exists(later), outcome=Round.Outcome.STOPPED)


def _go_on(stopped: Round) -> None:
    going: dict[str, Any] = {"outcome": Round.Outcome.IN_PROGRESS, "message": "", "ended_at": None}
    Round.objects.filter(pk=stopped.pk, outcome=Round.Outcome.STOPPED).update(**going)


def _or_log(step: Any, subject: Any) -> None:
    try:
        with transaction.atomic():
            step(subject)
    except Exception:
        logger.exception("%s: the round could not be taken on", subject)


def _begin_if_due(automation: Automation) -> None:
    if is_due(automation):
        try:
            begin(automation.project, by=automation.changed_by, is_automatic=True)
        except CannotBegin as refusal:
            # The page of rounds says so, too; it is tried again as long as it is due.
            logger.info("%s: %s", automation, refusal)


def is_due(automation: Automation) -> bool:
    """Whether enough new comparisons are in, and nobody trains a reward model from them already.

    After a round that was stopped they are counted from its beginning: what stopped it would stop the next.
    """
    project = automation.project
    at_work = Run.objects.filter(project=project, kind=Run.Kind.TRAIN_REWARD)
    if at_work.filter(status__in=(Run.Status.QUEUED, Run.Status.RUNNING, Run.Status.PAUSED)).exists():
        return False
    last = project.rounds.first()
    stopped = last if last is not None and last.outcome == Round.Outcome.STOPPED else None
    return new_comparisons(project, since=stopped.started_at if stopped else None) >= automation.every


def new_comparisons(project: Project, *, since: datetime | None = None) -> int:
    """How many comparisons the project's last reward model has not learned from.

    `since`: only of answers given later.
    """
    known = last_learned([project], Run.Kind.TRAIN_REWARD).values()
    return count_to_learn_from([project], beyond=known, since=since)[project.pk]


def last_learned(projects: Iterable[Project], kind: Run.Kind) -> dict[int, int]:
    """The snapshot from which the newest version of each project learned by a kind of run, both by keys."""
    asked = [project.pk for project in projects]
    made = Run.objects.filter(kind=kind, project__in=asked, version__isnull=False, snapshot__isnull=False)
    newest = made.order_by("project_id", "-version__id").distinct("project_id")
    return dict(newest.values_list("project", "snapshot"))
