"""Rows of the format `answers` as records, for training and for other tools; imports read the whole rows."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from training.formats.answers import ANSWER_COLUMNS, FORMAT, MEANINGS, REQUIRED, parse_answer_row
from training.formats.joining import joining_whitespace
from training.formats.messages import parse_messages
from training.formats.prompt_completions import ParsedPrompt
from training.formats.records import JudgementKind, Record, RecordJudgement, RecordSample
from training.formats.shape import Shape
from training.formats.values import Values, parse_split

MAX_GRADE = 3
ORDINARY = "ordinary"
KINDS: Mapping[str, JudgementKind] = {
    "pair": "pair",
    "rank": "rank",
    "best": "best",
    "score": "score",
    "rewrite": "demonstration",
}


def parse(number: int, values: Values) -> Iterator[Record]:
    """A task with one person's answer; the row as it was exported is `extra`.

    Answers to gold, training and repeated tasks, and those that a reviewer overruled, are no judgements.
    """
    row = parse_answer_row(values)
    _check(row)
    record = task_record([row], number=number)
    counts = row["kind"] in ("", ORDINARY) and row["adjudication"] != "overruled"
    yield replace(
        record,
        judgements=record.judgements if counts else (),
        group=f"{row['task']}-{row['annotator']}",
        gold=row["gold"],
        is_training=row["kind"] == "training",
        explanation=row["explanation"],
        extra=row,
    )


def _check(row: Mapping[str, Any]) -> None:
    """Raise ValueError for a row that contradicts itself."""
    if row["feedback"] not in KINDS:
        raise ValueError(f'"feedback" is {row["feedback"][:40]!r}: it is one of {", ".join(KINDS)}.')
    if not all(isinstance(each, dict) and isinstance(each.get("text"), str) for each in row["samples"]):
        raise ValueError('"samples" is not a list of {"text", "model"}.')
    count = len(row["samples"])
    for name in ("best", "edited"):
        if row[name] is not None and not 1 <= row[name] <= count:
            raise ValueError(f'"{name}" is {row[name]}, but there are {count} samples.')
    for name in ("ranks", "scores"):
        if row[name] and len(row[name]) != count:
            raise ValueError(f'"{name}" has {len(row[name])} numbers for {count} samples.')
    if sorted(row["shown_order"]) != list(range(1, count + 1)):
        raise ValueError('"shown_order" does not name each sample once.')


def task_record(rows: Sequence[Mapping[str, Any]], *, number: int) -> Record:
    """The record of a task, from the rows of the answers to it."""
    first = rows[0]
    messages = first["messages"]
    return Record(
        row=number,
        prompt=ParsedPrompt(first["prompt"], tuple(parse_messages(messages)) if messages else None),
        samples=tuple(
            RecordSample(text=each["text"], generator=each.get("model") or "") for each in first["samples"]
        ),
        judgements=tuple(map(_judgement, rows)),
        split=parse_split(first["split"]),
        source_id=str(first["task"]),
    )


def _judgement(row: Mapping[str, Any]) -> RecordJudgement:
    return RecordJudgement(
        kind=KINDS[row["feedback"]],
        annotator=row["annotator"],
        choice=row["choice"] or "random",
        all_bad=row["all_bad"],
        skipped=(row["skip_reason"] or "skipped") if row["skipped"] else "",
        flagged=row["flagged"],
        comment=row["comment"],
        seconds=row["seconds"],
        **_said(row),
    )


def _said(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the row says of the samples."""
    match row["feedback"]:
        case "pair" if row["grade"] is not None:
            grade = row["grade"]
            ranks = (1, 1) if grade == 0 else (1, 2) if grade < 0 else (2, 1)
            return {"ranks": ranks, "margin": round(abs(grade) / MAX_GRADE, 6)}
        case "rank" if row["ranks"]:
            return {"ranks": tuple(row["ranks"])}
        case "best" if row["best"] is not None:
            places = range(1, len(row["samples"]) + 1)
            return {"ranks": tuple(1 if place == row["best"] else 2 for place in places)}
        case "score" if row["scores"]:
            return {
                "scores": tuple(map(float, row["scores"])),
                "scale": (1.0, float(row["scale"])) if row["scale"] else None,
                "criteria": tuple(row["criteria"]) if row["criteria"] else None,
            }
        case "rewrite" if row["text"]:
            samples = [each["text"] for each in row["samples"]]
            edited = [samples[row["edited"] - 1]] if row["edited"] else []
            join = joining_whitespace(row["prompt"], [each for each in edited if each.strip()] or samples)
            return {"text": join + row["text"]}
    return {}


SHAPES = (
    Shape(
        format=FORMAT,
        title="one person's answer to one task, with everything about it",
        needs={name: MEANINGS[name] for name in sorted(REQUIRED)},
        takes={name: MEANINGS[name] for name in ANSWER_COLUMNS if name not in REQUIRED},
        parse=parse,
    ),
)
