"""Carrying an upload's import out: within a request if it is small, else by a worker, with progress."""

import threading
from collections.abc import Callable

from django.db import connections, transaction
from procrastinate.contrib.django import app

from labeling.imports.engine import ImportBusy, import_records
from labeling.imports.options import ImportResult, Source
from labeling.imports.uploads import import_options, open_upload
from labeling.models import DataImport
from training.formats.rows import FileProblem

EXECUTE_TASK = "labeling.jobs.execute_import"
QUEUE = "imports"
REPORT_SECONDS = 0.5

State = DataImport.State


class Cancelled(Exception):  # noqa: N818 - what happened, not a mistake
    """The import is to stop, and to leave nothing behind."""


def start(data_import: DataImport) -> None:
    """Queue an import for a worker; without effect if it was started already."""
    with transaction.atomic():
        waiting = DataImport.objects.filter(pk=data_import.pk, state=State.PREVIEWED, cancel_requested=False)
        if waiting.update(state=State.QUEUED, result=None, rows=0, progress=None):
            app.configure_task(EXECUTE_TASK, queue=QUEUE).defer(import_id=data_import.pk)
    data_import.refresh_from_db()


def run_now(data_import: DataImport) -> None:
    """Carry a small import out in this process; without effect if it was started already."""
    waiting = DataImport.objects.filter(pk=data_import.pk, state=State.PREVIEWED, cancel_requested=False)
    if waiting.update(state=State.QUEUED, result=None):
        execute(data_import.pk, wait=False)
    data_import.refresh_from_db()


def execute(pk: int, *, wait: bool = True) -> None:
    """Carry a queued import out. Its end is recorded in the same transaction as what it stores.

    Rows with problems send it back to its preview, where they can be left out. Raises ImportBusy if it is not
    to `wait` for another import into the project.
    """
    data_import = DataImport.objects.select_related("project", "author").get(pk=pk)
    if not data_import.begin():
        return
    reporter = Reporter(data_import)
    try:
        with transaction.atomic():
            result = _import(data_import, reporter, in_background=wait)
            reporter.stop()
            if result.problem_count and not data_import.options.get("leave_out"):
                raise _Problems(result)
            if not data_import.finish(State.DONE, result=result.as_json()):
                raise Cancelled
    except _Problems as problems:
        _back_to_preview(data_import, problems.result)
    except ImportBusy:
        _back_to_preview(data_import, None)
        raise
    except Cancelled:
        data_import.finish(State.CANCELLED)
    except FileProblem as problem:
        data_import.finish(State.FAILED, error=str(problem))
    except Exception:
        reporter.stop()
        data_import.finish(State.FAILED, error="Something went wrong; the log of the worker says what.")
        raise
    finally:
        reporter.stop()


class _Problems(Exception):  # noqa: N818
    def __init__(self, result: ImportResult) -> None:
        self.result = result


def _import(data_import: DataImport, reporter: "Reporter", *, in_background: bool) -> ImportResult:
    with open_upload(data_import) as (reader, share_read):
        if in_background:
            reporter.start(share_read)
        return import_records(
            data_import.project,
            [Source(reader, reader.format or "import")],
            options=import_options(data_import),
            author=data_import.author,
            progress=reporter.note,
            wait=in_background,
        )


def _back_to_preview(data_import: DataImport, result: ImportResult | None) -> None:
    running = DataImport.objects.filter(pk=data_import.pk, state=State.RUNNING)
    running.update(state=State.PREVIEWED, result=result and result.as_json())


class Reporter:
    """Reports progress from a thread with a connection of its own, past the transaction of the import."""

    def __init__(self, data_import: DataImport) -> None:
        self.data_import = data_import
        self.rows = 0
        self.is_cancelled = False
        self._share_read: Callable[[], float] = lambda: 0.0
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, share_read: Callable[[], float]) -> None:
        """Begin to report; `share_read` says how much of the file was read."""
        self._share_read = share_read
        self._thread = threading.Thread(target=self._report, name="import progress", daemon=True)
        self._thread.start()

    def note(self, rows: int) -> None:
        """Remember how many rows were read; raises Cancelled once the import is to stop."""
        self.rows = rows
        if self.is_cancelled:
            raise Cancelled

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _report(self) -> None:
        try:
            while not self._stopped.wait(REPORT_SECONDS):
                if not self.data_import.report(rows=self.rows, progress=self._share_read()):
                    self.is_cancelled = True
                    return
        finally:
            connections.close_all()
