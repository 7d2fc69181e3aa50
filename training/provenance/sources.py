"""What stands behind a version: the answers that it, and whatever it was made from, learned from."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any

from django.db.models import Count, Max, Min, OuterRef, Subquery
from django.db.models.functions import Coalesce

from labeling.models import PreferenceSnapshot, SnapshotAnswer
from training.models import ModelVersion, Run
from training.provenance.ancestry import Descent
from training.provenance.deletion import lost

FILES = ("preferences", "demonstrations")
"""Parameters of runs that name a file to learn from."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A snapshot, and the version that learned from it."""

    version: ModelVersion
    snapshot: PreferenceSnapshot
    """Without its content."""
    answers: int
    people: int
    first: datetime | None
    last: datetime | None
    """When the earliest and the latest of the answers were given."""


@dataclass(frozen=True, kw_only=True)
class Behind:
    """All that people said which a version learned from, by itself or through what it was made from."""

    version: ModelVersion
    sources: list[Source]
    """The nearest first."""
    files: list[tuple[ModelVersion, str]]
    """Versions that learned from a file, whose answers are not here, and its name."""
    withdrawn: int
    """How many of the answers were deleted since: at least so many."""


def behind(version: ModelVersion) -> Behind:
    """The snapshots behind a version, with what is in them."""
    descent = Descent.known()
    line = descent.ancestors(version.pk)
    versions = ModelVersion.objects.select_related("run").in_bulk(line)
    snapshots = summed(*{descent.snapshots[key] for key in line if key in descent.snapshots})
    sources = [
        Source(
            version=versions[key],
            snapshot=snapshot,
            answers=snapshot.here,
            people=snapshot.people,
            first=snapshot.first,
            last=snapshot.last,
        )
        for key in line
        if (snapshot := snapshots.get(descent.snapshots.get(key, 0))) is not None
    ]
    return Behind(
        version=version,
        sources=sources,
        files=[
            (versions[key], name) for key in line if (run := versions[key].run) for name in learned_files(run)
        ],
        withdrawn=lost(descent, line, snapshots),
    )


def summed(*snapshots: int) -> dict[int, Any]:
    """These snapshots by id, without their content, with `here` (answers), `people`, `first` and `last`."""
    rows = SnapshotAnswer.objects.filter(snapshot=OuterRef("pk")).order_by().values("snapshot")
    figures = {
        "here": Count("pk"),
        "people": Count("annotation__assignment__annotator", distinct=True),
        "first": Min("annotation__created"),
        "last": Max("annotation__created"),
    }
    columns: dict[str, Any] = {
        name: Subquery(rows.annotate(**{name: figure}).values(name)) for name, figure in figures.items()
    }
    for name in ("here", "people"):
        columns[name] = Coalesce(columns[name], 0)
    found = PreferenceSnapshot.objects.select_related("project").defer("content")
    return found.annotate(**columns).in_bulk(snapshots)


def learned_files(run: Run) -> list[str]:
    """The names of the files that a run learned from."""
    return [PurePath(run.parameters[name]).name for name in FILES if run.parameters.get(name)]
