"""`manage.py execute_import ID`: what the worker starts for an upload. Not for people: see `import`."""

from argparse import ArgumentParser
from typing import Any

from labeling.imports import background
from training.management.site_command import SiteCommand


class Command(SiteCommand):
    help = "Import one queued upload; started by the worker."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("id", type=int, help="The upload's number.")

    def handle(self, *, id: int, **options: Any) -> None:  # noqa: A002, ARG002
        background.execute(id)
