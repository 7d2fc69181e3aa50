"""A project's answers as columns of numbers: everything the figures of its quality are counted from."""

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
from labeling.quality.agreement import Floats, Ints, Truths, Votes

KINDS_OF_TASK = (Task.Kind.ORDINARY, Task.Kind.GOLD, Task.Kind.TRAINING, Task.Kind.REPEAT)
ORDINARY, GOLD, TRAINING, REPEAT = range(len(KINDS_OF_TASK))
FASTEST = 100.0
"""Bytes of text a second: about a thousand English words a minute, four times as fast as people read. Bytes,
since a Chinese character takes three of them and about as long to read as three Latin letters."""


@dataclass(frozen=True, eq=False)
class Answers:
    """The answers that count, one row each, in the order in which they were first given.

    `samples`, `worths` and `places` have a column for each sample of the task, by its id: the id, the verdict
    (more is better; nan where nothing was judged), and the place from 0 at which this person saw it. -1 and
    nan fill the rows of tasks with fewer samples.
    """

    project: Project
    ids: Ints
    assignments: Ints
    tasks: Ints
    kinds: Ints
    origins: Ints
    """The task that a repeat or a gold task shows again; 0 for none."""
    chosen: Truths
    """Which are to tasks that were chosen for what they would teach: harder than most."""
    people: Ints
    given: npt.NDArray[np.datetime64]
    """When first submitted, in the site's time zone."""
    seconds: Floats
    """Active time; nan where it is unknown, or the answer was revised."""
    all_bad: Truths
    flagged: Truths
    samples: Ints
    worths: Floats
    places: Ints

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def ordinary(self) -> Truths:
        """Which are to ordinary tasks: gold and training tasks were chosen for being clear."""
        return np.asarray(self.kinds == ORDINARY)

    @cached_property
    def judged(self) -> Truths:
        """Which judge their samples."""
        return np.asarray(~np.isnan(self.worths).all(axis=1)) if self.worths.shape[1] else self.ids < 0

    @cached_property
    def votes(self) -> Votes:
        """What was said of ordinary tasks."""
        return self.votes_by()

    @cached_property
    def voting(self) -> Ints:
        """The row of each of `votes`."""
        rows = np.flatnonzero(self.ordinary)
        return rows[np.argsort(self.tasks[rows], kind="stable")]

    def votes_by(self, worths: Floats | None = None) -> Votes:
        """The same with other verdicts: those by a criterion."""
        rows = self.voting
        table = self.worths if worths is None else worths
        return Votes(
            self.project.feedback, self.tasks[rows], self.people[rows], table[rows], self.all_bad[rows]
        )

    @cached_property
    def tied(self) -> Truths:
        """Which find no sample better than all others, though they judge."""
        best = np.where(np.isnan(self.worths), -np.inf, self.worths)
        if best.shape[1] < 2:
            return np.zeros(len(self), dtype=bool)
        top = best.max(axis=1, keepdims=True)
        return np.asarray(self.judged & ((best == top).sum(axis=1) > 1))

    @cached_property
    def first_picks(self) -> Ints:
        """The place from 0 at which the one best sample was shown; -1 where there is no one best."""
        if self.worths.shape[1] < 2 or not len(self):
            return np.full(len(self), -1)
        best = np.where(np.isnan(self.worths), -np.inf, self.worths).argmax(axis=1)
        several = self.shown > 1
        return np.where(self.judged & ~self.tied & several, self.places[np.arange(len(self)), best], -1)

    @cached_property
    def shown(self) -> Ints:
        """How many samples were shown."""
        return np.asarray((self.samples >= 0).sum(axis=1))

    @cached_property
    def too_fast(self) -> Truths:
        """Which were given in less time than it takes to skim what was shown; see `FASTEST`."""
        texts = bytes_by_task(self.project)
        bytes_shown = np.array([texts.get(int(task), 0) for task in self.tasks], dtype=float)
        return np.asarray(self.seconds < bytes_shown / FASTEST)  # nan is not


