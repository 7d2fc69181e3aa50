"""`manage.py up`: the real site with web, worker and embedded database, started and stopped in every way."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from feedback_site.embedded_postgres.processes import is_alive, server_processes
from tests.processes import eventually
from tests.setup.conftest import PROJECT, environment, kill

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks processes up in /proc")


def processes(home: Path, words: str = "") -> list[int]:
    """Every process that uses `home`; with `words`, those that have them in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            variables = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if f"HONE_HOME={home}".encode() in variables and words in command:
            found.append(int(entry.name))
    return [pid for pid in (*found, *server_processes(home / "postgres" / "data")) if is_alive(pid)]


class RunningSite:
    """`manage.py up`, started as by a terminal: in a process group of its own."""

    def __init__(self, home: Path, *options: str) -> None:
        self.home = home
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "up", "--port", "0", *options],
            cwd=PROJECT,
            env=environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.output = ""

    def wait_for(self, pattern: str) -> str:
        """Read its output until `pattern` matches a line; returns the pattern's group."""
        assert self.process.stdout
        for line in self.process.stdout:
            self.output += line
            if found := re.search(pattern, line):
                return found[1]
        raise AssertionError(self.output)

    def end(self) -> int:
        """Read the rest and wait; returns the exit status."""
        with self.process as process:
            assert process.stdout
            self.output += process.stdout.read()
            return process.wait(60)


ADDRESS = r"Hone is at (http://\S+/) "
StartSite = Callable[..., RunningSite]


@pytest.fixture
def site_home(first_commands: tuple[Path, list[str]], homes_folder: Path) -> Iterator[Path]:
    home = homes_folder / "site"
    subprocess.run(["cp", "-a", first_commands[0], home], check=True)
    yield home
    shutil.rmtree(home)


@pytest.fixture
def start_site(site_home: Path) -> Iterator[StartSite]:
    sites: list[RunningSite] = []

    def start(*options: str) -> RunningSite:
        sites.append(RunningSite(site_home, *options))
        return sites[-1]

    yield start
    for site in sites:
        if site.process.returncode is None:
            site.process.kill()
            site.end()
    assert eventually(lambda: not processes(site_home))


def test_ctrl_c_leaves_nothing_behind(start_site: StartSite, site_home: Path) -> None:
    site = start_site()
    address = site.wait_for(ADDRESS)
    with urllib.request.urlopen(address, timeout=10) as page:
        assert page.status == 200
    watched = processes(site_home)
    assert len(watched) >= 6  # up, supervisor, postgres, gunicorn and its child, worker
    os.killpg(site.process.pid, signal.SIGINT)
    assert site.end() == 0
    assert not [pid for pid in watched if is_alive(pid)]
    assert not processes(site_home)
    assert "Traceback" not in site.output


@pytest.mark.slow
def test_ctrl_c_stops_a_run_in_progress(start_site: StartSite, site_home: Path) -> None:
    site = start_site("--demo")
    site.wait_for(ADDRESS)
    assert eventually(lambda: bool(processes(site_home, "execute_run")))
    os.killpg(site.process.pid, signal.SIGINT)
    assert site.end() == 0
    assert not processes(site_home)
    assert "Traceback" not in site.output


def test_serve_starts_the_server_of_versions_and_ctrl_c_stops_it_too(
    start_site: StartSite, site_home: Path
) -> None:
    site = start_site("--serve", "--serve-port", "0")
    address = site.wait_for(r"^serve .* Serving at (http://\S+)/v1 ")
    with urllib.request.urlopen(f"{address}/health", timeout=10) as answer:
        assert json.load(answer) == {"status": "ok"}
    (web, *_) = processes(site_home, "gunicorn")
    assert f"SERVE_URL={address}".encode() in Path(f"/proc/{web}/environ").read_bytes()
    os.killpg(site.process.pid, signal.SIGINT)
    assert site.end() == 0
    assert not processes(site_home)
    assert "Traceback" not in site.output


def test_a_terminal_that_is_closed_stops_it_as_ctrl_c_does(start_site: StartSite, site_home: Path) -> None:
    site = start_site()
    site.wait_for(ADDRESS)
    site.process.send_signal(signal.SIGHUP)
    assert site.end() == 0
    assert not processes(site_home)


def test_ctrl_c_while_the_database_is_prepared_stops_it(start_site: StartSite, site_home: Path) -> None:
    site = start_site()
    site.wait_for(r"(preparing)")
    os.killpg(site.process.pid, signal.SIGINT)
    assert site.end() == 130
    assert not processes(site_home)
    assert "Traceback" not in site.output


def test_when_the_web_dies_the_rest_stops_with_a_message(start_site: StartSite, site_home: Path) -> None:
    site = start_site()
    site.wait_for(ADDRESS)
    for pid in processes(site_home, "gunicorn"):
        os.kill(pid, signal.SIGKILL)
    assert site.end() == 1
    assert "web was ended by SIGKILL" in site.output
    assert not processes(site_home)


def test_it_outlives_a_kill_of_its_database_and_its_own_kill_ends_every_process(
    start_site: StartSite, site_home: Path
) -> None:
    site = start_site()
    address = site.wait_for(ADDRESS)
    (postmaster,) = (
        pid
        for pid in server_processes(site_home / "postgres" / "data")
        if os.getsid(pid) == pid and is_main_server_process(pid)
    )
    kill(postmaster)
    assert eventually(lambda: is_page_served(f"{address}accounts/login/"))
    assert site.process.poll() is None
    kill(site.process.pid)
    assert eventually(lambda: not processes(site_home))


def test_a_busy_port_gives_an_error_of_one_line(site_home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        command = [sys.executable, "manage.py", "up", "--port", port]
        ended = subprocess.run(
            command, cwd=PROJECT, env=environment(site_home), capture_output=True, text=True, check=False
        )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert re.fullmatch(rf"CommandError: .* port {port}: address already in use.*--port.*\n", ended.stderr)
    assert not processes(site_home)


def is_main_server_process(pid: int) -> bool:
    """Whether this is PostgreSQL's main process: its helpers change their command line."""
    return b"\0-D\0" in Path(f"/proc/{pid}/cmdline").read_bytes()


def is_page_served(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=10) as page:
            return bool(page.status == 200)
    except OSError:
        return False
