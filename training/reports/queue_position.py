"""What a queued run waits for, as its page says it."""

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob, ProcrastinateWorker

from training import runs
from training.models import Run

WORKER_SILENCE = timedelta(seconds=20)
"""A worker that has not been heard of for so long is taken to be gone."""


@dataclass(frozen=True)
class Waiting:
    """How many runs are taken before this one, how many are being executed, and whether anybody will come."""

    before: int
    going: int
    has_worker: bool

    @property
    def text(self) -> str:
        """The same in a line."""
        if not self.has_worker:
            return "no worker is running: start one with “manage.py worker”"
        if self.before:
            return f"{number_of(self.before, 'run')} before it in the queue{self._going}"
        return f"next in the queue{self._going}"

    @property
    def _going(self) -> str:
        if not self.going:
            return ""
        return f", {number_of(self.going, 'run')} {'is' if self.going == 1 else 'are'} being executed"


def waiting(run: Run) -> Waiting | None:
    """What a queued run waits for; None for one that does not wait for a worker.

    Workers take jobs in the order in which they were put into the queue: a resumed run has a later one than
    its number tells.
    """
    if run.status != Run.Status.QUEUED or not run.detached:
        return None
    queued = Run.objects.filter(status=Run.Status.QUEUED, detached=True).values_list("pk", flat=True)
    jobs = ProcrastinateJob.objects.filter(
        queue_name=runs.QUEUE, status="todo", queueing_lock__in=[runs.queueing_lock(pk) for pk in queued]
    )
    order = list(jobs.order_by("-priority", "pk").values_list("queueing_lock", flat=True))
    own = runs.queueing_lock(run.pk)
    return Waiting(
        before=order.index(own) if own in order else len(order),
        going=Run.objects.filter(status=Run.Status.RUNNING, detached=True).count(),
        has_worker=ProcrastinateWorker.objects.filter(
            last_heartbeat__gte=timezone.now() - WORKER_SILENCE
        ).exists(),
    )


def number_of(count: int, what: str) -> str:
    """“1 run”, “2 runs”."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
