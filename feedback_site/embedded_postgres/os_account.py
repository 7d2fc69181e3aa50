"""The account that the server runs as. PostgreSQL refuses root, so root starts it under another account."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from feedback_site.embedded_postgres.errors import EmbeddedPostgresError


class ProcessAccount(TypedDict, total=False):
    """Arguments for `subprocess.Popen` that start a process under an account."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, kw_only=True)
class Account:
    """User and group that root starts the server as."""

    uid: int
    gid: int

    def popen_arguments(self) -> ProcessAccount:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def has_permission(self, path: Path, *, bits: int) -> bool:
        """Whether the mode of `path` grants this account all `bits` (4 read, 2 write, 1 traverse)."""
        status = path.stat()
        if status.st_uid == self.uid:
            return stat.S_IMODE(status.st_mode) >> 6 & bits == bits
        if status.st_gid == self.gid:
            return stat.S_IMODE(status.st_mode) >> 3 & bits == bits
        return status.st_mode & bits == bits

    def can_reach(self, path: Path) -> bool:
        """Whether this account may traverse every parent folder of `path`."""
        return all(self.has_permission(parent, bits=1) for parent in path.resolve().parents)


def server_account(data: Path) -> Account | None:
    """The account to run the cluster in `data` as; None means the current one, unless that is root."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return Account(uid=data.stat().st_uid, gid=data.stat().st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(uid=entry.pw_uid, gid=entry.pw_gid)
    raise EmbeddedPostgresError(
        "PostgreSQL does not run as root and this machine has no user `postgres` or `nobody` to run it as:"
        " start as another user, or set DATABASE_URL=postgres://user:password@host/name."
    )
