"""What the commands that start runs share: options from the form, execution here or in a worker."""

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
            run = runs.start(valid(form))
            self.stdout.write(f"{run} is queued; watch it at {run.get_absolute_url()}")
        else:
            self.stdout.write(describe(perform(form)))


def perform(form: RunForm) -> Run:
    """Start and execute a run in this process, with a progress bar in a terminal.

    Raises CommandError, in one line, for bad input and for a run that failed or was cancelled.
    """
    run_form = valid(form)
    # Torch is loaded only now: a mistyped option must not wait for it.
    from training.execution.attempt import Attempt, Stop
    from training.execution.executor import execute

    run = runs.start(run_form, detached=False)
    attempts: list[Attempt] = []

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if all(attempt.should_stop() for attempt in attempts):
            raise KeyboardInterrupt  # The second time, or before the work began: at once.
        for attempt in attempts:
            attempt.stop(Stop.CANCELLED)

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

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with bar:
            succeeded = execute(run, observer=observe, on_attempt=attempts.append)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if not succeeded:
        raise CommandError(run.error or f"{run} was {run.get_status_display()}.")
    return run


def describe(run: Run) -> str:
    """A run's result for a person: what it made, and its figures."""
    made = f" made {run.version.name}" if hasattr(run, "version") else ""
    lines = [f"{run}{made} in {run.seconds or 0:.0f} s"]
    lines += [f"  {name:<24} {value}" for name, value in figures(run.metrics)]
    lines += [f"  Note: {note}" for note in run.metrics.get("notes", [])]
    return "\n".join(lines)
