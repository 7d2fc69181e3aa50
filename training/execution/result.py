"""The result of executing a run: metrics, and the files of a new version if it made one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labeling.models import PreferenceSnapshot
from training.models import ModelVersion


@dataclass(frozen=True, kw_only=True)
class NewVersion:
    """A local folder with the files of a new model version."""

    folder: Path
    kind: ModelVersion.Kind
    parent: ModelVersion | None


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The result of a run. `record` writes further rows in the transaction that ends the run."""

    metrics: dict[str, Any]
    version: NewVersion | None = None
    snapshot: PreferenceSnapshot | None = None
    record: Callable[[], object] = field(default=lambda: None)
