"""Child processes that end when this one does: start them, forward their output, stop them."""

import ctypes
import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

POLL_SECONDS = 0.2  # seconds between looks at the children
ORPHAN_SECONDS = 5
LINUX = sys.platform.startswith("linux")
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
SUPERVISOR = b"feedback_site.embedded_postgres.supervisor"  # as it stands in the command line


class ChildProcess:
    """One child process and its output, line by line."""

    def __init__(self, name: str, command: Sequence[str], *, pass_fds: Sequence[int]) -> None:
        self.name = name
        parent = os.getpid()
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            pass_fds=pass_fds,
            start_new_session=True,  # Ctrl-C in the terminal reaches us alone; we stop the children in order
            # Safe between fork and exec: this process has one thread.
            preexec_fn=lambda: terminate_with_parent(parent),  # noqa: PLW1509
        )
        assert self.process.stdout is not None
        self.output = self.process.stdout
        self.output_closed = False  # also true once it has exited
        self._unfinished = b""
        os.set_blocking(self.output.fileno(), False)

    def read_lines(self) -> list[str]:
        """The complete lines since the last call. Does not block."""
        try:
            data = os.read(self.output.fileno(), 65536)
        except BlockingIOError:
            return []
        self.output_closed = not data
        *lines, self._unfinished = (self._unfinished + (data or b"\n")).split(b"\n")
        return [line.decode(errors="replace").rstrip() for line in lines if line.strip()]

    def kill_group(self) -> None:
        """Kill it and everything it started in its process group."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    @property
    def exit_description(self) -> str:
        """Exit status or signal, as a phrase that follows the child's name."""
        code = self.process.returncode
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


class ChildProcesses:
    """The children of this process; `on_line(name, line)` is called with each line they print."""

    def __init__(self, on_line: Callable[[str, str], None]) -> None:
        self.children: list[ChildProcess] = []
        self._on_line = on_line
        self._selector = selectors.DefaultSelector()
        if LINUX:
            # Processes that a killed child leaves behind become our children, so that we can end them.
            prctl(PR_SET_CHILD_SUBREAPER, 1)

    def start(self, name: str, command: Sequence[str], *, pass_fds: Sequence[int] = ()) -> None:
        child = ChildProcess(name, command, pass_fds=pass_fds)
        self.children.append(child)
        self._selector.register(child.output, selectors.EVENT_READ, child)

    def forward_output(self) -> None:
        """Wait up to POLL_SECONDS for output, and pass its lines on."""
        if not self._selector.get_map():
            time.sleep(POLL_SECONDS)
        for key, _ in self._selector.select(POLL_SECONDS):
            child: ChildProcess = key.data
            for line in child.read_lines():
                self._on_line(child.name, line)
            if child.output_closed:
                self._selector.unregister(child.output)

    def first_exited(self) -> ChildProcess | None:
        """A child that has exited, or None."""
        return next((child for child in self.children if child.process.poll() is not None), None)

    def stop(self, *, seconds: float, should_force: Callable[[], bool]) -> None:
        """Terminate all; kill those left after `seconds`, or as soon as `should_force()` is true."""
        for child in self.children:
            child.process.terminate()
        deadline = time.monotonic() + seconds
        while any(child.process.poll() is None for child in self.children):
            if should_force() or time.monotonic() > deadline:
                break
            self.forward_output()
        for child in self.children:
            child.kill_group()
            child.process.wait()
        self.forward_output()
        for child in self.children:
            child.output.close()
        terminate_orphans()


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process (Linux)."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def terminate_with_parent(parent: int) -> None:
    """Call in a child before exec: it gets SIGTERM when `parent` dies, even by `kill -9` (Linux)."""
    if LINUX:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)  # the parent died before this call


def terminate_orphans() -> None:
    """End processes that killed children left behind (Linux), such as a run whose worker was killed."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    number = signal.SIGTERM
    while orphans := remaining_children():
        for pid in orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(POLL_SECONDS / 4)
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def remaining_children() -> list[int]:
    """Child processes, without the embedded database's supervisor, which ends when we do."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and SUPERVISOR not in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # it ended meanwhile
    return found
