"""`manage.py import PROJECT FILE…`: import data of any format that the field uses."""  # noqa: N999 - the name of the command

import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from labeling.imports import (
    DEFAULT_GENERATOR,
    DEFAULT_HELDOUT,
    IMPORT_AS,
    ImportOptions,
    ImportResult,
    Source,
    import_records,
)
from labeling.imports.summary import summarize
from labeling.models import Project
from training.formats.reader import AUTO, FORMATS, RecordReader, parse_columns, read_records
from training.formats.rows import FileProblem
from training.management.site_command import SiteCommand


class Command(SiteCommand):
    help = "Import prompts, samples and answers from files of other tools: all of them, or nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("project", help="The project's slug.")
        parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="Files or folders.")
        parser.add_argument(
            "--format",
            choices=(AUTO, *FORMATS),
            default=AUTO,
            help="Format of the files (default: auto, found from their columns).",
        )
        parser.add_argument(
            "--as",
            dest="import_as",
            choices=list(IMPORT_AS),
            default="auto",
            help="What to import: "
            + "; ".join(f"{name} ({what})" for name, what in IMPORT_AS.items())
            + " (default: auto).",
        )
        parser.add_argument(
            "--columns",
            default="",
            help="What columns are: prompt=question_text,chosen=selected; prompt= says that there is none.",
        )
        parser.add_argument("--annotator", default="", help="Column that names the annotator.")
        parser.add_argument("--encoding", default="", help="Encoding of the files (default: UTF-8).")
        parser.add_argument(
            "--split",
            choices=("train", "heldout"),
            default="",
            help="Split of all new prompts (default: as the files say, else by --heldout).",
        )
        parser.add_argument(
            "--heldout",
            type=float,
            default=DEFAULT_HELDOUT,
            help=f"Share of prompts held out where the files do not say (default: {DEFAULT_HELDOUT}).",
        )
        parser.add_argument(
            "--generator",
            default=DEFAULT_GENERATOR,
            help=f"Who wrote samples of which the files say nothing (default: {DEFAULT_GENERATOR}).",
        )
        parser.add_argument("--leave-out", action="store_true", help="Leave out rows with problems.")
        parser.add_argument(
            "--dry-run", action="store_true", help="Say what would be imported; store nothing."
        )
        parser.add_argument("--json", action="store_true", help="Print the result as JSON.")

    def handle(self, *, project: str, files: list[Path], **options: Any) -> None:
        found = Project.objects.filter(slug=project).first()
        if found is None:
            raise CommandError(f"there is no project “{project}”; create it on the site first.")
        if not 0 <= options["heldout"] < 1:
            raise CommandError(f"heldout: {options['heldout']} is not a share of at least 0 and below 1.")
        readers = [(file, self._open(file, options)) for file in files]
        show = not options["json"]
        if show:
            for file, reader in readers:
                self._describe(file, reader)
        result = import_records(
            found,
            [Source(reader, reader.format or "import", str(file)) for file, reader in readers],
            options=ImportOptions(
                import_as=options["import_as"],
                generator=options["generator"],
                heldout=options["heldout"],
                split=options["split"],
                leave_out=options["leave_out"],
                dry_run=options["dry_run"],
            ),
            author=None,
            progress=self._show_progress if show and sys.stderr.isatty() else None,
        )
        self._report(found, result, readers, options)

    def _open(self, file: Path, options: dict[str, Any]) -> RecordReader:
        try:
            columns = parse_columns(options["columns"])
            if options["annotator"]:
                columns["annotator"] = options["annotator"]
            return read_records(file, format=options["format"], columns=columns, encoding=options["encoding"])
        except FileProblem as error:
            raise CommandError(f"{file}: {error}") from None

    def _describe(self, file: Path, reader: RecordReader) -> None:
        self.stdout.write(f"{file}: {reader.container}, {reader.format or 'unknown'} ({reader.shape})")
        for column, role in reader.columns_used.items():
            self.stdout.write(f"  {column}: {role}")
        if reader.columns_left_out:
            self.stdout.write(f"  left out: {', '.join(reader.columns_left_out)}")

    def _show_progress(self, rows: int) -> None:
        self.stderr.write(f"\r{rows:,} rows", ending="")

    def _report(
        self,
        project: Project,
        result: ImportResult,
        readers: list[tuple[Path, RecordReader]],
        options: dict[str, Any],
    ) -> None:
        if options["json"]:
            files = [
                {"file": str(file), "format": reader.format, "container": reader.container,
                 "columns": reader.columns_used, "left_out": reader.columns_left_out}
                for file, reader in readers
            ]  # fmt: skip
            self.stdout.write(json.dumps({**result.as_json(), "files": files}, ensure_ascii=False))
        else:
            for line in summarize(result, dry_run=options["dry_run"]):
                self.stdout.write(line)
        if result.problem_count and not options["leave_out"]:
            raise CommandError(
                f"{result.problem_count:,} rows of {result.rows:,} cannot be imported into {project.slug}; "
                "nothing was imported. Correct them, or leave them out with --leave-out."
            )
