"""`script/study NAME [options] [--quick] [--folder OUT]`: run or continue a study, and write its report."""

import argparse
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from training.gpt.errors import InputError
from training.studies.options import add_options, read_options
from training.studies.results_store import Results, ResultsStore

STUDIES = {
    "human_preferences": "reward models on human preferences, compared with baselines",
    "overoptimisation": "gold and proxy reward against the KL, by number of comparisons and noise",
    "label_efficiency": "gold win rate by number of annotations, with and without annotator reliability",
    "active_learning": "tasks selected by a reward model, compared with random tasks",
    "estimators": "tuning methods at equal numbers of samples",
}
RENAMED = {"choosing": "active_learning", "preferences": "human_preferences"}
"""Old names of studies, accepted with a note."""


class Study(Protocol):
    """What the module of a study defines."""

    Options: Any  # a frozen dataclass
    QUICK: Any  # an instance of it that runs in seconds; its results mean nothing
    EXTENDABLE: frozenset[str]  # names of options that only add cells

    def run(self, options: Any, store: ResultsStore, workspace: Path) -> Results:
        """Compute the missing cells; returns the summary of all."""
        ...

    def report(self, content: Results) -> str:
        """The report in Markdown, from the content of the JSON file."""
        ...

    def plot(self, content: Results, folder: Path) -> list[Path]:
        """Write plots into the folder."""
        ...


def log(text: str) -> None:
    """Print a line with the time."""
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


def run_study(name: str, options: Any, folder: Path) -> list[Path]:
    """Run or continue a study; returns the files written."""
    study: Study = import_module(f"training.studies.{name}")
    store = ResultsStore(
        folder / f"{name}.json", study=name, options=options, extendable=study.EXTENDABLE, log=log
    )
    store.save_summary(study.run(options, store, folder / "shared"))
    report = folder / f"{name}.md"
    report.write_text(study.report(store.content), encoding="utf-8")
    return [store.path, report, *study.plot(store.content, folder)]


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="script/study", description=__doc__)
    studies = parser.add_subparsers(dest="name", required=True, metavar="NAME")
    old_names = {new: old for old, new in RENAMED.items()}
    for name, summary in STUDIES.items():
        aliases = [old_names[name]] if name in old_names else []
        command = studies.add_parser(
            name, aliases=aliases, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        command.add_argument(
            "--folder", type=Path, default=Path("var/studies"), help="folder of results and shared files"
        )
        command.add_argument("--quick", action="store_true", help="a tiny size, to see that the study works")
        add_options(command, import_module(f"training.studies.{name}").Options)
    given = parser.parse_args(arguments)
    name = RENAMED.get(given.name, given.name)
    if name != given.name:
        print(f"script/study: {given.name} is now {name}", file=sys.stderr)
    study = import_module(f"training.studies.{name}")
    try:
        options = read_options(study.QUICK if given.quick else study.Options(), given)
        files = run_study(name, options, given.folder)
    except InputError as error:
        print(f"script/study: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nscript/study: stopped; the same command continues after the last cell", file=sys.stderr)
        return 130
    print((given.folder / f"{name}.md").read_text(encoding="utf-8"))
    log("files: " + ", ".join(map(str, files)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
