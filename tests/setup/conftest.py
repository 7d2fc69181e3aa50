"""Homes for embedded servers, and processes that use them."""

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
from feedback_site.embedded_postgres.processes import send, server_processes, wait_for_end

PROJECT = Path(__file__).resolve().parents[2]


class User:
    """A process that uses the database of `home` (see user.py); it looks for packages in `packages` first."""

    def __init__(self, home: Path, *, packages: Path | None = None) -> None:
        self.home = home
        paths = [str(packages)] if packages else []
        if "PYTHONPATH" in os.environ:
            paths.append(os.environ["PYTHONPATH"])
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.setup.user", home],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, command: str, *arguments: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(json.dumps([command, *arguments]) + "\n")
        self.process.stdin.flush()

    def end(self) -> Any:
        assert self.process.stdout
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["answer"]

    def do(self, command: str, *arguments: str) -> Any:
        self.begin(command, *arguments)
        return self.end()

    def leave(self) -> None:
        """End as a command ends."""
        with self.process as process:
            assert process.stdin
            process.stdin.close()
            assert process.wait(60) == 0

    def kill(self) -> None:
        with self.process as process:
            process.kill()


def postmaster(home: Path) -> Postmaster:
    found = read_postmaster(home / "postgres" / "data")
    assert found
    return found


def keeper(home: Path) -> int:
    """The process id of the keeper, which has the home in its command line."""
    listing = subprocess.run(["ps", "-eww", "-o", "pid=,args="], capture_output=True, text=True, check=True)
    (line,) = [
        line
        for line in listing.stdout.splitlines()
        if "embedded_postgres.keeper" in line and str(home / "postgres") in line
    ]
    return int(line.split()[0])


def kill(pid: int) -> None:
    send(pid, signal.SIGKILL)
    assert wait_for_end(pid, seconds=10)


@pytest.fixture(scope="session")
def workplace() -> Iterator[Path]:
    """A folder for homes: in memory if there is room, as PostgreSQL waits for the disk at every turn."""
    memory = Path("/dev/shm")
    roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 1_000_000_000
    folder = Path(tempfile.mkdtemp(prefix="homes with space ", dir=memory if roomy else None))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def new_home(workplace: Path) -> Iterator[Path]:
    """A home where no cluster is yet."""
    home = workplace / "new"
    yield home
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def fresh_home(workplace: Path) -> Path:
    """A home with a cluster, made once, to copy from."""
    home = workplace / "fresh"
    user = User(home)
    user.do("add")
    user.leave()
    return home


@pytest.fixture
def home(fresh_home: Path, workplace: Path) -> Iterator[Path]:
    """A home of its own, whose name is too long for a socket and has what names may have."""
    folder = workplace / 'it\'s "Äpfel" %d'
    folder.mkdir()
    home = folder / ("x" * 100)
    subprocess.run(["cp", "-a", fresh_home, home], check=True)
    yield home
    shutil.rmtree(folder)


@pytest.fixture
def start_user() -> Iterator[Callable[..., User]]:
    """Start a process that uses a home; whatever is left of it and its server goes after the test."""
    users: list[User] = []

    def start(home: Path, *, packages: Path | None = None) -> User:
        users.append(User(home, packages=packages))
        return users[-1]

    yield start
    for user in users:
        if user.process.returncode is None:
            user.kill()
    for home in {user.home for user in users}:
        for pid in server_processes(home / "postgres" / "data"):
            wait_for_end(pid, seconds=20)
