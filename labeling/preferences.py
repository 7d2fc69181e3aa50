"""Training data from annotations: comparisons, ratings and demonstrations, and snapshots of them."""

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

from labeling.feedback import MAX_GRADE
from labeling.models import Annotation, Judgement, PreferenceSnapshot, Project, Sample, SnapshotAnswer
from labeling.models.annotations import AnnotationQuerySet
from training.formats.messages import completion_content

CHUNK = 500
MAX_BYTES_IN_MEMORY = 1 << 26
"""Ratings or demonstrations beyond this size are spooled to a file until the comparisons are written."""

Row = dict[str, Any]


def comparisons(project: Project) -> Iterator[Row]:
    """The comparisons in a project's annotations, in a fixed order, streamed from the database.

    An annotation of K samples gives all its K(K-1)/2 pairs under one `group`; equal ranks or scores are a
    `tie`, in which `chosen` and `rejected` have no order. All-bad answers and skips give none, and neither do
    two samples with the same text. A picked best is compared with each of the others; the others are not
    compared with each other. `messages` are those of a prompt that is a conversation, whose text is `prompt`.
    `margin` is how much better the chosen one is, 0 to 1, for graded pairs; 0 otherwise. `annotator` is a
    number that stays the same when a person is renamed. `choice` is why the task was selected: preference
    statistics are unbiased on "random" tasks. Pairs graded by criteria also have `criteria`: how much better
    the chosen one is by each, -1 to 1.
    """
    for annotation, judgements in annotations_with_judgements(Annotation.objects.for_project(project)):
        yield from _comparison_rows(project, annotation, judgements)


def _comparison_rows(project: Project, annotation: Annotation, judgements: list[Judgement]) -> Iterator[Row]:
    """The comparisons in one annotation."""
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
            **_source_fields(annotation),
            **_criteria_margins(project, judgements[better]),
        }


def _source_fields(annotation: Annotation) -> Row:
    """The fields that every row of an annotation has: its prompt, and where it comes from."""
    prompt = annotation.assignment.task.prompt
    return {
        "prompt": prompt.text,
        **({} if prompt.messages is None else {"messages": prompt.messages}),
        "group": str(annotation.pk),
        "annotator": str(annotation.assignment.annotator_id),
        "split": prompt.split,
    }


def _criteria_margins(project: Project, chosen: Judgement) -> Row:
    """How much better the chosen sample of a pair is by each criterion, if there are criteria."""
    if project.feedback != Project.FeedbackKind.PAIR or not chosen.criteria:
        return {}
    return {"criteria": {name: round(grade / MAX_GRADE, 6) for name, grade in chosen.criteria.items()}}


def ratings(project: Project) -> Iterator[Row]:
    """The scores in a score project's annotations, one row for each sample; none for other projects.

    `score`, and each of `criteria` by its name, is scaled from the project's 1 … `scale` to 0 … 1. The
    annotations, their order and `group` are those of `comparisons`.
    """
    if project.feedback != Project.FeedbackKind.SCORE:
        return
    for annotation, judgements in annotations_with_judgements(Annotation.objects.for_project(project)):
        yield from _rating_rows(project, annotation, judgements)


def _rating_rows(project: Project, annotation: Annotation, judgements: list[Judgement]) -> Iterator[Row]:
    """The ratings in one annotation."""
    for judgement in judgements:
        assert judgement.score is not None
        yield {
            "completion": judgement.sample.text,
            "score": project.normalised_score(judgement.score),
            "criteria": {name: project.normalised_score(score) for name, score in judgement.criteria.items()},
            "choice": annotation.assignment.task.choice,
            **_source_fields(annotation),
        }


def demonstrations(project: Project) -> Iterator[Row]:
    """The texts that people wrote in a rewrite project, in a fixed order, streamed; none for other projects.

    `completion` follows the prompt as samples do, leading space included. All-bad answers and skips give
    none; of an edited answer only the latest revision counts.
    """
    if project.feedback != Project.FeedbackKind.REWRITE:
        return
    for annotation in _rewrites(Annotation.objects.for_project(project)):
        yield _demonstration_row(annotation)


def _rewrites(annotations: AnnotationQuerySet) -> Iterator[Annotation]:
    """The annotations used for training, with the samples of their tasks."""
    samples = Prefetch("assignment__task__samples", Sample.objects.order_by("pk"))
    answers = _training_annotations(annotations).select_related("edited").prefetch_related(samples)
    return iter(answers.iterator(chunk_size=CHUNK))


