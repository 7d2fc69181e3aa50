"""The cluster: a data folder, the server that runs on it, and the folder of its socket."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from feedback_site.embedded_postgres.binaries import MAJOR_VERSION, can_run, copy_installation
from feedback_site.embedded_postgres.errors import EmbeddedPostgresError
from feedback_site.embedded_postgres.log import LOG, open_log
from feedback_site.embedded_postgres.os_account import Account, ProcessAccount, server_account
from feedback_site.embedded_postgres.pid_file import (
    DATA_LINK,
    PORT,
    SOCKET,
    Postmaster,
    is_socket_folder_of,
    read_postmaster,
)
from feedback_site.embedded_postgres.processes import kill, server_processes, stop

SUPERUSER = "hone"
# Durable (fsync stays on), small and quiet. Passed as arguments, so that a change here reaches existing
# clusters. Replication is off, and with it the WAL that only a replica would need.
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "max_wal_size": "256MB",
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_checkpoints": "off",
    "cluster_name": "hone",
}
START_SECONDS = 600  # crash recovery may take long; users stop waiting, with an error, long before
ORPHAN_SECONDS = 2
LOG_BYTES = 10_000_000
SOCKET_FOLDER_BYTES = 80  # a socket's path may have 103 bytes (macOS) or 107; its name takes 16


@dataclass(kw_only=True)
class Cluster:
    """The cluster of one home. Only the supervisor makes and runs it, so nothing here needs a lock."""

    folder: Path  # HOME/postgres
    installation: Path  # where PostgreSQL's bin/ lies
    socket_folder: Path | None = None
    programs: Path | None = None  # the installation that the server's account can run
    data: Path = field(init=False)
    log: Path = field(init=False)
    account: Account | None = field(init=False)

    def __post_init__(self) -> None:
        self.data = self.folder / "data"
        self.log = self.folder / LOG
        self.account = server_account(self.data)

    def find_running_server(self) -> Postmaster | None:
        """The server that an earlier supervisor started on this data folder and that still runs, or None."""
        postmaster = read_postmaster(self.data)
        return postmaster if postmaster and postmaster.accepts_connections(self.data) else None

    def adopt(self, postmaster: Postmaster) -> None:
        """Take over a server whose supervisor was killed."""
        self.socket_folder = postmaster.socket_folder

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the server, on a new cluster if there is none yet; return when it is ready."""
        self._kill_orphans()
        self._restore_ownership()
        if self.socket_folder is None:
            self.socket_folder = self._choose_socket_folder()
        if self.programs is None:
            self.programs = self._choose_programs(self.socket_folder / "programs")
        if not (self.data / "PG_VERSION").exists():
            self._initialise()
        version = (self.data / "PG_VERSION").read_text().strip()
        if version != MAJOR_VERSION:
            raise EmbeddedPostgresError(
                f"{self.data} was made by PostgreSQL {version} and this is {MAJOR_VERSION}: dump it with the"
                " old version and load it here, or move the folder away to start with an empty one."
            )
        return self._serve()

    def _restore_ownership(self) -> None:
        """Give the data back to the server's account if root has copied it, as into a container."""
        if self.account and self.data.exists() and self.data.stat().st_uid != self.account.uid:
            for path in (self.data, *self.data.rglob("*")):
                os.chown(path, self.account.uid, self.account.gid, follow_symlinks=False)

    def _choose_socket_folder(self) -> Path:
        last = read_postmaster(self.data)
        if last and last.socket_folder and last.serves(self.data) and self._is_private(last.socket_folder):
            # Keep the address after a crash, so that connection pools find the server again.
            return last.socket_folder
        folder = self._make_socket_folder()
        (folder / DATA_LINK).symlink_to(self.data)
        return folder

    def _choose_programs(self, place_for_copy: Path) -> Path:
        """The installation, or a copy of it if the server's account cannot run it where it is."""
        if can_run(self.account, self.installation):
            return self.installation
        shutil.rmtree(place_for_copy, ignore_errors=True)
        return copy_installation(self.installation, place_for_copy)

    def _is_private(self, folder: Path) -> bool:
        try:
            status = folder.lstat()
        except FileNotFoundError:
            return False
        owner = self.account.uid if self.account else os.geteuid()
        return stat.S_ISDIR(status.st_mode) and status.st_uid == owner and not status.st_mode & 0o077

    def _make_socket_folder(self) -> Path:
        for base in dict.fromkeys(Path(name) for name in (tempfile.gettempdir(), "/tmp", "/var/tmp")):  # noqa: S108
            if len(os.fsencode(base)) + len("/hone-12345678") > SOCKET_FOLDER_BYTES or "," in str(base):
                continue
            if not base.is_dir() or not os.access(base, os.W_OK | os.X_OK):
                continue
            if self.account and not self.account.can_reach(base / "socket"):
                continue
            for leftover in base.glob("hone-*"):  # of a supervisor that was killed
                if self._is_private(leftover) and is_socket_folder_of(leftover, self.data):
                    shutil.rmtree(leftover, ignore_errors=True)
            folder = Path(tempfile.mkdtemp(prefix="hone-", dir=base))
            if self.account:
                os.chown(folder, self.account.uid, self.account.gid)
            return folder
        raise EmbeddedPostgresError(
            "There is no temporary folder with a short name for the socket of PostgreSQL: set TMPDIR to one."
        )

    def _initialise(self) -> None:
        """Make a new cluster in a folder aside and rename it into place, so that none is ever half made."""
        for leftover in self.folder.glob("new-*"):
            kill(server_processes(leftover))
            shutil.rmtree(leftover, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix="new-", dir=self.folder))
        if self.account:
            os.chown(draft, self.account.uid, self.account.gid)
        made = subprocess.run(
            [
                *self._program("initdb", draft),
                f"--username={SUPERUSER}",
                "--auth-local=trust",  # only we can enter the socket's folder
                "--auth-host=reject",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
            ],
            cwd=draft,
            env=server_environment({}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **self._popen_account(),
        )
        if made.returncode != 0:
            shutil.rmtree(draft, ignore_errors=True)
            lines = made.stdout.strip().splitlines() or ["no output"]
            reason = next((line for line in lines if "error:" in line), lines[-1])
            raise EmbeddedPostgresError(f"PostgreSQL could not make a cluster in {self.folder}: {reason}")
        draft.rename(self.data)
        fsync_folder(self.folder)

    def _serve(self) -> "subprocess.Popen[bytes]":
        stale = read_postmaster(self.data)
        assert self.socket_folder is not None
        for name in (SOCKET, f"{SOCKET}.lock"):
            (self.socket_folder / name).unlink(missing_ok=True)
        settings = {**SETTINGS, "unix_socket_directories": str(self.socket_folder)}
        if self.log.stat().st_size > LOG_BYTES:
            self.log.replace(self.log.with_suffix(".log.1"))
        with open_log(self.folder) as log:
            begin = log.tell()
            server = subprocess.Popen(
                [
                    *self._program("postgres", self.data),
                    *(argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")),
                ],
                cwd=self.data,
                # PostgreSQL takes a pid file for stale if it names this grandparent. After a reboot that
                # number may belong to any process; we know that no server of this cluster is alive.
                env=server_environment({"PG_GRANDPARENT_PID": str(stale.pid)} if stale else {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **self._popen_account(),
            )
        deadline = time.monotonic() + START_SECONDS
        while server.poll() is None and time.monotonic() < deadline:
            postmaster = read_postmaster(self.data)
            if postmaster and postmaster.pid == server.pid and postmaster.ready:
                return server
            time.sleep(0.01)
        if server.poll() is None:
            stop(server.pid)
            server.wait()
        raise EmbeddedPostgresError(f"PostgreSQL did not start: {self._failure_reason(begin)} ({self.log})")

    def _failure_reason(self, begin: int) -> str:
        """The line of the log, from byte `begin`, that best says why the server ended."""
        with self.log.open("rb") as file:
            file.seek(begin)
            lines = file.read().decode(errors="replace").splitlines()
        for line in reversed(lines):
            if "FATAL:" in line or "PANIC:" in line:
                return line.partition("FATAL:")[2].strip() or line.partition("PANIC:")[2].strip()
        return lines[-1] if lines else "no output"

    def _program(self, name: str, data: Path) -> list[str]:
        assert self.programs is not None
        return [str(self.programs / "bin" / name), "-D", str(self._path_for_server(data))]

    def _path_for_server(self, data: Path) -> Path:
        """The data folder as passed to the server: its working directory, if it may not cross the parents."""
        if self.account and not self.account.can_reach(data):
            if not sys.platform.startswith("linux"):
                raise EmbeddedPostgresError(
                    f"As root, PostgreSQL runs under another account, which cannot reach {data}:"
                    " set HONE_HOME to a folder that everybody may traverse, or set DATABASE_URL."
                )
            return Path("/proc/self/cwd")
        return data

    def _popen_account(self) -> ProcessAccount:
        return self.account.popen_arguments() if self.account else {}

    def _kill_orphans(self) -> None:
        """Kill what a killed server left: its processes end by themselves, unless busy with a query."""
        deadline = time.monotonic() + ORPHAN_SECONDS
        while (orphans := server_processes(self.data)) and time.monotonic() < deadline:
            time.sleep(0.02)
        kill(orphans)

    def remove_socket_folder(self) -> None:
        """Remove the socket folder of a server that has stopped."""
        if self.socket_folder is not None:
            shutil.rmtree(self.socket_folder, ignore_errors=True)


def server_environment(extra: dict[str, str]) -> dict[str, str]:
    """Environment variables for PostgreSQL's programs, without the user's PGDATA, PGPORT or locale."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {"LC_ALL": "C", **kept, **extra}


def fsync_folder(folder: Path) -> None:
    """Make a rename within `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
