"""Preferences: annotations as the comparisons, ratings and demonstrations that models learn from."""

import gzip
import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from django.db.models import Prefetch

from labeling.feedback import MUCH
from labeling.models import Annotation, Judgement, PreferenceSnapshot, Project, Sample
from labeling.models.answers import AnnotationQuerySet

CHUNK = 500


def comparisons(project: Project) -> Iterator[dict[str, Any]]:
    """The comparisons in a project's answers, in a fixed order, streamed from the database.

    An answer to K samples gives all its K(K-1)/2 pairs under one `group`; equal ranks or scores are a
    `tie`, in which `chosen` and `rejected` have no order. All-bad answers and skips give none, and neither
    do two samples with the same text. Where the best is picked, it is compared with each of the others, and
    these are not with each other. `margin` is how much better the chosen one is, 0 to 1; only graded
    pairs say, so else it is 0. `annotator` is a number that stays the same when a person is renamed. `choice`
    is why the task came: figures about people's taste are unbiased where it came at "random". Rows of
    pairs graded by criteria have `criteria`, too: how much better the chosen one is by each, -1 to 1.
    """
    kind = project.kind
    for annotation, judgements in judged(Annotation.objects.of(project)):
        prompt = annotation.assignment.task.prompt
        texts = [judgement.sample.text for judgement in judgements]
        verdicts = [judgement.verdict for judgement in judgements]
        for better, worse, tie, margin in kind.preferences(verdicts):
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
                "choice": annotation.assignment.task.choice,
                **_by_criterion(project, judgements[better]),
            }


def _by_criterion(project: Project, chosen: Judgement) -> dict[str, Any]:
    """How much better than the other of its pair the chosen one is by each criterion, where there are any."""
    if project.feedback != Project.FeedbackKind.PAIR or not chosen.criteria:
        return {}
    return {"criteria": {name: round(grade / MUCH, 6) for name, grade in chosen.criteria.items()}}


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
                "choice": annotation.assignment.task.choice,
            }


def demonstrations(project: Project) -> Iterator[dict[str, Any]]:
    """The texts that people wrote where a project asks them to rewrite, in a fixed order, streamed.

    `completion` follows the prompt as samples do, leading space included. All-bad answers and skips give
    none, as elsewhere; an edit of an answer is its latest revision alone.
    """
    if project.feedback != Project.FeedbackKind.REWRITE:
        return
    samples = Prefetch("assignment__task__samples", Sample.objects.order_by("pk"))
    answers = _answers(Annotation.objects.of(project)).select_related("edited").prefetch_related(samples)
    for annotation in answers.iterator(chunk_size=CHUNK):
        task = annotation.assignment.task
        like = [annotation.edited] if annotation.edited and annotation.edited.text.strip() else []
        join = joint(task.prompt.text, like or task.samples.all())
        yield {
            "prompt": task.prompt.text,
            "completion": join + annotation.text,
            "group": str(annotation.pk),
            "annotator": str(annotation.assignment.annotator_id),
            "split": task.prompt.split,
        }


def joint(prompt: str, samples: Iterable[Sample]) -> str:
    """The white space with which most of the samples begin: what joins a completion to its prompt.

    Where no sample says, a space, unless the prompt is empty or ends in white space.
    """
    texts = [sample.text for sample in samples if sample.text.strip()]
    if texts:
        return Counter(text[: len(text) - len(text.lstrip())] for text in texts).most_common(1)[0][0]
    return " " if prompt and not prompt[-1].isspace() else ""


def judged(annotations: AnnotationQuerySet) -> Iterator[tuple[Annotation, list[Judgement]]]:
    """Those of the annotations that are learned from and that judge, with their judgements, in a fixed order,
    streamed.

    All-bad answers and skips judge nothing; gold, training tasks and repeats tell of the annotator, and are
    left out.
    """
    # By id, not in the order shown: that differs from person to person and says nothing. How the samples were
    # drawn would take long to read.
    judgements = Judgement.objects.select_related("sample").defer("sample__parameters").order_by("sample_id")
    answers = _answers(annotations).prefetch_related(Prefetch("judgements", judgements))
    for annotation in answers.iterator(chunk_size=CHUNK):
        yield annotation, list(annotation.judgements.all())


def _answers(annotations: AnnotationQuerySet) -> AnnotationQuerySet:
    """Those that are learned from, all-bad ones apart, in a fixed order."""
    return (
        annotations.counting()
        .learned_from()
        .filter(all_bad=False)
        .select_related("assignment__task__prompt")
        .order_by("assignment__task_id", "assignment__annotator_id")
    )


def json_line(row: dict[str, Any]) -> bytes:
    """One row as a line of JSON Lines, always the same bytes for the same row."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def freeze(project: Project) -> PreferenceSnapshot:
    """The project's comparisons, ratings and demonstrations as they are now, kept for good.

    The same answers give the same snapshot again.
    """
    digest = hashlib.sha256()
    said = {
        "count": comparisons(project),
        "rating_count": ratings(project),
        "demonstration_count": demonstrations(project),
    }
    counts = dict.fromkeys(said, 0)
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file:
        for name, rows in said.items():
            for row in rows:
                line = json_line(row)
                digest.update(line)
                file.write(line)
                counts[name] += 1
    snapshot, _ = PreferenceSnapshot.objects.get_or_create(
        project=project, hash=digest.hexdigest(), defaults={**counts, "content": packed.getvalue()}
    )
    return snapshot
