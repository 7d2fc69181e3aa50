"""Uploaded files: stored, previewed, and opened for an import. See `labeling.models.DataImport`."""

import io
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, BinaryIO, cast
from uuid import uuid4

from django.contrib.auth.models import User
from django.core.files.base import ContentFile, File
from django.core.files.storage import storages

from labeling.imports.engine import import_records
from labeling.imports.options import DEFAULT_GENERATOR, DEFAULT_HELDOUT, ImportOptions, ImportResult, Source
from labeling.models import DataImport, Project
from labeling.models.imports import STORAGE
from training.formats.containers import Part, read_parts
from training.formats.encodings import EncodingUnknown
from training.formats.reader import RecordReader, read_records
from training.formats.records import Record
from training.formats.rows import FileProblem, Problem

MAX_UPLOAD_BYTES = 2 * 2**30
"""Larger files are imported with `manage.py import`."""
PREVIEWED_ROWS = 1000
"""Rows that are looked at; a file without more is imported within the request."""
PREVIEWED_CHARACTERS = 4_000_000
SHOWN_ROWS = 8
MAX_COLUMNS = 60


@dataclass(kw_only=True)
class Preview:
    """The beginning of an upload, and what an import would make of it."""

    format: str = ""
    shape: str = ""
    container: str = ""
    columns: list[tuple[str, str, str]] = field(default_factory=list)
    """Name, what it is taken for (empty: left out), and an example."""
    shown: list[Record] = field(default_factory=list)
    result: ImportResult | None = None
    is_whole: bool = True
    """Whether these are all rows."""
    problem: str = ""
    """Why the file cannot be read as it is."""
    encoding: str = ""
    """The encoding that the text seems to have, if it is to be confirmed."""

    @property
    def can_start(self) -> bool:
        """Whether there is something to import, and nothing in the way."""
        if self.problem or self.result is None:
            return False
        return not self.is_whole or not self.result.is_empty


def store_upload(
    project: Project,
    *,
    author: User,
    file: File | None = None,
    text: str = "",
    options: Mapping[str, Any] | None = None,
    idempotency_key: str = "",
) -> DataImport:
    """Keep an uploaded file, or a pasted text, until it is imported or forgotten.

    It lies under a name of ours: the name of the file is only shown.
    """
    DataImport.tidy()
    content = file or ContentFile(text.encode())
    name = (file.name or "file").rpartition("/")[2][-200:] if file else ""
    stored = storages[STORAGE].save(f"imports/{uuid4().hex}", content)
    return DataImport.objects.create(
        project=project,
        author=author,
        file_name=name.replace("\x00", ""),
        stored=stored,
        size=content.size,
        options=dict(options or {}),
        idempotency_key=idempotency_key,
    )


def import_options(data_import: DataImport, **changes: Any) -> ImportOptions:
    """The options of an upload that concern the project."""
    given = data_import.options
    return ImportOptions(
        import_as=given.get("import_as") or "auto",
        generator=given.get("generator") or DEFAULT_GENERATOR,
        heldout=given.get("heldout", DEFAULT_HELDOUT),
        split=given.get("split") or "",
        leave_out=bool(given.get("leave_out")),
        dry_run=bool(given.get("dry_run")),
        **changes,
    )


class _CountedFile(io.RawIOBase):
    """A file that counts the bytes that were read of it."""

    def __init__(self, file: Any) -> None:
        self.file, self.count = file, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self.file.seekable())

    def readinto(self, buffer: Any) -> int:
        data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self.file.seek(offset, whence))

    def tell(self) -> int:
        return int(self.file.tell())


@contextmanager
def open_upload(
    data_import: DataImport, *, encoding: str = ""
) -> Iterator[tuple[RecordReader, Callable[[], float]]]:
    """The reader of an upload, and how much of it was read, from 0 to 1. Raises FileProblem."""
    given = data_import.options
    with storages[STORAGE].open(data_import.stored) as stored:
        counted = _CountedFile(stored)
        reader = read_records(
            cast(BinaryIO, io.BufferedReader(counted)),
            name=data_import.file_name,
            format=given.get("format") or "auto",
            columns=given.get("columns") or {},
            encoding=encoding or given.get("encoding") or "",
            paragraphs=given.get("paragraphs") or "lines",
        )
        with closing(reader):
            yield reader, lambda: min(counted.count / max(data_import.size, 1), 1.0)


def preview(data_import: DataImport) -> Preview:
    """Read the beginning of an upload, and work out what an import would make of it. Nothing is stored.

    Raises ImportBusy while another import into the project is running.
    """
    found = Preview()
    try:
        try:
            return _preview(data_import, found)
        except EncodingUnknown as problem:
            found.problem, found.encoding = f"{str(problem)[0].upper()}{str(problem)[1:]}", problem.guess
            return _preview(data_import, found, encoding=problem.guess)
    except FileProblem as problem:
        found.problem = f"{str(problem)[0].upper()}{str(problem)[1:]}"
        found.columns = [(name, "", example) for name, example in _columns(data_import).items()]
        return found


def _preview(data_import: DataImport, found: Preview, *, encoding: str = "") -> Preview:
    with open_upload(data_import, encoding=encoding) as (reader, _):
        rows, found.is_whole = _first(reader)
    if not rows:
        raise FileProblem("this file is empty.")
    found.format, found.shape, found.container = reader.format, reader.shape, reader.container
    examples = _columns(data_import, encoding=encoding)
    names = [*reader.columns_used, *reader.columns_left_out]
    names += [name for name in examples if name not in names]
    found.columns = [(name, reader.columns_used.get(name, ""), examples.get(name, "")) for name in names]
    found.shown = [row for row in rows if isinstance(row, Record)][:SHOWN_ROWS]
    options = import_options(data_import, is_beginning=not found.is_whole)
    found.result = import_records(
        data_import.project,
        [Source(rows, reader.format or "import")],
        options=replace(options, dry_run=True),
        author=None,
        wait=False,
    )
    return found


def _first(reader: Iterable[Record | Problem]) -> tuple[list[Record | Problem], bool]:
    """The first rows, and whether there are no others."""
    rows: list[Record | Problem] = []
    characters = 0
    for row in reader:
        if len(rows) == PREVIEWED_ROWS or characters > PREVIEWED_CHARACTERS:
            return rows, False
        rows.append(row)
        if isinstance(row, Record):
            characters += len(row.prompt.text) + sum(len(sample.text) for sample in row.samples)
    return rows, True


def _columns(data_import: DataImport, *, encoding: str = "") -> dict[str, str]:
    """The names of the columns in the first rows, each with an example."""
    found: dict[str, str] = {}
    try:
        with storages[STORAGE].open(data_import.stored) as stored:
            parts: Generator[Part] = read_parts(  # type: ignore[assignment]
                cast(BinaryIO, io.BufferedReader(_CountedFile(stored))),
                name=data_import.file_name,
                is_known=lambda _: True,
                encoding=encoding or data_import.options.get("encoding") or "",
            )
            with closing(parts):
                for part in parts:
                    for row in islice(part.rows, 20):
                        for name, value in () if isinstance(row, Problem) else row.values.items():
                            if value is not None and not found.get(name):
                                found[name] = str(value)[:120]
                    break
    except FileProblem:
        pass
    return dict(islice(found.items(), MAX_COLUMNS))
