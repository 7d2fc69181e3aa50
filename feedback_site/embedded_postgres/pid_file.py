"""PostgreSQL's pid file, and whether the server that it describes is running."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

PORT = 5432
SOCKET = f".s.PGSQL.{PORT}"
DATA_LINK = "data"  # symlink in the socket folder to the data folder that is served there


@dataclass(frozen=True, kw_only=True)
class Postmaster:
    """PostgreSQL's main process according to `postmaster.pid`, which may be stale or a copy."""

    pid: int
    socket_folder: Path | None
    ready: bool

    def serves(self, data: Path) -> bool:
        """Whether the socket folder was made for this data folder, not for one that it was copied from."""
        return self.socket_folder is not None and is_socket_folder_of(self.socket_folder, data)

    def accepts_connections(self, data: Path) -> bool:
        """Whether a server for `data` listens at the socket; it may still be starting up."""
        if self.socket_folder is None or not self.serves(data):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(5)
            try:
                probe.connect(os.fspath(self.socket_folder / SOCKET))
            except OSError:
                return False
        return True


def is_socket_folder_of(socket_folder: Path, data: Path) -> bool:
    """Whether the link in a socket folder points to `data`."""
    try:
        return (socket_folder / DATA_LINK).readlink() == data
    except OSError:
        return False


def read_postmaster(data: Path) -> Postmaster | None:
    """Parse `data/postmaster.pid`; None if there is none, or it has no process id.

    Its lines: process id, data folder, start time, port, socket folder, address, shared memory, status.
    """
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not lines or not lines[0].strip().lstrip("-").isdigit():
        return None
    return Postmaster(
        pid=abs(int(lines[0])),
        socket_folder=Path(lines[4]) if len(lines) > 4 and lines[4] else None,
        ready=len(lines) > 7 and lines[7].strip() == "ready",
    )
