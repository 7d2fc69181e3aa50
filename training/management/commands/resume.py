"""`manage.py resume ID`: go on with a run that was paused, cancelled or failed, from the state it saved."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from training import runs
from training.management.run_command import carry_out, permit
from training.management.site_command import SiteCommand
from training.models import Run


class Command(SiteCommand):
    help = "Go on with a run that was paused, was cancelled or failed, from the state it saved."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int, help="The run's number, as its page and commands show it.")
        parser.add_argument(
            "--detach", action="store_true", help="Queue the run for a worker instead of executing it here."
        )

    def handle(self, *, run: int, detach: bool, **options: Any) -> None:  # noqa: ARG002
        carry_out(lambda: resumed(run, detach=detach), self.stdout)


def resumed(number: int, *, detach: bool) -> Run:
    """The run of this number, queued to go on from its state; CommandError if it cannot."""
    # A run whose process was killed may not have been found yet.
    runs.mend()
    run = Run.objects.filter(pk=number).first()
    if run is None:
        raise CommandError(f"there is no run {number}.")
    permit(run.kind, detach=detach)
    if run.is_resumable and run.saved_step is not None and not detach and not run.folder.is_dir():
        raise CommandError(f"{run.folder}: the state of {run} is not here; resume it where it ran.")
    try:
        runs.resume(run, detached=detach)
    except runs.NotResumable as error:
        raise CommandError(str(error)) from None
    return run
