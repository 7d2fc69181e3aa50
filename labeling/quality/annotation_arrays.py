"""A project's annotations as numpy arrays, from which all quality metrics are computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BigIntegerField, F, Func, IntegerField, OuterRef, Sum, Value
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce
from django.utils import timezone

from labeling.models import Annotation, Judgement, Project, Task, TaskSample
from labeling.quality.agreement import Bools, Floats, Ints, Votes

KINDS_OF_TASK = (Task.Kind.ORDINARY, Task.Kind.GOLD, Task.Kind.TRAINING, Task.Kind.REPEAT)
ORDINARY, GOLD, TRAINING, REPEAT = range(len(KINDS_OF_TASK))
SKIM_BYTES_PER_SECOND = 100.0
"""About a thousand English words a minute, four times the usual reading speed. In bytes, since a Chinese
character has three of them and takes about as long to read as three Latin letters."""


@dataclass(frozen=True, eq=False)
class AnnotationArrays:
    """The latest annotation of each assignment, one row each, in the order of their first submission.

    `samples`, `values` and `positions` have a column for each sample of the task, sorted by id: the id, the
    verdict (higher is better; nan where nothing was judged), and the position from 0 at which it was shown.
    Rows of tasks with fewer samples are padded with -1 and nan.
    """

    project: Project
    ids: Ints
    assignments: Ints
    tasks: Ints
    kinds: Ints
    origins: Ints
    """The original task of a repeat or a gold task; 0 for none."""
    is_random: Bools
    """Whether the task was chosen at random: tasks chosen by an acquisition score are harder than most, and
    in a live comparison one person wrote the prompt and gave the only answer."""
    annotators: Ints
    submitted: npt.NDArray[np.datetime64]
    """When first submitted, in the site's time zone."""
    seconds: Floats
    """Active time; nan where it is unknown or the answer was revised."""
    all_bad: Bools
    flagged: Bools
    samples: Ints
    values: Floats
    positions: Ints

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def ordinary(self) -> Bools:
        """Whether the task is an ordinary one: gold and training tasks were chosen for being clear."""
        return np.asarray(self.kinds == ORDINARY)

    @cached_property
    def has_judgements(self) -> Bools:
        """Whether the samples are judged, not all bad."""
        return np.asarray(~np.isnan(self.values).all(axis=1)) if self.values.shape[1] else self.ids < 0

    @cached_property
    def votes(self) -> Votes:
        """The votes of ordinary tasks."""
        return self.votes_with()

    @cached_property
    def vote_rows(self) -> Ints:
        """The row of each vote in `votes`."""
        rows = np.flatnonzero(self.ordinary)
        return rows[np.argsort(self.tasks[rows], kind="stable")]

    def votes_with(self, values: Floats | None = None) -> Votes:
        """`votes` with other values, such as those of a criterion."""
        rows = self.vote_rows
        table = self.values if values is None else values
        return Votes(
            self.project.feedback, self.tasks[rows], self.annotators[rows], table[rows], self.all_bad[rows]
        )

    @cached_property
    def tied(self) -> Bools:
        """Whether the samples are judged but no single one is best."""
        best = np.where(np.isnan(self.values), -np.inf, self.values)
        if best.shape[1] < 2:
            return np.zeros(len(self), dtype=bool)
        top = best.max(axis=1, keepdims=True)
        return np.asarray(self.has_judgements & ((best == top).sum(axis=1) > 1))

    @cached_property
    def best_positions(self) -> Ints:
        """The position from 0 at which the best sample was shown; -1 if no single sample is best."""
        if self.values.shape[1] < 2 or not len(self):
            return np.full(len(self), -1)
        best = np.where(np.isnan(self.values), -np.inf, self.values).argmax(axis=1)
        several = self.sample_counts > 1
        return np.where(
            self.has_judgements & ~self.tied & several, self.positions[np.arange(len(self)), best], -1
        )

    @cached_property
    def sample_counts(self) -> Ints:
        """How many samples were shown."""
        return np.asarray((self.samples >= 0).sum(axis=1))

    @cached_property
    def too_fast(self) -> Bools:
        """Whether it was given faster than the texts can be skimmed; see `SKIM_BYTES_PER_SECOND`."""
        texts = text_bytes_by_task(self.project)
        bytes_shown = np.array([texts.get(int(task), 0) for task in self.tasks], dtype=float)
        return np.asarray(self.seconds < bytes_shown / SKIM_BYTES_PER_SECOND)  # nan is not


