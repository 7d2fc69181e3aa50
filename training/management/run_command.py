"""What the commands that start runs share: options from the form, execution here or in a worker."""

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
from training.management.options import add_options, given, valid
from training.management.site_command import SiteCommand
from training.models import Run
from training.reports import evaluation_report, reward_report, task_priorities, tuning_report
from training.reports.charts import figures

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LAST_WORDS = 3.0


class RunCommand(SiteCommand):
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

        def make() -> Run:
            permit(self.kind, detach=detach)
            return runs.start(valid(form), detached=detach)

        carry_out(make, self.stdout)


def carry_out(make: Callable[[], Run], out: OutputWrapper) -> None:
    """Make a run, execute it here unless it is detached, and say what came of it.

    Under torchrun the first process does that, and the others help it. Raises CommandError, in one line, for
    bad input and for a run that failed or was cancelled.
    """
    if several_processes():
        carry_out_together(make, out)
        return
    run = make()
    if run.detached:
        out.write(f"{run} is queued; watch it at {run.get_absolute_url()}")
    else:
        out.write(describe(execute_here(run)))


def perform(form: RunForm) -> Run:
    """Start and execute a run in this process, with a progress bar in a terminal; errors as `carry_out`."""
    if several_processes():
        raise CommandError("this command works in one process: leave out torchrun.")
    return execute_here(runs.start(valid(form), detached=False))


def execute_here(run: Run) -> Run:
    """Execute a run that waits for this process; errors as `carry_out`.

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


def describe(run: Run) -> str:
    """A run's result for a person: what it made, and its figures."""
    made = f" made {run.version.name}" if hasattr(run, "version") else ""
    lines = [f"{run}{made} in {run.seconds or 0:.0f} s"]
    lines += [f"  {name:<24} {value}" for name, value in figures(run.metrics)]
    lines += [
        *evaluation_report.lines(run),
        *reward_report.lines(run),
        *tuning_report.lines(run),
        *task_priorities.lines(run),
    ]
    lines += [f"  Note: {note}" for note in run.metrics.get("notes", [])]
    return "\n".join(lines)


def several_processes() -> bool:
    """Whether torchrun started this process, and others beside it."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


def permit(kind: str, *, detach: bool) -> None:
    """Refuse what several processes cannot do together."""
    if not several_processes():
        return
    if detach:
        raise CommandError(
            "--detach: a worker executes a run in one process; leave out --detach, or torchrun."
        )
    from training.execution.executor import can_be_shared

    if not can_be_shared(kind):
        raise CommandError(f"{Run.Kind(kind).label}: one process executes such a run; leave out torchrun.")


def carry_out_together(make: Callable[[], Run], out: OutputWrapper) -> None:
    """`carry_out` in each of the processes that torchrun started; only the first speaks."""
    import torch

    from training.gpt.distributed import processes
    from training.gpt.errors import InputError

    try:
        with processes() as group:
            if group.is_first:
                number = 0
                try:
                    run = make()
                    number = run.pk
                finally:
                    group.agreed(torch.tensor(number))
                out.write(describe(execute_here(run)))
            elif number := int(group.agreed(torch.tensor(0))):
                help_with(number)
    except (InputError, RuntimeError):
        if group.is_first:
            raise
        # The first process says what happened. When another fails, torchrun ends it: it needs time to say it.
        time.sleep(LAST_WORDS)
        sys.exit(1)


def help_with(number: int) -> None:
    """Do this process's share of a run that the first of several processes executes."""
    from training.execution.attempt import Helping, Stop, Stopped
    from training.execution.executor import help_execute

    helping = Helping(Run.objects.get(pk=number))
    for each in INTERRUPTS:
        # In the training itself it is the first process that says when to stop.
        signal.signal(each, lambda *_: helping.stop(Stop.CANCELLED))
    with suppress(Stopped):
        help_execute(helping)
