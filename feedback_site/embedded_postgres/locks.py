"""Advisory file locks (flock): held by an open file, released by the kernel however the holder ends."""

import fcntl
import os
from pathlib import Path


def lock(path: Path, *, exclusive: bool, wait: bool) -> int | None:
    """Lock the file `path`, made if it is missing; the lock lasts until the descriptor returned is closed.

    None if `wait` is false and somebody else holds a lock that conflicts. The descriptor is not inherited by
    programs that this process starts, unless it is passed on by name.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        if not relock(descriptor, exclusive=exclusive, wait=wait):
            os.close(descriptor)
            return None
        if names(path, descriptor):
            return descriptor
        os.close(descriptor)  # removed or replaced while we waited: that lock binds nobody


def relock(descriptor: int, *, exclusive: bool, wait: bool) -> bool:
    """Take the lock on an open file, or turn the one held into the other kind; false if it would block.

    A lock held is lost when turning it into the other kind fails.
    """
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def names(path: Path, descriptor: int) -> bool:
    """Whether `path` is still the file that `descriptor` has open."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
