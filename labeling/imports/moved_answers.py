"""Storing the rows of the format `answers`, which another site exported, without loss.

Tasks keep their order, kind and origin, answers their order shown, time, revision and final decision:
agreement figures and the hash of a snapshot are then the same here as there. What is there already is left as
it is: a task by its prompt, kind and samples (the second of equal ones is the second here), and an answer by
its task and annotator, or by its moment if somebody gave it here.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.contrib.auth.models import User
from django.db.models import Q
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from labeling.control_tasks import UNLIMITED_SLOTS
from labeling.feedback import Answer, AnswerError, Verdict, parse_answer
from labeling.imports.bulk import copy_rows, fetch, next_keys
from labeling.imports.names import ImportedNames
from labeling.imports.options import ImportOptions, ImportResult
from labeling.imports.planning import check_name, check_text
from labeling.models import (
    Adjudication,
    Annotation,
    Assignment,
    Gold,
    Guidelines,
    Judgement,
    Project,
    Prompt,
    Sample,
    Task,
    TaskSample,
)
from labeling.models.tasks import content_of
from labeling.prompts import add_prompts
from labeling.queue import MAX_REASON_LENGTH
from training.formats.answers import FORMAT
from training.formats.prompt_completions import ParsedPrompt
from training.formats.records import Record

ANSWER_FIELDS = (
    "ranks", "best", "scores", "grade", "criteria", "text", "edited", "all_bad", "flagged", "comment",
    "seconds",
)  # fmt: skip
CONTROL_KINDS = (Task.Kind.GOLD, Task.Kind.TRAINING)


@dataclass(frozen=True, slots=True)
class MovedAnswer:
    """A row, checked against the project."""

    row: Mapping[str, Any]
    prompt: ParsedPrompt
    answer: Answer | None
    """In the task's own order; None for a skip."""
    verdicts: Sequence[Verdict]
    finished: datetime


@dataclass(slots=True)
class MovedTask:
    """A task here, with its samples in the task's own order."""

    pk: int
    samples: list[int]
    kind: str
    is_new: bool
    answers: int = 0
    """New ones, whose places are not taken yet."""


