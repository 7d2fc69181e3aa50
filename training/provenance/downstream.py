"""The influence of an answer: the snapshots, runs, versions and gates it contributed to."""

from dataclasses import dataclass

from django.db.models import Exists, OuterRef

from labeling.models import Annotation, PreferenceSnapshot, Prompt, TaskSample
from training.models import Gate, ModelVersion, Run
from training.provenance.ancestry import Ancestry


@dataclass(frozen=True, kw_only=True)
class Influence:
    """Everything that one revision of an answer contributed to, oldest first."""

    snapshots: list[PreferenceSnapshot]
    """Without their content."""
    runs: list[Run]
    """Runs that were trained on the snapshots, whatever their status."""
    versions: list[ModelVersion]
    """Versions that these runs made."""
    descendants: list[ModelVersion]
    """Versions tuned against those, or initialised from them."""
    gates: list[Gate]
    """Gates between two versions that the answer compares."""

    def __bool__(self) -> bool:
        return bool(self.snapshots or self.gates)


def influence_of(annotation: Annotation) -> Influence:
    """The influence of an answer."""
    snapshots = list(annotation.snapshots.defer("content").order_by("pk"))
    runs = list(Run.objects.filter(snapshot__in=snapshots).select_related("project").order_by("pk"))
    versions = list(ModelVersion.objects.filter(run__in=runs).order_by("pk"))
    own = [version.pk for version in versions]
    later = Ancestry.load().descendants(*own)[len(own) :] if own else []
    return Influence(
        snapshots=snapshots,
        runs=runs,
        versions=versions,
        descendants=list(ModelVersion.objects.filter(pk__in=later).order_by("pk")),
        gates=gates_of(annotation),
    )


def gates_of(annotation: Annotation) -> list[Gate]:
    """The gates between two versions whose samples the answer compares on a held-out prompt."""
    task = annotation.assignment.task
    if task.prompt.split != Prompt.Split.HELDOUT:
        return []
    shown = TaskSample.objects.filter(task=task)
    gates = Gate.objects.filter(
        Exists(shown.filter(sample__generator=OuterRef("candidate__generator"))),
        Exists(shown.filter(sample__generator=OuterRef("against__generator"))),
        project=task.project_id,
    )
    return list(gates.select_related("candidate", "against").order_by("pk"))
