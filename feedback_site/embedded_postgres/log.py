"""The log of the server and of its keeper, private because it quotes statements that fail."""

import os
from io import FileIO
from pathlib import Path

LOG = "server.log"


def open_log(folder: Path) -> FileIO:
    """Open the log in `folder`, made if it is missing, to append to it."""
    return FileIO(os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")
