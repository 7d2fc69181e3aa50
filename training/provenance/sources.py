"""The sources of a version: the answers and files that it and its ancestors were trained on."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Any

from django.db.models import Count, Max, Min, OuterRef, Subquery
from django.db.models.functions import Coalesce

from labeling.models import PreferenceSnapshot, SnapshotAnswer
from training.models import ModelVersion, Run
from training.provenance.ancestry import Ancestry
from training.provenance.answer_deletion import count_deleted_in_line

FILE_PARAMETERS = ("preferences", "demonstrations")
"""Parameters of runs that name a file of training data."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A snapshot, and the version that was trained on it."""

    version: ModelVersion
    snapshot: PreferenceSnapshot
    """Without its content."""
    answers: int
    people: int
    first: datetime | None
    last: datetime | None
    """Times of the earliest and the latest answer."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The answers and files that a version and its ancestors were trained on."""

    version: ModelVersion
    sources: list[Source]
    """Nearest first."""
    files: list[tuple[ModelVersion, str]]
    """Versions that were trained on a file, and its name."""
    deleted: int
    """The minimum number of answers that were deleted since."""


def find_sources(version: ModelVersion) -> Sources:
    """The sources of a version, with the numbers of answers and people."""
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
        deleted=count_deleted_in_line(descent, line, snapshots),
    )


def summarise_snapshots(*snapshots: int) -> dict[int, Any]:
    """Snapshots by id, without content, annotated with `here` (answers), `people`, `first` and `last`."""
    rows = SnapshotAnswer.objects.filter(snapshot=OuterRef("pk")).order_by().values("snapshot")
    aggregates = {
        "here": Count("pk"),
        "people": Count("annotation__assignment__annotator", distinct=True),
        "first": Min("annotation__created"),
        "last": Max("annotation__created"),
    }
    columns: dict[str, Any] = {
        name: Subquery(rows.annotate(**{name: aggregate}).values(name))
        for name, aggregate in aggregates.items()
    }
    for name in ("here", "people"):
        columns[name] = Coalesce(columns[name], 0)
    found = PreferenceSnapshot.objects.select_related("project").defer("content")
    return found.annotate(**columns).in_bulk(snapshots)


def source_file_names(run: Run) -> list[str]:
    """The names of the files that a run was trained on."""
    return [PurePath(run.parameters[name]).name for name in FILE_PARAMETERS if run.parameters.get(name)]
