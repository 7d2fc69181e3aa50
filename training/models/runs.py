"""Runs: what was asked, how far it is, what came of it. The `Run` row is the truth.

A run is executed in attempts. Each attempt holds a token, and everything it writes is conditional on that
token, so that a run which was given to another process can no longer be touched by the one that lost it.

All attempts work in the run's folder. What an attempt saves there lets the next one go on from that step.
"""

import math
import shutil
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.db import models, transaction
from django.db.models.functions import Coalesce, Least, Now
from django.urls import reverse
from django.utils import timezone

from labeling.models import PreferenceSnapshot, Project

HEARTBEAT = timedelta(seconds=2)
SILENCE = timedelta(seconds=20)
"""An attempt that has not beaten its heart for this long is taken to be dead."""


class RunQuerySet(models.QuerySet["Run"]):
    def active(self) -> Self:
        """Runs that are waiting or being executed."""
        return self.filter(status__in=(Run.Status.QUEUED, Run.Status.RUNNING))

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """Those that a person may look at: of projects in which they have the right to, and of no project."""
        if not user.is_active:
            return self.none()
        seen = models.Q(project__in=Project.objects.allowed(user, "training.view_run"))
        if user.has_perm("training.view_run"):
            seen |= models.Q(project=None)
        return self.filter(seen)

    def silent(self) -> Self:
        """Runs whose attempt died: running, but no heartbeat for `SILENCE`."""
        return self.filter(status=Run.Status.RUNNING, heartbeat_at__lt=timezone.now() - SILENCE)

    def resumable(self) -> Self:
        """Runs that were paused, and those that ended early and left a state to go on from."""
        return self.filter(
            models.Q(status=Run.Status.PAUSED)
            | models.Q(status__in=Run.ENDED_EARLY, saved_step__isnull=False)
        )

    def to_tell(self) -> Self:
        """Runs of whose end people want to hear: those that succeeded or failed. Who cancelled one knows."""
        return self.filter(status__in=(Run.Status.SUCCEEDED, Run.Status.FAILED))


