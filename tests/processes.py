"""Real processes beside a test: they share its database and its artifacts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.db import connection


def environment(home: Path) -> dict[str, str]:
    """The environment of a process that works on the test's database, with its files under `home`."""
    at = connection.get_connection_params()
    password = f":{quote(at['password'])}" if at.get("password") else ""
    host = quote(str(at.get("host") or "localhost"), safe="")
    port = f":{at['port']}" if at.get("port") else ""
    url = f"postgres://{at['user']}{password}@{host}{port}/{at['dbname']}"
    return {**os.environ, "DATABASE_URL": url, "HONE_HOME": str(home), "LOG_LEVEL": "WARNING"}


@contextmanager
def worker(home: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """`manage.py worker` on the test's database, stopped at the end."""
    process = subprocess.Popen(
        [sys.executable, str(settings.BASE_DIR / "manage.py"), "worker"], env=environment(home)
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def eventually(holds: Callable[[], object], *, seconds: float = 120) -> bool:
    """Whether `holds` comes true within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.1)
    return False
