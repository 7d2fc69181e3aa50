"""Argilla 2: records as `rg.Dataset.records.to_json` writes them, with the responses of each person.

Rankings are the question `preference`, a picked best is `best`, scores are `quality` on a record of each
sample, and texts are `completion`. A ranking has no ties.
"""

import uuid
from collections.abc import Iterator
from typing import Any

from training.formats.records import Record, RecordJudgement

_PEOPLE = uuid.UUID("6f0f8f52-6f3c-4f0c-9d0a-3a1d7c0d5b11")
"""The name space of people's ids, which are UUIDs in Argilla."""


def argilla_records(record: Record, *, task: int) -> Iterator[dict[str, Any]]:
    """The records of a record, which is `task`: one, or with scores one for each sample."""
    judgements = [each for each in record.judgements if can_be_written(each)]
    metadata: dict[str, str] = {"split": record.split} if record.split else {}
    prompt = {"prompt": record.prompt.text}
    if any(each.kind == "score" for each in judgements):
        for index, sample in enumerate(record.samples):
            yield _record(
                f"{task}-{index + 1}",
                {**prompt, "response": sample.text},
                {**metadata, "model": sample.generator},
                {"quality": [_response(each, _score(each, index)) for each in judgements]},
            )
        return
    names = [f"response-{number}" for number in range(1, len(record.samples) + 1)]
    fields = prompt | {name: sample.text for name, sample in zip(names, record.samples, strict=True)}
    metadata |= {f"model-{number}": sample.generator for number, sample in enumerate(record.samples, start=1)}
    responses: dict[str, list[dict[str, Any]]] = {}
    for each in judgements:
        question, value = _answer(each, names)
        responses.setdefault(question, []).append(_response(each, value))
    yield _record(str(task), fields, metadata, responses)


def can_be_written(judgement: RecordJudgement) -> bool:
    """Whether Argilla has a way to say it: ties, all-bad answers and skips it has not."""
    if judgement.skipped or judgement.all_bad:
        return False
    ranks = judgement.ranks
    if judgement.kind in {"score", "demonstration"}:
        return True
    return ranks is not None and (judgement.kind == "best" or len(set(ranks)) == len(ranks))


def _record(
    key: str, fields: dict[str, str], metadata: dict[str, str], responses: dict[str, Any]
) -> dict[str, Any]:
    return {
        "id": key,
        "fields": fields,
        "metadata": metadata,
        "suggestions": {},
        "responses": responses,
        "vectors": {},
        "status": "completed" if any(responses.values()) else "pending",
    }


def _response(judgement: RecordJudgement, value: object) -> dict[str, Any]:
    person = uuid.uuid5(_PEOPLE, judgement.annotator)
    return {"value": value, "user_id": str(person), "status": "submitted"}


def _score(judgement: RecordJudgement, sample: int) -> float | int | None:
    score = judgement.scores[sample] if judgement.scores is not None else None
    return int(score) if score is not None and score == int(score) else score


def _answer(judgement: RecordJudgement, names: list[str]) -> tuple[str, object]:
    """The name of the question, and the answer to it."""
    if judgement.kind == "demonstration":
        return "completion", judgement.text
    ranks = judgement.ranks or ()
    order = [name for _, name in sorted(zip(ranks, names, strict=True), key=lambda each: each[0])]
    return ("best", order[0]) if judgement.kind == "best" else ("preference", order)
