"""Answers as they are stored, read in portions: what training and exports are made from.

Rows are read as plain values, each table in one query a portion, so that 50,000 answers take seconds and
little memory.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeVar

from django.db.models import JSONField, Value
from django.db.models.functions import NullIf

from labeling.feedback import Verdict
from labeling.models import Judgement, TaskSample
from labeling.models.annotations import AnnotationQuerySet

T = TypeVar("T")

PORTION = 2000
"""Answers that are read together."""


class StoredSample(NamedTuple):
    """A sample of a task."""

    pk: int
    text: str
    generator: str
    """The name of what wrote it."""
    parameters: Mapping[str, Any] | None = None
    """Sampling parameters, if they were asked for."""


class StoredAnswer(NamedTuple):
    """One revision of an answer, with its task."""

    pk: int
    """The annotation."""
    task: int
    annotator: int
    choice: str
    """Why the task was chosen."""
    prompt: str
    messages: list[Any] | None
    """The prompt as a conversation, if it is one."""
    split: str
    all_bad: bool
    text: str
    """Rewrite: what was written."""
    edited: int | None
    """Rewrite: the sample it was made from."""
    flagged: bool
    comment: str
    seconds: float | None
    samples: Sequence[StoredSample]
    """Those of the task, by id: the order shown is random for each person."""
    verdicts: Mapping[int, Verdict]
    """The verdict on each sample, by its id; empty if none was judged."""

    @property
    def judged(self) -> list[tuple[StoredSample, Verdict]]:
        """The judged samples with their verdicts, by id."""
        return [(sample, self.verdicts[sample.pk]) for sample in self.samples if sample.pk in self.verdicts]


_FIELDS = (
    "pk", "assignment__task_id", "assignment__annotator_id", "assignment__task__choice",
    "assignment__task__prompt__text", "assignment__task__prompt__messages",
    "assignment__task__prompt__split", "all_bad", "text", "edited_id", "flagged", "comment", "seconds",
)  # fmt: skip


def training_annotations(annotations: AnnotationQuerySet) -> AnnotationQuerySet:
    """The annotations used for training: the latest revisions, without all-bad ones.

    Gold, training tasks and repeats measure the annotator and are left out.
    """
    return annotations.latest_revisions().used_for_training().filter(all_bad=False)


def read_answers(annotations: AnnotationQuerySet) -> Iterator[StoredAnswer]:
    """These annotations with their tasks and verdicts, streamed: by task, in the order of the assignments."""
    rows = annotations.order_by("assignment__task_id", "assignment_id", "pk")
    for portion in batched(rows.values_list(*_FIELDS).iterator(chunk_size=PORTION), PORTION):
        samples = samples_of_tasks({row[1] for row in portion})
        verdicts = verdicts_of([row[0] for row in portion])
        for row in portion:
            yield StoredAnswer._make((*row, samples.get(row[1], ()), verdicts.get(row[0], {})))


def samples_of_tasks(tasks: Iterable[int], *, parameters: bool = False) -> dict[int, list[StoredSample]]:
    """The samples of each of these tasks, by id; in one query."""
    fields = ("task_id", "sample_id", "sample__text", "sample__generator__name")
    rows = TaskSample.objects.filter(task__in=tasks).order_by("task_id", "sample_id")
    found: dict[int, list[StoredSample]] = defaultdict(list)
    for task, *sample in rows.values_list(*fields, *(["sample__parameters"] if parameters else [])):
        found[task].append(StoredSample(*sample))
    return found


def verdicts_of(annotations: Iterable[int]) -> dict[int, dict[int, Verdict]]:
    """For each of these annotations, the verdict on each sample, by its id; in one query."""
    rows = Judgement.objects.filter(annotation__in=annotations).order_by("annotation_id", "sample_id")
    criteria = NullIf("criteria", Value({}, JSONField()))  # most have none, and decoding takes a while
    found: dict[int, dict[int, Verdict]] = defaultdict(dict)
    for annotation, sample, rank, score, grade, by_criterion in rows.values_list(
        "annotation_id", "sample_id", "rank", "score", "grade", criteria
    ):
        found[annotation][sample] = Verdict(rank, score, grade, by_criterion or {})
    return found


def batched(rows: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of `size` rows; the last may be shorter."""
    iterator = iter(rows)
    while portion := list(islice(iterator, size)):
        yield portion
