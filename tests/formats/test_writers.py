"""Every format out and in again: at least its own fields come back, whatever the texts are."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from training.formats.messages import Message, render_messages
from training.formats.prompt_completions import ParsedPrompt
from training.formats.reader import read_records
from training.formats.records import Record, RecordJudgement, RecordSample
from training.formats.rows import Problem
from training.formats.values import follow
from training.formats.writer import Columns, container_of, encode
from training.formats.writers import argilla, label_studio, llama_factory, openai, trl

ODD = [
    "\n", "\r\n", "\r", "\t", "\u2028", "\u2029", "\x0b", "\x0c", "\x85", "\ufeff", "\u200f", "\u202e", "🦊",
    "\U0001f469\u200d\U0001f467", "שלום", "مرحبا", "e\u0301", '"', "'", ",", ";", "\\", "\\n", "{}", "[1]",
    "=1+1", "<b>", " ", "  ", "null", "NaN", "0", "x",
]  # fmt: skip
texts = st.lists(
    st.sampled_from(ODD)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4),
    max_size=5,
).map("".join)
plain = texts.filter(lambda text: "Human:" not in text and "Assistant:" not in text)
filled = plain.filter(lambda text: text.strip() != "")
contents = filled


def written(rows: Iterable[Mapping[str, Any]], container: str, columns: Columns | None = None) -> bytes:
    return b"".join(encode(rows, container, columns or {}))


def read(content: bytes, name: str, format_name: str = "auto") -> list[Record]:
    found = list(read_records(BytesIO(content), name=name, format=format_name))
    assert not [each for each in found if isinstance(each, Problem)]
    return [each for each in found if isinstance(each, Record)]


# -- Containers -------------------------------------------------------------------------------------------

PAIR: Columns = {"prompt": "string", "chosen": "string", "rejected": "string", "margin": "double"}
CONTAINERS = ["jsonl", "jsonl.gz", "jsonl.zst", "json", "csv", "csv.gz", "parquet"]


@pytest.mark.parametrize("container", CONTAINERS)
@given(pairs=st.lists(st.tuples(filled, filled, filled), min_size=1, max_size=4))
@example(pairs=[(" a\u2028b", "a\x0cb", "=1+1"), ('"', "\\", "…")])
def test_texts_come_back_from_every_container(container: str, pairs: list[tuple[str, str, str]]) -> None:
    rows = [
        {"prompt": prompt, "chosen": chosen, "rejected": rejected, "margin": 0.5}
        for prompt, chosen, rejected in pairs
    ]
    found = read(written(rows, container, PAIR), f"rows.{container}")
    assert [(each.prompt.text, *(sample.text for sample in each.samples)) for each in found] == pairs
    assert all(each.judgements[0].margin == 0.5 for each in found)


def test_an_empty_file_is_an_empty_file() -> None:
    assert written([], "jsonl") == b""
    assert json.loads(written([], "json")) == []
    assert written([], "csv", PAIR) == b"prompt,chosen,rejected,margin\r\n"


def test_lone_surrogates_are_escaped_since_utf_8_cannot_hold_them() -> None:
    line = written([{"prompt": "a\ud800b"}], "jsonl")
    assert line == b'{"prompt": "a\\ud800b"}\n'


def test_the_end_of_a_name_says_the_container() -> None:
    assert [container_of(f"Export.{each.upper()}") for each in CONTAINERS] == CONTAINERS
    with pytest.raises(ValueError, match="name it by what it holds"):
        container_of("export.xlsx")


def test_a_number_that_json_has_not_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        written([{"margin": math.nan}], "jsonl")


# -- Training formats -------------------------------------------------------------------------------------


@st.composite
def conversations(draw: st.DrawFn) -> list[Message]:
    """A conversation that ends with the user."""
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(contents)})
    for _ in range(draw(st.integers(0, 1))):
        messages += [
            {"role": "user", "content": draw(contents)},
            {"role": "assistant", "content": draw(contents)},
        ]
    return [*messages, {"role": "user", "content": draw(contents)}]


@st.composite
def comparisons(draw: st.DrawFn) -> dict[str, Any]:
    """A comparison of a plain prompt or of a conversation, as `labeling.preferences` has it."""
    if draw(st.booleans()):
        return {"prompt": draw(filled), "chosen": draw(filled), "rejected": draw(filled)}
    messages = draw(conversations())
    answers = (f" {draw(contents)}" for _ in range(2))
    return {"prompt": render_messages(messages), "messages": messages} | dict(
        zip(("chosen", "rejected"), answers, strict=True)
    )


def conversational(row: Mapping[str, Any]) -> bool:
    return "messages" in row


def llama_row(row: Mapping[str, Any]) -> dict[str, Any]:
    if conversational(row):
        return llama_factory.sharegpt_row(row, trl.prompt_messages(row))
    return llama_factory.alpaca_row(row)


def trl_row(row: Mapping[str, Any]) -> dict[str, Any]:
    return trl.conversational_row(row) if conversational(row) else trl.standard_row(row)


WRITERS: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    "trl": trl_row,
    "llama-factory": llama_row,
    "openai": openai.openai_row,
}


def as_stored(row: Mapping[str, Any], format_name: str) -> tuple[Any, ...]:
    """The prompt's messages or text, and the texts of the completions."""
    messages = row.get("messages")
    if messages is None and format_name == "openai":  # which has conversations only
        messages = trl.prompt_messages(row)
    completions = [row[name] for name in ("chosen", "rejected", "completion") if name in row]
    if messages is None:
        exact = format_name == "trl"
        return (
            row["prompt"],
            None,
            completions if exact else follow(ParsedPrompt(row["prompt"]), completions),
        )
    return (
        render_messages(messages),
        messages,
        [text if text.startswith(" ") else f" {text}" for text in completions],
    )


