"""Argilla 2: records as JSON, and exports to `datasets`: rankings, labels, ratings and texts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from training.formats.columns import find_samples, parse_samples
from training.formats.prompt_completions import find_conversation, is_missing
from training.formats.records import Record, RecordJudgement
from training.formats.shape import Shape, about, record_of
from training.formats.text_rows import normalise_name
from training.formats.trl import (
    decode_parts,
    parse_conversation,
    parse_prompt_only,
    parse_text_only,
    prompt_of,
)
from training.formats.values import Values, decode, parse_identity, parse_split, shorten
from training.formats.votes import order, vote


class Response(NamedTuple):
    """One person's answer to one question."""

    question: str
    value: Any
    user: str
    status: str


def parse_record(number: int, values: Values) -> Iterator[Record]:
    """A record with its responses; suggestions of models are left out."""
    fields = _object("fields", values["fields"])
    given = _object("responses", values.get("responses") or {})
    responses = [
        Response(
            question,
            each.get("value"),
            parse_identity("user_id", each.get("user_id")),
            str(each.get("status") or "submitted"),
        )
        for question, answers in given.items()
        for each in (answers if isinstance(answers, list) else [answers])
        if isinstance(each, Mapping)
    ]
    metadata = _object("metadata", values.get("metadata") or {})
    yield from _records(number, values, fields, responses, split=metadata.get("split"))


def parse_row(number: int, values: Values) -> Iterator[Record]:
    """A row with a column for each field, and three for the responses to each question."""
    responses: list[Response] = []
    for name in values:
        if not name.endswith("_responses_users"):
            continue
        column = name.removesuffix("_users")
        answers = decode(values.get(column)) or []
        users = decode(values[name]) or []
        statuses = decode(values.get(f"{column}_status")) or ["submitted"] * len(users)
        if not len(answers) == len(users) == len(statuses):
            raise ValueError(f'"{column}" has another number of answers than of users.')
        question = column.removesuffix("_responses")
        responses += [
            Response(question, value, parse_identity(name, user), str(status))
            for value, user, status in zip(answers, users, statuses, strict=True)
        ]
    fields = {name: value for name, value in values.items() if not re.fullmatch(NOT_FIELDS, name)}
    yield from _records(number, values, fields, responses, split=values.get("metadata_split"))


NOT_FIELDS = r".*_(responses|suggestion)(_.*)?|id|status|_server_id|metadata_.*|split|vectors?_.*"


def _object(name: str, value: Any) -> dict[str, Any]:
    value = decode(value)
    if not isinstance(value, Mapping):
        raise ValueError(f'"{name}" is {shorten(value)}, not an object.')
    return {normalise_name(key): each for key, each in value.items() if each is not None}


def _records(
    number: int, values: Values, fields: dict[str, Any], responses: Sequence[Response], *, split: Any
) -> Iterator[Record]:
    record = _unjudged(number, fields)
    names = list(find_samples(fields)) or (["text"] if record.samples else [])
    by_user: dict[tuple[str, str], dict[str, Any]] = {}
    for each in responses:
        if each.status != "draft":
            by_user.setdefault((each.user, each.status), {})[each.question] = each.value
    judgements = []
    for (user, status), answers in by_user.items():
        if status == "discarded":
            judgements.append(
                RecordJudgement(kind=_kind(names), skipped="discarded in Argilla", annotator=user)
            )
        elif found := _judge(answers, names, fields):
            judgements.append(replace(found, annotator=user))
        else:
            raise ValueError(
                f'"responses" to {", ".join(answers)} say nothing about samples: '
                "leave them out with --columns responses=."
            )
    more = about(values)
    yield replace(
        record,
        judgements=tuple(judgements),
        **{**more, "split": more["split"] or parse_split(split)},
    )


def _kind(names: Sequence[str]) -> Any:
    return "pair" if len(names) == 2 else "rank" if len(names) > 2 else "score"


