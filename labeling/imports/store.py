"""Storing planned rows in batches: each table's new rows in one statement, known ones left as they are."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from random import Random
from typing import Any
from uuid import UUID

from django.contrib.auth.models import User
from django.utils import timezone

from labeling import control_tasks
from labeling.imports.bulk import copy_rows, fetch, next_keys
from labeling.imports.names import ImportedNames
from labeling.imports.options import ImportOptions, ImportResult
from labeling.imports.planning import PlannedAnswer, PlannedRow, PlannedTask
from labeling.models import Annotation, Assignment, Project, Sample, Task

ORDER_IS_SHOWN = frozenset({"label-studio", "argilla", "arena", "answers"})
"""Formats whose samples stand in the order in which people saw them; in others the better one is first."""
MAX_REMEMBERED_SAMPLES = 20_000

_INSERT_PROMPTS = """
INSERT INTO labeling_prompt (project_id, created, hash, text, messages, split)
SELECT %s, %s, w.hash, w.text, w.messages::jsonb, w.split
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) AS w (hash, text, messages, split)
ON CONFLICT (project_id, hash) DO NOTHING RETURNING hash, id
"""
_FIND_PROMPTS = (
    "SELECT hash, id, messages IS NULL FROM labeling_prompt WHERE project_id = %s AND hash = ANY(%s)"
)
_SET_MESSAGES = """
UPDATE labeling_prompt SET messages = w.messages::jsonb
FROM unnest(%s::bigint[], %s::text[]) AS w (id, messages) WHERE labeling_prompt.id = w.id
"""
_FIND_TASKS = """
SELECT t.prompt_id, t.content, min(t.id) FROM unnest(%s::bigint[], %s::uuid[]) AS w (prompt, content)
JOIN labeling_task t ON t.prompt_id = w.prompt AND t.content = w.content
WHERE t.kind = 'ordinary' GROUP BY t.prompt_id, t.content
"""
_FIND_TASK_SAMPLES = """
SELECT place.task_id, sample.text, sample.id FROM labeling_tasksample place
JOIN labeling_sample sample ON sample.id = place.sample_id
WHERE place.task_id = ANY(%s) ORDER BY place.task_id, place.position
"""
_FIND_ANSWERS = """
SELECT task_id, annotator_id FROM labeling_assignment WHERE task_id = ANY(%s) AND annotator_id = ANY(%s)
"""
_FILL_SLOTS = """
UPDATE labeling_task t
SET open = greatest(t.open - w.answers, 0), need = t.need + greatest(w.answers - t.open, 0)
FROM unnest(%s::bigint[], %s::int[]) AS w (id, answers) WHERE t.id = w.id
"""


class Store:
    """Writes planned rows to one project, inside the caller's transaction, and counts what is new."""

    def __init__(
        self, project: Project, options: ImportOptions, result: ImportResult, *, author: User | None
    ) -> None:
        self.project = project
        self.options = options
        self.result = result
        self.author = author
        self.source = "import"
        """The format of the file that is being stored."""
        self.has_open_tasks = False
        self._names = ImportedNames(project, options, result)
        self._samples: dict[tuple[int, int, str], int] = {}

    def add(self, rows: Sequence[PlannedRow]) -> list[tuple[PlannedRow, int]]:
        """Store the rows; returns those with a single sample, each with the key of its prompt."""
        prompts, new_prompts = self._add_prompts(rows)
        seen: set[str] = set()
        is_new = {}
        for number, row in enumerate(rows):
            is_new[number] = row.hash in new_prompts and row.hash not in seen
            seen.add(row.hash)
        tasks = [(number, prompts[row.hash], task) for number, row in enumerate(rows) for task in row.tasks]
        for number in self._add_tasks(tasks):
            is_new[number] = True
        singles = [(row, prompts[row.hash]) for row in rows if row.single is not None]
        self.result.known += sum(
            not new and row.single is None for new, row in zip(is_new.values(), rows, strict=True)
        )
        self.result.unused_answers += sum(row.unused_answers for row in rows)
        return singles

    # -- Prompts ------------------------------------------------------------------------------------------

    def _add_prompts(self, rows: Sequence[PlannedRow]) -> tuple[dict[str, int], set[str]]:
        """The keys of the prompts by their hashes, and the hashes of the new ones."""
        wanted: dict[str, PlannedRow] = {}
        for row in rows:
            held = wanted.setdefault(row.hash, row)
            if held.prompt.messages is None and row.prompt.messages is not None:
                wanted[row.hash] = row
        known = {}
        as_text = []
        for hash_, key, is_text in fetch(_FIND_PROMPTS, [self.project.pk, list(wanted)]):
            known[hash_] = key
            if is_text and wanted[hash_].prompt.messages is not None:
                as_text.append((key, _messages(wanted[hash_])))
        if as_text:
            fetch(_SET_MESSAGES, [list(column) for column in zip(*as_text, strict=True)])
        new = [row for hash_, row in wanted.items() if hash_ not in known]
        inserted: dict[str, int] = {}
        if new:
            columns = (
                [row.hash for row in new],
                [row.prompt.text for row in new],
                [_messages(row) for row in new],
                [row.split for row in new],
            )
            inserted = dict(fetch(_INSERT_PROMPTS, [self.project.pk, timezone.now(), *columns]))
            if len(inserted) < len(new):  # others were added at this moment
                known |= {
                    hash_: key for hash_, key, _ in fetch(_FIND_PROMPTS, [self.project.pk, list(wanted)])
                }
        self.result.prompts += len(inserted)
        self.result.heldout += sum(row.split == "heldout" for row in new if row.hash in inserted)
        return known | inserted, set(inserted)

    # -- Tasks --------------------------------------------------------------------------------------------

    def add_tasks(self, prompt: int, tasks: Sequence[PlannedTask]) -> bool:
        """Store tasks of one prompt; whether any of them was new."""
        return bool(self._add_tasks([(0, prompt, task) for task in tasks]))

    def _add_tasks(self, given: Sequence[tuple[int, int, PlannedTask]]) -> set[int]:
        """Store (row, prompt, task) triples; returns the rows that added something."""
        if not given:
            return set()
        now = timezone.now()
        wanted: dict[tuple[int, UUID], tuple[int, PlannedTask]] = {}
        for number, prompt, task in given:
            wanted.setdefault((prompt, task.content), (number, task))
        found = self._find_tasks(list(wanted))
        new = {place: each for place, each in wanted.items() if place not in found}
        keys = dict(zip(new, next_keys(Task, len(new)), strict=True))
        samples = _samples_of(list(found.values()))
        samples |= self._add_samples({keys[place]: (place[0], task) for place, (_, task) in new.items()}, now)
        keys |= found

        in_order = [(number, keys[prompt, task.content], task) for number, prompt, task in given]
        answers = self._new_answers(in_order, set(found.values()))
        answered: dict[int, int] = defaultdict(int)
        for _, key, _, answer in answers:
            answered[key] += answer.answer is not None
        self._copy_tasks(
            {keys[place]: (place[0], task) for place, (_, task) in new.items()}, samples, answered, now
        )
        filled = [(key, answered[key]) for key in found.values() if answered[key]]
        if filled:
            fetch(_FILL_SLOTS, [list(column) for column in zip(*filled, strict=True)])
        self._copy_answers(answers, samples, now)
        golds = {
            number for number, key, task in in_order if task.gold is not None and self._add_gold(key, task)
        }
        self.result.tasks += len(new)
        return {number for number, _ in new.values()} | {number for number, *_ in answers} | golds

    def _find_tasks(self, places: Sequence[tuple[int, UUID]]) -> dict[tuple[int, UUID], int]:
        """The tasks that are there already, by prompt and content."""
        rows = fetch(_FIND_TASKS, [list(column) for column in zip(*places, strict=True)])
        return {(prompt, content): key for prompt, content, key in rows}

    def _add_samples(
        self, tasks: dict[int, tuple[int, PlannedTask]], now: datetime
    ) -> dict[int, dict[str, list[int]]]:
        """Store the samples of new tasks; for each task the keys of its samples by text.

        A sample of the same text and generator that this import has just stored for the prompt is used again.
        """
        if len(self._samples) > MAX_REMEMBERED_SAMPLES:
            self._samples.clear()
        samples: dict[int, dict[str, list[int]]] = {}
        missing: list[tuple[int, int, str]] = []
        for key, (prompt, task) in tasks.items():
            texts: dict[str, list[int]] = defaultdict(list)
            for sample in task.samples:
                place = (prompt, self._names.generator(sample.generator), sample.text)
                held = self._samples.get(place)
                if held is None or held in texts[sample.text]:
                    missing.append(place)
                    held = -len(missing)  # until its key is taken
                    self._samples[place] = held
                texts[sample.text].append(held)
            samples[key] = texts
        new = next_keys(Sample, len(missing))
        for texts in samples.values():
            for several in texts.values():
                several[:] = [new[-each - 1] if each < 0 else each for each in several]
        self._samples.update(zip(missing, new, strict=True))
        copy_rows(
            "labeling_sample",
            ("id", "prompt_id", "generator_id", "text", "parameters", "created"),
            ((key, *place, "{}", now) for key, place in zip(new, missing, strict=True)),
        )
        self.result.samples += len(new)
        return samples

    def _copy_tasks(
        self,
        tasks: dict[int, tuple[int, PlannedTask]],
        samples: dict[int, dict[str, list[int]]],
        answered: dict[int, int],
        now: datetime,
    ) -> None:
        """Write new tasks and the places of their samples; given answers take places of theirs."""
        rows = []
        for key, (prompt, task) in tasks.items():
            need = max(self.project.annotations_per_task, answered[key])
            self.has_open_tasks |= need > answered[key]
            rows.append((key, self.project.pk, prompt, 0, need, need - answered[key], "ordinary", task.choice,
                         task.content, now))  # fmt: skip
        copy_rows(
            "labeling_task",
            (
                "id",
                "project_id",
                "prompt_id",
                "priority",
                "need",
                "open",
                "kind",
                "choice",
                "content",
                "created",
            ),
            rows,
        )
        copy_rows(
            "labeling_tasksample",
            ("task_id", "sample_id", "position"),
            (
                (key, sample, position)
                for key, (_, task) in tasks.items()
                for position, sample in enumerate(_in_order(task, samples[key]), start=1)
            ),
        )

    # -- Answers ------------------------------------------------------------------------------------------

    def _new_answers(
        self, given: Sequence[tuple[int, int, PlannedTask]], known_tasks: set[int]
    ) -> list[tuple[int, int, PlannedTask, PlannedAnswer]]:
        """The answers that are not there yet, one for each person and task."""
        wanted: dict[tuple[int, int], tuple[int, int, PlannedTask, PlannedAnswer]] = {}
        for number, key, task in given:
            for answer in task.answers:
                place = (key, self._names.annotator(self.source, answer.annotator))
                wanted.setdefault(place, (number, key, task, answer))
        asked = [place for place in wanted if place[0] in known_tasks]
        if asked:
            tasks, people = ({*column} for column in zip(*asked, strict=True))
            for place in fetch(_FIND_ANSWERS, [list(tasks), list(people)]):
                wanted.pop(place, None)
        return list(wanted.values())

    def _copy_answers(
        self,
        answers: Sequence[tuple[int, int, PlannedTask, PlannedAnswer]],
        samples: dict[int, dict[str, list[int]]],
        now: datetime,
    ) -> None:
        """Write assignments, and for what was answered an annotation with its judgements."""
        submitted = [answer for answer in answers if answer[3].answer is not None]
        annotations = iter(next_keys(Annotation, len(submitted)))
        assignment_rows: list[tuple[Any, ...]] = []
        annotation_rows: list[tuple[Any, ...]] = []
        judgement_rows: list[tuple[Any, ...]] = []
        for key, (_, task_key, task, given) in zip(next_keys(Assignment, len(answers)), answers, strict=True):
            order = _in_order(task, samples[task_key])
            answer = given.answer
            state = "skipped" if answer is None else "submitted"
            assignment_rows.append(
                (key, task_key, self.project.pk, self._names.annotator(self.source, given.annotator), state,
                 _array(self._shown_order(order, task)), now, now, now, given.skip_reason)
            )  # fmt: skip
            self.result.annotators.add(given.annotator)
            if answer is None:
                self.result.skips += 1
                continue
            annotation = next(annotations)
            edited = None
            if answer.text:
                edited = next(
                    (sample for sample, text in zip(order, task.samples, strict=True)
                     if text.text.strip() == answer.text),
                    None,
                )  # fmt: skip
            annotation_rows.append(
                (annotation, key, 1, "import", answer.all_bad, answer.flagged, answer.comment, answer.text,
                 edited, answer.seconds, now)
            )  # fmt: skip
            judgement_rows.extend(
                (annotation, sample, verdict.rank, verdict.score, verdict.grade,
                 json.dumps(verdict.criteria) if verdict.criteria else "{}")
                for sample, verdict in zip(order, given.verdicts, strict=bool(given.verdicts))
            )  # fmt: skip
        self.result.answers += len(submitted)
        copy_rows(
            "labeling_assignment",
            ("id", "task_id", "project_id", "annotator_id", "state", "shown_order", "lease_until", "claimed",
             "finished", "skip_reason"),
            assignment_rows,
        )  # fmt: skip
        copy_rows(
            "labeling_annotation",
            ("id", "assignment_id", "revision", "client_key", "all_bad", "flagged", "comment", "text",
             "edited_id", "seconds", "created"),
            annotation_rows,
        )  # fmt: skip
        copy_rows(
            "labeling_judgement",
            ("annotation_id", "sample_id", "rank", "score", "grade", "criteria"),
            judgement_rows,
        )

    def _shown_order(self, order: list[int], task: PlannedTask) -> list[int]:
        """The order that the person saw, if the file tells it; else any, so that no position is favoured."""
        if self.source in ORDER_IS_SHOWN:
            return order
        shuffled = list(order)
        if len(shuffled) == 2:
            return shuffled[::-1] if task.content.int & 1 else shuffled
        Random(task.content.int).shuffle(shuffled)
        return shuffled

    def _add_gold(self, key: int, task: PlannedTask) -> bool:
        """Make the expected answer's copy of a task; False if there is one already."""
        kind = Task.Kind.TRAINING if task.is_training else Task.Kind.GOLD
        origin = Task.objects.select_related("project", "prompt").get(pk=key)
        if task.gold is None or Task.objects.filter(origin=origin, kind=kind).exists():
            return False
        control_tasks.create_gold_task(
            task=origin, answer=task.gold, kind=kind, explanation=task.explanation, author=self.author
        )
        self.result.gold += 1
        return True


def _array(keys: Sequence[int]) -> str:
    """An array as PostgreSQL reads it."""
    return f"{{{','.join(map(str, keys))}}}"


def _messages(row: PlannedRow) -> str | None:
    return None if row.prompt.messages is None else json.dumps(row.prompt.messages, ensure_ascii=False)


def _samples_of(tasks: list[int]) -> dict[int, dict[str, list[int]]]:
    """For each task the keys of its samples, by their texts."""
    samples: dict[int, dict[str, list[int]]] = {key: defaultdict(list) for key in tasks}
    for key, text, sample in fetch(_FIND_TASK_SAMPLES, [tasks]) if tasks else ():
        samples[key][text].append(sample)
    return samples


def _in_order(task: PlannedTask, samples: dict[str, list[int]]) -> list[int]:
    """The keys of a task's samples in the order of the record; of equal texts, one after the other."""
    used: dict[str, Iterator[int]] = {}
    order = []
    for sample in task.samples:
        if sample.text not in used:
            used[sample.text] = iter(samples[sample.text])
        order.append(next(used[sample.text]))
    return order
