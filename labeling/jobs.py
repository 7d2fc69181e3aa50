"""The worker's jobs of the labelling side: imports, each in a process of its own, as large as its file needs.

The `name` of a task is stored with queued jobs: it must not change.
"""

import asyncio
import sys

from django.conf import settings
from procrastinate.contrib.django import app

from labeling.imports.background import EXECUTE_TASK, QUEUE


@app.task(name=EXECUTE_TASK, queue=QUEUE)
async def execute_import(import_id: int) -> None:
    """Import one upload in a child process, and wait for it."""
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(settings.BASE_DIR / "manage.py"),
        "execute_import",
        str(import_id),
        stdin=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        await child.wait()
    except asyncio.CancelledError:
        child.kill()  # its transaction is rolled back: nothing stays behind
        await child.wait()
        raise