@pytest.mark.parametrize("format_name", WRITERS)
@given(row=comparisons())
def test_a_comparison_comes_back(format_name: str, row: dict[str, Any]) -> None:
    [record] = read(written([WRITERS[format_name](row)], "jsonl"), "rows.jsonl", format_name)
    found = record.prompt.messages
    assert (
        record.prompt.text,
        None if found is None else list(found),
        [sample.text for sample in record.samples],
    ) == as_stored(row, format_name)
    assert record.judgements[0].ranks == (1, 2)


@pytest.mark.parametrize("format_name", WRITERS)
@given(row=comparisons())
def test_a_demonstration_comes_back(format_name: str, row: dict[str, Any]) -> None:
    row = {name: value for name, value in row.items() if name not in {"chosen", "rejected"}} | {
        "completion": row["chosen"]
    }
    [record] = read(written([WRITERS[format_name](row)], "jsonl"), "rows.jsonl")
    found = record.prompt.messages
    assert (
        record.prompt.text,
        None if found is None else list(found),
        [sample.text for sample in record.samples],
    ) == as_stored(row, format_name)


@given(row=comparisons(), label=st.booleans())
def test_a_label_comes_back(row: dict[str, Any], *, label: bool) -> None:
    row = {name: value for name, value in row.items() if name not in {"chosen", "rejected"}} | {
        "completion": row["chosen"],
        "label": label,
    }
    [record] = read(written([trl_row(row)], "jsonl"), "rows.jsonl")
    assert [sample.text for sample in record.samples] == as_stored(row, "trl")[2]
    [judgement] = record.judgements
    assert (judgement.kind, judgement.scores) == ("label", (float(label),))


# -- Tools that keep each person's answer -----------------------------------------------------------------


def ranking(order: Sequence[int], annotator: str) -> RecordJudgement:
    return RecordJudgement(
        kind="pair" if len(order) == 2 else "rank", ranks=tuple(order), annotator=annotator, seconds=2.5
    )


