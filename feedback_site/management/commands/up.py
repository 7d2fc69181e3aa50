"""`manage.py up`: the whole site, until Ctrl-C."""

import os
import signal
import socket
import sys
from argparse import ArgumentParser
from contextlib import ExitStack
from types import FrameType
from typing import Any

from django.conf import settings
from django.core.management import CommandError, call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, connections

from feedback_site.child_processes import ChildProcesses
from feedback_site.listener import listener_url, local_address, open_listener

# A worker gives the run that it executes 20 s to end in order.
STOP_SECONDS = 25


class Command(BaseCommand):
    help = "Migrate the database, then run the web and a worker together until Ctrl-C stops both."
    requires_system_checks = []  # the web and the worker run them

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="Port of the site (default: 8000).")
        parser.add_argument("--bind", default="127.0.0.1", help="Address to listen on (default: 127.0.0.1).")
        parser.add_argument("--threads", type=int, default=8, help="Threads of a web process (default: 8).")
        parser.add_argument("--processes", type=int, default=1, help="Web processes (default: 1).")
        parser.add_argument(
            "--serve", action="store_true", help="Also start the OpenAI-compatible server of versions."
        )
        parser.add_argument("--serve-port", type=int, default=8001, help="Port of --serve (default: 8001).")
        parser.add_argument("--demo", action="store_true", help="Make the demo's people, project and runs.")

    def handle(
        self,
        *,
        port: int,
        bind: str,
        threads: int,
        processes: int,
        serve: bool,
        serve_port: int,
        demo: bool,
        **options: Any,  # noqa: ARG002
    ) -> None:
        for name, value in (("--threads", threads), ("--processes", processes)):
            if value < 1:
                raise CommandError(f"{name} {value}: it takes at least 1.")
        self.stop_requests = 0
        with ExitStack() as stack:
            listener = stack.enter_context(open_listener(bind, port))
            serving = stack.enter_context(open_listener(bind, serve_port, "--serve-port")) if serve else None
            try:
                # SIGINT too: a shell that starts a command in the background has it ignored.
                for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                    signal.signal(number, signal.default_int_handler)
                self.prepare(demo=demo)
            except KeyboardInterrupt:
                sys.exit(130)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, self.request_stop)
            self.run_children(listener, serving, threads=threads, processes=processes)

    def prepare(self, *, demo: bool) -> None:
        """Migrate the database; with `demo`, make the demo's data."""
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

    def run_children(
        self, listener: socket.socket, serving: socket.socket | None, *, threads: int, processes: int
    ) -> None:
        """Run the web, the worker and, on `serving`, the server of versions until a stop is requested or one
        of them exits."""
        children = ChildProcesses(self.say)
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        if serving:
            os.environ.setdefault("SERVE_URL", listener_url(serving).rstrip("/"))
        try:
            children.start(
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
            children.start("worker", [*manage, "worker"])
            if serving:
                descriptor = serving.fileno()
                children.start("serve", [*manage, "serve", "--fd", str(descriptor)], pass_fds=[descriptor])
            readiness = ReadinessProbe(listener)
            exited = None
            while not self.stop_requests and not (exited := children.first_exited()):
                children.forward_output()
                if readiness.has_answered():
                    url = listener_url(listener).rstrip("/") + path_below_host()
                    self.say("up", f"Hone is at {url} (Ctrl-C stops it)")
            if exited:
                self.say("up", f"{exited.name} {exited.exit_description}; stopping the rest")
            else:
                self.say("up", "stopping")
        finally:
            children.stop(seconds=STOP_SECONDS, should_force=lambda: self.stop_requests > 1)
        if exited:
            raise CommandError(f"{exited.name} {exited.exit_description} unexpectedly.")

    def request_stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stop_requests += 1

    def say(self, name: str, line: str) -> None:
        self.stdout.write(f"{name:<6} │ {line}")
        self.stdout.flush()


def path_below_host() -> str:
    """The path that a proxy serves the site below, as `SCRIPT_NAME` says: `/`, or such as `/hone/`."""
    path = os.environ.get("SCRIPT_NAME", "").strip("/")
    return f"/{path}/" if path else "/"


class ReadinessProbe:
    """Tells when the web is up: by the answer to a request that waits in the listener's queue."""

    def __init__(self, listener: socket.socket) -> None:
        host, port = local_address(listener)
        self._connection: socket.socket | None = socket.create_connection((host, port))
        self._connection.sendall(f"GET {path_below_host()} HTTP/1.0\r\nHost: {host}:{port}\r\n\r\n".encode())
        self._connection.setblocking(False)

    def has_answered(self) -> bool:
        """Whether the answer has arrived; true once, then false again. Does not block."""
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
