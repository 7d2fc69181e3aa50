"""Find, wait for and end other processes."""

import os
import select
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def is_alive(pid: int) -> bool:
    """Whether the process exists and, as far as the system reports, is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        # The state follows the name, which stands in parentheses and may contain any character.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return not Path("/proc/self").exists()


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that is gone is no error."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_for_end(pid: int, *, seconds: float | None = None) -> bool:
    """Wait until a process has ended, whether or not it is our child; false after `seconds`."""
    if hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        except OSError:
            return poll_for_end(pid, seconds=seconds)  # an old kernel, or a sandbox
        try:
            ready, _, _ = select.select([descriptor], [], [], seconds)
        finally:
            os.close(descriptor)
        return bool(ready)
    return poll_for_end(pid, seconds=seconds)


def poll_for_end(pid: int, *, seconds: float | None) -> bool:
    """`wait_for_end` for systems that cannot wait for processes that are not children."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while is_alive(pid):
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def server_processes(folder: Path) -> list[int]:
    """PostgreSQL's processes whose working directory is `folder`; none on systems without /proc."""
    try:
        wanted = folder.stat()
    except FileNotFoundError:
        return []
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            in_folder = os.path.samestat((entry / "cwd").stat(), wanted)
            if in_folder and (entry / "comm").read_text().strip() in {"postgres", "initdb"}:
                found.append(int(entry.name))
        except OSError:
            continue  # it ended meanwhile, or belongs to another user
    return found


def stop(pid: int) -> None:
    """Stop a server with increasing force: fast (open transactions roll back), immediate, kill."""
    for number, seconds in ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        send_signal(pid, number)
        if wait_for_end(pid, seconds=seconds):
            return


def kill(pids: Sequence[int]) -> None:
    """Kill processes, and wait until they are gone."""
    for pid in pids:
        send_signal(pid, signal.SIGKILL)
    for pid in pids:
        wait_for_end(pid, seconds=5)
