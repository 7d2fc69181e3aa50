"""The config dataclasses of a run, from its stored parameters."""

import dataclasses
from typing import TypeVar

from training.models import Run

Config = TypeVar("Config")


def config_of(kind: type[Config], run: Run) -> Config:
    """The dataclass `kind` filled from the run's parameters, where it names them."""
    names = {option.name for option in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in run.parameters.items() if name in names})
