"""Rows of the format `answers` as records: what training reads of them; imports read the whole rows."""

from collections.abc import Iterator, Mapping
from typing import Any

from training.formats.answers import ANSWER_COLUMNS, MEANINGS, REQUIRED, parse_answer_row
from training.formats.messages import parse_messages
from training.formats.prompt_completions import ParsedPrompt
from training.formats.records import Record, RecordJudgement, RecordSample
from training.formats.shape import Shape
from training.formats.values import Values, parse_split

MAX_GRADE = 3
ORDINARY = "ordinary"


def parse(number: int, values: Values) -> Iterator[Record]:
    """A task with one person's answer; the row as it was exported is `extra`.

    Answers to gold, training and repeated tasks, and those that a reviewer overruled, are no judgements.
    """
    row = parse_answer_row(values)
    messages = row["messages"]
    counts = row["kind"] in ("", ORDINARY) and row["adjudication"] != "overruled"
    judgement = _judgement(row) if counts else None
    yield Record(
        row=number,
        prompt=ParsedPrompt(row["prompt"], tuple(parse_messages(messages)) if messages else None),
        samples=tuple(
            RecordSample(text=each["text"], generator=each.get("model") or "") for each in row["samples"]
        ),
        judgements=(judgement,) if judgement else (),
        split=parse_split(row["split"]),
        group=f"{row['task']}-{row['annotator']}",
        source_id=str(row["task"]),
        gold=row["gold"],
        is_training=row["kind"] == "training",
        explanation=row["explanation"],
        extra=row,
    )


def _judgement(row: Mapping[str, Any]) -> RecordJudgement | None:
    count, grade, best, scores = len(row["samples"]), row["grade"], row["best"], row["scores"]
    about: dict[str, Any] = {
        "annotator": row["annotator"],
        "choice": row["choice"] or "random",
        "all_bad": row["all_bad"],
        "skipped": (row["skip_reason"] or "skipped") if row["skipped"] else "",
        "flagged": row["flagged"],
        "comment": row["comment"],
        "seconds": row["seconds"],
    }
    criteria = tuple(row["criteria"]) if row["criteria"] else None
    kind = row["feedback"]
    if kind == "rewrite":
        return RecordJudgement(kind="demonstration", text=row["text"], **about)
    if kind == "pair" and grade is not None:
        ranks: tuple[int, ...] = (1, 1) if grade == 0 else (1, 2) if grade < 0 else (2, 1)
        return RecordJudgement(kind="pair", ranks=ranks, margin=round(abs(grade) / MAX_GRADE, 6), **about)
    if kind == "score" and scores:
        scale = (1.0, float(row["scale"])) if row["scale"] else None
        return RecordJudgement(kind="score", scores=tuple(scores), scale=scale, criteria=criteria, **about)
    if kind == "best" and best is not None:
        ranks = tuple(1 if place == best else 2 for place in range(1, count + 1))
        return RecordJudgement(kind="best", ranks=ranks, **about)
    if row["ranks"]:
        return RecordJudgement(kind="rank", ranks=tuple(row["ranks"]), **about)
    return RecordJudgement(kind="rank", **about) if row["skipped"] or row["all_bad"] else None


SHAPES = (
    Shape(
        format="answers",
        title="one person's answer to one task, with everything about it",
        needs={name: MEANINGS[name] for name in sorted(REQUIRED)},
        takes={name: MEANINGS[name] for name in ANSWER_COLUMNS if name not in REQUIRED},
        parse=parse,
    ),
)
