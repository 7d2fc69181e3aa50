"""`manage.py export PROJECT --format FORMAT --to FILE|FOLDER`: export a project's answers for other tools."""

from argparse import ArgumentParser, BooleanOptionalAction
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from labeling.exports.export import Export
from labeling.exports.folder import write_data_set, write_folder
from labeling.exports.formats import FORMATS
from labeling.exports.options import CHOICES, file_choices, parse_options
from labeling.models import Project
from training.formats.writer import CONTAINERS, container_of, write_file
from training.management.site_command import SiteCommand
from training.provenance.snapshot_versions import versions_by_snapshot

FORMAT_HELP = "; ".join(f"{each.name}: {each.description}" for each in FORMATS.values())


class Command(SiteCommand):
    help = "Export a project's answers as a file or folder for training or for another tool."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="The project's slug.")
        parser.add_argument(
            "--format",
            choices=CHOICES["format"],
            help=f"{FORMAT_HELP}. Default for a folder: a data set with preferences, answers and prompts.",
        )
        parser.add_argument(
            "--to",
            required=True,
            type=Path,
            help=f"A file (.{', .'.join(CONTAINERS)}), or a folder that is new or empty.",
        )
        parser.add_argument(
            "--messages",
            action=BooleanOptionalAction,
            help="Prompts and completions as lists of messages (default: if any prompt is a conversation).",
        )
        parser.add_argument(
            "--ties", choices=CHOICES["ties"], default="drop", help="Keep ties as rows (default: drop)."
        )
        parser.add_argument(
            "--aggregate",
            choices=CHOICES["aggregate"],
            default="none",
            help="The answers of all people to a task as one, by majority or weighted by reliability "
            "(default: none).",
        )
        parser.add_argument(
            "--split",
            choices=CHOICES["split"],
            help="Rows of these prompts (default: train; all in a folder, each split in a file of its own, "
            "and for other labelling tools).",
        )
        parser.add_argument("--snapshot", default="", help="Only the answers of this snapshot: its hash.")
        parser.add_argument(
            "--names",
            action="store_true",
            help="Annotators by name (default: --pseudonyms, numbers in place of names).",
        )
        parser.add_argument("--pseudonyms", action="store_false", dest="names", help="Annotators as numbers.")
        parser.add_argument(
            "--spreadsheet",
            action="store_true",
            help="CSV for a spreadsheet: cells that it would take for a formula get an apostrophe.",
        )

    def handle(self, *, project: str, to: Path, spreadsheet: bool, **options: Any) -> None:
        found = Project.objects.filter(slug=project).first()
        if found is None:
            slugs = ", ".join(Project.objects.order_by("slug").values_list("slug", flat=True)[:10])
            raise CommandError(f"there is no project “{project}”; there are: {slugs or 'none'}.")
        to = to.expanduser()
        try:
            if to.is_dir() or not to.suffix:
                exports = self._write_folder(found, to, options)
            else:
                exports = {to.name: self._write_file(found, to, options, spreadsheet=spreadsheet)}
        except ValueError as error:
            raise CommandError(str(error)) from None
        for name, export in exports.items():
            what = "row" if export.written == 1 else "rows"
            self.stdout.write(f"{name}: {export.written:,} {what} ({export.options.format.name})")
            for line in export.summary:
                self.stdout.write(f"  left out: {line}")
        self.stdout.write(f"Written to {to}")

    def _write_file(
        self, project: Project, to: Path, options: dict[str, Any], *, spreadsheet: bool
    ) -> Export:
        container = container_of(to)
        export = Export(project, parse_options(project, file_choices(options, container)))
        write_file(to, export.encode(container, spreadsheet=spreadsheet))
        return export

    def _write_folder(self, project: Project, to: Path, options: dict[str, Any]) -> dict[str, Export]:
        if options["format"]:
            return write_folder(project, parse_options(project, options), to)
        return write_data_set(project, options, to, versions=versions_by_snapshot(project))
