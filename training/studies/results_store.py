"""The results of a study: one JSON file that grows cell by cell, so that a killed study can continue."""

import json
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from training.gpt.errors import InputError

Results = dict[str, Any]
"""Results as JSON stores them: of one cell, of the summary, or of a whole study."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One unit of a study's work, computed whole or not at all."""

    name: str
    compute: Callable[[], Results]
    minutes: float  # expected on one slow core; only their proportions matter once some are done
    prepare: Callable[[], object] = dict  # makes what cells share, before the clock starts


class ResultsStore:
    """The finished cells of one study, saved to disk one by one."""

    def __init__(
        self,
        path: Path,
        *,
        study: str,
        options: Any,
        extendable: frozenset[str],
        log: Callable[[str], object],
    ) -> None:
        """Load the file if it exists. Options named in `extendable` only add cells, and may differ from it.

        Raises InputError if the file is damaged or was made with other options.
        """
        self.path, self.log = path, log
        self.options = asdict(options)
        machine = {
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        }
        self.content: Results = {
            "study": study,
            "options": self.options,
            "machine": machine,
            "cells": {},
        }
        if path.exists():
            self._load_cells(extendable)

    def compute_missing(self, cells: Iterable[Cell]) -> Mapping[str, Results]:
        """Compute and save the cells that are missing; returns the results of all, by name."""
        cells = list(cells)
        done = self.content["cells"]
        missing = [cell for cell in cells if cell.name not in done]
        left = sum(cell.minutes for cell in missing)
        known = f", {len(cells) - len(missing)} of them done before" if len(missing) < len(cells) else ""
        self.log(f"{len(cells)} cells{known}; about {_duration(left)} on one slow core")
        spent = expected = 0.0
        for number, cell in enumerate(missing, start=len(cells) - len(missing) + 1):
            cell.prepare()
            start = time.monotonic()
            results = cell.compute()
            seconds = time.monotonic() - start
            done[cell.name] = {"seconds": round(seconds, 1), **results}
            self.save()
            spent, expected = spent + seconds / 60, expected + cell.minutes
            left -= cell.minutes
            self.log(
                f"{number}/{len(cells)} {cell.name}: {seconds:.0f} s; "
                + (f"about {_duration(left * spent / expected)} left" if left > 1e-9 else "done")
            )
        return {cell.name: done[cell.name] for cell in cells}

    def save_summary(self, summary: Results) -> None:
        """Save what was computed from all cells."""
        self.content["summary"] = summary
        self.save()

    def save(self) -> None:
        """Write the file atomically."""
        self.content["seconds"] = round(sum(cell["seconds"] for cell in self.content["cells"].values()), 1)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(self.path.name + ".partial")
        partial.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        partial.replace(self.path)

    def _load_cells(self, extendable: frozenset[str]) -> None:
        try:
            saved = json.loads(self.path.read_text(encoding="utf-8"))
            options, cells = saved["options"], saved["cells"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{self.path}: not the results of a study; move it away") from None
        for name, value in self.options.items():
            if name not in extendable and options.get(name) != value:
                raise InputError(
                    f"{self.path}: was made with {name} {options.get(name)!r}, not {value!r};"
                    " give another --folder, or move it away"
                )
        self.content["cells"] = cells


def _duration(minutes: float) -> str:
    return f"{minutes:.0f} minutes" if minutes >= 1.5 else f"{60 * minutes:.0f} seconds"
