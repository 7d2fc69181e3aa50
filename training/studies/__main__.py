"""`script/study NAME [options] [--quick] [--folder OUT]`: run a study, or go on with it, and report."""

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from training.gpt.errors import InputError
from training.studies.options import add_options, read_options
from training.studies.results_store import Found, Ledger

STUDIES = {
    "preferences": "reward models on people's own preferences, beside baselines",
    "overoptimisation": "gold and proxy reward against the KL spent, by number of comparisons and noise",
    "label_efficiency": "gold win rate by number of annotations, with and without annotator reliability",
    "choosing": "what tasks teach that a reward model chose, beside tasks at random",
    "estimators": "ways to tune a policy, at equal numbers of samples",
}


class Study(Protocol):
    """What the module of a study has."""

    Options: Any  # a frozen dataclass
    QUICK: Any  # of it: minutes become seconds, and figures mean nothing
    GROWING: frozenset[str]  # names of options that only add cells

    def run(self, options: Any, ledger: Ledger, workspace: Path) -> Found:
        """Compute what is missing; give what follows from all cells."""
        ...

    def report(self, content: Found) -> str:
        """The study in Markdown, from what its JSON file holds."""
        ...

    def draw(self, content: Found, folder: Path) -> list[Path]:
        """Figures into the folder."""
        ...


def say(text: str) -> None:
    """A line for who waits, with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def conduct(name: str, options: Any, folder: Path) -> list[Path]:
    """Run a study, or go on with it; gives the files written."""
    study: Study = import_module(f"training.studies.{name}")
    ledger = Ledger(folder / f"{name}.json", study=name, options=options, growing=study.GROWING, say=say)
    summary = study.run(options, ledger, folder / "shared")
    ledger.conclude(summary)
    report = folder / f"{name}.md"
    report.write_text(study.report(ledger.content), encoding="utf-8")
    return [ledger.path, report, *study.draw(ledger.content, folder)]


def main(arguments: list[str] | None = None) -> int:
    """The command; gives its exit status."""
    parser = argparse.ArgumentParser(prog="script/study", description=__doc__)
    chosen = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    for name, about in STUDIES.items():
        each = chosen.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        each.add_argument("--folder", type=Path, default=Path("var/studies"), help="where all of it is kept")
        each.add_argument("--quick", action="store_true", help="a size that only shows that it works")
        add_options(each, import_module(f"training.studies.{name}").Options)
    given = parser.parse_args(arguments)
    study = import_module(f"training.studies.{given.name}")
    try:
        options = read_options(study.QUICK if given.quick else study.Options(), given)
        files = conduct(given.name, options, given.folder)
    except InputError as error:
        print(f"script/study: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nscript/study: stopped; the same command goes on from the last cell", file=sys.stderr)
        return 130
    print((given.folder / f"{given.name}.md").read_text(encoding="utf-8"))
    say("written: " + ", ".join(map(str, files)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
