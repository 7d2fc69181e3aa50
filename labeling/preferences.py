"""Preferences: annotations as the comparisons and ratings that a reward model learns from."""

import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

from labeling.models import Annotation, Judgement, PreferenceSnapshot, Project
from labeling.models.answers import AnnotationQuerySet

CHUNK = 500


def comparisons(project: Project) -> Iterator[dict[str, Any]]:
    """The comparisons in a project's answers, in a fixed order, streamed from the database.

    An answer to K samples gives all its K(K-1)/2 pairs under one `group`; equal ranks or scores are a
    `tie`, in which `chosen` and `rejected` have no order. All-bad answers and skips give none, and neither
    do two samples with the same text. `margin` is how much better the chosen one is; a plain ranking or
    score does not say, so it is 0. `annotator` is a number that stays the same when a person is renamed.
    """
    for annotation, judgements in judged(Annotation.objects.of(project)):
        prompt = annotation.assignment.task.prompt
        texts = [judgement.sample.text for judgement in judgements]
        verdicts = [judgement.verdict for judgement in judgements]
        for better, worse, tie, margin in project.kind.preferences(verdicts):
            if texts[better] == texts[worse]:
                continue
            yield {
                "prompt": prompt.text,
                "chosen": texts[better],
                "rejected": texts[worse],
                "tie": tie,
                "margin": margin,
                "group": str(annotation.pk),
                "annotator": str(annotation.assignment.annotator_id),
                "split": prompt.split,
            }


def ratings(project: Project) -> Iterator[dict[str, Any]]:
    """The scores in a project's answers, one row for each sample of each answer; none where people rank.

    `score`, and each of `criteria` by its name, is scaled from the project's 1 … `scale` to 0 … 1. Answers
    are those that `comparisons` compares, in the same order, under the same `group`.
    """
    if project.feedback != Project.FeedbackKind.SCORE:
        return
    for annotation, judgements in judged(Annotation.objects.of(project)):
        prompt = annotation.assignment.task.prompt
        for judgement in judgements:
            assert judgement.score is not None
            yield {
                "prompt": prompt.text,
                "completion": judgement.sample.text,
                "score": project.share_of_scale(judgement.score),
                "criteria": {
                    name: project.share_of_scale(score) for name, score in judgement.criteria.items()
                },
                "group": str(annotation.pk),
                "annotator": str(annotation.assignment.annotator_id),
                "split": prompt.split,
            }


def judged(annotations: AnnotationQuerySet) -> Iterator[tuple[Annotation, list[Judgement]]]:
    """Those of the annotations that count and that judge, with their judgements, in a fixed order, streamed.

    All-bad answers and skips judge nothing.
    """
    rows = (
        annotations.counting()
        .filter(all_bad=False)
        .select_related("assignment__task__prompt", "assignment__annotator")
        .prefetch_related("judgements__sample")
        .order_by("assignment__task_id", "assignment__annotator_id")
    )
    for annotation in rows.iterator(chunk_size=CHUNK):
        # By id, not in the order shown: that differs from person to person and says nothing.
        yield annotation, sorted(annotation.judgements.all(), key=lambda judgement: judgement.sample_id)


def json_line(row: dict[str, Any]) -> bytes:
    """One row as a line of JSON Lines, always the same bytes for the same row."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def freeze(project: Project) -> PreferenceSnapshot:
    """The project's comparisons and ratings as they are now, kept for good.

    The same answers give the same snapshot again.
    """
    digest = hashlib.sha256()
    counts = {"count": 0, "rating_count": 0}
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        for name, rows in (("count", comparisons(project)), ("rating_count", ratings(project))):
            for row in rows:
                line = json_line(row)
                digest.update(line)
                file.write(line)
                counts[name] += 1
    snapshot, _ = PreferenceSnapshot.objects.get_or_create(
        project=project, hash=digest.hexdigest(), defaults={**counts, "content": packed.getvalue()}
    )
    return snapshot