@st.composite
def judged(draw: st.DrawFn) -> Record:
    """A prompt with samples that two people ordered, scored, picked the best of, or rewrote."""
    kind = draw(st.sampled_from(["pair", "rank", "best", "score", "demonstration"]))
    count = 2 if kind == "pair" else draw(st.integers(3, 4))
    if kind == "demonstration":
        count = 1
    order = st.permutations(range(1, count + 1))

    def judgement(annotator: str) -> RecordJudgement:
        shared: dict[str, Any] = {"annotator": annotator, "seconds": 1.5}
        match kind:
            case "score":
                scores = tuple(float(draw(st.integers(1, 5))) for _ in range(count))
                return RecordJudgement(kind="score", scores=scores, scale=(1.0, 5.0), **shared)
            case "best":
                best = draw(st.integers(0, count - 1))
                ranks = tuple(1 if place == best else 2 for place in range(count))
                return RecordJudgement(kind="best", ranks=ranks, **shared)
            case "demonstration":
                return RecordJudgement(kind="demonstration", text=draw(filled), **shared)
        return ranking(draw(order), annotator)

    samples = draw(st.lists(filled, min_size=count, max_size=count, unique=True))
    return Record(
        row=1,
        prompt=ParsedPrompt(draw(filled)),
        samples=tuple(RecordSample(text=text, generator="m") for text in samples),
        judgements=(judgement("1"), judgement("2")),
        split=draw(st.sampled_from(["train", "heldout"])),
    )


def essence(record: Record, *, person: bool) -> list[tuple[Any, ...]]:
    """For each judgement what it says, sample by sample."""
    return [
        (
            each.annotator if person else None,
            each.ranks,
            each.scores,
            each.text and follow(record.prompt, [each.text])[0],
        )
        for each in record.judgements
    ]


def followed(record: Record) -> list[str]:
    """The samples as they are read from a tool that keeps prompt and samples apart."""
    return list(follow(record.prompt, [each.text for each in record.samples]))


def joined(records: Sequence[Record]) -> Record:
    """The record of which each sample was a row of its own, as scores are written."""
    if len(records) == 1:
        return records[0]
    people = range(len(records[0].judgements))
    return Record(
        row=1,
        prompt=records[0].prompt,
        samples=tuple(sample for each in records for sample in each.samples),
        judgements=tuple(
            RecordJudgement(
                kind="score",
                annotator=records[0].judgements[person].annotator,
                scores=tuple(each.judgements[person].scores[0] for each in records),  # type: ignore[index]
            )
            for person in people
        ),
        split=records[0].split,
    )


@given(record=judged())
def test_label_studio_keeps_everybodys_judgement(record: Record) -> None:
    rows = list(label_studio.label_studio_tasks(record, task=7))
    found = joined(read(written(rows, "json"), "tasks.json", "label-studio"))
    assert (found.prompt.text, found.split) == (record.prompt.text, record.split)
    if record.judgements[0].kind != "demonstration":
        assert [each.text for each in found.samples] == followed(record)
    assert essence(found, person=True) == essence(record, person=True)


@given(record=judged())
def test_argilla_keeps_everybodys_judgement(record: Record) -> None:
    rows = list(argilla.argilla_records(record, task=7))
    found = joined(read(written(rows, "json"), "records.json", "argilla"))
    assert (found.prompt.text, found.split) == (record.prompt.text, record.split)
    assert [each.text for each in found.samples] == followed(record)
    assert essence(found, person=False) == essence(record, person=False)
    assert len({each.annotator for each in found.judgements}) == 2


@pytest.mark.parametrize("text", ["{}", "[1]", '{"a": 1}', "()"])
def test_texts_in_brackets_come_back_from_argilla_as_texts(text: str) -> None:
    record = Record(
        row=1,
        prompt=ParsedPrompt("Say it."),
        samples=(RecordSample(text=" no"),),
        judgements=(RecordJudgement(kind="demonstration", annotator="1", text=f" {text}"),),
    )
    (found,) = read(written(argilla.argilla_records(record, task=7), "json"), "records.json", "argilla")
    assert [each.text for each in found.judgements] == [f" {text}"]
