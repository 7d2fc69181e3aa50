"""`manage.py add_prompts PROJECT --file FILE`: add prompts to a project, optionally cut to a few words."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from labeling.models import Project
from training.gpt.errors import InputError
from training.management.options import add_file_options
from training.management.site_command import SiteCommand
from training.project_setup import fill_project, read_prompts


class Command(SiteCommand):
    help = "Add prompts or conversations to a project from a file of any format."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="The project's slug.")
        parser.add_argument(
            "--file",
            type=Path,
            required=True,
            help="The prompts: one a line, or in any format of docs/formats.md.",
        )
        add_file_options(parser)
        parser.add_argument(
            "--words",
            type=int,
            default=0,
            help="Cut each line to its first words (default: 0, the whole line).",
        )
        parser.add_argument(
            "--heldout",
            type=float,
            default=0.2,
            help="Share held out for evaluation, of prompts without a split in the file (default: 0.2).",
        )

    def handle(
        self,
        *,
        project: str,
        file: Path,
        encoding: str,
        columns: str,
        words: int,
        heldout: float,
        **options: Any,
    ) -> None:
        found = Project.objects.filter(slug=project).first()
        if found is None:
            raise CommandError(f"there is no project “{project}”; create it on the site first.")
        try:
            prompts = read_prompts(
                file, encoding=encoding, words=words, format=options["format"], columns=columns
            )
            added = fill_project(found, prompts, heldout=heldout)
        except InputError as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{added} prompts added to {found.slug}, {len(prompts) - added} already existed.")
