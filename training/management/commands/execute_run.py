"""`manage.py execute_run ID`: the worker's child process. Stops when its standard input is closed."""

import os
import signal
import sys
import threading
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from training.models import Run


class Command(BaseCommand):
    help = "Execute one queued run. Used by the worker; to start a run, use the command of its kind."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int)

    def handle(self, *, run: int, **options: Any) -> None:  # noqa: ARG002
        row = Run.objects.filter(pk=run).first()
        if row is None:
            raise CommandError(f"there is no run {run}.")
        from training.execution.attempt import Attempt, StopReason
        from training.execution.executor import execute

        attempts: list[Attempt] = []
        orphaned = threading.Event()

        def stop() -> None:
            orphaned.set()
            for attempt in attempts:
                attempt.stop(StopReason.INTERRUPTED)

        def begun(attempt: Attempt) -> None:
            attempts.append(attempt)
            if orphaned.is_set():
                stop()

        def watch() -> None:
            # Nothing is ever written to this pipe: a read returns when the worker, its only writer, is gone.
            while os.read(sys.stdin.fileno(), 1024):
                pass
            stop()

        def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            stop()

        signal.signal(signal.SIGTERM, on_signal)
        signal.signal(signal.SIGINT, on_signal)
        threading.Thread(target=watch, name="worker-alive", daemon=True).start()
        execute(row, on_attempt=begun)