@dataclass
class MovedAnswerStore:
    """Stores rows in batches, inside the caller's transaction, and counts what is new."""

    project: Project
    options: ImportOptions
    result: ImportResult
    author: User | None
    _tasks: dict[int, MovedTask] = field(default_factory=dict)
    """By their number in the file."""
    _met: Counter[tuple[int, str, Any]] = field(default_factory=Counter)
    """How many tasks of the same prompt, kind and samples the file had so far."""
    _guidelines: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._names = ImportedNames(self.project, self.options, self.result)

    def plan(self, record: Record) -> MovedAnswer:
        """The row of a record, checked; raises ValueError with the reason why it cannot be stored."""
        row: Any = record.extra
        project = self.project
        if row["feedback"] != project.feedback:
            raise ValueError(
                f'"feedback" is {row["feedback"]}, but this project asks for {project.feedback}: '
                "import it into a project of that kind."
            )
        if project.feedback == Project.FeedbackKind.SCORE and row["scale"] not in {None, project.scale}:
            raise ValueError(
                f'"scale" is {row["scale"]}, but scores of this project go to {project.scale}: '
                "change the scale in the settings of the project."
            )
        _check_texts(row)
        if row["kind"] not in Task.Kind.values or row["choice"] not in Task.Choice.values:
            raise ValueError(f'"kind" or "choice" is not known: {row["kind"]}, {row["choice"]}.')
        if row["kind"] != Task.Kind.ORDINARY and row["origin"] is None:
            raise ValueError(f'"origin" is missing: a {row["kind"]} task is a copy of another.')
        finished = parse_datetime(row["finished"]) if row["finished"] else timezone.now()
        if finished is None:
            raise ValueError(f'"finished" is “{row["finished"][:40]}”, which is no time as in ISO 8601.')
        if row["gold"] is not None:
            self._verdicts(parse_answer(row["gold"]), row, "gold")
        answer = None if row["skipped"] else _answer(row)
        return MovedAnswer(
            row=row,
            prompt=record.prompt,
            answer=answer,
            verdicts=() if answer is None else self._verdicts(answer, row, "answer"),
            finished=finished if timezone.is_aware(finished) else timezone.make_aware(finished),
        )

    def _verdicts(self, answer: Answer, row: Mapping[str, Any], what: str) -> Sequence[Verdict]:
        try:
            return self.project.verdicts(answer, len(row["samples"]))
        except AnswerError as error:
            raise ValueError(f"{what}: {error}") from None

    def add(self, rows: Sequence[MovedAnswer]) -> None:
        """Store what is new of the rows."""
        prompts = self._add_prompts(rows)
        self._add_tasks(rows, prompts)
        self._add_answers(rows)
        self._take_places(rows)
        self._add_decisions(rows)

    def _add_prompts(self, rows: Sequence[MovedAnswer]) -> dict[str, int]:
        """The keys of the prompts by their texts."""
        found: dict[str, int] = {}
        before = Prompt.objects.filter(project=self.project).count()
        for split in Prompt.Split.values:
            wanted = [each.prompt for each in rows if (self.options.split or each.row["split"]) == split]
            found |= {prompt.text: prompt.pk for prompt in add_prompts(self.project, wanted, split)}
            after = Prompt.objects.filter(project=self.project).count()
            self.result.prompts += after - before
            self.result.heldout += after - before if split == Prompt.Split.HELDOUT else 0
            before = after
        return found

    # -- Tasks --------------------------------------------------------------------------------------------

    def _add_tasks(self, rows: Sequence[MovedAnswer], prompts: Mapping[str, int]) -> None:
        """Find or make the tasks of the rows, and the origins of copies that have no rows before them."""
        known = _tasks_of_prompts(set(prompts.values()))
        wanted: dict[int, tuple[Mapping[str, Any], int, str]] = {}
        for each in rows:
            prompt = prompts[each.prompt.text]
            origin = each.row["origin"]
            if origin is not None and origin not in self._tasks:
                wanted.setdefault(origin, (each.row, prompt, Task.Kind.ORDINARY))
            if each.row["task"] not in self._tasks:
                wanted.setdefault(each.row["task"], (each.row, prompt, each.row["kind"]))
        new: list[tuple[int, Mapping[str, Any], int]] = []
        for number, (row, prompt, kind) in wanted.items():
            place = (prompt, kind, content_of(sample["text"] for sample in row["samples"]))
            others = known.get(place, [])
            self._met[place] += 1
            if self._met[place] <= len(others):
                pk, samples = others[self._met[place] - 1]
                order = _same_order(samples, [sample["text"] for sample in row["samples"]])
                self._tasks[number] = MovedTask(pk, order, kind, is_new=False)
            else:
                self._tasks[number] = MovedTask(0, [], kind, is_new=True)
                new.append((number, row, prompt))
        self._copy_tasks(new)

    def _copy_tasks(self, new: Sequence[tuple[int, Mapping[str, Any], int]]) -> None:
        now = timezone.now()
        keys = next_keys(Task, len(new))
        for (number, _, _), key in zip(new, keys, strict=True):
            self._tasks[number].pk = key
        rows, places, samples = [], [], []
        for number, row, prompt in new:
            task = self._tasks[number]
            is_copy = task.kind != Task.Kind.ORDINARY
            origin = self._tasks[row["origin"]] if is_copy else None
            # Copies show the samples of their origin.
            if origin is not None and origin.samples:
                task.samples = origin.samples
            else:
                task.samples = next_keys(Sample, len(row["samples"]))
                samples += [
                    (key, prompt, self._names.generator(sample["model"] or ""), sample["text"],
                     json.dumps(parameters, ensure_ascii=False), now)
                    for key, sample, parameters in zip(
                        task.samples, row["samples"], _parameters(row), strict=True
                    )
                ]  # fmt: skip
            need = {Task.Kind.ORDINARY: self.project.annotations_per_task, Task.Kind.REPEAT: 1}.get(
                Task.Kind(task.kind), UNLIMITED_SLOTS
            )
            content = None if is_copy else content_of(sample["text"] for sample in row["samples"])
            rows.append(
                (task.pk, self.project.pk, prompt, 0, need, need, task.kind, origin.pk if origin else None,
                 row["choice"], row["usefulness"], content, now)
            )  # fmt: skip
            places += [(task.pk, sample, position) for position, sample in enumerate(task.samples, start=1)]
        copy_rows(
            "labeling_sample", ("id", "prompt_id", "generator_id", "text", "parameters", "created"), samples
        )
        copy_rows(
            "labeling_task",
            ("id", "project_id", "prompt_id", "priority", "need", "open", "kind", "origin_id", "choice",
             "usefulness", "content", "created"),
            rows,
        )  # fmt: skip
        copy_rows("labeling_tasksample", ("task_id", "sample_id", "position"), places)
        Gold.objects.bulk_create(
            Gold(
                task_id=self._tasks[number].pk,
                answer=row["gold"] or {"all_bad": True},
                explanation=row["explanation"],
                author=self.author,
            )
            for number, row, _ in new
            if self._tasks[number].kind in CONTROL_KINDS
        )
        self.result.samples += len(samples)
        golds = sum(self._tasks[number].kind in CONTROL_KINDS for number, _, _ in new)
        self.result.gold += golds
        self.result.tasks += len(new) - golds

    # -- Answers ------------------------------------------------------------------------------------------

    def _add_answers(self, rows: Sequence[MovedAnswer]) -> None:
        # An export of this very project: the same answer, which a person here gave at the same moment.
        given_here = set(
            Assignment.objects.filter(
                task__in={self._tasks[each.row["task"]].pk for each in rows},
                annotator__imported_annotator=None,
                finished__in={each.finished for each in rows},
            ).values_list("task", "finished")
        )
        others = [
            each for each in rows if (self._tasks[each.row["task"]].pk, each.finished) not in given_here
        ]
        places = [
            (self._tasks[each.row["task"]].pk, self._names.annotator(FORMAT, each.row["annotator"]))
            for each in others
        ]
        there = set(
            Assignment.objects.filter(
                task__in={task for task, _ in places}, annotator__in={person for _, person in places}
            ).values_list("task", "annotator")
        )
        new: dict[tuple[int, int], MovedAnswer] = {}
        for place, each in zip(places, others, strict=True):
            if place not in there:
                new.setdefault(place, each)
        self.result.known += len(rows) - len(new)
        answered = [each for each in new.values() if each.answer is not None]
        keys = iter(next_keys(Annotation, len(answered)))
        assignments, annotations, judgements = [], [], []
        for key, ((task, person), each) in zip(next_keys(Assignment, len(new)), new.items(), strict=True):
            row, samples = each.row, self._tasks[each.row["task"]].samples
            shown = ",".join(str(samples[number - 1]) for number in row["shown_order"])
            state = Assignment.State.SKIPPED if each.answer is None else Assignment.State.SUBMITTED
            assignments.append((key, task, self.project.pk, person, state, f"{{{shown}}}", each.finished,
                                each.finished, each.finished, row["skip_reason"]))  # fmt: skip
            self.result.annotators.add(row["annotator"])
            if each.answer is None:
                continue
            self._tasks[row["task"]].answers += 1
            answer, annotation = each.answer, next(keys)
            edited = None if answer.edited is None else samples[answer.edited - 1]
            annotations.append(
                (annotation, key, row["revision"] or 1, "import", answer.all_bad, answer.flagged,
                 answer.comment, answer.text, edited, answer.seconds,
                 self._guidelines_of(row["guidelines_version"]), each.finished)
            )  # fmt: skip
            judgements += [
                (annotation, sample, verdict.rank, verdict.score, verdict.grade,
                 json.dumps(dict(verdict.criteria)))
                for sample, verdict in zip(samples, each.verdicts, strict=bool(each.verdicts))
            ]  # fmt: skip
        self.result.answers += len(answered)
        self.result.skips += len(new) - len(answered)
        copy_rows(
            Assignment._meta.db_table,  # noqa: SLF001 - Django's public Meta API
            ("id", "task_id", "project_id", "annotator_id", "state", "shown_order", "lease_until", "claimed",
             "finished", "skip_reason"),
            assignments,
        )  # fmt: skip
        copy_rows(
            Annotation._meta.db_table,  # noqa: SLF001
            ("id", "assignment_id", "revision", "client_key", "all_bad", "flagged", "comment", "text",
             "edited_id", "seconds", "guidelines_id", "created"),
            annotations,
        )  # fmt: skip
        copy_rows(
            Judgement._meta.db_table,  # noqa: SLF001
            ("annotation_id", "sample_id", "rank", "score", "grade", "criteria"),
            judgements,
        )

    def _take_places(self, rows: Sequence[MovedAnswer]) -> None:
        """The new answers take places of their tasks; a task gets more if it has not enough."""
        filled = []
        for number in {each.row["task"] for each in rows}:
            task = self._tasks[number]
            if task.answers:
                filled.append((task.pk, task.answers))
                task.answers = 0
        if filled:
            fetch(_TAKE_PLACES, [list(column) for column in zip(*filled, strict=True)])

    def _add_decisions(self, rows: Sequence[MovedAnswer]) -> None:
        """The reviewers' decisions: the answer that counts alone, or that all count."""
        decided = {
            self._tasks[each.row["task"]].pk: each
            for each in rows
            if each.row["adjudication"] in {"final", "kept"}
        }
        there = set(Adjudication.objects.filter(task__in=decided).values_list("task", flat=True))
        for task, each in decided.items():
            if task in there:
                continue
            person = self._names.annotator(FORMAT, each.row["annotator"])
            final = Assignment.objects.filter(
                Q(annotator=person) | Q(annotator__imported_annotator=None, finished=each.finished), task=task
            ).first()
            Adjudication.objects.create(
                task_id=task,
                assignment=final if each.row["adjudication"] == "final" else None,
                note=each.row["adjudication_note"],
            )

    def _guidelines_of(self, version: int | None) -> int | None:
        """The guidelines of this version; the rows do not have their text."""
        if version is None:
            return None
        if version not in self._guidelines:
            made, _ = Guidelines.objects.get_or_create(project=self.project, version=version)
            self._guidelines[version] = made.pk
        return self._guidelines[version]


