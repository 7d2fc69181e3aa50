"""Rounds of the loop: train a reward model on people's answers, then tune a candidate against it.

A round consists of two runs. The worker's upkeep advances it. A run that fails or is cancelled stops the
round; resuming that run resumes the round. `Automation` starts a project's rounds automatically.
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
from labeling.project_counts import count_training_data
from training import runs
from training.forms.base import RunForm
from training.forms.error_messages import page_message
from training.models import Automation, ModelVersion, Round, Run
from training.models.versions import ModelVersionQuerySet

logger = logging.getLogger(__name__)


class CannotBegin(Exception):  # noqa: N818 -- a refusal, in one line for the person who asked
    """A round cannot begin; the message says why and what to do."""


# -- Beginning ---------------------------------------------------------------------------------------------


def begin(project: Project, *, by: User | None = None, is_automatic: bool = False) -> Round:
    """Begin a round: queue the training of a reward model on all answers so far.

    Its runs belong to `by`, who is notified of their end. Raises CannotBegin.
    """
    with transaction.atomic():
        # The lock serialises two that begin at the same time: the second finds the round of the first.
        Project.objects.select_for_update(no_key=True).get(pk=project.pk)
        form = _checked_form(project, by=by)
        number = (project.rounds.aggregate(last=Max("number"))["last"] or 0) + 1
        return Round.objects.create(
            project=project,
            number=number,
            is_automatic=is_automatic,
            comparisons=count_training_data([project])[project.pk],
            train_reward=runs.start(form, owner=by),
            started_by=by,
        )


def reason_not_to_begin(project: Project) -> str:
    """Why no round can begin now, in one line; empty if one can."""
    try:
        _checked_form(project)
    except CannotBegin as refusal:
        return str(refusal)
    return ""


def _checked_form(project: Project, *, by: User | None = None) -> RunForm:
    """The valid form of the reward model's training. Raises CannotBegin unless the whole round can run."""
    current = project.rounds.filter(outcome=Round.Outcome.IN_PROGRESS).first()
    if current is not None:
        raise CannotBegin(f"Round {current.number} is in progress: wait for its end, or stop it first.")
    if not project.kind.is_comparative:
        raise CannotBegin(
            "People rewrite in this project, so there are no comparisons: start a supervised fine-tune "
            "instead."
        )
    base = base_policy(project)
    if base is None:
        raise CannotBegin(
            "There is no policy to start from: train or import one, and generate samples with it."
        )
    form = _form(project, Run.Kind.TRAIN_REWARD, base, by=by)
    require_valid(form)
    # The parameters of the second run are known already, except for its reward model.
    require_valid(_form(project, Run.Kind.FINETUNE, base, by=by), ignore="reward")
    return form


def require_valid(form: RunForm, *, ignore: str = "") -> None:
    """Raise CannotBegin with the first error of a form, other than of the field `ignore`."""
    for name, errors in form.errors.items():
        if name != ignore:
            raise CannotBegin(f"{form.kind.label}: {page_message(str(errors[0]), form)}")


def _form(
    project: Project, kind: Run.Kind, base: ModelVersion, *, by: User | None = None, reward: str = ""
) -> RunForm:
    """The bound form of one of a round's runs with the project's options, limited to what `by` may use."""
    automation = Automation.objects.filter(project=project).first()
    options = getattr(automation, kind) if automation else {}
    given = {**options, "project": project.slug, "policy": base.name, "reward": reward}
    return runs.form_for(kind, given, user=by)


def base_policy(project: Project) -> ModelVersion | None:
    """The policy that a round starts from: the one in production, else the project's newest."""
    return ModelVersion.objects.production(project) or project_policies(project).first()


def project_policies(project: Project) -> ModelVersionQuerySet:
    """Policies of a project, and those of no project that its runs have used; newest first."""
    used = Q(project=None, pk__in=Run.objects.filter(project=project).values("policy"))
    policies = ModelVersion.objects.policies().filter(Q(project=project) | used)
    return policies.exclude(stage=ModelVersion.Stage.ARCHIVED)


# -- Advancing ---------------------------------------------------------------------------------------------


def advance(project: Project) -> Round | None:
    """Advance a project's round to the state of its runs; returns the round that was in progress, if any.

    Safe to call at any time and concurrently: a round that another process is advancing is skipped.
    """
    with transaction.atomic():
        locked = Round.objects.select_for_update(of=("self",), skip_locked=True)
        current = locked.filter(project=project, outcome=Round.Outcome.IN_PROGRESS).first()
        if current is None:
            return None
        run = current.finetune or current.train_reward
        if run is None:
            _end(current, Round.Outcome.STOPPED, "Its run was deleted.")
        elif run.status in {Run.Status.FAILED, Run.Status.CANCELLED}:
            _end(current, Round.Outcome.STOPPED, stop_reason(run))
        elif run.status == Run.Status.SUCCEEDED and run.kind == Run.Kind.FINETUNE:
            _end(current, Round.Outcome.DONE)
        elif run.status == Run.Status.SUCCEEDED:
            _finetune(current, run)
        return current


