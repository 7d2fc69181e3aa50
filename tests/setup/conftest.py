"""Homes for embedded servers, and processes that use their databases."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from feedback_site.embedded_postgres.pid_file import Postmaster, read_postmaster
from feedback_site.embedded_postgres.processes import send_signal, server_processes, wait_for_end

PROJECT = Path(__file__).resolve().parents[2]


def environment(home: Path) -> dict[str, str]:
    """The environment of a process that uses `home` and no other database."""
    kept = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "DEBUG"}}
    return {**kept, "HONE_HOME": str(home)}


class DatabaseClient:
    """A process that uses the database of `home`; it looks for packages in `packages` first."""

    def __init__(self, home: Path, *, packages: Path | None = None) -> None:
        self.home = home
        paths = [str(packages)] if packages else []
        if "PYTHONPATH" in os.environ:
            paths.append(os.environ["PYTHONPATH"])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.setup.database_client", home],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def send(self, command: str, *arguments: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps([command, *arguments]) + "\n")
        self.process.stdin.flush()

    def receive(self) -> Any:
        assert self.process.stdout
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["answer"]

    def call(self, command: str, *arguments: str) -> Any:
        self.send(command, *arguments)
        return self.receive()

    def exit(self) -> None:
        """Exit as a command does."""
        with self.process as process:
            assert process.stdin
            process.stdin.close()
            assert process.wait(60) == 0

    def kill(self) -> None:
        with self.process as process:
            process.kill()


def read_live_postmaster(home: Path) -> Postmaster:
    found = read_postmaster(home / "postgres" / "data")
    assert found
    return found


def supervisor_pid(home: Path) -> int:
    """The process id of the supervisor, which has the home in its command line."""
    listing = subprocess.run(["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True)
    (line,) = [
        line
        for line in listing.stdout.splitlines()
        if "embedded_postgres.supervisor" in line and str(home / "postgres") in line
    ]
    return int(line.split()[0])


def kill(pid: int) -> None:
    send_signal(pid, signal.SIGKILL)
    assert wait_for_end(pid, seconds=10)


@pytest.fixture(scope="session")
def homes_folder() -> Iterator[Path]:
    """A folder for homes: in memory if there is room, because PostgreSQL often waits for the disk."""
    memory = Path("/dev/shm")
    has_room = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 10**9
    folder = Path(tempfile.mkdtemp(prefix="homes with space ", dir=memory if has_room else None))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def new_home(homes_folder: Path) -> Iterator[Path]:
    """A home without a cluster."""
    home = homes_folder / "new"
    yield home
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def fresh_home(homes_folder: Path) -> Path:
    """A home with a cluster, made once, to copy from."""
    home = homes_folder / "fresh"
    client = DatabaseClient(home)
    client.call("add_row")
    client.exit()
    return home


@pytest.fixture
def home(fresh_home: Path, homes_folder: Path) -> Iterator[Path]:
    """A home for one test; its path is too long for a socket, and has quotes, spaces and umlauts."""
    folder = homes_folder / 'it\'s "Äpfel" %d'
    folder.mkdir()
    home = folder / ("x" * 100)
    subprocess.run(["cp", "-a", fresh_home, home], check=True)
    yield home
    shutil.rmtree(folder)


@pytest.fixture
def start_client() -> Iterator[Callable[..., DatabaseClient]]:
    """Start a process that uses a home; it and its server are ended after the test."""
    clients: list[DatabaseClient] = []

    def start(home: Path, *, packages: Path | None = None) -> DatabaseClient:
        clients.append(DatabaseClient(home, packages=packages))
        return clients[-1]

    yield start
    for client in clients:
        if client.process.returncode is None:
            client.kill()
    for home in {client.home for client in clients}:
        for pid in server_processes(home / "postgres" / "data"):
            wait_for_end(pid, seconds=20)


@pytest.fixture(scope="session")
def first_commands(homes_folder: Path) -> tuple[Path, list[str]]:
    """The home that two commands made, started at once, and the last line of each one's errors."""
    home = homes_folder / "migrated"
    command = [sys.executable, "manage.py", "generate"]
    started = [
        subprocess.Popen(command, cwd=PROJECT, env=environment(home), stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    return home, [process.communicate(timeout=240)[1].splitlines()[-1] for process in started]