_TAKE_PLACES = """
UPDATE labeling_task t
SET open = greatest(t.open - w.answers, 0), need = t.need + greatest(w.answers - t.open, 0)
FROM unnest(%s::bigint[], %s::int[]) AS w (id, answers) WHERE t.id = w.id RETURNING t.id
"""


def _check_texts(row: Mapping[str, Any]) -> None:
    """Raise ValueError for what cannot be stored."""
    for name in ("prompt", "comment", "text", "explanation", "adjudication_note", "skip_reason"):
        try:
            check_text(row[name])
        except ValueError as error:
            raise ValueError(f'"{name}": {error}') from None
    if len(row["skip_reason"]) > MAX_REASON_LENGTH:
        raise ValueError(f'"skip_reason" has more than {MAX_REASON_LENGTH} characters.')
    check_name(row["annotator"], "annotator")
    for sample in row["samples"]:
        check_text(sample["text"])
        check_name(sample.get("model") or "", "generator")


def _answer(row: Mapping[str, Any]) -> Answer:
    given = {name: row[name] for name in ANSWER_FIELDS if row[name] not in (None, "", [])}
    try:
        # Texts exactly as they were stored, with white space at their ends.
        return replace(parse_answer(given), text=row["text"], comment=row["comment"])
    except AnswerError as error:
        raise ValueError(f"answer: {error}") from None


