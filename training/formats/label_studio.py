"""Label Studio: tasks, and exports as JSON, JSON_MIN and CSV: pairwise, ranker, rating and choices."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from training.formats.column_names import PROMPTS
from training.formats.columns import NUMBERED_SAMPLE, SAMPLE, SAMPLE_LIST, find_samples, parse_samples
from training.formats.prompt_completions import find_conversation, is_missing
from training.formats.records import JudgementKind, Record, RecordJudgement
from training.formats.shape import Shape, about, annotator_of, record_of
from training.formats.text_rows import normalise_name
from training.formats.trl import parse_conversation, parse_prompt_only, parse_text_only, prompt_of
from training.formats.values import (
    Values,
    decode,
    parse_flag,
    parse_identity,
    parse_number,
    shorten,
)
from training.formats.votes import order, vote

STARS = (1.0, 5.0)
"""The stars that a rating has unless the labelling interface says otherwise, which exports do not tell."""
RATING = re.compile(r".*(rating|score|stars|quality).*")
VOTES = "comparison|pairwise|choice|choices|rating|stars|rank|ranker|ranking|preference"
META = "annotation_id|annotator|created_at|updated_at|lead_time|id"


# -- JSON -------------------------------------------------------------------------------------------------


def parse_task(number: int, values: Values) -> Iterator[Record]:
    """A task that nobody annotated."""
    data = _data(values)
    yield replace(_unjudged(number, data), source_id=parse_identity("id", values.get("id")))


def parse_annotated(number: int, values: Values) -> Iterator[Record]:
    """A task with the annotations of people; its predictions are left out."""
    data = _data(values)
    annotations = decode(values["annotations"])
    if not isinstance(annotations, list):
        raise ValueError(f'"annotations" is {shorten(annotations)}, not a list.')
    record = _unjudged(number, data)
    names, keys = _sample_names(data)
    judgements = [
        found
        for annotation in annotations
        if isinstance(annotation, Mapping)
        and (found := _annotation(annotation, data, names, keys)) is not None
    ]
    yield replace(record, judgements=tuple(judgements), source_id=parse_identity("id", values.get("id")))


def _data(values: Values) -> dict[str, Any]:
    data = decode(values["data"])
    if not isinstance(data, Mapping):
        raise ValueError(f'"data" is {shorten(data)}, not an object with the texts of the task.')
    return {normalise_name(name): value for name, value in data.items() if value is not None}


def _unjudged(number: int, data: Values) -> Record:
    """The prompt and the samples in the data of a task."""
    _, prompt = prompt_of(data)
    text = data.get("text")
    conversation = find_conversation(data)[1]
    if all(is_missing(each) for each in (prompt, text, conversation)):
        raise ValueError(
            f'"data" has no prompt among {", ".join(data) or "nothing"}: only texts can be used; name one of '
            f"them {', '.join(PROMPTS[:3])} or text."
        )
    if find_samples(data):
        (record,) = parse_samples(number, data)
        if record.prompt.messages is None:
            name, prompt = (_, prompt) if prompt is not None else ("text", text)
            found = {key: value for key, (value, _) in find_samples(data).items()}
            writers = [sample.generator for sample in record.samples]
            return record_of(number, data, name=name, prompt=prompt, samples=found, generators=writers)
        return record
    parse = (
        parse_prompt_only
        if prompt is not None
        else parse_text_only
        if text is not None
        else parse_conversation
    )
    (record,) = parse(number, data)
    return replace(record, is_text=False)


def _sample_names(data: Values) -> tuple[list[str], list[str]]:
    """The names of the columns of the samples, and those that a ranker knows them by."""
    names = list(find_samples(data))
    items = decode(data.get("items"))
    keys = (
        [str(each["id"]) if isinstance(each, Mapping) and "id" in each else str(each) for each in items]
        if isinstance(items, list)
        else names
    )
    return names, keys


def _annotation(
    annotation: Mapping[str, Any], data: Values, names: Sequence[str], keys: Sequence[str]
) -> RecordJudgement | None:
    """What one person said in one annotation; None for an empty one."""
    who = annotation.get("completed_by")
    if isinstance(who, Mapping):
        who = who.get("email") or who.get("id")
    about_it: dict[str, Any] = {
        "annotator": parse_identity("completed_by", who),
        "seconds": None
        if annotation.get("lead_time") is None
        else parse_number("lead_time", annotation["lead_time"]),
    }
    kind: JudgementKind = "pair" if len(names) == 2 else "rank" if len(names) > 2 else "score"
    if parse_flag("was_cancelled", annotation.get("was_cancelled")):
        return RecordJudgement(kind=kind, skipped="skipped in Label Studio", **about_it)
    given = annotation.get("result") or []
    if not isinstance(given, list):
        raise ValueError(f'"annotations" has the result {shorten(given)}, not a list.')
    results = [each for each in given if isinstance(each, Mapping)]
    if not results:
        return None
    found = _judge(results, data, names, keys)
    if found is None:
        said = ", ".join(sorted({str(each.get("type")) for each in results}))
        raise ValueError(
            f'"annotations" of the type {said} say nothing about samples: '
            "leave them out with --columns annotations=."
        )
    return replace(found, **about_it)


def _judge(
    results: Sequence[Mapping[str, Any]], data: Values, names: Sequence[str], keys: Sequence[str]
) -> RecordJudgement | None:
    """The judgement in the results of one annotation."""
    found: RecordJudgement | None = None
    scores: dict[int, float] = {}
    texts: list[str] = []
    for result in results:
        kind, value = result.get("type"), result.get("value")
        value = value if isinstance(value, Mapping) else {}
        if kind == "pairwise":
            found = found or (vote(value.get("selected") or "tie", names) if len(names) == 2 else None)
        elif kind == "ranker":
            found = found or _ranking(value.get("ranker"), keys)
        elif kind == "rating":
            scores[_rated(result, names)] = parse_number("rating", value.get("rating"))
        elif kind == "choices":
            found = found or next(
                filter(None, (vote(each, names) for each in value.get("choices") or [])), None
            )
        elif kind == "textarea":
            text = value.get("text")
            texts += [text] if isinstance(text, str) else [str(each) for each in text or []]
    if found is None and scores and min(scores) >= 0 and names:
        given = tuple(scores.get(position) for position in range(len(names)))
        found = RecordJudgement(kind="score", scores=given, scale=STARS)
    if found is not None:
        return replace(found, comment="\n".join(texts)) if texts else found
    return _demonstration(texts, data)


def _ranking(ranker: Any, keys: Sequence[str]) -> RecordJudgement | None:
    """An order in one list; several lists (buckets) are in no order."""
    if isinstance(ranker, Mapping):
        lists = [each for each in ranker.values() if isinstance(each, list) and each]
        ranker = lists[0] if len(lists) == 1 else None
    return order(ranker, keys) if isinstance(ranker, list) else None


def _rated(result: Mapping[str, Any], names: Sequence[str]) -> int:
    """Which sample a rating is of, from 0; -1 if it does not say."""
    if len(names) == 1:
        return 0
    for where in (str(result.get("to_name", "")), str(result.get("from_name", ""))):
        for position, name in enumerate(names):
            if name in normalise_name(where) or re.search(rf"\D{position + 1}\Z", where):
                return position
    return -1


def _demonstration(texts: Sequence[str], data: Values) -> RecordJudgement | None:
    """A text that was written for the prompt."""
    if not texts or not texts[0].strip():
        return None
    name, prompt = prompt_of(data)
    prompt = data.get("text") if prompt is None else prompt
    (record,) = [record_of(0, {}, name=name, prompt=prompt, samples={"textarea": texts[0]})]
    return RecordJudgement(kind="demonstration", text=record.samples[0].text)


# -- JSON_MIN and CSV -------------------------------------------------------------------------------------


def parse_flat(number: int, values: Values) -> Iterator[Record]:
    """A row for each annotation; what people said is in columns named as in the labelling interface."""
    data = {name: value for name, value in values.items() if not re.fullmatch(META, name)}
    record = _unjudged(number, data)
    names, keys = _sample_names(data)
    results = [
        result
        for name, value in data.items()
        if not re.fullmatch(rf"{SAMPLE_LIST}|{NUMBERED_SAMPLE}|{SAMPLE}|{'|'.join(PROMPTS)}|text", name)
        and (result := _result(name, value)) is not None
    ]
    found = _judge(results, data, names, keys)
    if found is None:
        raise ValueError(
            "no column says what the annotator said about the samples: "
            "name it, as in --columns comparison=NAME."
        )
    seconds = values.get("lead_time")
    found = replace(
        found,
        annotator=annotator_of(values),
        seconds=None if seconds is None else parse_number("lead_time", seconds),
    )
    identity = parse_identity("id", values.get("id"))
    yield replace(record, judgements=(found,), **{**about(values), "source_id": identity})


def _result(name: str, value: Any) -> dict[str, Any] | None:
    """The result of the JSON export that a cell stands for."""
    value = decode(value)
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], Mapping):
        value = value[0]
    kind, inside = "", value
    if isinstance(value, Mapping):
        kind = next(
            (each for each in ("rating", "choices", "ranker", "text", "selected") if each in value), ""
        )
        if not kind and value and all(isinstance(each, list) for each in value.values()):
            kind, inside = "ranker", {"ranker": value}
    elif RATING.fullmatch(name) and re.fullmatch(r"\d+(\.\d+)?", str(value)):
        kind, inside = "rating", {"rating": value}
    elif isinstance(value, str):
        kind, inside = "choices", {"choices": [value]}
    elif isinstance(value, list) and all(isinstance(each, str) for each in value):
        kind, inside = "ranker", {"ranker": value}
    named = {"text": "textarea", "selected": "pairwise"}.get(kind, kind)
    return {"type": named, "value": inside, "from_name": name} if kind else None


SHAPES = (
    Shape(
        format="label-studio",
        title="tasks with annotations (JSON)",
        needs={"data": "prompt and samples", "annotations": "what people said"},
        parse=parse_annotated,
    ),
    Shape(
        format="label-studio",
        title="tasks",
        needs={"data": "prompt and samples"},
        without="annotations|prompt|messages|instruction",
        parse=parse_task,
        test=lambda values: isinstance(decode(values["data"]), Mapping),
    ),
    Shape(
        format="label-studio",
        title="annotations in columns (JSON_MIN, CSV)",
        needs={"annotation_id": "annotation", "annotator|lead_time|created_at": "annotator"},
        takes={
            f"{'|'.join(PROMPTS)}|text": "prompt",
            f"{SAMPLE_LIST}|{NUMBERED_SAMPLE}|{SAMPLE}": "sample",
            "lead_time": "seconds",
            VOTES: "what the annotator said",
        },
        parse=parse_flat,
    ),
)
