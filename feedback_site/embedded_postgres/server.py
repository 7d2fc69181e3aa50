"""The user's side: have the server running for as long as this process lives."""

import atexit
import os
import selectors
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from feedback_site.embedded_postgres.binaries import find_installation
from feedback_site.embedded_postgres.errors import EmbeddedPostgresError
from feedback_site.embedded_postgres.locks import lock, names, relock
from feedback_site.embedded_postgres.log import LOG, open_log
from feedback_site.embedded_postgres.pid_file import Postmaster, read_postmaster
from feedback_site.embedded_postgres.supervisor import READY

PROJECT = Path(__file__).resolve().parents[2]
START_SECONDS = 120
STOP_SECONDS = 30
STARTS = 3


class Server:
    """The server of one home, as seen by one process."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "postgres"
        self._mutex = threading.Lock()
        self._lock: int | None = None  # the shared lock that says that we are a user
        self._keeper: subprocess.Popen[bytes] | None = None  # if we were the one to start it

    def ensure(self) -> Path:
        """Have the server running, and keep it so while this process lives; returns its socket folder.

        Cheap when all is well (a few system calls and a connection to the socket), so that it can be asked
        before each connection. Raises EmbeddedPostgresError.
        """
        with self._mutex:
            self._become_user()
            deadline = time.monotonic() + START_SECONDS
            starts = 0
            while True:
                keeper_lock = lock(self.folder / "keeper.lock", exclusive=True, wait=False)
                if keeper_lock is not None:
                    if starts == STARTS:
                        os.close(keeper_lock)
                        raise EmbeddedPostgresError(
                            f"PostgreSQL ended at once, {STARTS} times: {self._see_log}"
                        )
                    starts += 1
                    self._start_keeper(keeper_lock)
                postmaster = self._postmaster()
                if postmaster and postmaster.ready and postmaster.socket_folder:
                    return postmaster.socket_folder
                if time.monotonic() > deadline:
                    raise self._not_ready()
                time.sleep(0.01)

    def release(self) -> None:
        """Cease to be a user; the last one returns when the server has stopped."""
        with self._mutex:
            if self._lock is None:
                return
            # Either we can have it exclusively, or the keeper does already; else there are other users.
            last = relock(self._lock, exclusive=True, wait=False)
            last = last or not relock(self._lock, exclusive=False, wait=False)
            os.close(self._lock)
            self._lock = None
            if last:
                self._wait_until_stopped()
                self._reap_keeper()
            else:
                self._let_keeper_go()

    def forget(self) -> None:
        """In a forked child: the lock is the parent's, and stays so when our copy of it is closed."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self._let_keeper_go()
        self._mutex = threading.Lock()

    @property
    def _see_log(self) -> str:
        return f"see {self.folder / LOG}"

    def _not_ready(self) -> EmbeddedPostgresError:
        return EmbeddedPostgresError(
            f"PostgreSQL is not ready after {START_SECONDS} s, perhaps it recovers still: {self._see_log}"
        )

    def _become_user(self) -> None:
        path = self.folder / "users.lock"
        if self._lock is not None:
            if names(path, self._lock):
                return
            os.close(self._lock)  # the home was removed, and with it what we were a user of
            self._lock = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Waits only while a keeper stops the server that we are about to need again.
            self._lock = lock(path, exclusive=False, wait=True)
        except OSError as error:
            raise EmbeddedPostgresError(
                f"The database cannot be kept in {self.folder}: {error.strerror}. Set HONE_HOME to a folder"
                " that you can write to, or DATABASE_URL=postgres://user:password@host/name."
            ) from error

    def _postmaster(self) -> Postmaster | None:
        data = self.folder / "data"
        postmaster = read_postmaster(data)
        return postmaster if postmaster and postmaster.answers(data) else None

    def _start_keeper(self, keeper_lock: int) -> None:
        """Start the keeper, give it the lock, and return when the server is ready or the keeper is dead."""
        try:
            command = [
                *(sys.executable, "-S"),  # the standard library is all that it needs
                *("-m", "feedback_site.embedded_postgres.supervisor"),
                *(str(self.folder), str(find_installation()), str(keeper_lock)),
            ]
            with open_log(self.folder) as log:
                keeper = subprocess.Popen(
                    command,
                    env={**os.environ, "PYTHONPATH": str(PROJECT)},
                    pass_fds=[keeper_lock],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,  # a Ctrl-C in the terminal is not for it
                )
        finally:
            os.close(keeper_lock)
        self._reap_keeper()
        self._keeper = keeper
        words = self._listen(keeper)
        if words != READY:
            self._reap_keeper()
        if words not in {"", READY}:
            raise EmbeddedPostgresError(words)

    def _listen(self, keeper: "subprocess.Popen[bytes]") -> str:
        """What the keeper says before it closes its output: the server is ready, or never will be."""
        assert keeper.stdout is not None
        said = b""
        deadline = time.monotonic() + START_SECONDS
        with keeper.stdout, selectors.DefaultSelector() as selector:
            selector.register(keeper.stdout, selectors.EVENT_READ)
            while selector.select(deadline - time.monotonic()):
                part = os.read(keeper.stdout.fileno(), 4096)
                if not part:
                    return said.decode().strip()
                said += part
        raise self._not_ready()

    def _reap_keeper(self) -> None:
        """Wait for the end of the keeper that we started, which has come or is near: it leaves no zombie."""
        if self._keeper is not None:
            with suppress(subprocess.TimeoutExpired):
                self._keeper.wait(STOP_SECONDS)
            self._let_keeper_go()

    def _let_keeper_go(self) -> None:
        """Forget the keeper that we started, though it may run on for others."""
        if self._keeper is not None:
            self._keeper.returncode = self._keeper.returncode or 0  # or Popen warns of a child that it lost
            self._keeper = None

    def _wait_until_stopped(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            keeper_lock = lock(self.folder / "keeper.lock", exclusive=True, wait=False)
            if keeper_lock is not None:
                if not self._postmaster():
                    os.close(keeper_lock)
                    return
                # The keeper was killed: a new one finds no users and stops the server.
                self._start_keeper(keeper_lock)
            time.sleep(0.01)


_servers: dict[Path, Server] = {}


def server(home: Path) -> Server:
    """This process's view of the server of `home`."""
    return _servers.setdefault(home.absolute(), Server(home.absolute()))


@atexit.register
def _release_all() -> None:
    for used in _servers.values():
        used.release()


def _forget_all() -> None:
    for used in _servers.values():
        used.forget()


os.register_at_fork(after_in_child=_forget_all)