def _unjudged(number: int, fields: Values) -> Record:
    """The prompt and the samples in the fields of a record."""
    name, prompt = prompt_of(fields)
    prompt, text = decode_parts(prompt), fields.get("text")
    if find_samples(fields):
        (record,) = parse_samples(number, fields)
        if record.prompt.messages is None and prompt is not None:
            found = {key: value for key, (value, _) in find_samples(fields).items()}
            writers = [sample.generator for sample in record.samples]
            return record_of(number, fields, name=name, prompt=prompt, samples=found, generators=writers)
        return record
    chat = next((key for key, value in fields.items() if isinstance(decode_parts(value), list)), None)
    if prompt is None and not is_missing(find_conversation(fields)[1]):
        chat = find_conversation(fields)[0]
    if prompt is None and chat is not None:
        (record,) = parse_conversation(number, {"messages": decode_parts(fields[chat])})
    elif prompt is None and text is not None:
        (record,) = parse_text_only(number, fields)
    else:
        (record,) = parse_prompt_only(number, fields)
    return replace(record, is_text=False)


def _judge(answers: Mapping[str, Any], names: Sequence[str], fields: Values) -> RecordJudgement | None:
    """The judgement in one person's answers to all questions."""
    found: RecordJudgement | None = None
    scores: dict[int, float] = {}
    comments: list[str] = []
    for question, given in answers.items():
        value = decode(given)
        if isinstance(value, list):
            said = _ranking(value, names) or next(filter(None, (vote(each, names) for each in value)), None)
            found = found or said
            comments += [given] if said is None and isinstance(given, str) else []  # a text in brackets
        elif isinstance(value, bool):
            found = found or vote(str(value), names)
        elif isinstance(value, int | float):
            if (position := _position(question, names)) is not None:
                scores[position] = float(value)
        elif isinstance(given, str):
            said = vote(given, names)
            found = found or said
            comments += [] if said else [given]
    if found is None and scores:
        found = RecordJudgement(kind="score", scores=tuple(scores.get(at) for at in range(len(names))))
    if found is not None:
        return replace(found, comment="\n".join(comments)) if comments else found
    if not comments:
        return None
    name, prompt = prompt_of(fields)
    written = record_of(
        0,
        {},
        name=name,
        prompt=fields.get("text") if prompt is None else prompt,
        samples={"text": comments[0]},
    )
    return RecordJudgement(kind="demonstration", text=written.samples[0].text)


def _ranking(value: list[Any], names: Sequence[str]) -> RecordJudgement | None:
    """A ranking: names in their order, or objects with a value and a rank, of which equal ones tie."""
    if all(isinstance(each, Mapping) and "value" in each for each in value) and value:
        ranks = {normalise_name(each["value"]): each.get("rank") for each in value}
        if ranks.keys() != set(map(normalise_name, names)) or not all(
            isinstance(r, int) for r in ranks.values()
        ):
            return None
        return RecordJudgement(kind=_kind(names), ranks=tuple(ranks[normalise_name(name)] for name in names))
    return order(value, names)


def _position(question: str, names: Sequence[str]) -> int | None:
    """Which sample a rating is of, from 0: the only one, or the one that the question names."""
    if len(names) == 1:
        return 0
    found = [at for at, name in enumerate(names) if re.search(rf"{name}|(?<!\d){at + 1}\Z", question)]
    return found[0] if len(found) == 1 else None


SHAPES = (
    Shape(
        format="argilla",
        title="records as JSON",
        needs={
            "fields": "prompt and samples",
            "responses|suggestions|_server_id|metadata|status": "what people said",
        },
        takes={"responses": "what people said", "metadata": "split"},
        parse=parse_record,
    ),
    Shape(
        format="argilla",
        title="an export to datasets",
        needs={r".+_responses_users": "annotators", r".+_responses": "what people said"},
        takes={
            r".+_responses_status": "whether it was submitted",
            "metadata_split": "split",
        },
        others="prompt or sample",
        without_role=r"status|_server_id|.*_suggestion(_.*)?|vectors?_.*|metadata_.*",
        parse=parse_row,
    ),
)
