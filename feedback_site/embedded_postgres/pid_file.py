"""The running server as its pid file tells it, and whether that is true."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

PORT = 5432
SOCKET = f".s.PGSQL.{PORT}"
SIGNPOST = "data"  # a link in the socket folder to the data folder that is served there


@dataclass(frozen=True, kw_only=True)
class Postmaster:
    """PostgreSQL's main process, from `postmaster.pid`; the file may outlive it, or be a copy."""

    pid: int
    socket_folder: Path | None
    ready: bool

    def serves(self, data: Path) -> bool:
        """Whether the socket folder is the one made for this data folder, not for one it was copied from."""
        return self.socket_folder is not None and leads_to(self.socket_folder, data)

    def answers(self, data: Path) -> bool:
        """Whether a server for `data` takes connections at the socket; it may still refuse to serve them."""
        if self.socket_folder is None or not self.serves(data):
            return False
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(5)
            try:
                probe.connect(os.fspath(self.socket_folder / SOCKET))
            except OSError:
                return False
        return True


def leads_to(socket_folder: Path, data: Path) -> bool:
    """Whether the signpost in a socket folder points to `data`."""
    try:
        return (socket_folder / SIGNPOST).readlink() == data
    except OSError:
        return False


def read_postmaster(data: Path) -> Postmaster | None:
    """What `data/postmaster.pid` says; None if there is none.

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
