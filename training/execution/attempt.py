"""One attempt at a run: its heartbeat, its metrics, and the cues to stop."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from types import TracebackType
from typing import Self

from django.db import Error as DatabaseError
from django.db import connection

from training.execution.storable import storable
from training.gpt.loop import Hooks
from training.models import HEARTBEAT, Point, Run

FLUSH_SECONDS = 0.5

Observer = Callable[[float, str, dict[str, float]], None]
"""Called as a run goes on with its progress (0 to 1), what it is doing, and the latest metrics."""


class Stop(Enum):
    """Why an attempt has to stop before its end."""

    CANCELLED = "cancelled"
    PAUSED = "paused"
    INTERRUPTED = "interrupted"
    LOST = "lost"


class Stopped(Exception):  # noqa: N818 -- a cue, not an error
    """Raised where an attempt that was told to stop has nothing more to do."""


def no_observer(progress: float, message: str, metrics: dict[str, float]) -> None:
    """Watch nothing."""


class Attempt:
    """A context in which a run is executed. A thread beats its heart and hears of cancellation.

    The training code gets its `hooks`; everything else about runs stays out of it.
    """

    def __init__(self, run: Run, *, observer: Observer = no_observer) -> None:
        self.run = run
        self.observer = observer
        self.reason: Stop | None = None
        self._progress, self._message = run.progress, ""
        self._points: list[Point] = []
        self._flushed = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def hooks(self) -> Hooks:
        """What a training is given to tell of itself and to ask."""
        return Hooks(
            on_step=self.on_step,
            should_stop=self.should_stop,
            on_resume=self.on_resume,
            saving=self.saving,
        )

    def stop(self, reason: Stop) -> None:
        """Ask the attempt to stop at its next step; the first reason stands."""
        self.reason = self.reason or reason

    def should_stop(self) -> bool:
        """Whether to stop. Raises Stopped where the run is no longer this attempt's: it must save nothing."""
        if self.reason is Stop.LOST:
            raise Stopped
        return self.reason is not None

    def check(self) -> None:
        """Raise Stopped if the attempt was told to stop."""
        if self.should_stop():
            raise Stopped

    def say(self, message: str, *, progress: float | None = None) -> None:
        """Show what is being done, and how far the run is."""
        self._message = message
        if progress is not None:
            self._progress = progress
        self.observer(self._progress, message, {})

    def on_step(self, step: int, progress: float, metrics: dict[str, float]) -> None:
        """Keep one step's metrics (a row per step) and show them."""
        self._progress, self._message = progress, f"step {step}"
        self._points.append(Point(run=self.run, step=step, values=storable(metrics)))
        if time.monotonic() - self._flushed > FLUSH_SECONDS:
            self.flush()
        self.observer(progress, self._message, metrics)

    @contextmanager
    def saving(self, step: int) -> Iterator[None]:
        """Around the writing of the state at `step` into the run's folder, from which the next can go on.

        The metrics up to it are written first: a state without them would leave a gap in the curves.
        """
        self.flush()
        yield
        self.run.saved(step)

    def on_resume(self, step: int) -> None:
        """The training goes on from the state at `step`."""
        self.run.resumed(step)
        self.say(f"goes on from step {step}")

    def flush(self) -> None:
        """Write the metrics that are not yet in the database. A second row for a step replaces the first."""
        rows = {point.step: point for point in self._points}
        Point.objects.bulk_create(
            rows.values(), update_conflicts=True, unique_fields=["run", "step"], update_fields=["values"]
        )
        self._points.clear()
        self._flushed = time.monotonic()

    def _beat(self) -> None:
        failing_since: float | None = None
        try:
            while not self._ended.wait(HEARTBEAT.total_seconds()):
                try:
                    alive = self.run.beat(progress=self._progress, message=self._message)
                except DatabaseError:
                    # The database may come back before anyone takes this run to be dead.
                    connection.close()
                    failing_since = failing_since or time.monotonic()
                    if time.monotonic() - failing_since > 60:
                        self.stop(Stop.INTERRUPTED)
                    continue
                failing_since = None
                if not alive:
                    mine = Run.objects.filter(pk=self.run.pk, attempt=self.run.attempt).first()
                    if mine is None:
                        # A lost attempt has nothing to beat for; one told to stop beats on while it winds up.
                        self.stop(Stop.LOST)
                        return
                    self.stop(Stop.CANCELLED if mine.cancel_requested else Stop.PAUSED)
        finally:
            connection.close()


class Helping(Attempt):
    """What the code of a run gets in a process that only helps: what is shown and kept is the first one's."""

    def say(self, message: str, *, progress: float | None = None) -> None:
        """Say nothing."""

    def on_step(self, step: int, progress: float, metrics: dict[str, float]) -> None:
        """Keep nothing."""

    def on_resume(self, step: int) -> None:
        """Keep nothing."""

    @contextmanager
    def saving(self, step: int) -> Iterator[None]:  # noqa: ARG002
        """Keep nothing."""
        yield