def _finetune(current: Round, trained: Run) -> None:
    """Queue the tuning against the round's reward model, from the current base policy."""
    base = base_policy(current.project)
    try:
        if base is None:
            raise CannotBegin("There is no policy left to tune.")
        form = _form(current.project, Run.Kind.FINETUNE, base, reward=trained.version.name)
        require_valid(form)
    except CannotBegin as refusal:
        _end(current, Round.Outcome.STOPPED, str(refusal))
        return
    current.finetune = runs.start(form, owner=trained.owner)
    current.save(update_fields=["finetune"])


def stop(project: Project, *, by: User) -> bool:
    """Stop a project's round and cancel its run; False if no round was in progress."""
    with transaction.atomic():
        in_progress = Round.objects.select_for_update(of=("self",)).filter(outcome=Round.Outcome.IN_PROGRESS)
        current = in_progress.filter(project=project).first()
        if current is None:
            return False
        _end(current, Round.Outcome.STOPPED, f"Stopped by {by}.")
        if run := current.finetune or current.train_reward:
            runs.cancel(run)
        return True


def _end(current: Round, outcome: Round.Outcome, message: str = "") -> None:
    current.outcome, current.message, current.ended_at = outcome, message, timezone.now()
    current.save(update_fields=["outcome", "message", "ended_at"])


def stop_reason(run: Run) -> str:
    """Why the failed or cancelled run stopped its round, in one line."""
    if run.status == Run.Status.CANCELLED:
        return f"{run} was cancelled."
    return f"{run} failed. {run.error.strip().partition(chr(10))[0]}".strip()


# -- Automatic rounds --------------------------------------------------------------------------------------


def advance_all() -> None:
    """Advance every round, and begin those that are due. An error in one project is logged."""
    for stopped in resumed_rounds():
        _log_errors(_reopen, stopped)
    for project in Project.objects.filter(rounds__outcome=Round.Outcome.IN_PROGRESS):
        _log_errors(advance, project)
    idle = Automation.objects.filter(is_on=True, project__is_active=True).exclude(
        project__rounds__outcome=Round.Outcome.IN_PROGRESS
    )
    for automation in idle.select_related("project", "changed_by"):
        _log_errors(_begin_if_due, automation)


def resumed_rounds() -> QuerySet[Round]:
    """Stopped rounds whose last run was resumed, if no other round has begun since."""
    active = (Run.Status.QUEUED, Run.Status.RUNNING)
    resumed: dict[str, Any] = {"status__in": active, "cancel_requested": False}
    tuning = Q(**{f"finetune__{name}": value for name, value in resumed.items()})
    learning = Q(finetune=None, **{f"train_reward__{name}": value for name, value in resumed.items()})
    later = Round.objects.filter(project=OuterRef("project"), number__gt=OuterRef("number"))
    return Round.objects.filter(tuning | learning, ~Exists(later), outcome=Round.Outcome.STOPPED)


def _reopen(stopped: Round) -> None:
    changes: dict[str, Any] = {"outcome": Round.Outcome.IN_PROGRESS, "message": "", "ended_at": None}
    Round.objects.filter(pk=stopped.pk, outcome=Round.Outcome.STOPPED).update(**changes)


def _log_errors(step: Any, subject: Any) -> None:
    try:
        with transaction.atomic():
            step(subject)
    except Exception:
        logger.exception("%s: the round could not be advanced", subject)


def _begin_if_due(automation: Automation) -> None:
    if is_due(automation):
        try:
            begin(automation.project, by=automation.changed_by, is_automatic=True)
        except CannotBegin as refusal:
            # The page of rounds shows the reason, too; it is retried as long as it is due.
            logger.info("%s: %s", automation, refusal)


def is_due(automation: Automation) -> bool:
    """Whether there are enough new comparisons, and no reward model is being trained on them already.

    After a stopped round only comparisons since its start count: what stopped it would stop the next one too.
    """
    project = automation.project
    trainings = Run.objects.filter(project=project, kind=Run.Kind.TRAIN_REWARD)
    if trainings.filter(status__in=(Run.Status.QUEUED, Run.Status.RUNNING, Run.Status.PAUSED)).exists():
        return False
    last = project.rounds.first()
    stopped = last if last is not None and last.outcome == Round.Outcome.STOPPED else None
    return count_new_comparisons(project, since=stopped.started_at if stopped else None) >= automation.every


def count_new_comparisons(project: Project, *, since: datetime | None = None) -> int:
    """The number of comparisons that the project's last reward model was not trained on.

    `since`: count only answers given later.
    """
    known = last_snapshots([project], Run.Kind.TRAIN_REWARD).values()
    return count_training_data([project], excluded_snapshots=known, since=since)[project.pk]


def last_snapshots(projects: Iterable[Project], kind: Run.Kind) -> dict[int, int]:
    """The snapshot that each project's newest version made by a kind of run was trained on, by ids."""
    keys = [project.pk for project in projects]
    trained = Run.objects.filter(kind=kind, project__in=keys, version__isnull=False, snapshot__isnull=False)
    newest = trained.order_by("project_id", "-version__id").distinct("project_id")
    return dict(newest.values_list("project", "snapshot"))