def _parameters(row: Mapping[str, Any]) -> Sequence[Any]:
    """The sampling parameters of each sample."""
    given = row["parameters"]
    count = len(row["samples"])
    return given if isinstance(given, list) and len(given) == count else [{}] * count


def _tasks_of_prompts(
    prompts: set[int],
) -> dict[tuple[int, str, Any], list[tuple[int, list[tuple[int, str]]]]]:
    """The tasks of these prompts with the keys and texts of their samples, by prompt, kind and samples."""
    tasks = Task.objects.filter(prompt__in=prompts).order_by("pk").values_list("pk", "prompt", "kind")
    samples: dict[int, list[tuple[int, str]]] = defaultdict(list)
    shown = TaskSample.objects.filter(task__prompt__in=prompts).order_by("task", "sample")
    for task, sample, text in shown.values_list("task", "sample", "sample__text"):
        samples[task].append((sample, text))
    found: dict[tuple[int, str, Any], list[tuple[int, list[tuple[int, str]]]]] = defaultdict(list)
    for task, prompt, kind in tasks:
        content = content_of(text for _, text in samples[task])
        found[prompt, kind, content].append((task, samples[task]))
    return found


def _same_order(samples: Sequence[tuple[int, str]], texts: Sequence[str]) -> list[int]:
    """The keys of samples in the order of their texts; of equal texts, one after the other."""
    left = defaultdict(list)
    for key, text in samples:
        left[text].append(key)
    return [left[text].pop(0) for text in texts]
