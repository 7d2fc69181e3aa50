"""The rows of the format `answers`: one for each person and task, with everything that is stored.

Samples are in the task's own order, by id, and so is everything said about them. Tasks are numbered in the
order in which they were created, so that an import that keeps the order gives the same rows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db.models import QuerySet

from labeling.feedback import Answer, Verdict
from labeling.models import Adjudication, Annotation, Assignment, Gold, PreferenceSnapshot, Project
from labeling.preferences import Row
from labeling.quality.gold import expected_verdicts
from labeling.stored_answers import PORTION, StoredSample, batched, samples_of_tasks, verdicts_of

DONE = (Assignment.State.SUBMITTED, Assignment.State.SKIPPED)
_FIELDS = (
    "pk", "task_id", "annotator_id", "state", "shown_order", "skip_reason", "finished", "task__kind",
    "task__origin_id", "task__choice", "task__usefulness", "task__prompt__text", "task__prompt__messages",
    "task__prompt__split",
)  # fmt: skip
_ANNOTATION_FIELDS = (
    "assignment_id", "pk", "revision", "all_bad", "flagged", "comment", "text", "edited_id", "seconds",
    "guidelines__version",
)  # fmt: skip


def answer_rows(
    project: Project,
    *,
    people: Mapping[int, str],
    split: str = "all",
    snapshot: PreferenceSnapshot | None = None,
) -> Iterator[Row]:
    """A row for each answered or skipped task of each person, by task, streamed; see
    `training.formats.answers` for its fields. With a snapshot, only its answers, in the revisions it has."""
    done = Assignment.objects.filter(project=project, state__in=DONE)
    if split != "all":
        done = done.filter(task__prompt__split=split)
    if snapshot is not None:
        done = done.filter(annotations__snapshots=snapshot)
    numbers = _task_numbers(done)
    gold, explanations = expected_verdicts(project), _explanations(project)
    decisions = {
        task: (final, note)
        for task, final, note in Adjudication.objects.filter(task__project=project).values_list(
            "task", "assignment", "note"
        )
    }
    rows = done.order_by("task_id", "pk").values_list(*_FIELDS)
    for portion in batched(rows.iterator(chunk_size=PORTION), PORTION):
        annotations = _annotations([row[0] for row in portion], snapshot)
        samples = samples_of_tasks({row[1] for row in portion}, parameters=True)
        verdicts = verdicts_of([annotation[1] for annotation in annotations.values()])
        for row in portion:
            task, annotation = row[1], annotations.get(row[0])
            yield {
                **_task_row(project, row, samples[task], numbers),
                **_gold_row(project, gold.get(task), explanations.get(task, "")),
                "annotator": people[row[2]],
                **_answer_row(
                    project,
                    row,
                    samples[task],
                    annotation,
                    verdicts.get(annotation[1], {}) if annotation else {},
                ),
                **_decision_row(row[0], decisions.get(task)),
            }


def _task_row(
    project: Project, row: Sequence[Any], samples: Sequence[StoredSample], numbers: Mapping[int, int]
) -> Row:
    _, task, _, _, _, _, _, kind, origin, choice, usefulness, prompt, messages, split = row
    return {
        "task": numbers[task],
        "kind": kind,
        "origin": None if origin is None else numbers[origin],
        "feedback": project.feedback,
        "scale": project.scale if project.feedback == Project.FeedbackKind.SCORE else None,
        "prompt": prompt,
        "messages": messages,
        "split": split,
        "samples": [{"text": sample.text, "model": sample.generator} for sample in samples],
        "parameters": [sample.parameters or {} for sample in samples],
        "choice": choice,
        "usefulness": usefulness,
    }


def _answer_row(
    project: Project,
    row: Sequence[Any],
    samples: Sequence[StoredSample],
    annotation: Sequence[Any] | None,
    verdicts: Mapping[int, Verdict],
) -> Row:
    places = {sample.pk: number for number, sample in enumerate(samples, start=1)}
    shared = {
        "shown_order": [places[key] for key in row[4] if key in places],
        "skipped": row[3] == Assignment.State.SKIPPED,
        "skip_reason": row[5],
        "finished": row[6].isoformat(),
    }
    if annotation is None:
        return {**shared, **_said(Answer())}
    _, _, revision, all_bad, flagged, comment, text, edited, seconds, guidelines = annotation
    judged = project.kind.answer([verdicts[sample.pk] for sample in samples]) if verdicts else Answer()
    return {
        **shared,
        **_said(judged),
        "text": text,
        "edited": places.get(edited),
        "all_bad": all_bad,
        "flagged": flagged,
        "comment": comment,
        "seconds": seconds,
        "revision": revision,
        "guidelines_version": guidelines,
    }


def _said(answer: Answer) -> Row:
    """What an answer says of the samples; null what its kind does not ask."""
    return {
        "ranks": list(answer.ranks) or None,
        "best": answer.best,
        "scores": list(answer.scores) or None,
        "grade": answer.grade,
        "criteria": [dict(each) for each in answer.criteria] or None,
        "text": "",
        "edited": None,
        "all_bad": False,
        "flagged": False,
        "comment": "",
        "seconds": None,
        "revision": None,
        "guidelines_version": None,
    }


def _gold_row(project: Project, verdicts: Sequence[Verdict] | None, explanation: str) -> Row:
    """The known answer of a gold or training task, as the API has it, in the task's own order."""
    if verdicts is None:
        return {"gold": None, "explanation": ""}
    answer = project.kind.answer(verdicts) if verdicts else Answer(all_bad=True)
    return {"gold": answer.as_json(), "explanation": explanation}


def _decision_row(assignment: int, decision: tuple[int | None, str] | None) -> Row:
    """The reviewer's decision on a task with low agreement."""
    if decision is None:
        return {"adjudication": "", "adjudication_note": ""}
    final, note = decision
    says = "kept" if final is None else "final" if final == assignment else "overruled"
    return {"adjudication": says, "adjudication_note": note}


def _task_numbers(done: QuerySet[Assignment]) -> dict[int, int]:
    """Each task with answers numbered from 1 in the order of creation; then origins that have none."""
    pairs = done.order_by().values_list("task_id", "task__origin_id").distinct()
    origins: set[int] = set()
    tasks: set[int] = set()
    for task, origin in pairs.iterator(chunk_size=PORTION):
        tasks.add(task)
        origins |= {origin} if origin is not None else set()
    in_order = [*sorted(tasks), *sorted(origins - tasks)]
    return {key: number for number, key in enumerate(in_order, start=1)}


def _explanations(project: Project) -> dict[int, str]:
    return dict(Gold.objects.filter(task__project=project).values_list("task", "explanation"))


def _annotations(assignments: Iterable[int], snapshot: PreferenceSnapshot | None) -> dict[int, Sequence[Any]]:
    """The latest revision of each of these assignments, or the one of the snapshot, by assignment."""
    rows = Annotation.objects.filter(assignment__in=assignments)
    if snapshot is not None:
        rows = rows.filter(snapshots=snapshot)
    latest = rows.order_by("assignment_id", "-revision").distinct("assignment_id")
    return {row[0]: row for row in latest.values_list(*_ANNOTATION_FIELDS)}
