"""Label Studio: its JSON, tasks with the annotations of each person.

Two samples are a Pairwise, more a Ranker, scores a Rating of each sample, and texts a TextArea. None of them
has ties. `labeling_config` is the configuration in which a project shows them.
"""

from collections.abc import Iterator
from typing import Any

from training.formats.records import Record, RecordJudgement


def label_studio_tasks(record: Record, *, task: int) -> Iterator[dict[str, Any]]:
    """The tasks of a record, which is `task`: one, or with scores one for each sample."""
    judgements = [each for each in record.judgements if can_be_written(each)]
    kinds = {each.kind for each in judgements if not each.skipped}
    shared: dict[str, Any] = {
        "prompt": record.prompt.text,
        **({"split": record.split} if record.split else {}),
    }
    if kinds <= {"score"} and kinds:
        for index, sample in enumerate(record.samples):
            data = {**shared, "response": sample.text, "model": sample.generator}
            yield _task(f"{task}-{index + 1}", data, [_annotation(each, index) for each in judgements])
        return
    if len(record.samples) == 2 and not kinds & {"demonstration"}:
        first, second = record.samples
        data = {**shared, "answer1": first.text, "answer2": second.text}
        data |= {"model1": first.generator, "model2": second.generator}
    else:
        items = [
            {"id": str(number), "title": f"Sample {number}", "body": sample.text, "model": sample.generator}
            for number, sample in enumerate(record.samples, start=1)
        ]
        data = shared | {"items": items}
    yield _task(str(task), data, [_annotation(each, None) for each in judgements])


def can_be_written(judgement: RecordJudgement) -> bool:
    """Whether Label Studio has a way to say it: ties and all-bad answers it has not."""
    if judgement.skipped or judgement.kind in {"score", "demonstration"}:
        return not judgement.all_bad
    ranks = judgement.ranks
    if ranks is None or judgement.all_bad:
        return False
    return judgement.kind == "best" or len(set(ranks)) == len(ranks)


def _task(task: str, data: dict[str, Any], annotations: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": task, "data": data, "annotations": annotations, "predictions": []}


def _annotation(judgement: RecordJudgement, sample: int | None) -> dict[str, Any]:
    person = int(judgement.annotator) if judgement.annotator.isdecimal() else judgement.annotator
    return {
        "completed_by": person,
        "was_cancelled": bool(judgement.skipped),
        "lead_time": judgement.seconds,
        "result": [] if judgement.skipped else [_result(judgement, sample)],
    }


def _result(judgement: RecordJudgement, sample: int | None) -> dict[str, Any]:
    if judgement.kind == "demonstration":
        return _region("text", "prompt", "textarea", {"text": [judgement.text]})
    if sample is not None:
        assert judgement.scores is not None
        score = judgement.scores[sample]
        value = int(score) if score is not None and score == int(score) else score
        return _region("rating", "response", "rating", {"rating": value})
    ranks = judgement.ranks or ()
    if len(ranks) == 2:
        return _region(
            "comparison", "answer1,answer2", "pairwise", {"selected": "left" if ranks[0] == 1 else "right"}
        )
    order = [str(index + 1) for index, _ in sorted(enumerate(ranks), key=lambda each: each[1])]
    return _region(
        "rank", "items", "ranker", {"ranker": {"rank": order[:1] if judgement.kind == "best" else order}}
    )


def _region(name: str, to: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"from_name": name, "to_name": to, "type": kind, "value": value, "origin": "manual"}


def labeling_config(kind: str, *, samples: int, scale: int) -> str:
    """The labelling configuration of a project in Label Studio that shows these tasks."""
    prompt = '<Text name="prompt" value="$prompt"/>'
    if kind == "score":
        body = (
            '<Text name="response" value="$response"/>'
            f'<Rating name="rating" toName="response" maxRating="{scale}"/>'
        )
    elif kind == "rewrite":
        body = '<TextArea name="text" toName="prompt"/>'
    elif samples == 2:
        body = (
            '<Pairwise name="comparison" toName="answer1,answer2"/>'
            '<Text name="answer1" value="$answer1"/><Text name="answer2" value="$answer2"/>'
        )
    else:
        body = '<List name="items" value="$items"/><Ranker name="rank" toName="items"/>'
    return f"<View>{prompt}{body}</View>"
