"""Preferences: annotations as the comparisons that a reward model learns from."""

import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from typing import Any

from labeling.feedback import compare
from labeling.models import Annotation, PreferenceSnapshot, Project

CHUNK = 500


def comparisons(project: Project) -> Iterator[dict[str, Any]]:
    """The comparisons in a project's answers, in a fixed order, streamed from the database.

    An answer to K samples gives all its K(K-1)/2 pairs under one `group`; equal ranks or scores are a
    `tie`, in which `chosen` and `rejected` have no order. All-bad answers and skips give none, and neither
    do two samples with the same text. `margin` is how much better the chosen one is; a plain ranking or
    score does not say, so it is 0. `annotator` is a number that stays the same when a person is renamed.
    """
    annotations = (
        Annotation.objects.of(project)
        .counting()
        .filter(all_bad=False)
        .select_related("assignment__task__prompt")
        .prefetch_related("judgements__sample")
        .order_by("assignment__task_id", "assignment__annotator_id")
    )
    for annotation in annotations.iterator(chunk_size=CHUNK):
        prompt = annotation.assignment.task.prompt
        # By id, not in the order shown: that differs from person to person and says nothing.
        judgements = sorted(annotation.judgements.all(), key=lambda judgement: judgement.sample_id)
        texts = [judgement.sample.text for judgement in judgements]
        for better, worse, tie in compare(project.kind, [judgement.verdict for judgement in judgements]):
            if texts[better] == texts[worse]:
                continue
            yield {
                "prompt": prompt.text,
                "chosen": texts[better],
                "rejected": texts[worse],
                "tie": tie,
                "margin": 0.0,
                "group": str(annotation.pk),
                "annotator": str(annotation.assignment.annotator_id),
                "split": prompt.split,
            }


def json_line(row: dict[str, Any]) -> bytes:
    """One comparison as a line of JSON Lines, always the same bytes for the same comparison."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def freeze(project: Project) -> PreferenceSnapshot:
    """The project's comparisons as they are now, kept for good.

    The same comparisons give the same snapshot again.
    """
    digest = hashlib.sha256()
    count = 0
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        for row in comparisons(project):
            line = json_line(row)
            digest.update(line)
            file.write(line)
            count += 1
    snapshot, _ = PreferenceSnapshot.objects.get_or_create(
        project=project, hash=digest.hexdigest(), defaults={"count": count, "content": packed.getvalue()}
    )
    return snapshot
