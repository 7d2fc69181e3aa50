"""The worker's jobs. A run is executed by a child process, so that the worker stays small and free of torch.

The child's standard input is a pipe that only the worker holds open: when the worker dies, however it dies,
the kernel closes it, and that is the child's cue to stop.
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

from training import notifications, rounds, runs
from training.models import LogLine, Run
from training.registry import gates

logger = logging.getLogger(__name__)

GRACE = 20.0
"""Seconds that a child gets to end its run when the worker is told to stop."""

STALLED = 15.0
"""Seconds without a heartbeat after which a worker is taken to be dead."""

LAST_WORDS = 40
"""Lines of a crashed child's standard error that its run's log keeps."""

UPKEEP: tuple[Callable[[], object], ...] = (
    runs.mend,
    rounds.advance_all,
    gates.close_decided,
    notifications.send_due,
)
"""What is done every few seconds. Each does little where there is nothing to do, and no harm done twice."""


@app.task(name=runs.EXECUTE, queue=runs.QUEUE)
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
        # A Ctrl-C in the terminal is the worker's to handle: the child learns of it by its input closing.
        start_new_session=True,
    )
    assert child.stderr is not None
    said: deque[str] = deque(maxlen=LAST_WORDS)
    listening = asyncio.create_task(listen(child.stderr, said))
    try:
        code = await child.wait()
        # Not for ever: a process that the child left behind may hold its end of the pipe.
        await asyncio.wait({listening}, timeout=1.0)
    except asyncio.CancelledError:
        assert child.stdin is not None
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), GRACE)
        except TimeoutError:
            child.kill()
            await child.wait()
        raise
    if code:
        await sync_to_async(bury)(run_id, code, "".join(said).strip())


async def listen(stream: asyncio.StreamReader, said: deque[str]) -> None:
    """Pass on what a child writes to its standard error, and remember the last of it."""
    while line := await read_line(stream):
        text = line.decode(errors="replace")
        said.append(text)
        sys.stderr.write(text)


async def read_line(stream: asyncio.StreamReader) -> bytes:
    """A line, or as much of an endless one as the stream holds; nothing at the end."""
    try:
        return await stream.readuntil()
    except asyncio.IncompleteReadError as end:
        return end.partial
    except asyncio.LimitOverrunError as overrun:
        return await stream.readexactly(overrun.consumed)


def bury(run_id: int, code: int, last_words: str) -> None:
    """Keep the last words of a child that crashed, and end its run if it could not do so itself."""
    run = Run.objects.filter(pk=run_id, status__in=(Run.Status.RUNNING, Run.Status.QUEUED)).first()
    if run is None:
        return
    newest = run.log.order_by("-pk").first()
    # A child that cannot even begin is started again and again: once said is enough.
    if last_words and (newest is None or newest.text != last_words):
        run.log.create(attempt=max(run.attempts, 1), level=LogLine.Level.ERROR, text=last_words)
    if run.status == Run.Status.RUNNING:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        hint = "; if the machine ran out of memory, try a smaller batch or model" if code == -9 else ""
        run.finish(Run.Status.FAILED, error=f"The process of this run {how}{hint}.")


@app.periodic(cron="* * * * * */5")
@app.task(name="training.jobs.mend", queue="upkeep", pass_context=True)
async def mend(context: JobContext, timestamp: int) -> None:  # noqa: ARG001
    """Every few seconds: mend the runs, and the queue's own rows, that a dead worker left behind."""
    manager = context.app.job_manager
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED):
        # The run's row decides what happens next; this job has nobody left to finish it.
        await manager.finish_job(job, status=Status.ABORTED, delete_job=True)
    for work in UPKEEP:
        await sync_to_async(do)(work)


def do(work: Callable[[], object]) -> None:
    """A piece of upkeep, whose failure stops no other."""
    close_old_connections()  # as a request does: one that died with its server is not asked again
    try:
        work()
    except Exception:
        logger.exception("%s.%s failed", work.__module__, work.__name__)


@app.task(
    name=notifications.SEND,
    queue=notifications.QUEUE,
    retry=RetryStrategy(max_attempts=7, exponential_wait=4),
)
async def send_notice(run_id: int, channel: str, ended: str) -> None:
    """Tell of the end of a run by one channel; tried again after 4, 16, 64, … seconds, for some hours."""
    notice = await sync_to_async(notifications.compose)(run_id, ended=ended)
    if notice is None:
        return
    try:
        # Beside the thread that talks to the database: nobody's upkeep waits for a slow server.
        await asyncio.to_thread(notifications.deliver, notice, notifications.Channel(channel))
    except notifications.NotSent as error:
        await sync_to_async(notifications.note_failure)(run_id, str(error))
        raise
