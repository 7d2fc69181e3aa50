"""What a study has found so far: one JSON file, a cell at a time, from which a killed study goes on."""

import json
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from training.gpt.errors import InputError

Found = dict[str, Any]
"""The figures of one cell, as JSON keeps them."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One piece of a study, computed whole or not at all."""

    name: str
    compute: Callable[[], Found]
    minutes: float  # expected on one slow core; only their proportions matter once some are done
    prepare: Callable[[], object] = dict  # what cells share, made before the clock starts


class Ledger:
    """The cells of one study that are done, on disk as soon as each is."""

    def __init__(
        self, path: Path, *, study: str, options: Any, growing: frozenset[str], say: Callable[[str], object]
    ) -> None:
        """Read what is there. The options named in `growing` only add cells, and may differ from its.

        Raises InputError if the file is damaged or was made with other options.
        """
        self.path, self.say = path, say
        self.options = asdict(options)
        machine = {
            "processor": platform.processor() or platform.machine(),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "torch": torch.__version__,
        }
        self.content: dict[str, Any] = {
            "study": study,
            "options": self.options,
            "machine": machine,
            "cells": {},
        }
        if path.exists():
            self._go_on(growing)

    def complete(self, cells: Iterable[Cell]) -> Mapping[str, Found]:
        """Compute the cells that are missing; give the figures of all, by name."""
        cells = list(cells)
        done = self.content["cells"]
        missing = [cell for cell in cells if cell.name not in done]
        left = sum(cell.minutes for cell in missing)
        known = f", {len(cells) - len(missing)} of them known" if len(missing) < len(cells) else ""
        self.say(f"{len(cells)} cells{known}; about {_minutes(left)} on one slow core")
        spent = expected = 0.0
        for number, cell in enumerate(missing, start=len(cells) - len(missing) + 1):
            cell.prepare()
            begun = time.monotonic()
            found = cell.compute()
            seconds = time.monotonic() - begun
            done[cell.name] = {"seconds": round(seconds, 1), **found}
            self.save()
            spent, expected = spent + seconds / 60, expected + cell.minutes
            left -= cell.minutes
            self.say(
                f"{number}/{len(cells)} {cell.name}: {seconds:.0f} s; "
                + (f"about {_minutes(left * spent / expected)} left" if left > 1e-9 else "done")
            )
        return {cell.name: done[cell.name] for cell in cells}

    def conclude(self, summary: Found) -> None:
        """Keep what follows from the cells."""
        self.content["summary"] = summary
        self.save()

    def save(self) -> None:
        """Write the file, whole or not at all."""
        self.content["seconds"] = round(sum(cell["seconds"] for cell in self.content["cells"].values()), 1)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(self.path.name + ".partial")
        partial.write_text(json.dumps(self.content, indent=1) + "\n", encoding="utf-8")
        partial.replace(self.path)

    def _go_on(self, growing: frozenset[str]) -> None:
        try:
            before = json.loads(self.path.read_text(encoding="utf-8"))
            old, cells = before["options"], before["cells"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{self.path}: not what a study wrote; move it away") from None
        for name, value in self.options.items():
            if name not in growing and old.get(name) != value:
                raise InputError(
                    f"{self.path}: was made with {name} {old.get(name)!r}, not {value!r};"
                    " give another --folder, or move it away"
                )
        self.content["cells"] = cells


def _minutes(minutes: float) -> str:
    return f"{minutes:.0f} minutes" if minutes >= 1.5 else f"{60 * minutes:.0f} seconds"
