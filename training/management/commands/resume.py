"""`manage.py resume ID`: resume a paused, cancelled or failed run from its saved state."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from training import runs
from training.management.run_command import check_processes, execute_or_queue
from training.management.site_command import SiteCommand
from training.models import Run


class Command(SiteCommand):
    help = "Resume a run that was paused, was cancelled or failed, from its saved state."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int, help="The run's number, as shown on its page and by commands.")
        parser.add_argument(
            "--detach", action="store_true", help="Queue the run for a worker instead of executing it here."
        )

    def handle(self, *, run: int, detach: bool, **options: Any) -> None:  # noqa: ARG002
        execute_or_queue(lambda: resume_run(run, detach=detach), self.stdout)


def resume_run(number: int, *, detach: bool) -> Run:
    """Queue the run of this number again. Raises CommandError if it cannot be resumed."""
    # A run whose process was killed may not have been detected yet.
    runs.recover_dead_runs()
    run = Run.objects.filter(pk=number).first()
    if run is None:
        raise CommandError(f"there is no run {number}.")
    check_processes(run.kind, detach=detach)
    if run.is_resumable and run.saved_step is not None and not detach and not run.folder.is_dir():
        raise CommandError(
            f"{run.folder}: the state of {run} is not on this machine; resume it where it ran."
        )
    try:
        runs.resume(run, detached=detach)
    except runs.NotResumable as error:
        raise CommandError(str(error)) from None
    return run
