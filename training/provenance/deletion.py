"""Deleting a person's answers, and the marks that it leaves on versions."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from labeling.models import Annotation, PreferenceSnapshot, Project, SnapshotAnswer
from labeling.people import deletion
from training.models import ModelVersion, Run
from training.provenance.ancestry import Ancestry


def delete_answers(person: User, *, projects: Iterable[Project], by: User) -> deletion.Extent:
    """Delete what somebody answered in these projects, and the figures about them in runs and versions.

    Runs that learned from the answers and are not done begin anew, if they are taken up again. Returns what
    there was; raises PermissionDenied. Else as `labeling.people.deletion.erase`.
    """
    chosen = list(projects)
    with transaction.atomic():
        learning = affected_by(person, chosen).runs
        there_was = deletion.erase(person, projects=chosen, by=by)
        _discard_saved_states(Run.objects.filter(pk__in=learning))
        runs = Run.objects.select_for_update(of=("self",)).filter(project__in=chosen).order_by("pk")
        for run in runs.filter(kind__in=(Run.Kind.TRAIN_REWARD, Run.Kind.EVALUATE)):
            cleaned = without_annotator(run.metrics, person)
            if cleaned != run.metrics:
                Run.objects.filter(pk=run.pk).update(metrics=cleaned)
        versions = ModelVersion.objects.select_for_update(of=("self",)).filter(run__project__in=chosen)
        for version in versions.order_by("pk"):
            cleaned = without_annotator(version.metrics, person)
            if cleaned != version.metrics:
                ModelVersion.objects.filter(pk=version.pk).update(metrics=cleaned)
    return there_was


@dataclass(frozen=True)
class Affected:
    """What learned from somebody's answers, by ids: runs, and the versions they made, with whatever was made
    from those."""

    runs: list[int]
    versions: list[int]


def affected_by(person: User, projects: Iterable[Project]) -> Affected:
    """What learned from what somebody answered in these projects."""
    answers = Annotation.objects.filter(assignment__annotator=person, assignment__project__in=projects)
    used = SnapshotAnswer.objects.filter(annotation__in=answers).order_by().values("snapshot")
    runs = Run.objects.filter(snapshot__in=used).order_by("pk").values_list("pk", flat=True)
    made = ModelVersion.objects.filter(run__in=runs).values_list("pk", flat=True)
    return Affected(list(runs), Ancestry.load().descendants(*made))


def _discard_saved_states(runs: QuerySet[Run]) -> None:
    """Leave no state to go on from: it learned from what is deleted, and what is left is another lesson."""
    waiting = runs.exclude(status__in=(Run.Status.RUNNING, Run.Status.SUCCEEDED))
    for run in waiting.filter(saved_step__isnull=False):
        Run.objects.filter(pk=run.pk).exclude(status=Run.Status.RUNNING).update(saved_step=None)
        transaction.on_commit(run.remove_folder)


def without_deleted_annotators(metrics: dict[str, Any], snapshot: PreferenceSnapshot) -> dict[str, Any]:
    """A run's metrics without the rows about annotators whose answers were deleted while it learned."""
    snapshot.refresh_from_db()
    if not snapshot.withdrawn or "annotators" not in metrics:
        return metrics
    left = {row["annotator"] for rows in (snapshot.comparisons(), snapshot.ratings()) for row in rows}
    return metrics | {"annotators": [row for row in metrics["annotators"] if row["annotator"] in left]}


def without_annotator(metrics: dict[str, Any], person: User) -> dict[str, Any]:
    """A run's metrics without the rows about one annotator: reliabilities, which name people by number, and
    what each said in an evaluation, by name."""
    names = {str(person.pk), person.get_username()}

    def others(row: dict[str, Any]) -> dict[str, Any]:
        if "annotators" not in row:
            return row
        return row | {"annotators": [each for each in row["annotators"] if each["annotator"] not in names]}

    cleaned = others(metrics)
    if "judges" in metrics:
        cleaned = cleaned | {"judges": [others(row) for row in metrics["judges"]]}
    return cleaned


def count_deleted(version: ModelVersion) -> int:
    """How many of the answers behind a version were deleted since: at least so many."""
    return count_deleted_by_version([version]).get(version.pk, 0)


def count_deleted_by_version(versions: Iterable[ModelVersion]) -> dict[int, int]:
    """The same for several, by id, in two queries; without those from which none were."""
    marked = PreferenceSnapshot.objects.filter(withdrawn__gt=0).defer("content").in_bulk()
    if not marked:
        return {}
    descent = Ancestry.load()
    found = {
        version.pk: count_deleted_in_line(descent, descent.ancestors(version.pk), marked)
        for version in versions
    }
    return {key: count for key, count in found.items() if count}


def count_deleted_in_line(
    descent: Ancestry, line: Iterable[int], snapshots: Mapping[int, PreferenceSnapshot]
) -> int:
    """How many of the answers that a line of versions learned from were deleted since, at least.

    Snapshots of one project hold many of the same answers: the one that lost most is counted. A run that
    began after the last were deleted never saw them.
    """
    most: dict[int, int] = defaultdict(int)
    for key in line:
        snapshot = snapshots.get(descent.snapshots.get(key, 0))
        if (
            snapshot is None
            or snapshot.withdrawn_at is None
            or snapshot.withdrawn_at <= descent.run_created[key]
        ):
            continue
        most[snapshot.project_id] = max(most[snapshot.project_id], snapshot.withdrawn)
    return sum(most.values())
