"""Preferences: annotations as the comparisons, ratings and demonstrations that models learn from."""

import gzip
import hashlib
import io
import json
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from django.db import transaction
from django.db.models import Prefetch

from labeling.feedback import MUCH
from labeling.models import Annotation, Judgement, PreferenceSnapshot, Project, Sample, SnapshotAnswer
from labeling.models.annotations import AnnotationQuerySet

CHUNK = 500
IN_MEMORY = 1 << 26
"""Bytes of ratings or demonstrations beyond which they wait in a file until the comparisons are written."""

Row = dict[str, Any]


def comparisons(project: Project) -> Iterator[Row]:
    """The comparisons in a project's answers, in a fixed order, streamed from the database.

    An answer to K samples gives all its K(K-1)/2 pairs under one `group`; equal ranks or scores are a
    `tie`, in which `chosen` and `rejected` have no order. All-bad answers and skips give none, and neither
    do two samples with the same text. Where the best is picked, it is compared with each of the others, and
    these are not with each other. `margin` is how much better the chosen one is, 0 to 1; only graded
    pairs say, so else it is 0. `annotator` is a number that stays the same when a person is renamed. `choice`
    is why the task came: figures about people's taste are unbiased where it came at "random". Rows of
    pairs graded by criteria have `criteria`, too: how much better the chosen one is by each, -1 to 1.
    """
    for annotation, judgements in judged(Annotation.objects.of(project)):
        yield from _compared(project, annotation, judgements)


def _compared(project: Project, annotation: Annotation, judgements: list[Judgement]) -> Iterator[Row]:
    """The comparisons in one answer."""
    texts = [judgement.sample.text for judgement in judgements]
    verdicts = [judgement.verdict for judgement in judgements]
    for better, worse, tie, margin in project.kind.preferences(verdicts):
        if texts[better] == texts[worse]:
            continue
        yield {
            "chosen": texts[better],
            "rejected": texts[worse],
            "tie": tie,
            "margin": margin,
            "choice": annotation.assignment.task.choice,
            **_common(annotation),
            **_by_criterion(project, judgements[better]),
        }


def _common(annotation: Annotation) -> Row:
    """What every row of an answer says: where it comes from."""
    prompt = annotation.assignment.task.prompt
    return {
        "prompt": prompt.text,
        "group": str(annotation.pk),
        "annotator": str(annotation.assignment.annotator_id),
        "split": prompt.split,
    }


def _by_criterion(project: Project, chosen: Judgement) -> Row:
    """How much better than the other of its pair the chosen one is by each criterion, where there are any."""
    if project.feedback != Project.FeedbackKind.PAIR or not chosen.criteria:
        return {}
    return {"criteria": {name: round(grade / MUCH, 6) for name, grade in chosen.criteria.items()}}


def ratings(project: Project) -> Iterator[Row]:
    """The scores in a project's answers, one row for each sample of each answer; none where people rank.

    `score`, and each of `criteria` by its name, is scaled from the project's 1 … `scale` to 0 … 1. Answers
    are those that `comparisons` compares, in the same order, under the same `group`.
    """
    if project.feedback != Project.FeedbackKind.SCORE:
        return
    for annotation, judgements in judged(Annotation.objects.of(project)):
        yield from _rated(project, annotation, judgements)


def _rated(project: Project, annotation: Annotation, judgements: list[Judgement]) -> Iterator[Row]:
    """The ratings in one answer."""
    for judgement in judgements:
        assert judgement.score is not None
        yield {
            "completion": judgement.sample.text,
            "score": project.share_of_scale(judgement.score),
            "criteria": {name: project.share_of_scale(score) for name, score in judgement.criteria.items()},
            "choice": annotation.assignment.task.choice,
            **_common(annotation),
        }


def demonstrations(project: Project) -> Iterator[Row]:
    """The texts that people wrote where a project asks them to rewrite, in a fixed order, streamed.

    `completion` follows the prompt as samples do, leading space included. All-bad answers and skips give
    none, as elsewhere; an edit of an answer is its latest revision alone.
    """
    if project.feedback != Project.FeedbackKind.REWRITE:
        return
    for annotation in _written(Annotation.objects.of(project)):
        yield _demonstrated(annotation)


def _written(annotations: AnnotationQuerySet) -> Iterator[Annotation]:
    """Those of the annotations that are learned from, with the samples of their tasks."""
    samples = Prefetch("assignment__task__samples", Sample.objects.order_by("pk"))
    answers = _answers(annotations).select_related("edited").prefetch_related(samples)
    return iter(answers.iterator(chunk_size=CHUNK))


def _demonstrated(annotation: Annotation) -> Row:
    """What one person wrote, with the prompt that it answers."""
    task = annotation.assignment.task
    like = [annotation.edited] if annotation.edited and annotation.edited.text.strip() else []
    join = joint(task.prompt.text, like or task.samples.all())
    return {"completion": join + annotation.text, **_common(annotation)}


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


def json_line(row: Row) -> bytes:
    """One row as a line of JSON Lines, always the same bytes for the same row."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def freeze(project: Project) -> PreferenceSnapshot:
    """The project's comparisons, ratings and demonstrations as they are now, kept for good, and from which
    answers they come.

    The same answers give the same snapshot again. All of one moment: each answer is read once, from one
    query, and no answer is deleted meanwhile.
    """
    digest = hashlib.sha256()
    counts = {"count": 0, "rating_count": 0, "demonstration_count": 0}
    sources: list[int] = []
    packed = io.BytesIO()
    with (
        transaction.atomic(),
        tempfile.SpooledTemporaryFile(IN_MEMORY) as later,
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file,
    ):
        lock_answers(project)
        for annotation, compared, others in _said(project):
            if compared or others:
                sources.append(annotation.pk)
            for row in compared:
                line = json_line(row)
                digest.update(line)
                file.write(line)
            # Behind all comparisons: first the one, then the other, and no project has both of the others.
            later.writelines(map(json_line, others))
            counts["count"] += len(compared)
            counts[_other_count(project)] += len(others)
        later.seek(0)
        for line in later:
            digest.update(line)
            file.write(line)
        file.close()
        snapshot, is_new = PreferenceSnapshot.objects.get_or_create(
            project=project, hash=digest.hexdigest(), defaults={**counts, "content": packed.getvalue()}
        )
        if is_new:
            answers = (SnapshotAnswer(snapshot=snapshot, annotation_id=key) for key in sources)
            SnapshotAnswer.objects.bulk_create(answers, batch_size=5000)
    return snapshot


def lock_answers(project: Project) -> None:
    """Let nobody else freeze the project's answers, or delete some, until the caller's transaction ends."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)


def _other_count(project: Project) -> str:
    """The count of what a project has beside comparisons."""
    return "demonstration_count" if project.feedback == Project.FeedbackKind.REWRITE else "rating_count"


def _said(project: Project) -> Iterator[tuple[Annotation, list[Row], list[Row]]]:
    """Each answer with its comparisons, and with its ratings or its demonstration."""
    if project.feedback == Project.FeedbackKind.REWRITE:
        for annotation in _written(Annotation.objects.of(project)):
            yield annotation, [], [_demonstrated(annotation)]
        return
    rates = project.feedback == Project.FeedbackKind.SCORE
    for annotation, judgements in judged(Annotation.objects.of(project)):
        rated = list(_rated(project, annotation, judgements)) if rates else []
        yield annotation, list(_compared(project, annotation, judgements)), rated
