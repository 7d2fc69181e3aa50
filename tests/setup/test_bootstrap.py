"""`script/bootstrap`, in a folder of its own, with requirements that need no network."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.setup.conftest import PROJECT


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    clone = tmp_path / "a clone"
    (clone / "script").mkdir(parents=True)
    shutil.copy(PROJECT / "script" / "bootstrap", clone / "script")
    (clone / "requirements.txt").write_text("# nothing\n")
    (clone / "requirements-dev.txt").write_text("-r requirements.txt\n")
    return clone


def bootstrap(clone: Path, *options: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [shutil.which("bash") or "bash", clone / "script" / "bootstrap", *options],
        cwd="/",
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_installs_once_and_again_when_the_requirements_change(clone: Path) -> None:
    first = bootstrap(clone)
    assert (first.returncode, first.stderr) == (0, "")
    assert "Making .venv" in first.stdout
    assert "Installing requirements.txt" in first.stdout
    assert bootstrap(clone).stdout == ""

    (clone / "requirements.txt").write_text("no/such/package.whl\n")
    for _ in range(2):  # what failed is not taken for done
        failed = bootstrap(clone)
        assert failed.returncode != 0
        assert "Installing requirements.txt" in failed.stdout

    (clone / "requirements.txt").write_text("# nothing else\n")
    assert "Installing requirements-dev.txt" in bootstrap(clone, "--dev").stdout
    assert bootstrap(clone, "--dev").stdout == ""
    assert bootstrap(clone).stdout == ""  # the one contains the other


def test_without_a_new_enough_python_the_error_says_what_to_do(clone: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("dirname", "cat", "rm"):
        (programs / name).symlink_to(shutil.which(name) or name)
    old = programs / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")  # what Python answers to "are you at least 3.11?" when it is not
    old.chmod(0o755)
    failed = bootstrap(clone, PATH=str(programs))
    assert failed.returncode == 1
    assert failed.stderr == (
        "script/bootstrap: no Python 3.11 or newer here: install one, or set PYTHON to its path.\n"
    )
    assert not (clone / ".venv").exists()


def test_an_unknown_option_is_an_error(clone: Path) -> None:
    failed = bootstrap(clone, "--fast")
    assert failed.returncode == 2
    assert "unknown option --fast" in failed.stderr
