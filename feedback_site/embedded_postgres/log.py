"""The log of the server and its supervisor. It is private, because it quotes failed statements."""

import os
from io import FileIO
from pathlib import Path

LOG = "server.log"


def open_log(folder: Path) -> FileIO:
    """Open the log in `folder` for appending, creating it if needed."""
    return FileIO(os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
