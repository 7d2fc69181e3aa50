"""The version of the code that a process executes, recorded with its runs."""

import hashlib
import subprocess
from functools import cache
from pathlib import Path

from django.conf import settings


@cache
def code_version() -> str:
    """The checked-out commit, with a hash of the sources if files differ from it or there is no repository.

    Read once per process, as imported modules do not change.
    """
    commit, changed = _git("rev-parse", "HEAD"), _git("status", "--porcelain", "--", "*.py")
    if commit is None:
        return f"sources {sources_hash()}"
    return f"commit {commit[:12]}" if changed == "" else f"commit {commit[:12]}, changed: {sources_hash()}"


def sources_hash() -> str:
    """The first 12 hexadecimal digits of a SHA-256 over the names and contents of the site's modules."""
    total = hashlib.sha256()
    root = Path(settings.BASE_DIR)
    for package in ("feedback_site", "labeling", "training"):
        for path in sorted((root / package).rglob("*.py")):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{path.relative_to(root).as_posix()}\0{content}\n".encode())
    return total.hexdigest()[:12]


def _git(*arguments: str) -> str | None:
    """The output of a git command in the site's folder; None without git or a repository."""
    try:
        if not (Path(settings.BASE_DIR) / ".git").exists():
            return None
        done = subprocess.run(
            ["git", *arguments],
            cwd=settings.BASE_DIR,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
