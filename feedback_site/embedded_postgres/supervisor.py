"""The supervisor: the process that starts PostgreSQL, restarts it if it is killed, and stops it in the end.

    python -m feedback_site.embedded_postgres.supervisor FOLDER INSTALLATION LOCK

LOCK is the number of an inherited file descriptor with the exclusive lock on `keeper.lock`, so that there is
never a second supervisor. It writes "ready", or an error in one line, to its standard output, and closes it.
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
from feedback_site.embedded_postgres.locks import SUPERVISOR_LOCK, USERS_LOCK, change_lock, is_same_file
from feedback_site.embedded_postgres.processes import send_signal, stop, wait_for_end

READY = "ready"
MAX_RESTARTS = 5  # within RESTART_SECONDS; after more, the next connection must start the server
RESTART_SECONDS = 60


class Supervisor:
    """Keeps the server of one cluster running while it has users."""

    def __init__(self, cluster: Cluster, *, supervisor_lock: int) -> None:
        self.cluster = cluster
        self.supervisor_lock = supervisor_lock
        self.users_lock = os.open(cluster.folder / USERS_LOCK, os.O_RDWR)
        self.child: Popen[bytes] | None = None
        self.pid = 0
        # Held while the server starts, so that it is not stopped before it exists.
        self.starting = threading.Lock()
        self.stopping = threading.Event()

    def start(self) -> None:
        """Start the server, or adopt the one that a killed supervisor left."""
        if postmaster := self.cluster.find_running_server():
            self.cluster.adopt(postmaster)
            self.pid = postmaster.pid
        else:
            self.child = self.cluster.start()
            self.pid = self.child.pid

    def run(self) -> None:
        """Return when the server has stopped for good."""
        threading.Thread(target=self._stop_after_last_user, daemon=True).start()
        restarts: list[float] = []
        while True:
            wait_for_end(self.pid)
            if self.child:
                self.child.wait()
            with self.starting:
                if self.stopping.is_set() or not self._is_home_unchanged():
                    return
                restarts = [moment for moment in restarts if moment > time.monotonic() - RESTART_SECONDS]
                restarts.append(time.monotonic())
                if len(restarts) > MAX_RESTARTS:
                    return
                self.child = self.cluster.start()
                self.pid = self.child.pid

    def _is_home_unchanged(self) -> bool:
        """Whether the home is still the same, neither removed nor removed and made again."""
        return self.cluster.data.exists() and is_same_file(
            self.cluster.folder / SUPERVISOR_LOCK, self.supervisor_lock
        )

    def _stop_after_last_user(self) -> None:
        """Stop the server once the users' lock is free, which is when the last user is gone."""
        change_lock(self.users_lock, exclusive=True, wait=True)
        with self.starting:
            self.stopping.set()
        stop(self.pid)

    def on_terminate(self, _number: int, _frame: FrameType | None) -> None:
        """Handle SIGTERM: the server stops with this process."""
        self.stopping.set()
        send_signal(self.pid, signal.SIGINT)


def report_status(status: str) -> None:
    """Write the status for the process that started us, if it still reads, and close standard output."""
    with suppress(BrokenPipeError):
        os.write(1, status.encode())
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 1)
    os.close(devnull)


def main(folder: Path, installation: Path, supervisor_lock: int) -> int:
    """Run the supervisor; returns its exit status."""
    os.chdir("/")
    cluster = Cluster(folder=folder, installation=installation)
    supervisor = Supervisor(cluster, supervisor_lock=supervisor_lock)
    try:
        supervisor.start()
        signal.signal(signal.SIGTERM, supervisor.on_terminate)
        report_status(READY)
        supervisor.run()
    except (EmbeddedPostgresError, OSError) as error:
        report_status(str(error))
        print(error, file=sys.stderr)
        return 1
    finally:
        cluster.remove_socket_folder()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])))
