"""The worker's jobs. Runs are executed by child processes, so that the worker stays small and free of torch.

A child's standard input is a pipe that only the worker holds open. When the worker dies for any reason, the
kernel closes the pipe, and the child stops.

The `name` of a task is stored with queued jobs: it must not change.
"""

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Callable

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections
from procrastinate import JobContext, RetryStrategy
from procrastinate.contrib.django import app
from procrastinate.jobs import Status

from labeling.models import DataImport
from training import artifacts, notifications, rounds, runs
from training.models import LogLine, Run
from training.registry import gates

logger = logging.getLogger(__name__)

GRACE_PERIOD = 20.0
"""Seconds that a child process gets to end its run when the worker is stopped."""

STALLED_AFTER = 15.0
"""Seconds without a heartbeat after which a worker is considered dead."""

MAX_STDERR_LINES = 40
"""Lines of a crashed child's standard error that are kept in the log of its run."""

UPKEEP: tuple[Callable[[], object], ...] = (
    runs.recover_dead_runs,
    rounds.advance_all,
    gates.close_decided,
    notifications.queue_due_notifications,
    DataImport.tidy,
)
"""Executed every few seconds. Each is idempotent, and cheap if there is nothing to do."""


@app.task(name=runs.EXECUTE_TASK, queue=runs.QUEUE)
async def execute(run_id: int) -> None:
    """Execute one run in a child process, and wait for it."""
    if not await Run.objects.filter(pk=run_id, status=Run.Status.QUEUED).aexists():
        return
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(settings.BASE_DIR / "manage.py"),
        "execute_run",
        str(run_id),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # The worker handles a Ctrl-C in the terminal: it closes the child's standard input.
        start_new_session=True,
    )
    assert child.stderr is not None
    last_lines: deque[str] = deque(maxlen=MAX_STDERR_LINES)
    forwarding = asyncio.create_task(forward_stderr(child.stderr, last_lines))
    try:
        code = await child.wait()
        # With a timeout: a process that the child left behind may keep its end of the pipe open.
        await asyncio.wait({forwarding}, timeout=1.0)
    except asyncio.CancelledError:
        assert child.stdin is not None
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), GRACE_PERIOD)
        except TimeoutError:
            child.kill()
            await child.wait()
        raise
    if code:
        await sync_to_async(record_crash)(run_id, code, "".join(last_lines).strip())


async def forward_stderr(stream: asyncio.StreamReader, last_lines: deque[str]) -> None:
    """Forward a child's standard error to the worker's, and keep the last lines."""
    while line := await read_line(stream):
        text = line.decode(errors="replace")
        last_lines.append(text)
        sys.stderr.write(text)


async def read_line(stream: asyncio.StreamReader) -> bytes:
    """The next line, or a part of one longer than the stream's buffer; empty at the end."""
    try:
        return await stream.readuntil()
    except asyncio.IncompleteReadError as end:
        return end.partial
    except asyncio.LimitOverrunError as overrun:
        return await stream.readexactly(overrun.consumed)


def record_crash(run_id: int, code: int, stderr: str) -> None:
    """Log the standard error of a crashed child, and mark its run as failed if it is still running."""
    run = Run.objects.filter(pk=run_id, status__in=(Run.Status.RUNNING, Run.Status.QUEUED)).first()
    if run is None:
        return
    newest = run.log.order_by("-pk").first()
    # A child that cannot even start is started again and again: log each message once.
    if stderr and (newest is None or newest.text != stderr):
        run.log.create(attempt=max(run.attempts, 1), level=LogLine.Level.ERROR, text=stderr)
    if run.status == Run.Status.RUNNING:
        how = f"was killed by signal {-code}" if code < 0 else f"exited with status {code}"
        hint = "; if the machine ran out of memory, try a smaller batch or model" if code == -9 else ""
        if run.finish(Run.Status.FAILED, error=f"The process of this run {how}{hint}."):
            artifacts.collect_unpublished(run)


@app.periodic(cron="* * * * * */5")
@app.task(name="training.jobs.run_upkeep", queue="upkeep", pass_context=True)
async def run_upkeep(context: JobContext, timestamp: int) -> None:  # noqa: ARG001
    """Every few seconds: clean up after dead workers, advance rounds, close gates, send notifications."""
    manager = context.app.job_manager
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER):
        # The run's row decides what happens next; no worker is left to finish this job.
        await manager.finish_job(job, status=Status.ABORTED, delete_job=True)
    for task in UPKEEP:
        await sync_to_async(run_upkeep_task)(task)


def run_upkeep_task(task: Callable[[], object]) -> None:
    """Run one upkeep task. A failure is logged and does not stop the others."""
    close_old_connections()  # like a request: drop connections that died with the database server
    try:
        task()
    except Exception:
        logger.exception("%s.%s failed", task.__module__, task.__name__)


@app.task(
    name=notifications.SEND_TASK,
    queue=notifications.QUEUE,
    retry=RetryStrategy(max_attempts=7, exponential_wait=4),
)
async def send_notification(run_id: int, channel: str, ended: str) -> None:
    """Send the notification of a run's end over one channel; retried after 4, 16, 64, … seconds."""
    notification = await sync_to_async(notifications.compose)(run_id, ended=ended)
    if notification is None:
        return
    try:
        # Not in the database thread: upkeep must not wait for a slow server.
        await asyncio.to_thread(notifications.deliver, notification, notifications.Channel(channel))
    except notifications.DeliveryError as error:
        await sync_to_async(notifications.log_failure)(run_id, str(error))
        raise