def _demonstration_row(annotation: Annotation) -> Row:
    """What one person wrote, with its prompt."""
    task = annotation.assignment.task
    like = [annotation.edited] if annotation.edited and annotation.edited.text.strip() else []
    join = joining_whitespace(task.prompt.text, like or task.samples.all())
    return {"completion": join + annotation.text, **_source_fields(annotation)}


def joining_whitespace(prompt: str, samples: Iterable[Sample]) -> str:
    """The white space between a prompt and a completion: the most common leading white space of the samples.

    Without samples, a space, unless the prompt is empty or ends in white space.
    """
    texts = [sample.text for sample in samples if sample.text.strip()]
    if texts:
        return Counter(text[: len(text) - len(text.lstrip())] for text in texts).most_common(1)[0][0]
    return " " if prompt and not prompt[-1].isspace() else ""


def annotations_with_judgements(
    annotations: AnnotationQuerySet,
) -> Iterator[tuple[Annotation, list[Judgement]]]:
    """The annotations used for training that have judgements, with them, in a fixed order, streamed.

    All-bad answers and skips have no judgements; gold, training tasks and repeats measure the annotator and
    are left out.
    """
    # By id: the order shown is random for each person. Sampling parameters are large and not needed.
    judgements = Judgement.objects.select_related("sample").defer("sample__parameters").order_by("sample_id")
    answers = _training_annotations(annotations).prefetch_related(Prefetch("judgements", judgements))
    for annotation in answers.iterator(chunk_size=CHUNK):
        yield annotation, list(annotation.judgements.all())


def _training_annotations(annotations: AnnotationQuerySet) -> AnnotationQuerySet:
    """The annotations used for training, without all-bad ones, in a fixed order."""
    return (
        annotations.latest_revisions()
        .used_for_training()
        .filter(all_bad=False)
        .select_related("assignment__task__prompt")
        .order_by("assignment__task_id", "assignment__annotator_id")
    )


def conversational_row(row: Row) -> Row:
    """A row in TRL's conversational format: the prompt as a list of messages, completions as the assistant's.

    A plain prompt is the user's message.
    """
    given = {name: value for name, value in row.items() if name != "messages"}
    prompt = row.get("messages", [{"role": "user", "content": row["prompt"]}])
    completions = {
        name: [{"role": "assistant", "content": completion_content(row[name])}]
        for name in ("chosen", "rejected", "completion")
        if name in row
    }
    return given | {"prompt": prompt} | completions


def json_line(row: Row) -> bytes:
    """One row as a line of JSON Lines, always the same bytes for the same row."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def create_snapshot(project: Project) -> PreferenceSnapshot:
    """Freeze the project's comparisons, ratings and demonstrations, with the annotations they come from.

    The same annotations give the same snapshot. It is consistent: each annotation is read once, in one
    query, and none can be deleted in the meantime.
    """
    digest = hashlib.sha256()
    counts = {"count": 0, "rating_count": 0, "demonstration_count": 0}
    sources: list[int] = []
    packed = io.BytesIO()
    with (
        transaction.atomic(),
        tempfile.SpooledTemporaryFile(MAX_BYTES_IN_MEMORY) as later,
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file,
    ):
        lock_annotations(project)
        for annotation, compared, others in _snapshot_rows(project):
            if compared or others:
                sources.append(annotation.pk)
            for row in compared:
                line = json_line(row)
                digest.update(line)
                file.write(line)
            # Written after all comparisons; no project has both ratings and demonstrations.
            later.writelines(map(json_line, others))
            counts["count"] += len(compared)
            counts[_other_count_field(project)] += len(others)
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


def lock_annotations(project: Project) -> None:
    """Block snapshots and deletions of the project's annotations until the caller's transaction ends."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)


def _other_count_field(project: Project) -> str:
    """The snapshot field that counts what a project has besides comparisons."""
    return "demonstration_count" if project.feedback == Project.FeedbackKind.REWRITE else "rating_count"


def _snapshot_rows(project: Project) -> Iterator[tuple[Annotation, list[Row], list[Row]]]:
    """Each annotation with its comparisons, and with its ratings or its demonstration."""
    if project.feedback == Project.FeedbackKind.REWRITE:
        for annotation in _rewrites(Annotation.objects.for_project(project)):
            yield annotation, [], [_demonstration_row(annotation)]
        return
    rates = project.feedback == Project.FeedbackKind.SCORE
    for annotation, judgements in annotations_with_judgements(Annotation.objects.for_project(project)):
        rated = list(_rating_rows(project, annotation, judgements)) if rates else []
        yield annotation, list(_comparison_rows(project, annotation, judgements)), rated
