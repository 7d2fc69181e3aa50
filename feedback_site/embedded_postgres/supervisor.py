"""The keeper: the process that starts PostgreSQL, starts it again if it is killed, and stops it in the end.

    python -m feedback_site.embedded_postgres.supervisor FOLDER INSTALLATION LOCK

LOCK is the number of an inherited file descriptor with the exclusive lock on `keeper.lock`, so that there is
never a second keeper. Says "ready", or in one line what is wrong, on its standard output, and closes it.
"""

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from types import FrameType

from feedback_site.embedded_postgres.cluster import Cluster
from feedback_site.embedded_postgres.errors import EmbeddedPostgresError
from feedback_site.embedded_postgres.locks import names, relock
from feedback_site.embedded_postgres.processes import send, stop, wait_for_end

READY = "ready"
RESTARTS = 5  # within RESTART_SECONDS; a server that falls more often does not come up again by itself
RESTART_SECONDS = 60


class Keeper:
    """Keeps the server of one cluster running for as long as somebody uses it."""

    def __init__(self, cluster: Cluster, *, keeper_lock: int) -> None:
        self.cluster = cluster
        self.keeper_lock = keeper_lock
        self.users_lock = os.open(cluster.folder / "users.lock", os.O_RDWR)
        self.child: Popen[bytes] | None = None
        self.pid = 0
        # Held while the server is started, so that it is not told to stop before it exists.
        self.starting = threading.Lock()
        self.stopping = threading.Event()

    def start(self) -> None:
        """Start the server, or take over the one that a killed keeper left."""
        if postmaster := self.cluster.running():
            self.cluster.adopt(postmaster)
            self.pid = postmaster.pid
        else:
            self.child = self.cluster.start()
            self.pid = self.child.pid

    def keep(self) -> None:
        """Return when the server has stopped for good."""
        threading.Thread(target=self._stop_after_last_user, daemon=True).start()
        falls: list[float] = []
        while True:
            wait_for_end(self.pid)
            if self.child:
                self.child.wait()
            with self.starting:
                if self.stopping.is_set() or not self._has_home():
                    return
                falls = [moment for moment in falls if moment > time.monotonic() - RESTART_SECONDS]
                falls.append(time.monotonic())
                if len(falls) > RESTARTS:
                    return
                self.child = self.cluster.start()
                self.pid = self.child.pid

    def _has_home(self) -> bool:
        """Whether the home is still the one that we keep, not removed, or removed and made again."""
        return self.cluster.data.exists() and names(self.cluster.folder / "keeper.lock", self.keeper_lock)

    def _stop_after_last_user(self) -> None:
        """Wait for the lock that nobody can hold while a user lives, and hold it until this process ends."""
        relock(self.users_lock, exclusive=True, wait=True)
        with self.starting:
            self.stopping.set()
        stop(self.pid)

    def on_terminate(self, _number: int, _frame: FrameType | None) -> None:
        """The machine shuts down, or somebody asks us to end: the server ends with us."""
        self.stopping.set()
        send(self.pid, signal.SIGINT)


def say(words: str) -> None:
    """Tell whoever started us, if he still listens, and close the line."""
    with suppress(BrokenPipeError):
        os.write(1, words.encode())
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.close(silence)


def main(folder: Path, installation: Path, keeper_lock: int) -> int:
    """Run as the process described above; returns its exit status."""
    os.chdir("/")
    cluster = Cluster(folder=folder, installation=installation)
    keeper = Keeper(cluster, keeper_lock=keeper_lock)
    try:
        keeper.start()
        signal.signal(signal.SIGTERM, keeper.on_terminate)
        say(READY)
        keeper.keep()
    except (EmbeddedPostgresError, OSError) as error:
        say(str(error))
        print(error, file=sys.stderr)
        return 1
    finally:
        cluster.clear()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
