"""Child processes that live and end together with this one: started, listened to, and stopped."""

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

TICK = 0.2  # seconds between looks at the children
ORPHAN_SECONDS = 5
LINUX = sys.platform.startswith("linux")
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


class Child:
    """One child, and what it says line by line."""

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
            start_new_session=True,  # a Ctrl-C in the terminal is for us, and we stop the others in order
            # We have one thread, so that code between fork and exec is safe.
            preexec_fn=lambda: end_with(parent),  # noqa: PLW1509
        )
        assert self.process.stdout is not None
        self.output = self.process.stdout
        self.silent = False  # it has closed its output, as everything does that ends
        self._unfinished = b""
        os.set_blocking(self.output.fileno(), False)

    def lines(self) -> list[str]:
        """The lines that it has finished since the last call."""
        try:
            said = os.read(self.output.fileno(), 65536)
        except BlockingIOError:
            return []
        self.silent = not said
        *lines, self._unfinished = (self._unfinished + (said or b"\n")).split(b"\n")
        return [line.decode(errors="replace").rstrip() for line in lines if line.strip()]

    def force_to_end(self) -> None:
        """End it and whatever it has started in its own process group."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    @property
    def fate(self) -> str:
        """How it ended."""
        code = self.process.returncode
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with status {code}"


class Family:
    """All children; `say(name, line)` gets what they print."""

    def __init__(self, say: Callable[[str, str], None]) -> None:
        self.children: list[Child] = []
        self._say = say
        self._selector = selectors.DefaultSelector()
        if LINUX:
            # What a killed child leaves behind becomes ours, so that we see it and can end it.
            prctl(PR_SET_CHILD_SUBREAPER, 1)

    def start(self, name: str, command: Sequence[str], *, pass_fds: Sequence[int] = ()) -> None:
        child = Child(name, command, pass_fds=pass_fds)
        self.children.append(child)
        self._selector.register(child.output, selectors.EVENT_READ, child)

    def listen(self) -> None:
        """Pass on what the children say, for one tick at most."""
        if not self._selector.get_map():
            time.sleep(TICK)
        for key, _ in self._selector.select(TICK):
            child: Child = key.data
            for line in child.lines():
                self._say(child.name, line)
            if child.silent:
                self._selector.unregister(child.output)

    def first_dead(self) -> Child | None:
        """A child that has ended, if one has."""
        return next((child for child in self.children if child.process.poll() is not None), None)

    def stop(self, *, seconds: float, hurry: Callable[[], bool]) -> None:
        """Ask all to end; force those that take longer than `seconds`, or all of them when told to hurry."""
        for child in self.children:
            child.process.terminate()
        deadline = time.monotonic() + seconds
        while any(child.process.poll() is None for child in self.children):
            if hurry() or time.monotonic() > deadline:
                break
            self.listen()
        for child in self.children:
            child.force_to_end()
            child.process.wait()
        self.listen()
        for child in self.children:
            child.output.close()
        end_orphans()


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process (Linux)."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def end_with(parent: int) -> None:
    """In a child before it becomes another program: be asked to end when `parent` dies, even by `kill -9`."""
    if LINUX:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)  # it died before we could ask


def end_orphans() -> None:
    """End what children left behind when they were forced (Linux): a run whose worker had no time for it."""
    deadline = time.monotonic() + ORPHAN_SECONDS
    number = signal.SIGTERM
    while orphans := processes_left():
        for pid in orphans:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        time.sleep(TICK / 4)
        if time.monotonic() > deadline:
            number = signal.SIGKILL
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def processes_left() -> list[int]:
    """The children of this process, save the keeper of the embedded database, which ends when we do."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and b"embedded_postgres.keeper" not in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue  # ended meanwhile
    return found
