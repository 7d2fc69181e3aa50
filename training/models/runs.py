"""Runs: parameters, progress and result. The `Run` row is the source of truth.

A run is executed in attempts. Each attempt holds a token, and all its writes are conditional on that token:
once a run was given to another process, the process that lost it can no longer change it.

All attempts work in the run's folder. The state an attempt saves there lets the next one continue.
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

from labeling.models import Generator, PreferenceSnapshot, Project

HEARTBEAT_INTERVAL = timedelta(seconds=2)
HEARTBEAT_TIMEOUT = timedelta(seconds=20)
"""An attempt without a heartbeat for this long is considered dead."""


class DatabaseStart(models.Func):
    """When the database server was started."""

    function = "pg_postmaster_start_time"
    output_field = models.DateTimeField()


class RunQuerySet(models.QuerySet["Run"]):
    def active(self) -> Self:
        """Runs that are queued or running."""
        return self.filter(status__in=(Run.Status.QUEUED, Run.Status.RUNNING))

    def unended(self) -> Self:
        """Runs that are queued, running or paused."""
        return self.filter(status__in=(Run.Status.QUEUED, Run.Status.RUNNING, Run.Status.PAUSED))

    def visible_to(self, user: User | AnonymousUser) -> Self:
        """Runs the user may view: those of projects they have the permission in, and of no project."""
        if not user.is_active:
            return self.none()
        seen = models.Q(project__in=Project.objects.allowed(user, "training.view_run"))
        if user.has_perm("training.view_run"):
            seen |= models.Q(project=None)
        return self.filter(seen)

    def without_heartbeat(self) -> Self:
        """Runs whose attempt died: running, but without a heartbeat for `HEARTBEAT_TIMEOUT`.

        The clock is that of the database, which also dates heartbeats. After the database has started,
        attempts get the time to reach it again.
        """
        return self.alias(database_started_at=DatabaseStart()).filter(
            status=Run.Status.RUNNING,
            heartbeat_at__lt=Now() - HEARTBEAT_TIMEOUT,
            database_started_at__lt=Now() - 3 * HEARTBEAT_INTERVAL,
        )

    def resumable(self) -> Self:
        """Paused runs, and failed or cancelled runs with a saved state."""
        return self.filter(
            models.Q(status=Run.Status.PAUSED)
            | models.Q(status__in=Run.ENDED_EARLY, saved_step__isnull=False)
        )

    def to_announce(self) -> Self:
        """Runs whose end people are notified of: succeeded or failed. Whoever cancelled a run knows."""
        return self.filter(status__in=(Run.Status.SUCCEEDED, Run.Status.FAILED))


class Run(models.Model):
    """One execution of a stage of the loop: its parameters, progress and result."""

    class Kind(models.TextChoices):
        PRETRAIN = "pretrain", "Pretrain"
        SAMPLE = "sample", "Sample"
        TRAIN_REWARD = "train_reward", "Train a reward model"
        ORDER_TASKS = "order_tasks", "Prioritise tasks"
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
    parameters = models.JSONField(default=dict, help_text="The validated parameters.")
    project = models.ForeignKey(Project, models.PROTECT, null=True, blank=True, related_name="runs")
    policy = models.ForeignKey(
        "ModelVersion",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="runs_as_policy",
        help_text="The policy this run starts from.",
    )
    endpoint = models.ForeignKey(
        "Endpoint",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="runs",
        help_text="The endpoint that writes instead of a policy.",
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
        default=True, help_text="Executed by a worker; otherwise by the command that started it."
    )

    progress = models.FloatField(default=0.0, help_text="0 to 1.")
    message = models.CharField(max_length=200, blank=True, help_text="What it is doing now.")
    metrics = models.JSONField(default=dict, help_text="The final metrics.")
    error = models.TextField(blank=True)
    saved_step = models.PositiveIntegerField(
        null=True, blank=True, help_text="The step of the state saved in its folder; empty: no saved state."
    )

    attempt = models.UUIDField(null=True, blank=True, editable=False)
    attempts = models.PositiveIntegerField(default=0, editable=False)
    heartbeat_at = models.DateTimeField(null=True, blank=True, editable=False)
    cancel_requested = models.BooleanField(default=False, editable=False)
    pause_requested = models.BooleanField(default=False, editable=False)
    resources = models.JSONField(
        default=dict, blank=True, help_text="Resource usage of its process at the last heartbeat, and peaks."
    )
    code_version = models.CharField(
        max_length=80, blank=True, help_text="The code that executed its last attempt."
    )
    announced_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When its end was announced by e-mail and webhook."
    )
    seen_at = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When its owner saw its end on a page."
    )

    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    spent = models.DurationField(
        default=timedelta(0), help_text="Execution time up to the last heartbeat, over all attempts."
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
        """Whether it can be resumed: if it is paused, or ended early with a saved state."""
        has_state = self.status in self.ENDED_EARLY and self.saved_step is not None
        return has_state or self.status == self.Status.PAUSED

    @property
    def generator(self) -> Generator | None:
        """Who writes in a sampling or an evaluation: the policy's generator, or the endpoint's."""
        writer = self.endpoint or self.policy
        return writer.generator if writer else None

    @property
    def folder(self) -> Path:
        """The working folder. It is kept until the run has ended and cannot be resumed."""
        return Path(settings.RUN_FOLDERS) / str(self.pk)

    @property
    def seconds(self) -> float | None:
        """Execution time over all attempts, without the time between them; None before the first attempt."""
        if self.started_at is None:
            return None
        spent = self.spent
        if self.status == self.Status.RUNNING and self.heartbeat_at is not None:
            spent += timezone.now() - self.heartbeat_at
        return spent.total_seconds()

    @property
    def remaining_seconds(self) -> float | None:
        """Estimated time left at the pace so far; None below 2 % progress."""
        if self.status != self.Status.RUNNING or self.seconds is None or self.progress < 0.02:
            return None
        return self.seconds * (1 - self.progress) / self.progress

    @property
    def percent(self) -> int:
        """Progress in whole percent, rounded down."""
        return math.floor(self.progress * 100)

    @property
    def elapsed(self) -> str:
        """`seconds` as readable text."""
        return format_duration(self.seconds)

    @property
    def remaining(self) -> str:
        """`remaining_seconds` as readable text."""
        return format_duration(self.remaining_seconds)

    @property
    def _own_row(self) -> RunQuerySet:
        """This row, if the attempt of this instance is still the current one in the database; else empty."""
        return Run.objects.filter(pk=self.pk, status=self.Status.RUNNING, attempt=self.attempt)

    def begin(self, *, code_version: str = "") -> bool:
        """Start a new attempt of a queued run; False if another process got there first.

        Without a saved state, everything recorded by earlier attempts is deleted first. `code_version` names
        the code that executes the attempt.
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
                self.reset()
        return True

    def reset(self) -> None:
        """Delete what earlier attempts recorded, so that it does not mix with what this one records."""
        fresh = {"progress": 0.0, "saved_step": None, "started_at": Now(), "spent": timedelta(0)}
        if self._own_row.update(**fresh):
            self.points.all().delete()
            self.samples.all().delete()
            self.remove_folder()
        self.refresh_from_db()

    def record_heartbeat(self, *, progress: float, message: str) -> bool:
        """Record that the attempt is alive. False if it is no longer current, or was asked to stop."""
        is_current = self._own_row.update(
            spent=models.F("spent") + TIME_SINCE_HEARTBEAT,
            heartbeat_at=Now(),
            progress=min(max(progress, 0.0), 1.0),
            message=message[:200],
        )
        stop_requested = models.Q(cancel_requested=True) | models.Q(pause_requested=True)
        return bool(is_current) and not Run.objects.filter(stop_requested, pk=self.pk).exists()

    def record_resources(self, resources: dict[str, Any]) -> None:
        """Store the resource usage of this attempt's process, also after its end, until another begins."""
        Run.objects.filter(pk=self.pk, attempts=self.attempts).update(resources=resources)

    def record_saved_step(self, step: int) -> bool:
        """Record that the state at `step` is saved, from which the next attempt can continue.

        Returns False, and writes nothing, if the attempt is no longer current.
        """
        return bool(self._own_row.update(saved_step=step))

    def rewind_to(self, step: int) -> None:
        """Continue from `step`: delete what was recorded after it, as it will be recorded again."""
        if self._own_row.update(saved_step=step):
            self.points.filter(step__gt=step).delete()
            self.samples.filter(step__gt=step).delete()

    def finish(self, status: "Run.Status", *, metrics: dict[str, Any] | None = None, error: str = "") -> bool:
        """End the attempt with a final status, or with `paused` until somebody resumes the run.

        Returns False, and writes nothing, if the attempt is no longer current.
        """
        changes: dict[str, Any] = {
            "status": status,
            "attempt": None,
            "finished_at": Now(),
            "spent": models.F("spent") + CAPPED_TIME_SINCE_HEARTBEAT,
            "error": error,
            "message": "",
        }
        if status == self.Status.SUCCEEDED:
            changes |= {"progress": 1.0, "metrics": metrics or {}, "saved_step": None}
        if status == self.Status.PAUSED:
            changes |= {"finished_at": None, "pause_requested": False}
        done = self._own_row.update(**changes)
        self.refresh_from_db()
        return bool(done)

    def release(self) -> bool:
        """Return the run of an interrupted attempt to the queue."""
        released = self._own_row.update(
            status=self.Status.QUEUED,
            attempt=None,
            spent=models.F("spent") + CAPPED_TIME_SINCE_HEARTBEAT,
            message="",
        )
        self.refresh_from_db()
        return bool(released)

    def remove_folder(self) -> None:
        """Delete the run's folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        """Delete the row and its folder."""
        folder = self.folder
        deleted = super().delete(using, keep_parents)
        shutil.rmtree(folder, ignore_errors=True)
        return deleted


TIME_SINCE_HEARTBEAT = Now() - models.F("heartbeat_at")
CAPPED_TIME_SINCE_HEARTBEAT = Least(
    TIME_SINCE_HEARTBEAT, HEARTBEAT_INTERVAL, output_field=models.DurationField()
)
"""From the last heartbeat to the end of an attempt, at most one interval: a death may be found much later."""


def format_duration(seconds: float | None) -> str:
    """Seconds as `45 s`, `2 min 5 s` or `1 h 20 min`; empty for None."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
