"""What the commands that start runs share: options from the form, execution here or in a worker."""

import os
import signal
import sys
from argparse import ArgumentParser
from types import FrameType
from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandError
from tqdm import tqdm

from training import runs
from training.charts import figures
from training.forms import FORMS, RunForm
from training.management.options import add_options, given, valid
from training.models import Run

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class RunCommand(BaseCommand):
    """A command that starts one kind of run. Its options are the fields of that kind's form."""

    kind: ClassVar[Run.Kind]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.help = FORMS[cls.kind].summary

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_options(parser, FORMS[self.kind]())
        parser.add_argument(
            "--detach", action="store_true", help="Queue the run for a worker instead of executing it here."
        )

    def handle(self, *, detach: bool, **options: Any) -> None:
        form = FORMS[self.kind](given(FORMS[self.kind](), options))
        if detach:
            self.stdout.write(queued(runs.start(valid(form))))
        else:
            self.stdout.write(describe(perform(form)))


def perform(form: RunForm) -> Run:
    """Start and execute a run in this process, with a progress bar in a terminal.

    Raises CommandError, in one line, for bad input and for a run that failed or was cancelled.
    """
    return execute_here(runs.start(valid(form), detached=False))


def execute_here(run: Run) -> Run:
    """Execute a run that waits for this process; CommandError as `perform`.

    Ctrl-C, SIGTERM and a closed terminal end it after the step it is at, its state saved.
    """
    # Torch is loaded only now: a mistyped option must not wait for it.
    from training.execution.attempt import Attempt, Stop
    from training.execution.executor import execute

    attempts: list[Attempt] = []
    signals: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        signals.append(number)
        if all(attempt.reason for attempt in attempts):
            raise KeyboardInterrupt  # The second time, or before the work began: at once.
        for attempt in attempts:
            attempt.stop(Stop.CANCELLED)
        if sys.stderr.isatty():
            # Not by print: the signal may have come in the middle of one.
            os.write(sys.stderr.fileno(), b"\nstopping after this step (once more: at once)\n")

    bar = tqdm(
        total=1.0,
        desc=str(run),
        disable=None,
        leave=False,
        file=sys.stderr,
        bar_format="{desc} {percentage:3.0f}% |{bar}| {elapsed}{postfix}",
    )

    def observe(progress: float, message: str, metrics: dict[str, float]) -> None:
        bar.n = progress
        figures = [f"{name} {value:.4g}" for name, value in list(metrics.items())[:3]]
        bar.set_postfix_str(", ".join([message, *figures]))

    heeded = [number for number in INTERRUPTS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heeded}
    try:
        with bar:
            succeeded = execute(run, observer=observe, on_attempt=attempts.append)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if not succeeded:
        # As shells have it: 130 after Ctrl-C, 143 after SIGTERM.
        raise CommandError(why_not(run), returncode=128 + signals[0] if signals else 1)
    return run


def why_not(run: Run) -> str:
    """Why a run did not succeed, in one line, and how to go on where that is possible."""
    how = run.error or f"{run} was {run.get_status_display().lower()}."
    if not run.is_resumable:
        return how
    return f"{how.rstrip('.')}; `manage.py resume {run.pk}` goes on from step {run.saved_step}."


def queued(run: Run) -> str:
    """That a run waits for a worker, and where to watch it."""
    return f"{run} is queued; watch it at {run.get_absolute_url()}"


def describe(run: Run) -> str:
    """A run's result for a person: what it made, and its figures."""
    made = f" made {run.version.name}" if hasattr(run, "version") else ""
    lines = [f"{run}{made} in {run.seconds or 0:.0f} s"]
    lines += [f"  {name:<24} {value}" for name, value in figures(run.metrics)]
    lines += [f"  Note: {note}" for note in run.metrics.get("notes", [])]
    return "\n".join(lines)
