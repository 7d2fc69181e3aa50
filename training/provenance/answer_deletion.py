"""Deleting a person's answers, and counting deleted answers among the training data of versions."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet

from labeling.models import Annotation, PreferenceSnapshot, Project, SnapshotAnswer
from labeling.people import answer_deletion
from training.models import LiveConversation, ModelVersion, Run
from training.provenance.ancestry import Ancestry


def delete_answers(person: User, *, projects: Iterable[Project], by: User) -> answer_deletion.DeletionSummary:
    """Delete a person's answers and conversations in these projects, and the metrics about them in runs and
    versions.

    Unfinished runs that were trained on the answers start over when they are resumed. Returns the extent of
    the deletion; raises PermissionDenied. See `labeling.people.answer_deletion`.
    """
    chosen = list(projects)
    with transaction.atomic():
        learning = affected_by(person, chosen).runs
        there_was = answer_deletion.delete_answers(person, projects=chosen, by=by)
        LiveConversation.objects.filter(person=person, project__in=chosen).delete()
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
    """The ids of runs that were trained on a person's answers, and of the versions made from them, directly
    or indirectly."""

    runs: list[int]
    versions: list[int]


def affected_by(person: User, projects: Iterable[Project]) -> Affected:
    """The runs and versions that were trained on a person's answers in these projects."""
    answers = Annotation.objects.filter(assignment__annotator=person, assignment__project__in=projects)
    used = SnapshotAnswer.objects.filter(annotation__in=answers).order_by().values("snapshot")
    runs = Run.objects.filter(snapshot__in=used).order_by("pk").values_list("pk", flat=True)
    made = ModelVersion.objects.filter(run__in=runs).values_list("pk", flat=True)
    return Affected(list(runs), Ancestry.load().descendants(*made))


def _discard_saved_states(runs: QuerySet[Run]) -> None:
    """Discard the saved states of unfinished runs, which were trained on deleted answers."""
    unfinished = runs.exclude(status__in=(Run.Status.RUNNING, Run.Status.SUCCEEDED))
    for run in unfinished.filter(saved_step__isnull=False):
        Run.objects.filter(pk=run.pk).exclude(status=Run.Status.RUNNING).update(saved_step=None)
        transaction.on_commit(run.remove_folder)


def without_deleted_annotators(metrics: dict[str, Any], snapshot: PreferenceSnapshot) -> dict[str, Any]:
    """A run's metrics without the rows about annotators whose answers were deleted during the run."""
    snapshot.refresh_from_db()
    if not snapshot.withdrawn or "annotators" not in metrics:
        return metrics
    left = {row["annotator"] for rows in (snapshot.comparisons(), snapshot.ratings()) for row in rows}
    return metrics | {"annotators": [row for row in metrics["annotators"] if row["annotator"] in left]}


def without_annotator(metrics: dict[str, Any], person: User) -> dict[str, Any]:
    """A run's metrics without the rows about one annotator: reliabilities, which name people by id, and
    results per annotator of an evaluation, by name."""
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
    """The minimum number of deleted answers among the training data of a version and its ancestors."""
    return count_deleted_by_version([version]).get(version.pk, 0)


def count_deleted_by_version(versions: Iterable[ModelVersion]) -> dict[int, int]:
    """The same for several versions, by id, in two queries; versions without deleted answers are left out."""
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
    """The minimum number of deleted answers among the training data of `line`.

    Snapshots of a project share answers, so only the one with the most deletions counts. Runs created after
    the last deletion never saw the deleted answers.
    """
    deleted: dict[int, int] = defaultdict(int)
    for key in line:
        snapshot = snapshots.get(descent.snapshots.get(key, 0))
        if (
            snapshot is None
            or snapshot.withdrawn_at is None
            or snapshot.withdrawn_at <= descent.run_created[key]
        ):
            continue
        deleted[snapshot.project_id] = max(deleted[snapshot.project_id], snapshot.withdrawn)
    return sum(deleted.values())
