"""Tasks with all their answers as records, for tools that keep each person's annotation."""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from labeling.exports.answer_rows import answer_rows
from labeling.models import PreferenceSnapshot, Project, Task
from labeling.preferences import Row, joining_whitespace
from training.formats.prompt_completions import ParsedPrompt
from training.formats.records import JudgementKind, Record, RecordJudgement, RecordSample

_KINDS: Mapping[str, JudgementKind] = {
    "pair": "pair",
    "rank": "rank",
    "best": "best",
    "score": "score",
    "rewrite": "demonstration",
}


def task_records(
    project: Project, *, people: Mapping[int, str], split: str, snapshot: PreferenceSnapshot | None
) -> Iterator[tuple[int, Record]]:
    """The number of each ordinary task with answers, and its record, streamed.

    Gold, training tasks and repeats measure the annotators; other tools would take them for data.
    """
    rows = answer_rows(project, people=people, split=split, snapshot=snapshot)
    ordinary = (row for row in rows if row["kind"] == Task.Kind.ORDINARY)
    for number, answers in groupby(ordinary, key=lambda row: row["task"]):
        yield number, _record(number, list(answers))


def _record(number: int, answers: list[Row]) -> Record:
    first = answers[0]
    messages = first["messages"]
    return Record(
        row=number,
        prompt=ParsedPrompt(first["prompt"], None if messages is None else tuple(messages)),
        samples=tuple(
            RecordSample(text=sample["text"], generator=sample["model"]) for sample in first["samples"]
        ),
        judgements=tuple(_judgement(row) for row in answers),
        split=first["split"],
        source_id=str(number),
    )


def _judgement(row: Row) -> RecordJudgement:
    kind = _KINDS[row["feedback"]]
    said: dict[str, Any] = {}
    match row["feedback"]:
        case "pair" if row["grade"] is not None:
            ranks = {-1: (1, 2), 0: (1, 1), 1: (2, 1)}[(row["grade"] > 0) - (row["grade"] < 0)]
            said = {"ranks": ranks, "margin": round(abs(row["grade"]) / 3, 6)}
        case "rank" if row["ranks"]:
            said = {"ranks": tuple(row["ranks"])}
        case "best" if row["best"] is not None:
            places = range(1, len(row["samples"]) + 1)
            said = {"ranks": tuple(1 if place == row["best"] else 2 for place in places)}
        case "score" if row["scores"]:
            said = {"scores": tuple(map(float, row["scores"])), "scale": (1.0, float(row["scale"]))}
        case "rewrite" if row["text"]:
            samples = [sample["text"] for sample in row["samples"]]
            edited = [samples[row["edited"] - 1]] if row["edited"] else []
            join = joining_whitespace(row["prompt"], [each for each in edited if each.strip()] or samples)
            said = {"text": join + row["text"]}
    return RecordJudgement(
        kind=kind,
        annotator=row["annotator"],
        all_bad=row["all_bad"],
        skipped=(row["skip_reason"] or "skipped") if row["skipped"] else "",
        flagged=row["flagged"],
        comment=row["comment"],
        seconds=row["seconds"],
        choice=row["choice"],
        **said,
    )
