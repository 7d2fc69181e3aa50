"""One command in several processes: `torchrun … manage.py pretrain`, on the CPU."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from tests.processes import environment, eventually
from tests.training.factories import QUICK_PRETRAIN, execute_run
from training import runs
from training.execution.executor import execute
from training.management.run_command import check_processes
from training.models import ModelVersion, Run

pytestmark = pytest.mark.django_db(transaction=True)

QUICK: dict[str, Any] = QUICK_PRETRAIN | {
    "context": 32,
    "steps": 6,
    "evaluate_every": 3,
    "evaluation_tokens": 500,
    "device": "cpu",
    "precision": "fp32",
}


def torchrun(home: Path, *arguments: str) -> "subprocess.Popen[str]":
    """The command in two processes, on the test's database."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *(str(settings.BASE_DIR / "manage.py"), *arguments),
        ],
        env=environment(home) | {"OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def options(parameters: dict[str, Any]) -> list[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in parameters.items()]


def losses(run: Run) -> list[float]:
    return [point.values[name] for point in run.points.all() for name in ("loss", "validation_loss")
            if name in point.values]  # fmt: skip


def processes_with(word: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and word.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


@pytest.mark.slow
def test_two_processes_make_one_version_with_the_losses_of_one_process(tmp_path: Path) -> None:
    with torchrun(tmp_path, "pretrain", *options(QUICK), "--name=two") as process:
        out, stderr = process.communicate(timeout=120)
    assert process.returncode == 0, stderr
    assert out.count("made two") == 1
    two = Run.objects.get()
    one = execute_run(Run.Kind.PRETRAIN, name="one", **QUICK)
    assert losses(two) == pytest.approx(losses(one), rel=1e-5)
    assert [version.name for version in ModelVersion.objects.all()] == ["one", "two"]
    assert not two.folder.exists()


@pytest.mark.slow
def test_an_error_ends_both_processes_with_one_line(tmp_path: Path) -> None:
    with torchrun(tmp_path, "pretrain", *options(QUICK | {"batch_size": 3})) as process:
        _, stderr = process.communicate(timeout=120)
    assert process.returncode == 1
    (line,) = [line for line in stderr.splitlines() if "CommandError" in line]
    assert "batch_size" in line
    assert not Run.objects.exists()


@pytest.mark.slow
def test_two_processes_that_were_interrupted_are_resumed_by_one(tmp_path: Path) -> None:
    name = f"half-{os.getpid()}"
    asked = QUICK | {"steps": 400, "evaluate_every": 200, "name": name}
    with torchrun(tmp_path, "pretrain", *options(asked)) as process:
        assert eventually(lambda: Run.objects.filter(points__step__gte=1).exists())
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    run = Run.objects.get()
    assert f"manage.py resume {run.pk}" in stderr
    assert run.status == Run.Status.CANCELLED
    assert not processes_with(name)
    saved = run.saved_step
    assert saved is not None
    runs.resume(run, detached=False)
    assert execute(run), run.error
    assert [point.step for point in run.points.all()] == list(range(401))


@pytest.mark.slow
def test_a_killed_process_takes_the_other_along_and_leaves_what_was_saved(tmp_path: Path) -> None:
    name = f"torn-{os.getpid()}"
    asked = QUICK | {"steps": 100_000, "evaluate_every": 50_000, "save_every": 0.01, "name": name}
    with torchrun(tmp_path, "pretrain", *options(asked)) as process:
        assert eventually(lambda: Run.objects.filter(saved_step__gte=1).exists())
        os.kill(max(processes_with(name)), signal.SIGKILL)
        _, stderr = process.communicate(timeout=60)
    run = Run.objects.get()
    assert not processes_with(name)
    assert run.status in {Run.Status.FAILED, Run.Status.RUNNING}  # the latter if it was the first process
    assert run.saved_step is not None
    if run.status == Run.Status.FAILED:
        assert "ended early" in run.error
        assert f"manage.py resume {run.pk}" in stderr


def test_a_kind_of_run_that_one_process_executes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(CommandError, match="without torchrun"):
        check_processes(Run.Kind.SAMPLE, detach=False)
    with pytest.raises(CommandError, match="--detach"):
        check_processes(Run.Kind.PRETRAIN, detach=True)
    check_processes(Run.Kind.PRETRAIN, detach=False)


def test_a_command_that_makes_several_runs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(CommandError, match="without torchrun"):
        call_command("loop")
    assert not Run.objects.exists()
