"""Inter-annotator agreement on the answers that a version was trained on."""

from dataclasses import dataclass

import numpy as np

from labeling.models import PreferenceSnapshot, Project, SnapshotAnswer
from labeling.quality.agreement import MEASUREMENT_LEVELS, Estimate, krippendorff_alpha, pairwise_agreement
from labeling.quality.annotation_arrays import load_annotation_arrays
from training.models import ModelVersion


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Agreement on the tasks of a snapshot that at least two people answered."""

    snapshot: PreferenceSnapshot
    pairwise: Estimate | None
    """How often two people agree, from 0 to 1; about 0.5 by chance."""
    alpha: Estimate | None
    """Krippendorff's alpha: 1 is perfect, 0 is chance."""
    people: int


def source_snapshot(version: ModelVersion) -> PreferenceSnapshot | None:
    """The snapshot that a version, or else its reward model, was trained on; None if there is none."""
    run = version.run
    if run is None:
        return None
    if run.snapshot is not None:
        return run.snapshot
    reward = run.reward.run if run.reward else None
    return reward.snapshot if reward else None


def annotator_agreement(version: ModelVersion) -> Agreement | None:
    """The agreement on a version's training answers that still exist; None if there are none."""
    snapshot = source_snapshot(version)
    if snapshot is None:
        return None
    project = snapshot.project
    taken = SnapshotAnswer.objects.filter(snapshot=snapshot)
    answers = load_annotation_arrays(project, tasks=taken.values("annotation__assignment__task"))
    rows = np.isin(answers.ids, list(taken.values_list("annotation", flat=True)))
    votes = answers.votes.select(rows[answers.vote_rows])
    if project.feedback == Project.FeedbackKind.REWRITE or not len(votes.tasks):
        return None
    level = MEASUREMENT_LEVELS[project.feedback][0]
    return Agreement(
        snapshot=snapshot,
        pairwise=pairwise_agreement(votes),
        alpha=krippendorff_alpha(votes, level),
        people=len(np.unique(votes.annotators)),
    )
