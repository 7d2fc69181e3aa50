"""Base class of the commands that start runs: options from the form, execution here or by a worker."""

import os
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, ClassVar

from django.core.management.base import CommandError, OutputWrapper
from tqdm import tqdm

from training import runs
from training.forms import FORMS
from training.forms.base import RunForm
from training.management.options import add_options, given_values, require_valid
from training.management.site_command import SiteCommand
from training.models import Run
from training.reports import evaluation_report, reward_report, task_priorities, tuning_report
from training.reports.charts import metric_rows

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
HELPER_EXIT_DELAY = 3.0
"""Seconds that a failing helper process waits, so that the first process can report its error."""


class RunCommand(SiteCommand):
    """A command that starts one kind of run. Its options are the fields of the form of that kind."""

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
        form = FORMS[self.kind](given_values(FORMS[self.kind](), options))

        def make() -> Run:
            check_processes(self.kind, detach=detach)
            return runs.start(require_valid(form), detached=detach)

        execute_or_queue(make, self.stdout)


def execute_or_queue(make: Callable[[], Run], out: OutputWrapper) -> None:
    """Create a run, execute it here unless it is detached, and print the result.

    Under torchrun the first process does this, and the others help. Raises CommandError with one line for
    invalid input, and for a run that failed or was cancelled.
    """
    if is_distributed():
        execute_distributed(make, out)
        return
    run = make()
    if run.detached:
        out.write(f"{run} is queued; watch it at {run.get_absolute_url()}")
    else:
        out.write(describe_result(execute_here(run)))


def start_and_execute(form: RunForm) -> Run:
    """Start and execute a run in this process. Raises CommandError like `execute_or_queue`."""
    if is_distributed():
        raise CommandError("this command needs a single process: run it without torchrun.")
    return execute_here(runs.start(require_valid(form), detached=False))


def execute_here(run: Run) -> Run:
    """Execute a queued run in this process. Raises CommandError like `execute_or_queue`.

    Shows a progress bar in a terminal. Ctrl-C, SIGTERM and a closed terminal stop the run after its current
    step and save its state.
    """
    # Imports torch only now, so that a mistyped option fails at once.
    from training.execution.attempt import Attempt, StopReason
    from training.execution.executor import execute

    attempts: list[Attempt] = []
    signals: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        signals.append(number)
        if all(attempt.stop_reason for attempt in attempts):
            raise KeyboardInterrupt  # the second signal, or one before the work began, stops at once
        for attempt in attempts:
            attempt.stop(StopReason.CANCELLED)
        if sys.stderr.isatty():
            # Not with print: the signal may interrupt another one.
            os.write(sys.stderr.fileno(), b"\nstopping after this step (again: stop at once)\n")

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
        shown = [f"{name} {value:.4g}" for name, value in list(metrics.items())[:3]]
        bar.set_postfix_str(", ".join([message, *shown]))

    handled = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in handled}
    try:
        with bar:
            succeeded = execute(run, observer=observe, on_attempt=attempts.append)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if not succeeded:
        # The convention of shells: 130 after Ctrl-C, 143 after SIGTERM.
        raise CommandError(failure_message(run), returncode=128 + signals[0] if signals else 1)
    return run


def failure_message(run: Run) -> str:
    """Why a run did not succeed, in one line, and how to resume it if possible."""
    reason = run.error or f"{run} was {run.get_status_display().lower()}."
    if not run.is_resumable:
        return reason
    return f"{reason.rstrip('.')}; `manage.py resume {run.pk}` continues from step {run.saved_step}."


def describe_result(run: Run) -> str:
    """A run's result as text: the version it made, and its metrics."""
    made = f" made {run.version.name}" if hasattr(run, "version") else ""
    lines = [f"{run}{made} in {run.seconds or 0:.0f} s"]
    lines += [f"  {name:<24} {value}" for name, value in metric_rows(run.metrics)]
    lines += [
        *evaluation_report.terminal_lines(run),
        *reward_report.terminal_lines(run),
        *tuning_report.terminal_lines(run),
        *task_priorities.terminal_lines(run),
    ]
    lines += [f"  Note: {note}" for note in run.metrics.get("notes", [])]
    return "\n".join(lines)


def is_distributed() -> bool:
    """Whether torchrun started several processes."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def check_processes(kind: str, *, detach: bool) -> None:
    """Raise CommandError under torchrun for a detached run, or a kind of run that needs one process."""
    if not is_distributed():
        return
    if detach:
        raise CommandError(
            "--detach: a worker executes a run in one process; leave out --detach or torchrun."
        )
    from training.execution.executor import supports_torchrun

    if not supports_torchrun(kind):
        raise CommandError(f"{Run.Kind(kind).label}: needs a single process; run it without torchrun.")


def execute_distributed(make: Callable[[], Run], out: OutputWrapper) -> None:
    """`execute_or_queue` in each of the processes that torchrun started; only the first speaks."""
    import torch

    from training.gpt.distributed import process_group
    from training.gpt.errors import InputError

    try:
        with process_group() as group:
            if group.is_main_process:
                number = 0
                try:
                    run = make()
                    number = run.pk
                finally:
                    group.broadcast(torch.tensor(number))
                out.write(describe_result(execute_here(run)))
            elif number := int(group.broadcast(torch.tensor(0))):
                execute_as_helper(number)
    except (InputError, RuntimeError):
        if group.is_main_process:
            raise
        # The first process reports the error. Torchrun kills it as soon as another one exits.
        time.sleep(HELPER_EXIT_DELAY)
        sys.exit(1)


def execute_as_helper(number: int) -> None:
    """Help to execute a run in a process that torchrun started besides the first."""
    from training.execution.attempt import HelperAttempt, Stopped, StopReason
    from training.execution.executor import execute_as_helper

    helping = HelperAttempt(Run.objects.get(pk=number))
    for each in STOP_SIGNALS:
        # During the training itself the first process decides when to stop.
        signal.signal(each, lambda *_: helping.stop(StopReason.CANCELLED))
    with suppress(Stopped):
        execute_as_helper(helping)
