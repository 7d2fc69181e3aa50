"""`manage.py up`: the whole site, until Ctrl-C."""

import os
import signal
import socket
import sys
from argparse import ArgumentParser
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, connections

from feedback_site.child_processes import Family

# A worker gives the run that it executes 20 s to end in order.
STOP_SECONDS = 25


class Command(BaseCommand):
    help = "Migrate the database, then run the web and a worker together until Ctrl-C stops both."
    requires_system_checks = []  # the web and the worker make them

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="Port of the site (default: 8000).")
        parser.add_argument("--bind", default="127.0.0.1", help="Address to listen on (default: 127.0.0.1).")
        parser.add_argument("--threads", type=int, default=8, help="Threads of a web process (default: 8).")
        parser.add_argument("--processes", type=int, default=1, help="Web processes (default: 1).")
        parser.add_argument("--demo", action="store_true", help="Make the demo's people, project and runs.")

    def handle(
        self,
        *,
        port: int,
        bind: str,
        threads: int,
        processes: int,
        demo: bool,
        **options: Any,  # noqa: ARG002
    ) -> None:
        for name, value in (("--threads", threads), ("--processes", processes)):
            if value < 1:
                raise CommandError(f"{name} {value}: it takes at least 1.")
        self.asked_to_stop = 0
        with listen_on(bind, port) as listener:
            try:
                for number in (signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.default_int_handler)
                self.prepare(demo=demo)
            except KeyboardInterrupt:
                sys.exit(130)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, self.ask_to_stop)
            self.run_children(listener, threads=threads, processes=processes)

    def prepare(self, *, demo: bool) -> None:
        """Bring the database to this version of the code; make the demo if it is wanted."""
        self.say("up", "preparing the database")
        try:
            call_command("migrate", interactive=False, verbosity=0)
            if not settings.DEBUG:
                call_command("collectstatic", interactive=False, verbosity=0)
            if demo:
                call_command("demo", stdout=self.stdout, stderr=self.stderr)
        except OperationalError as error:
            raise CommandError(f"The database does not answer: {str(error).splitlines()[0]}") from error
        connections.close_all()

    def run_children(self, listener: socket.socket, *, threads: int, processes: int) -> None:
        """Start the web and the worker, and stop both when asked to, or when one of them ends."""
        family = Family(self.say)
        try:
            family.start(
                "web",
                [
                    *(sys.executable, "-m", "gunicorn", "feedback_site.wsgi"),
                    *("--chdir", str(settings.BASE_DIR)),
                    *("--bind", f"fd://{listener.fileno()}"),
                    *("--worker-class", "gthread", "--threads", str(threads), "--workers", str(processes)),
                    *("--graceful-timeout", "5", "--log-level", "warning", "--no-control-socket"),
                ],
                pass_fds=[listener.fileno()],
            )
            family.start("worker", [sys.executable, str(settings.BASE_DIR / "manage.py"), "worker"])
            first_page = FirstPage(listener)
            dead = None
            while not self.asked_to_stop and not (dead := family.first_dead()):
                family.listen()
                if first_page.arrived():
                    self.say("up", f"Hone is at {address(listener)} (Ctrl-C stops it)")
            if dead:
                self.say("up", f"{dead.name} {dead.fate}; stopping the rest")
            else:
                self.say("up", "stopping")
        finally:
            family.stop(seconds=STOP_SECONDS, hurry=lambda: self.asked_to_stop > 1)
        if dead:
            raise CommandError(f"{dead.name} {dead.fate} unexpectedly.")

    def ask_to_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.asked_to_stop += 1

    def say(self, name: str, line: str) -> None:
        self.stdout.write(f"{name:<6} │ {line}")
        self.stdout.flush()


class FirstPage:
    """A request for the first page, made at once; its answer says that the web is up."""

    def __init__(self, listener: socket.socket) -> None:
        host, port = reachable(listener)
        self._connection: socket.socket | None = socket.create_connection((host, port))
        self._connection.sendall(f"GET / HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
        self._connection.setblocking(False)

    def arrived(self) -> bool:
        """Whether the answer has come; true once."""
        if self._connection is None:
            return False
        try:
            answered = bool(self._connection.recv(1))
        except BlockingIOError:
            return False
        except ConnectionError:
            answered = False
        self._connection.close()
        self._connection = None
        return answered


def listen_on(bind: str, port: int) -> socket.socket:
    """Take the port, now and for good: nobody can come between the check and the web's start."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    try:
        return socket.create_server((bind, port), family=family, backlog=512)
    except OverflowError as error:
        raise CommandError(f"--port {port}: a port is a number from 1 to 65535.") from error
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
        raise CommandError(
            f"Cannot listen on {bind} port {port}: {reason}. Choose another --port (or --bind)."
        ) from error


def reachable(listener: socket.socket) -> tuple[str, int]:
    """Host and port at which this machine reaches the listener."""
    host, port = listener.getsockname()[:2]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104


def address(listener: socket.socket) -> str:
    host, port = reachable(listener)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
