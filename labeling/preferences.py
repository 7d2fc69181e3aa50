"""Training data from annotations: comparisons, ratings and demonstrations, and snapshots of them."""

import gzip
import hashlib
import io
import json
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from django.db import transaction

from labeling.feedback import MAX_GRADE, Verdict
from labeling.models import Annotation, PreferenceSnapshot, Project, SnapshotAnswer
from labeling.stored_answers import StoredAnswer, read_answers, training_annotations
from training.formats.joining import joining_whitespace

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
    for answer in training_answers(project):
        yield from comparison_rows(project, answer)


def training_answers(project: Project) -> Iterator[StoredAnswer]:
    """The answers used for training, without all-bad ones, in a fixed order, streamed."""
    return read_answers(training_annotations(Annotation.objects.for_project(project)))


def comparison_rows(project: Project, answer: StoredAnswer) -> Iterator[Row]:
    """The comparisons in one answer."""
    judged = answer.judged
    for better, worse, tie, margin in project.kind.preferences([verdict for _, verdict in judged]):
        chosen, rejected = judged[better][0].text, judged[worse][0].text
        if chosen == rejected:
            continue
        yield {
            "chosen": chosen,
            "rejected": rejected,
            "tie": tie,
            "margin": margin,
            "choice": answer.choice,
            **source_fields(answer),
            **_criteria_margins(project, judged[better][1]),
        }


def source_fields(answer: StoredAnswer) -> Row:
    """The fields that every row of an answer has: its prompt, and where it comes from."""
    return {
        "prompt": answer.prompt,
        **({} if answer.messages is None else {"messages": answer.messages}),
        "group": str(answer.pk),
        "annotator": str(answer.annotator),
        "split": answer.split,
    }


def _criteria_margins(project: Project, chosen: Verdict) -> Row:
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
    for answer in training_answers(project):
        yield from rating_rows(project, answer)


def rating_rows(project: Project, answer: StoredAnswer) -> Iterator[Row]:
    """The ratings in one answer."""
    for sample, verdict in answer.judged:
        assert verdict.score is not None
        yield {
            "completion": sample.text,
            "score": project.normalised_score(verdict.score),
            "criteria": {name: project.normalised_score(score) for name, score in verdict.criteria.items()},
            "choice": answer.choice,
            **source_fields(answer),
        }


def demonstrations(project: Project) -> Iterator[Row]:
    """The texts that people wrote in a rewrite project, in a fixed order, streamed; none for other projects.

    `completion` follows the prompt as samples do, leading space included. All-bad answers and skips give
    none; of an edited answer only the latest revision counts.
    """
    if project.feedback != Project.FeedbackKind.REWRITE:
        return
    yield from map(demonstration_row, training_answers(project))


def demonstration_row(answer: StoredAnswer) -> Row:
    """What one person wrote, with its prompt."""
    edited = [sample.text for sample in answer.samples if sample.pk == answer.edited and sample.text.strip()]
    join = joining_whitespace(answer.prompt, edited or [sample.text for sample in answer.samples])
    return {"completion": join + answer.text, **source_fields(answer)}


def json_line(row: Row) -> bytes:
    """One row as a line of JSON Lines, always the same bytes for the same row."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def create_snapshot(project: Project) -> PreferenceSnapshot:
    """Freeze the project's comparisons, ratings and demonstrations, with the annotations they come from.

    The same answers give the same snapshot, also on another site that they were moved to: see `hashed_line`.
    It is consistent: each annotation is read once, in one query, and none can be deleted in the meantime.
    """
    digest = hashlib.sha256()
    counts = {"count": 0, "rating_count": 0, "demonstration_count": 0}
    sources: list[int] = []
    annotators: dict[str, str] = {}
    packed = io.BytesIO()
    with (
        transaction.atomic(),
        tempfile.SpooledTemporaryFile(MAX_BYTES_IN_MEMORY) as later,
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as file,
    ):
        lock_annotations(project)
        for answer, compared, others in _snapshot_rows(project):
            if compared or others:
                sources.append(answer.pk)
            for row in (*compared, *others):
                digest.update(hashed_line(row, group=len(sources), annotators=annotators))
            file.writelines(map(json_line, compared))
            # Written after all comparisons; no project has both ratings and demonstrations.
            later.writelines(map(json_line, others))
            counts["count"] += len(compared)
            counts[_other_count_field(project)] += len(others)
        later.seek(0)
        shutil.copyfileobj(later, file)
        file.close()
        snapshot, is_new = PreferenceSnapshot.objects.get_or_create(
            project=project,
            hash=_hash_of_whole_snapshot(project, digest.hexdigest()),
            defaults={**counts, "content": packed.getvalue()},
        )
        if is_new:
            answers = (SnapshotAnswer(snapshot=snapshot, annotation_id=key) for key in sources)
            SnapshotAnswer.objects.bulk_create(answers, batch_size=5000)
    return snapshot


def hashed_line(row: Row, *, group: int, annotators: dict[str, str]) -> bytes:
    """What the hash of a snapshot covers of a row: all of it, with answers and people numbered as they come.

    `annotators` has the numbers given so far. Keys of the database would make the hash another one on every
    site.
    """
    number = annotators.setdefault(row["annotator"], str(len(annotators) + 1))
    return json_line({**row, "group": str(group), "annotator": number})


def _hash_of_whole_snapshot(project: Project, digest: str) -> str:
    """The hash for these rows that no snapshot has from which rows were removed since."""
    while PreferenceSnapshot.objects.filter(project=project, hash=digest, withdrawn__gt=0).exists():
        digest = hashlib.sha256(digest.encode()).hexdigest()
    return digest


def lock_annotations(project: Project) -> None:
    """Block snapshots and deletions of the project's annotations until the caller's transaction ends."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)


def _other_count_field(project: Project) -> str:
    """The snapshot field that counts what a project has besides comparisons."""
    return "demonstration_count" if project.feedback == Project.FeedbackKind.REWRITE else "rating_count"


def _snapshot_rows(project: Project) -> Iterator[tuple[StoredAnswer, list[Row], list[Row]]]:
    """Each answer with its comparisons, and with its ratings or its demonstration."""
    rates = project.feedback == Project.FeedbackKind.SCORE
    for answer in training_answers(project):
        if project.feedback == Project.FeedbackKind.REWRITE:
            yield answer, [], [demonstration_row(answer)]
        else:
            rated = list(rating_rows(project, answer)) if rates else []
            yield answer, list(comparison_rows(project, answer)), rated
