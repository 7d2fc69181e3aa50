"""One attempt to execute a run: heartbeat, progress, metrics, samples, log and requests to stop."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from enum import Enum
from types import TracebackType
from typing import TYPE_CHECKING, Self

from django.db import Error as DatabaseError
from django.db import connection

from training.execution.database_retries import PATIENCE, retry_while_database_is_away
from training.execution.json_safe import json_safe
from training.execution.resources import Usage
from training.execution.run_log import RunLog
from training.models import HEARTBEAT_INTERVAL, LogLine, MetricPoint, Run, RunSample

if TYPE_CHECKING:  # it loads torch, which a run without a model of its own does not need
    from training.gpt.training_loop import Callbacks, Sample

FLUSH_SECONDS = 0.5
MAX_LOGGED_METRICS = 4
"""Metrics of an evaluation in a line of the log; the curves show all of them."""

Observer = Callable[[float, str, dict[str, float]], None]
"""Called during a run with its progress (0 to 1), a status message, and the latest metrics."""


class StopReason(Enum):
    """Why an attempt has to stop early."""

    CANCELLED = "cancelled"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    LOST = "lost"


class Stopped(Exception):  # noqa: N818 -- control flow, not an error
    """Raised to end an attempt that was asked to stop."""


def no_observer(progress: float, message: str, metrics: dict[str, float]) -> None:
    """Ignore the progress."""


class Attempt:
    """A context in which a run is executed. A thread sends its heartbeat and receives requests to stop.

    Training code only sees the `callbacks`; it knows nothing about runs.
    """

    def __init__(self, run: Run, *, observer: Observer = no_observer) -> None:
        self.run, self._number = run, run.attempts
        self.observer = observer
        self.stop_reason: StopReason | None = None
        self._progress, self._message = run.progress, ""
        self._points: list[MetricPoint] = []
        self._flushed = time.monotonic()
        self._log, self._usage = RunLog(run), Usage()
        self._stage = ""
        self._database_was_away = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._log.__enter__()
        self._log.add(f"Attempt {self.run.attempts} on {socket.gethostname()}, {self.run.code_version}")
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._log.__exit__(kind, error, trace)
        # Decided by the row alone: a late heartbeat may have found the run ended and set LOST.
        if self.run.pk is None or self.run.attempts != self._number or self.run.status == Run.Status.RUNNING:
            return  # the row was deleted, or belongs to another attempt
        failed = self.run.status == Run.Status.FAILED
        self._log.add(end_message(self.run), level=LogLine.Level.ERROR if failed else LogLine.Level.INFO)
        with suppress(DatabaseError):  # the result is in the run's row already
            retry_while_database_is_away(self._log.write)
            retry_while_database_is_away(lambda: self.run.record_resources(self._usage.read()))

    @property
    def callbacks(self) -> "Callbacks":
        """The callbacks for the training code."""
        from training.gpt.training_loop import Callbacks

        return Callbacks(
            on_step=self.on_step,
            should_stop=self.should_stop,
            on_resume=self.on_resume,
            on_samples=self.on_samples,
            save_context=self.saving,
        )

    def stop(self, reason: StopReason) -> None:
        """Ask the attempt to stop at its next step; the first reason is kept."""
        self.stop_reason = self.stop_reason or reason

    def should_stop(self) -> bool:
        """Whether to stop. Raises Stopped if the attempt was lost, as it must not save anything."""
        if self.stop_reason is StopReason.LOST:
            raise Stopped
        self._reconnect()
        return self.stop_reason is not None

    def raise_if_stopped(self) -> None:
        """Raise Stopped if the attempt was asked to stop."""
        if self.should_stop():
            raise Stopped

    def report(self, message: str, *, progress: float | None = None) -> None:
        """Report the status message and progress. Each new stage (message without numbers) is logged."""
        self._reconnect()
        self._message = message
        stage = re.sub(r"\d+", "", message)
        if stage != self._stage:
            self._stage = stage
            self._log.add(message)
        if progress is not None:
            self._progress = progress
        self.observer(self._progress, message, {})

    def on_step(self, step: int, progress: float, metrics: dict[str, float]) -> None:
        """Record the metrics of a step, and report them."""
        self._progress, self._message = progress, f"step {step}"
        self._points.append(MetricPoint(run=self.run, step=step, values=json_safe(metrics)))
        if line := format_evaluation(metrics):
            self._log.add(f"step {step}: {line}")
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()
        self.observer(progress, self._message, metrics)

    def on_samples(self, step: int, samples: "Sequence[Sample]") -> None:
        """Record the samples of a step, replacing those of an earlier attempt."""
        rows = [
            RunSample(run=self.run, step=step, position=position, **json_safe(asdict(each)))
            for position, each in enumerate(samples)
        ]
        retry_while_database_is_away(
            lambda: RunSample.objects.bulk_create(
                rows,
                update_conflicts=True,
                unique_fields=["run", "step", "position"],
                update_fields=["prompt", "text", "score"],
            )
        )

    @contextmanager
    def saving(self, step: int) -> Iterator[None]:
        """Wraps the saving of the state at `step` into the run's folder.

        Metrics are flushed first: a saved state without them would leave a gap in the curves.
        """
        self.flush()
        yield
        retry_while_database_is_away(lambda: self.run.record_saved_step(step))

    def on_resume(self, step: int) -> None:
        """The training continues from the state at `step`."""
        retry_while_database_is_away(lambda: self.run.rewind_to(step))
        self.report(f"resuming from step {step}")

    def flush(self) -> None:
        """Write pending metrics and log lines to the database. A second row for a step replaces the first."""
        retry_while_database_is_away(self._log.write)
        rows = {point.step: point for point in self._points}
        retry_while_database_is_away(
            lambda: MetricPoint.objects.bulk_create(
                rows.values(), update_conflicts=True, unique_fields=["run", "step"], update_fields=["values"]
            )
        )
        self._points.clear()
        self._flushed = time.monotonic()

    def _reconnect(self) -> None:
        """After the heartbeat found the database away: what is read next needs a new connection."""
        if self._database_was_away.is_set() and not connection.in_atomic_block:
            self._database_was_away.clear()
            connection.close()

    def _beat(self) -> None:
        failing_since: float | None = None
        try:
            while not self._ended.wait(HEARTBEAT_INTERVAL.total_seconds()):
                try:
                    alive = self.run.record_heartbeat(progress=self._progress, message=self._message)
                    self.run.record_resources(self._usage.read())
                    self._log.write()
                except DatabaseError:
                    # The database may be back before this run is considered dead.
                    connection.close()
                    self._database_was_away.set()
                    failing_since = failing_since or time.monotonic()
                    if time.monotonic() - failing_since > PATIENCE:
                        self.stop(StopReason.INTERRUPTED)
                    continue
                failing_since = None
                if not alive:
                    current = Run.objects.filter(pk=self.run.pk, attempt=self.run.attempt).first()
                    if current is None:
                        # A lost attempt sends no more heartbeats; one asked to stop does until its end.
                        self.stop(StopReason.LOST)
                        return
                    self.stop(StopReason.CANCELLED if current.cancel_requested else StopReason.PAUSED)
        finally:
            connection.close()


class HelperAttempt(Attempt):
    """The attempt of a helper process: only the first process reports and records."""

    def report(self, message: str, *, progress: float | None = None) -> None:
        """Do nothing."""

    def on_step(self, step: int, progress: float, metrics: dict[str, float]) -> None:
        """Do nothing."""

    def on_resume(self, step: int) -> None:
        """Do nothing."""

    def on_samples(self, step: int, samples: "Sequence[Sample]") -> None:
        """Do nothing."""

    @contextmanager
    def saving(self, step: int) -> Iterator[None]:  # noqa: ARG002
        """Do nothing."""
        yield


def format_evaluation(metrics: dict[str, float]) -> str:
    """The evaluation among the metrics of a step in one line; empty if there is none."""
    parts = [
        f"{name.removeprefix('heldout/').replace('_', ' ')} {value:.4g}"
        for name, value in metrics.items()
        if name.startswith(("heldout/", "validation_")) or name == "perplexity"
    ]
    prefix = "held out, " if any(name.startswith("heldout/") for name in metrics) else ""
    return prefix + ", ".join(parts[:MAX_LOGGED_METRICS]) if parts else ""


def end_message(run: Run) -> str:
    """The last line of an attempt's log: how it ended."""
    match run.status:
        case Run.Status.FAILED:
            return f"Failed: {run.error}"
        case Run.Status.QUEUED:
            return "Interrupted and returned to the queue."
        case Run.Status.PAUSED if run.saved_step is not None:
            return f"Paused; state saved at step {run.saved_step}."
    return f"{run.get_status_display().capitalize()} after {run.elapsed}."