def answers_of(project: Project, *, tasks: Any = None) -> Answers:
    """Read a project's answers: one query, whatever their number. `tasks`: only those to these tasks."""
    rows = Annotation.objects.of(project).counting().order_by("assignment__finished", "id")
    if tasks is not None:
        rows = rows.filter(assignment__task__in=tasks)
    worth = Coalesce(-F("rank"), F("score"), F("grade"), output_field=IntegerField())
    verdicts = Judgement.objects.filter(annotation=OuterRef("pk")).order_by("sample_id")
    # As whole seconds on the site's clocks: making so many datetimes would take longer than all the rest.
    clock = Func(Value(timezone.get_current_timezone_name()), F("assignment__finished"), function="timezone")
    given = Func(
        clock, template="EXTRACT(EPOCH FROM %(expressions)s)::bigint", output_field=BigIntegerField()
    )
    table = rows.annotate(given=given, worths=ArraySubquery(verdicts.values_list(worth))).values_list(
        "pk", "assignment_id", "assignment__task_id", "assignment__task__kind", "assignment__task__origin_id",
        "assignment__annotator_id", "given", "seconds", "revision", "all_bad", "flagged",
        "assignment__shown_order", "worths", "assignment__task__choice",
    )  # fmt: skip
    columns: Sequence[Sequence[Any]] = list(zip(*table, strict=True)) or [()] * 14
    codes = {kind.value: number for number, kind in enumerate(KINDS_OF_TASK)}
    samples, places = _sorted_samples(columns[11])
    seconds = np.array([np.nan if each is None else each for each in columns[7]], dtype=float)
    return Answers(
        project=project,
        ids=_whole(columns[0]),
        assignments=_whole(columns[1]),
        tasks=_whole(columns[2]),
        kinds=_whole([codes[kind] for kind in columns[3]]),
        origins=_whole([origin or 0 for origin in columns[4]]),
        chosen=np.array([choice != Task.Choice.RANDOM for choice in columns[13]], dtype=bool),
        people=_whole(columns[5]),
        given=_whole(columns[6]).astype("datetime64[s]"),
        seconds=np.where(_whole(columns[8]) > 1, np.nan, seconds),
        all_bad=np.array(columns[9], dtype=bool),
        flagged=np.array(columns[10], dtype=bool),
        samples=samples,
        worths=_padded(columns[12], samples.shape[1], np.nan),
        places=places,
    )


def worths_by(answers: Answers, criterion: str) -> Floats:
    """The verdicts by one criterion, as `Answers.worths`; one more query."""
    value = Cast(KeyTextTransform(criterion, "criteria"), output_field=IntegerField())
    verdicts = Judgement.objects.filter(annotation=OuterRef("pk")).order_by("sample_id")
    rows = Annotation.objects.of(answers.project).counting()
    found = dict(rows.order_by().values_list("pk", ArraySubquery(verdicts.values_list(value))))
    table = [[np.nan if each is None else each for each in found.get(int(key), ())] for key in answers.ids]
    return _padded(table, answers.worths.shape[1], np.nan)


def bytes_by_task(project: Project) -> dict[int, int]:
    """How many bytes of text each task shows, prompt and samples."""
    shown = TaskSample.objects.filter(task__project=project).order_by()
    texts = shown.values_list("task").annotate(bytes=Sum(_bytes("sample__text")))
    prompts = Task.objects.filter(project=project).order_by()
    of_prompts = dict(prompts.values_list("pk", _bytes("prompt__text")))
    return {task: size + of_prompts[task] for task, size in texts}


def _bytes(field: str) -> Func:
    """The length of a text, without reading it."""
    return Func(F(field), function="octet_length", output_field=IntegerField())


def _whole(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def _padded(rows: Sequence[Sequence[float]], width: int, fill: float) -> Floats:
    """Rows of different lengths as one table."""
    lengths = np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))
    table = np.full((len(rows), width), fill)
    inside = np.arange(width) < lengths[:, None]
    table[inside] = np.fromiter((value for row in rows for value in row), dtype=float, count=lengths.sum())
    return table


def _sorted_samples(orders: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
    """Sample ids by size, and where each was shown; both -1 beyond a task's own."""
    width = max(map(len, orders), default=0)
    shown = _padded(orders, width, np.inf)
    places = np.argsort(shown, axis=1, kind="stable")
    samples = np.take_along_axis(shown, places, axis=1)
    missing = np.isinf(samples)
    return np.where(missing, -1, samples).astype(np.int64), np.where(missing, -1, places)
