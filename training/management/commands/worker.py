"""`manage.py worker`: executes the runs that were queued."""

import asyncio
import contextlib
import signal
from argparse import ArgumentParser
from typing import Any

from django.db import Error as DatabaseError
from django.db import connections
from procrastinate.contrib.django import app
from procrastinate.contrib.django.django_connector import DjangoConnector

from training import notifications, runs
from training.jobs import STALLED
from training.management.site_command import SiteCommand


class Command(SiteCommand):
    help = "Execute queued runs, one after another, until stopped by Ctrl-C or SIGTERM."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--queue", default=runs.QUEUE, help="Queue of runs to take from (default: runs).")
        parser.add_argument("--concurrency", type=int, default=1, help="Runs executed at once (default: 1).")

    def handle(self, *, queue: str, concurrency: int, **options: Any) -> None:  # noqa: ARG002
        asyncio.run(self.work_until_stopped(queue=queue, concurrency=concurrency))

    async def work_until_stopped(self, *, queue: str, concurrency: int) -> None:
        """Work; when the database goes away, come back as soon as it does."""
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
                f"worker: lost the database ({work.exception() or 'connection closed'}); trying again"
            )
            await asyncio.sleep(1)

    async def work(self, *, queue: str, concurrency: int) -> None:
        """Run three workers: one for runs, one for upkeep, which must never wait behind a training, and one
        for notices, which wait for other people's servers."""
        common: dict[str, Any] = {
            "install_signal_handlers": False,
            "delete_jobs": "always",
            "update_heartbeat_interval": STALLED / 3,
            "stalled_worker_timeout": STALLED,
            "shutdown_graceful_timeout": 0.1,
        }
        await asyncio.to_thread(mend_with_a_fresh_connection)
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
                        for each in ("upkeep", notifications.QUEUE)
                    ),
                ]
                try:
                    # A worker that loses the database ends; the other must not go on alone.
                    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for task in tasks:
                        task.cancel()
                    await asyncio.gather(*tasks, return_exceptions=True)


def mend_with_a_fresh_connection() -> None:
    """Runs in a thread of its own, whose connection is closed after it."""
    try:
        runs.mend()
    except DatabaseError:
        pass  # Not there yet: the worker says so, and tries again.
    finally:
        connections.close_all()
