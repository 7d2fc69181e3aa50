"""The position of a queued run in the queue."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob, ProcrastinateWorker

from training import runs
from training.models import Run
from training.reports.number_format import pluralise

WORKER_TIMEOUT = timedelta(seconds=20)
"""A worker whose last heartbeat is older counts as gone."""


@dataclass(frozen=True)
class QueuePosition:
    """How many queued runs come first, how many are running, and whether a worker is there."""

    runs_ahead: int
    running: int
    has_worker: bool

    @property
    def text(self) -> str:
        """The position in a sentence."""
        if not self.has_worker:
            return "no worker is running: start one with “manage.py worker”"
        if self.runs_ahead:
            return f"queue position {self.runs_ahead + 1}{self._running_text}"
        return f"next in the queue{self._running_text}"

    @property
    def _running_text(self) -> str:
        if not self.running:
            return ""
        return f", {pluralise(self.running, 'run')} running"


def queue_position(run: Run) -> QueuePosition | None:
    """The position of a queued run; None for a run that does not wait for a worker.

    Workers take jobs in the order in which they were queued; the job of a resumed run is newer than the run.
    """
    if run.status != Run.Status.QUEUED or not run.detached:
        return None
    queued = Run.objects.filter(status=Run.Status.QUEUED, detached=True).values_list("pk", flat=True)
    jobs = ProcrastinateJob.objects.filter(
        queue_name=runs.QUEUE, status="todo", queueing_lock__in=[runs.queueing_lock(pk) for pk in queued]
    )
    order = list(jobs.order_by("-priority", "pk").values_list("queueing_lock", flat=True))
    own = runs.queueing_lock(run.pk)
    return QueuePosition(
        runs_ahead=order.index(own) if own in order else len(order),
        running=Run.objects.filter(status=Run.Status.RUNNING, detached=True).count(),
        has_worker=ProcrastinateWorker.objects.filter(
            last_heartbeat__gte=timezone.now() - WORKER_TIMEOUT
        ).exists(),
    )