class Run(models.Model):
    """One execution of a stage: what was asked, how far it is, what came of it."""

    class Kind(models.TextChoices):
        PRETRAIN = "pretrain", "Pretrain"
        SAMPLE = "sample", "Sample"
        TRAIN_REWARD = "train_reward", "Train a reward model"
        ORDER_TASKS = "order_tasks", "Order tasks"
        FINETUNE = "finetune", "Fine-tune"
        SUPERVISED = "supervised", "Supervised fine-tune"
        DPO = "dpo", "Direct preference optimisation"
        EVALUATE = "evaluate", "Evaluate"

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"
        PAUSED = "paused"

    ENDED_EARLY = (Status.FAILED, Status.CANCELLED)

    kind = models.CharField(max_length=20, choices=Kind.choices)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.QUEUED)
    parameters = models.JSONField(default=dict, help_text="What was asked, after validation.")
    project = models.ForeignKey(Project, models.PROTECT, null=True, blank=True, related_name="runs")
    policy = models.ForeignKey(
        "ModelVersion",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="runs_as_policy",
        help_text="The policy this run begins from.",
    )
    reward = models.ForeignKey(
        "ModelVersion",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="runs_as_reward",
        help_text="The reward model it learns from.",
    )
    snapshot = models.ForeignKey(
        PreferenceSnapshot,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="runs",
        help_text="The frozen comparisons it learned from.",
    )
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True, blank=True)
    detached = models.BooleanField(
        default=True, help_text="Executed by a worker; otherwise by the command that made it."
    )

    progress = models.FloatField(default=0.0, help_text="0 to 1.")
    message = models.CharField(max_length=200, blank=True, help_text="What it is doing now.")
    metrics = models.JSONField(default=dict, help_text="The figures that remain when it is done.")
    error = models.TextField(blank=True)
    saved_step = models.PositiveIntegerField(
        null=True, blank=True, help_text="The step that the state in its folder stands at; empty: no state."
    )

    attempt = models.UUIDField(null=True, blank=True, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)
    heartbeat_at = models.DateTimeField(null=True, blank=True, editable=False)
    cancel_requested = models.BooleanField(default=False, editable=False)
    pause_requested = models.BooleanField(default=False, editable=False)
    resources = models.JSONField(
        default=dict, blank=True, help_text="What its process used at the last heartbeat, and at most."
    )
    code_version = models.CharField(
        max_length=80, blank=True, help_text="The code that executed its last attempt."
    )
    announced_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When its end was told by e-mail and webhook."
    )
    seen_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When its owner learned of its end on a page."
    )

    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    spent = models.DurationField(
        default=timedelta(0), help_text="Time in execution up to the last heartbeat, all attempts together."
    )

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="run_progress_is_a_share",
                condition=models.Q(progress__gte=0.0, progress__lte=1.0),
            ),
            models.CheckConstraint(
                name="run_has_a_token_while_it_runs",
                condition=models.Q(status="running", attempt__isnull=False)
                | (~models.Q(status="running") & models.Q(attempt__isnull=True)),
            ),
        ]
        indexes = [
            models.Index("status", name="run_active", condition=models.Q(status__in=("queued", "running"))),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} #{self.pk}"

    def get_absolute_url(self) -> str:
        return reverse("training:run", args=[self.pk])

    @property
    def is_active(self) -> bool:
        return self.status in {self.Status.QUEUED, self.Status.RUNNING}

    @property
    def is_cancelable(self) -> bool:
        return (self.is_active and not self.cancel_requested) or self.status == self.Status.PAUSED

    @property
    def is_pausable(self) -> bool:
        return self.is_active and not (self.cancel_requested or self.pause_requested)

    @property
    def is_resumable(self) -> bool:
        """Whether it can be taken up again: always once paused, else where it left a state to go on from."""
        left = self.status in self.ENDED_EARLY and self.saved_step is not None
        return left or self.status == self.Status.PAUSED

    @property
    def folder(self) -> Path:
        """Where it works: outlives every attempt that does not bring the run to its end."""
        return Path(settings.RUN_FOLDERS) / str(self.pk)

    @property
    def seconds(self) -> float | None:
        """How long it was executed, all attempts together, without the waits between; None if none began."""
        if self.started_at is None:
            return None
        spent = self.spent
        if self.status == self.Status.RUNNING and self.heartbeat_at is not None:
            spent += timezone.now() - self.heartbeat_at
        return spent.total_seconds()

    @property
    def remaining_seconds(self) -> float | None:
        """Time to go at the pace so far; None while there is too little to tell from."""
        if self.status != self.Status.RUNNING or self.seconds is None or self.progress < 0.02:
            return None
        return self.seconds * (1 - self.progress) / self.progress

    @property
    def percent(self) -> int:
        """Progress in whole percent; 100 only when all is done."""
        return math.floor(self.progress * 100)

    @property
    def took(self) -> str:
        """`seconds` as people say it."""
        return duration(self.seconds)

    @property
    def remaining(self) -> str:
        """`remaining_seconds` as people say it."""
        return duration(self.remaining_seconds)

    @property
    def _mine(self) -> RunQuerySet:
        """This row, as long as the attempt held in this instance is still the one in the database."""
        return Run.objects.filter(pk=self.pk, status=self.Status.RUNNING, attempt=self.attempt)

    def begin(self, *, code_version: str = "") -> bool:
        """Take a queued run for a new attempt; False if another process got there first.

        Where its folder holds no state, nothing of earlier attempts is left: the run begins anew.
        `code_version` names the code that executes it.
        """
        with transaction.atomic():
            taken = Run.objects.filter(pk=self.pk, status=self.Status.QUEUED).update(
                status=self.Status.RUNNING,
                attempt=uuid.uuid4(),
                attempts=models.F("attempts") + 1,
                started_at=Coalesce("started_at", Now()),
                heartbeat_at=Now(),
                message="",
                error="",
                resources={},
                code_version=code_version,
            )
            if not taken:
                return False
            self.refresh_from_db()
            if self.saved_step is None or not self.folder.is_dir():
                self.begin_anew()
        return True

    def begin_anew(self) -> None:
        """Forget what earlier attempts did: what they measured would stand beside what this one measures."""
        fresh = {"progress": 0.0, "saved_step": None, "started_at": Now(), "spent": timedelta(0)}
        if self._mine.update(**fresh):
            self.points.all().delete()
            self.excerpts.all().delete()
            self.remove_folder()
        self.refresh_from_db()

    def beat(self, *, progress: float, message: str) -> bool:
        """Say that the attempt lives. False if it is no longer this run's, or was asked to stop."""
        mine = self._mine.update(
            spent=models.F("spent") + SINCE_HEARTBEAT,
            heartbeat_at=Now(),
            progress=min(max(progress, 0.0), 1.0),
            message=message[:200],
        )
        asked = models.Q(cancel_requested=True) | models.Q(pause_requested=True)
        return bool(mine) and not Run.objects.filter(asked, pk=self.pk).exists()

    def used(self, resources: dict[str, Any]) -> None:
        """Keep what this attempt's process uses; also just after its end, as long as no other began."""
        Run.objects.filter(pk=self.pk, attempts=self.attempts).update(resources=resources)

    def saved(self, step: int) -> None:
        """Keep that the folder now holds the state at `step`, from which the next attempt can go on."""
        self._mine.update(saved_step=step)

    def resumed(self, step: int) -> None:
        """Keep that this attempt goes on from `step`: what was measured later will be measured again."""
        if self._mine.update(saved_step=step):
            self.points.filter(step__gt=step).delete()
            self.excerpts.filter(step__gt=step).delete()

    def finish(self, status: "Run.Status", *, metrics: dict[str, Any] | None = None, error: str = "") -> bool:
        """End the attempt, for good or, by the status `paused`, until somebody resumes the run.

        False, and nothing written, if the run is no longer this attempt's.
        """
        changes: dict[str, Any] = {
            "status": status,
            "attempt": None,
            "finished_at": Now(),
            "spent": models.F("spent") + LAST_STRETCH,
            "error": error,
            "message": "",
        }
        if status == self.Status.SUCCEEDED:
            changes |= {"progress": 1.0, "metrics": metrics or {}, "saved_step": None}
        if status == self.Status.PAUSED:
            changes |= {"finished_at": None, "pause_requested": False}
        done = self._mine.update(**changes)
        self.refresh_from_db()
        return bool(done)

    def release(self) -> bool:
        """Give an interrupted attempt back to the queue."""
        released = self._mine.update(
            status=self.Status.QUEUED, attempt=None, spent=models.F("spent") + LAST_STRETCH, message=""
        )
        self.refresh_from_db()
        return bool(released)

    def remove_folder(self) -> None:
        """Remove all that its attempts left in files."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        """Delete the row, and its folder with it."""
        folder = self.folder
        deleted = super().delete(using, keep_parents)
        shutil.rmtree(folder, ignore_errors=True)
        return deleted


SINCE_HEARTBEAT = Now() - models.F("heartbeat_at")
LAST_STRETCH = Least(SINCE_HEARTBEAT, HEARTBEAT, output_field=models.DurationField())
"""From the last heartbeat to the end of an attempt. Where its death was found later, it is not that long."""


def duration(seconds: float | None) -> str:
    """Seconds as `45 s`, `2 min 5 s` or `1 h 20 min`; empty for None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
