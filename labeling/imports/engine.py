"""Importing records into a project: all of them or none, in one transaction and constant memory."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from django.contrib.auth.models import User
from django.db import connection, reset_queries, transaction

from labeling.imports.ahead import read_ahead
from labeling.imports.bulk import copy_rows, fetch
from labeling.imports.moved_answers import MovedAnswer, MovedAnswerStore
from labeling.imports.options import ImportOptions, ImportResult, Source
from labeling.imports.planning import PlannedRow, Planner
from labeling.imports.store import Store
from labeling.models import Cursor, Project
from training.formats.answers import FORMAT as ANSWERS
from training.formats.records import Record, RecordSample
from training.formats.rows import Problem, problem_of

BATCH_ROWS = 2000
BATCH_CHARACTERS = 4_000_000
"""A batch ends after this many rows, or once its texts are this long."""
MAX_BATCH_READ = 10_000
"""A batch ends too when this many rows were read, however many of them had problems."""
_LOCK_SPACE = 7_204_614
"""Arbitrary, but different from other advisory locks on the same database."""

_MAKE_WAITING = """
CREATE TEMPORARY TABLE IF NOT EXISTS import_waiting
    (file text, row bigint, prompt bigint, generator text, text text) ON COMMIT DROP
"""
_READ_WAITING = """
SELECT w.prompt, w.file, w.row, w.generator, w.text, EXISTS (
    SELECT FROM labeling_sample s WHERE s.prompt_id = w.prompt AND s.text = w.text
) FROM import_waiting w ORDER BY min(w.row) OVER (PARTITION BY w.prompt), w.prompt, w.row
"""


class ImportBusy(Exception):  # noqa: N818 - what happened, not a mistake
    """Another import into the same project is running."""


def import_records(
    project: Project,
    sources: Iterable[Source],
    *,
    options: ImportOptions,
    author: User | None,
    progress: Callable[[int], None] | None = None,
    wait: bool = True,
) -> ImportResult:
    """Import the records of one or more files into a project, and say what is new.

    All is stored or nothing: nothing after a dry run, or if any row has a problem and `options.leave_out` is
    not set. What is there already is left as it is: a prompt by its text, a task by its prompt and the texts
    of its samples, an answer by its task and annotator. `progress` is called with the number of rows read,
    and stops the import by raising an exception. Raises ImportBusy while another import into the project is
    running, unless it is to `wait` for it.
    """
    result = ImportResult()
    with transaction.atomic():
        _lock(project, wait=wait)
        with connection.cursor() as cursor:
            # Foreign keys are checked batch by batch, rather than all at the end, from memory.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute(_MAKE_WAITING)
            cursor.execute("DELETE FROM import_waiting")
        planner = Planner(project, options)
        store = Store(project, options, result, author=author)
        for source in sources:
            store.source = source.format
            if source.format == ANSWERS and options.import_as in {"auto", "answers"}:
                _add_moved_answers(project, source, options, result, author=author, progress=progress)
                continue
            for batch, rows in read_ahead(_batches(planner, source, result)):
                if progress is not None:
                    progress(rows)
                if result.problem_count and not options.leave_out and not options.dry_run:
                    continue  # nothing will be stored: only the other problems are of interest
                _set_aside(store.add(batch), source.name)
                reset_queries()  # with DEBUG, Django keeps every statement, and these hold whole texts
        _add_waiting(planner, store, result)
        if store.has_open_tasks:
            Cursor.objects.rewind(project, priority=0)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        result.rounded = planner.rounding.count
        result.stored = not options.dry_run and (options.leave_out or not result.problem_count)
        if not result.stored:
            transaction.set_rollback(True)
    return result


def _add_moved_answers(
    project: Project,
    source: Source,
    options: ImportOptions,
    result: ImportResult,
    *,
    author: User | None,
    progress: Callable[[int], None] | None,
) -> None:
    """Store the answers that another site exported, with all that is known of them."""
    store = MovedAnswerStore(project, options, result, author)
    batch: list[MovedAnswer] = []
    for record in source.records:
        result.rows += 1
        if isinstance(record, Record):
            try:
                batch.append(store.plan(record))
            except ValueError as error:
                result.add_problem(problem_of(record.row, str(error)), file=source.name)
        else:
            result.add_problem(record, file=source.name)
        if len(batch) >= BATCH_ROWS:
            store.add(batch)
            batch = []
        if progress is not None and result.rows % BATCH_ROWS == 0:
            progress(result.rows)
    store.add(batch)


def _lock(project: Project, *, wait: bool) -> None:
    """One import into a project at a time, without holding anything that people wait for."""
    if wait:
        fetch("SELECT pg_advisory_xact_lock(%s, %s)", [_LOCK_SPACE, project.pk])
    elif not fetch("SELECT pg_try_advisory_xact_lock(%s, %s)", [_LOCK_SPACE, project.pk])[0][0]:
        raise ImportBusy("Another import into this project is running: wait until it has ended.")


def _batches(
    planner: Planner, source: Source, result: ImportResult
) -> Iterator[tuple[list[PlannedRow], int]]:
    """The planned rows, in batches, and how many rows were read; problems are added to the result."""
    batch: list[PlannedRow] = []
    characters = 0
    for record in source.records:
        result.rows += 1
        if isinstance(record, Record):
            try:
                planned = planner.plan(record)
            except ValueError as error:
                result.add_problem(problem_of(record.row, str(error)), file=source.name)
            else:
                batch.append(planned)
                characters += len(planned.prompt.text) + sum(
                    len(sample.text) for task in planned.tasks for sample in task.samples
                )
        else:
            result.add_problem(record, file=source.name)
        if len(batch) >= BATCH_ROWS or characters >= BATCH_CHARACTERS or result.rows % MAX_BATCH_READ == 0:
            yield batch, result.rows
            batch, characters = [], 0
    yield batch, result.rows


# -- Rows with a single sample ----------------------------------------------------------------------------


def _set_aside(singles: Sequence[tuple[PlannedRow, int]], file: str) -> None:
    """Keep single samples until all of their prompt are there; in the database, for there may be many."""
    rows = (
        (file, row.row, prompt, row.single.generator, row.single.text)
        for row, prompt in singles
        if row.single
    )
    if singles:
        copy_rows("import_waiting", ("file", "row", "prompt", "generator", "text"), rows)


def _add_waiting(planner: Planner, store: Store, result: ImportResult) -> None:
    """Make tasks of single samples, prompt by prompt; texts that repeat are shown once."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM import_waiting")
        if not cursor.fetchone()[0]:
            return
        cursor.execute(f"DECLARE import_samples NO SCROLL CURSOR FOR {_READ_WAITING}")
        for prompt, group in groupby(_fetch_all("import_samples"), key=lambda row: row[0]):
            samples: dict[str, RecordSample] = {}
            rows, are_known = [], True
            for _, file, row, generator, text, is_known in group:
                rows.append((file, row))
                are_known &= is_known
                samples.setdefault(text, RecordSample(text=text, generator=generator))
            if are_known:
                result.known += len(rows)
                continue
            try:
                tasks = list(planner.divide(list(samples.values())))
            except ValueError as error:
                if planner.options.is_beginning:
                    continue
                file, row = rows[0]
                result.add_problem(Problem(row, str(error)), file=file)
                continue
            store.add_tasks(prompt, tasks)
            result.known += len(rows) - len(samples)
        cursor.execute("CLOSE import_samples")


def _fetch_all(name: str) -> Iterator[tuple[int, str, int, str, str, bool]]:
    while rows := fetch(f"FETCH {BATCH_ROWS} FROM {name}", []):
        yield from rows
