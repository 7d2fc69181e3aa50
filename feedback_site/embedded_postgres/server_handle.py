"""The client's side: keep the server running for as long as this process lives."""

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
from feedback_site.embedded_postgres.locks import SUPERVISOR_LOCK, USERS_LOCK, change_lock, is_same_file, lock
from feedback_site.embedded_postgres.log import LOG, open_log
from feedback_site.embedded_postgres.pid_file import Postmaster, read_postmaster
from feedback_site.embedded_postgres.supervisor import READY

PROJECT = Path(__file__).resolve().parents[2]
START_SECONDS = 120
STOP_SECONDS = 30
MAX_STARTS = 3


class Server:
    """The server of one home, as used by one process."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "postgres"
        self._mutex = threading.Lock()
        self._lock: int | None = None  # the shared lock of a user
        self._supervisor: subprocess.Popen[bytes] | None = None  # if this process started it

    def ensure_running(self) -> Path:
        """Start the server if needed and keep it while this process lives; returns its socket folder.

        Cheap when it runs already (a few system calls and a connection to the socket), so call it before each
        connection. Raises EmbeddedPostgresError.
        """
        with self._mutex:
            self._acquire_users_lock()
            deadline = time.monotonic() + START_SECONDS
            starts = 0
            while True:
                supervisor_lock = lock(self.folder / SUPERVISOR_LOCK, exclusive=True, wait=False)
                if supervisor_lock is not None:
                    if starts == MAX_STARTS:
                        os.close(supervisor_lock)
                        raise EmbeddedPostgresError(
                            f"PostgreSQL ended at once, {MAX_STARTS} times: {self._see_log}"
                        )
                    starts += 1
                    self._start_supervisor(supervisor_lock)
                postmaster = self._postmaster()
                if postmaster and postmaster.ready and postmaster.socket_folder:
                    return postmaster.socket_folder
                if time.monotonic() > deadline:
                    raise self._timeout_error()
                time.sleep(0.01)

    def release(self) -> None:
        """Stop using the server. For the last user, this returns when the server has stopped."""
        with self._mutex:
            if self._lock is None:
                return
            # If we are the last, either we get the exclusive lock or the supervisor has it already.
            last = change_lock(self._lock, exclusive=True, wait=False)
            last = last or not change_lock(self._lock, exclusive=False, wait=False)
            os.close(self._lock)
            self._lock = None
            if last:
                self._wait_until_stopped()
                self._reap_supervisor()
            else:
                self._detach_supervisor()

    def forget(self) -> None:
        """Call in a forked child: the parent keeps its lock when this copy of the descriptor is closed."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None
        self._detach_supervisor()
        self._mutex = threading.Lock()

    @property
    def _see_log(self) -> str:
        return f"see {self.folder / LOG}"

    def _timeout_error(self) -> EmbeddedPostgresError:
        return EmbeddedPostgresError(
            f"PostgreSQL is not ready after {START_SECONDS} s; it may still be recovering: {self._see_log}"
        )

    def _acquire_users_lock(self) -> None:
        path = self.folder / USERS_LOCK
        if self._lock is not None:
            if is_same_file(path, self._lock):
                return
            os.close(self._lock)  # the home was removed, and its server with it
            self._lock = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Waits only while a supervisor stops the server.
            self._lock = lock(path, exclusive=False, wait=True)
        except OSError as error:
            raise EmbeddedPostgresError(
                f"The database cannot be stored in {self.folder}: {error.strerror}. Set HONE_HOME to a folder"
                " that you can write to, or DATABASE_URL=postgres://user:password@host/name."
            ) from error

    def _postmaster(self) -> Postmaster | None:
        data = self.folder / "data"
        postmaster = read_postmaster(data)
        return postmaster if postmaster and postmaster.accepts_connections(data) else None

    def _start_supervisor(self, supervisor_lock: int) -> None:
        """Start the supervisor with the lock; return when the server is ready or the supervisor has ended."""
        try:
            command = [
                *(sys.executable, "-S"),  # it needs the standard library alone
                *("-m", "feedback_site.embedded_postgres.supervisor"),
                *(str(self.folder), str(find_installation()), str(supervisor_lock)),
            ]
            with open_log(self.folder) as log:
                supervisor = subprocess.Popen(
                    command,
                    env={**os.environ, "PYTHONPATH": str(PROJECT)},
                    pass_fds=[supervisor_lock],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C in the terminal does not reach it
                )
        finally:
            os.close(supervisor_lock)
        self._reap_supervisor()
        self._supervisor = supervisor
        status = self._read_status(supervisor)
        if status != READY:
            self._reap_supervisor()
        if status not in {"", READY}:
            raise EmbeddedPostgresError(status)

    def _read_status(self, supervisor: "subprocess.Popen[bytes]") -> str:
        """The supervisor's output: `READY`, an error, or nothing if it was killed."""
        assert supervisor.stdout is not None
        output = b""
        deadline = time.monotonic() + START_SECONDS
        with supervisor.stdout, selectors.DefaultSelector() as selector:
            selector.register(supervisor.stdout, selectors.EVENT_READ)
            while selector.select(deadline - time.monotonic()):
                part = os.read(supervisor.stdout.fileno(), 4096)
                if not part:
                    return output.decode().strip()
                output += part
        raise self._timeout_error()

    def _reap_supervisor(self) -> None:
        """Wait for the end of the supervisor that this process started, so that it leaves no zombie."""
        if self._supervisor is not None:
            with suppress(subprocess.TimeoutExpired):
                self._supervisor.wait(STOP_SECONDS)
            self._detach_supervisor()

    def _detach_supervisor(self) -> None:
        """Forget the supervisor that this process started; it may run on for other users."""
        if self._supervisor is not None:
            self._supervisor.returncode = (
                self._supervisor.returncode or 0
            )  # otherwise Popen warns of a lost child
            self._supervisor = None

    def _wait_until_stopped(self) -> None:
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            supervisor_lock = lock(self.folder / SUPERVISOR_LOCK, exclusive=True, wait=False)
            if supervisor_lock is not None:
                if not self._postmaster():
                    os.close(supervisor_lock)
                    return
                # The supervisor was killed: a new one finds no users and stops the server.
                self._start_supervisor(supervisor_lock)
            time.sleep(0.01)


_servers: dict[Path, Server] = {}


def server(home: Path) -> Server:
    """The server of `home`; one object per process and home."""
    return _servers.setdefault(home.absolute(), Server(home.absolute()))


@atexit.register
def _release_all() -> None:
    for used in _servers.values():
        used.release()


def _forget_all() -> None:
    for used in _servers.values():
        used.forget()


os.register_at_fork(after_in_child=_forget_all)