def load_annotation_arrays(project: Project, *, tasks: Any = None) -> AnnotationArrays:
    """Load a project's annotations in one query; with `tasks`, only those of these tasks."""
    rows = Annotation.objects.for_project(project).latest_revisions().order_by("assignment__finished", "id")
    if tasks is not None:
        rows = rows.filter(assignment__task__in=tasks)
    value = Coalesce(-F("rank"), F("score"), F("grade"), output_field=IntegerField())
    verdicts = Judgement.objects.filter(annotation=OuterRef("pk")).order_by("sample_id")
    # As integer seconds in the site's time zone: creating datetime objects would dominate the run time.
    clock = Func(Value(timezone.get_current_timezone_name()), F("assignment__finished"), function="timezone")
    submitted = Func(
        clock, template="EXTRACT(EPOCH FROM %(expressions)s)::bigint", output_field=BigIntegerField()
    )
    table = rows.annotate(
        submitted=submitted, verdict_values=ArraySubquery(verdicts.values_list(value))
    ).values_list(
        "pk", "assignment_id", "assignment__task_id", "assignment__task__kind", "assignment__task__origin_id",
        "assignment__annotator_id", "submitted", "seconds", "revision", "all_bad", "flagged",
        "assignment__shown_order", "verdict_values", "assignment__task__choice",
    )  # fmt: skip
    columns: Sequence[Sequence[Any]] = list(zip(*table, strict=True)) or [()] * 14
    codes = {kind.value: number for number, kind in enumerate(KINDS_OF_TASK)}
    samples, positions = _sorted_samples(columns[11])
    seconds = np.array([np.nan if each is None else each for each in columns[7]], dtype=float)
    return AnnotationArrays(
        project=project,
        ids=_int_array(columns[0]),
        assignments=_int_array(columns[1]),
        tasks=_int_array(columns[2]),
        kinds=_int_array([codes[kind] for kind in columns[3]]),
        origins=_int_array([origin or 0 for origin in columns[4]]),
        is_random=np.array([choice == Task.Choice.RANDOM for choice in columns[13]], dtype=bool),
        annotators=_int_array(columns[5]),
        submitted=_int_array(columns[6]).astype("datetime64[s]"),
        seconds=np.where(_int_array(columns[8]) > 1, np.nan, seconds),
        all_bad=np.array(columns[9], dtype=bool),
        flagged=np.array(columns[10], dtype=bool),
        samples=samples,
        values=_pad_rows(columns[12], samples.shape[1], np.nan),
        positions=positions,
    )


def criterion_values(answers: AnnotationArrays, criterion: str) -> Floats:
    """The verdicts by one criterion, as in `AnnotationArrays.values`; one more query."""
    value = Cast(KeyTextTransform(criterion, "criteria"), output_field=IntegerField())
    verdicts = Judgement.objects.filter(annotation=OuterRef("pk")).order_by("sample_id")
    rows = Annotation.objects.for_project(answers.project).latest_revisions()
    found = dict(rows.order_by().values_list("pk", ArraySubquery(verdicts.values_list(value))))
    table = [[np.nan if each is None else each for each in found.get(int(key), ())] for key in answers.ids]
    return _pad_rows(table, answers.values.shape[1], np.nan)


def text_bytes_by_task(project: Project) -> dict[int, int]:
    """The bytes of text of each task, prompt and samples."""
    shown = TaskSample.objects.filter(task__project=project).order_by()
    texts = shown.values_list("task").annotate(bytes=Sum(_byte_length("sample__text")))
    prompts = Task.objects.filter(project=project).order_by()
    of_prompts = dict(prompts.values_list("pk", _byte_length("prompt__text")))
    return {task: size + of_prompts[task] for task, size in texts}


def _byte_length(field: str) -> Func:
    """The byte length of a text column."""
    return Func(F(field), function="octet_length", output_field=IntegerField())


def _int_array(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def _pad_rows(rows: Sequence[Sequence[float]], width: int, fill: float) -> Floats:
    """Rows of different lengths, padded to one array."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    table = np.full((len(rows), width), fill)
    inside = np.arange(width) < lengths[:, None]
    table[inside] = np.fromiter((value for row in rows for value in row), dtype=float, count=lengths.sum())
    return table


def _sorted_samples(orders: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
    """Sample ids in ascending order and the position of each; both padded with -1."""
    width = max(map(len, orders), default=0)
    shown = _pad_rows(orders, width, np.inf)
    positions = np.argsort(shown, axis=1, kind="stable")
    samples = np.take_along_axis(shown, positions, axis=1)
    missing = np.isinf(samples)
    return np.where(missing, -1, samples).astype(np.int64), np.where(missing, -1, positions)
