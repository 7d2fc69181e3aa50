"""`manage.py worker`: executes queued runs."""

import asyncio
import contextlib
import signal
from argparse import ArgumentParser
from typing import Any

from django.db import Error as DatabaseError
from django.db import connections
from procrastinate.contrib.django import app
from procrastinate.contrib.django.django_connector import DjangoConnector

from labeling.imports import background
from training import notifications, runs
from training.jobs import STALLED_AFTER
from training.management.site_command import SiteCommand


class Command(SiteCommand):
    help = "Execute queued runs until stopped by Ctrl-C or SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--queue", default=runs.QUEUE, help="Queue to take runs from (default: runs).")
        parser.add_argument(
            "--concurrency", type=int, default=1, help="Runs to execute at the same time (default: 1)."
        )

    def handle(self, *, queue: str, concurrency: int, **options: Any) -> None:  # noqa: ARG002
        asyncio.run(self.work_until_stopped(queue=queue, concurrency=concurrency))

    async def work_until_stopped(self, *, queue: str, concurrency: int) -> None:
        """Work until stopped; if the database connection is lost, retry until it is back."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        while not stop.is_set():
            work = asyncio.create_task(self.work(queue=queue, concurrency=concurrency))
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if stop.is_set():
                work.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await work
                return
            stopped.cancel()
            self.stderr.write(
                f"worker: lost the database ({work.exception() or 'connection closed'}); retrying"
            )
            await asyncio.sleep(1)

    async def work(self, *, queue: str, concurrency: int) -> None:
        """Run four workers: for runs; for upkeep and imports, which must not wait for a training; and for
        notifications, which wait for other servers."""
        common: dict[str, Any] = {
            "install_signal_handlers": False,
            "delete_jobs": "always",
            "update_heartbeat_interval": STALLED_AFTER / 3,
            "stalled_worker_timeout": STALLED_AFTER,
            "shutdown_graceful_timeout": 0.1,
        }
        await asyncio.to_thread(recover_dead_runs)
        connector = app.connector
        assert isinstance(connector, DjangoConnector)
        with app.replace_connector(connector.get_worker_connector()) as worker:
            async with worker.open_async():
                tasks = [
                    asyncio.create_task(
                        worker.run_worker_async(
                            queues=[queue], concurrency=concurrency, name="runs", **common
                        )
                    ),
                    *(
                        asyncio.create_task(
                            worker.run_worker_async(queues=[each], concurrency=1, name=each, **common)
                        )
                        for each in ("upkeep", notifications.QUEUE, background.QUEUE)
                    ),
                ]
                try:
                    # If one worker loses the database and ends, stop the others as well.
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)


def recover_dead_runs() -> None:
    """Recover dead runs in a thread, and close the thread's database connections."""
    try:
        runs.recover_dead_runs()
    except DatabaseError:
        pass  # the database is not up yet: the worker reports it and retries
    finally:
        connections.close_all()
