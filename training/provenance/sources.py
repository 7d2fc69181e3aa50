"""What stands behind a version: the answers that it, and whatever it was made from, learned from."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any

from django.db.models import Count, Max, Min, OuterRef, Subquery
from django.db.models.functions import Coalesce

from labeling.models import PreferenceSnapshot, SnapshotAnswer
from training.models import ModelVersion, Run
from training.provenance.ancestry import Ancestry
from training.provenance.deletion import count_deleted_in_line

FILE_PARAMETERS = ("preferences", "demonstrations")
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
class Sources:
    """All that people said which a version learned from, by itself or through what it was made from."""

    version: ModelVersion
    sources: list[Source]
    """The nearest first."""
    files: list[tuple[ModelVersion, str]]
    """Versions that learned from a file, whose answers are not here, and its name."""
    withdrawn: int
    """How many of the answers were deleted since: at least so many."""


def find_sources(version: ModelVersion) -> Sources:
    """The snapshots behind a version, with what is in them."""
    descent = Ancestry.load()
    line = descent.ancestors(version.pk)
    versions = ModelVersion.objects.select_related("run").in_bulk(line)
    snapshots = summarise_snapshots(*{descent.snapshots[key] for key in line if key in descent.snapshots})
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
    return Sources(
        version=version,
        sources=sources,
        files=[
            (versions[key], name)
            for key in line
            if (run := versions[key].run)
            for name in source_file_names(run)
        ],
        withdrawn=count_deleted_in_line(descent, line, snapshots),
    )


def summarise_snapshots(*snapshots: int) -> dict[int, Any]:
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


def source_file_names(run: Run) -> list[str]:
    """The names of the files that a run learned from."""
    return [PurePath(run.parameters[name]).name for name in FILE_PARAMETERS if run.parameters.get(name)]
