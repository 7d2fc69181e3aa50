"""`manage.py resume ID`: go on with a run that was cancelled or failed, from the state it saved."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from training import runs
from training.management.run_command import describe, execute_here, queued
from training.models import Run


class Command(BaseCommand):
    help = "Go on with a run that was cancelled or failed, from the state it saved."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int, help="The run's number, as its page and commands show it.")
        parser.add_argument(
            "--detach", action="store_true", help="Queue the run for a worker instead of executing it here."
        )

    def handle(self, *, run: int, detach: bool, **options: Any) -> None:  # noqa: ARG002
        # A run whose process was killed may not have been found yet.
        runs.mend()
        row = Run.objects.filter(pk=run).first()
        if row is None:
            raise CommandError(f"there is no run {run}.")
        if row.is_resumable and not detach and not row.folder.is_dir():
            raise CommandError(f"{row.folder}: the state of {row} is not here; resume it where it ran.")
        try:
            runs.resume(row, detached=detach)
        except runs.NotResumable as error:
            raise CommandError(str(error)) from None
        self.stdout.write(queued(row) if detach else describe(execute_here(row)))
