"""Other processes: whether they live, where they work, and how they end."""

import os
import select
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


def alive(pid: int) -> bool:
    """Whether there is such a process, zombies excepted where the system tells."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        # The state follows the name, which is in parentheses and may hold anything.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return not Path("/proc/self").exists()


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_for_end(pid: int, *, seconds: float | None = None) -> bool:
    """Wait until a process, ours or not, has ended; false if it outlives `seconds`."""
    if hasattr(os, "pidfd_open"):
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            return True
        except OSError:
            return poll_for_end(pid, seconds=seconds)  # the kernel is too old, or a sandbox forbids it
        try:
            ready, _, _ = select.select([descriptor], [], [], seconds)
        finally:
            os.close(descriptor)
        return bool(ready)
    return poll_for_end(pid, seconds=seconds)


def poll_for_end(pid: int, *, seconds: float | None) -> bool:
    """`wait_for_end` where the system cannot wait for processes that are not our children."""
    deadline = None if seconds is None else time.monotonic() + seconds
    while alive(pid):
        if deadline is not None and time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def server_processes(folder: Path) -> list[int]:
    """PostgreSQL's processes that work in the data folder `folder`; none where there is no /proc to tell."""
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
            continue  # ended meanwhile, or somebody else's
    return found


def stop(pid: int) -> None:
    """Stop a server: fast (open transactions are rolled back), then at once, then by force."""
    for number, seconds in ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0)):
        send(pid, number)
        if wait_for_end(pid, seconds=seconds):
            return


def kill(pids: Sequence[int]) -> None:
    """End processes by force, and wait until they are gone."""
    for pid in pids:
        send(pid, signal.SIGKILL)
    for pid in pids:
        wait_for_end(pid, seconds=5)
