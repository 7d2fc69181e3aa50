"""Config dataclasses from the stored parameters of a run."""

import dataclasses
from typing import TypeVar

from training.models import Run

Config = TypeVar("Config")


def config_of(kind: type[Config], run: Run) -> Config:
    """An instance of the dataclass `kind`, filled from the run's parameters of the same names."""
    names = {option.name for option in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in run.parameters.items() if name in names})
