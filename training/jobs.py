"""The worker's jobs. A run is executed by a child process, so that the worker stays small and free of torch.

The child's standard input is a pipe that only the worker holds open: when the worker dies, however it dies,
the kernel closes it, and that is the child's cue to stop.
"""

import asyncio
import sys

from asgiref.sync import sync_to_async
from django.conf import settings
from procrastinate import JobContext
from procrastinate.contrib.django import app
from procrastinate.jobs import Status

from training import runs
from training.models import Run

GRACE = 20.0
"""Seconds that a child gets to end its run when the worker is told to stop."""

STALLED = 15.0
"""Seconds without a heartbeat after which a worker is taken to be dead."""


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
        # A Ctrl-C in the terminal is the worker's to handle: the child learns of it by its input closing.
        start_new_session=True,
    )
    try:
        code = await child.wait()
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
        await sync_to_async(fail_if_left_running)(run_id, code)


def fail_if_left_running(run_id: int, code: int) -> None:
    """End a run whose child crashed and could not say so itself."""
    run = Run.objects.filter(pk=run_id, status=Run.Status.RUNNING).first()
    if run is not None:
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
    await sync_to_async(runs.mend)()
