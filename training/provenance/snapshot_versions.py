"""The model versions that were trained on each snapshot of a project."""

from labeling.models import Project
from training.models import ModelVersion


def versions_by_snapshot(project: Project) -> dict[str, list[str]]:
    """The names of the versions that learned from each snapshot, by its hash, oldest first."""
    rows = ModelVersion.objects.filter(run__snapshot__project=project).order_by("pk")
    found: dict[str, list[str]] = {}
    for snapshot, version in rows.values_list("run__snapshot__hash", "name"):
        found.setdefault(snapshot, []).append(version)
    return found
