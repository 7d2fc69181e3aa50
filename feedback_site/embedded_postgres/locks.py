"""Advisory file locks (flock). The kernel releases them when their holder ends, however it ends."""

import fcntl
import os
from pathlib import Path

USERS_LOCK = "users.lock"
# The name is older than "supervisor"; it stays, because processes of different versions share the file.
SUPERVISOR_LOCK = "keeper.lock"


def lock(path: Path, *, exclusive: bool, wait: bool) -> int | None:
    """Lock the file `path`, creating it if needed; the lock lasts until the returned descriptor is closed.

    None if `wait` is false and another process holds a conflicting lock. Programs that this process starts do
    not inherit the descriptor, unless it is in `pass_fds`.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if not change_lock(descriptor, exclusive=exclusive, wait=wait):
            os.close(descriptor)
            return None
        if is_same_file(path, descriptor):
            return descriptor
        os.close(descriptor)  # the file was removed or replaced while we waited: lock the new one


def change_lock(descriptor: int, *, exclusive: bool, wait: bool) -> bool:
    """Lock an open file, or convert the lock it holds; false if that would block and `wait` is false.

    If a conversion fails, the old lock is lost too.
    """
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_same_file(path: Path, descriptor: int) -> bool:
    """Whether `path` is still the file that is open as `descriptor`."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
