"""Demonstrations from files: texts and conversations."""

import json
from pathlib import Path
from typing import Any

import pytest

from training.formats.messages import Message
from training.gpt.errors import InputError
from training.rlhf.feedback.demonstrations import read_demonstrations

ASKED: tuple[Message, ...] = (
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Sing"},
)
TEXT = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Sing\n\nAssistant:"
LA: Message = {"role": "assistant", "content": "la"}


def write(folder: Path, *rows: object) -> Path:
    path = folder / "demonstrations.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [*ASKED, LA]},
        {"messages": [*ASKED, LA], "prompt": None, "completion": None, "weight": None},
        {"conversations": [{"from": each["role"], "value": each["content"]} for each in (*ASKED, LA)]},
        {"prompt": list(ASKED), "completion": [LA]},
        {"prompt": list(ASKED), "completion": "la"},
        {"prompt": TEXT, "completion": " la"},
        {"prompt": TEXT, "messages": list(ASKED), "completion": " la"},
        {"completion": f"{TEXT} la"},
    ],
)
def test_a_conversation_is_a_prompt_with_its_last_answer(tmp_path: Path, row: dict[str, Any]) -> None:
    [found] = read_demonstrations(write(tmp_path, row))
    assert (found.prompt, found.completion, found.weight, found.messages) == (TEXT, " la", 1.0, ASKED)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"messages": []}, "“messages” is empty"),
        ({"messages": list(ASKED)}, "no completion to learn"),
        ({"messages": [LA]}, "no message before the assistant's"),
        ({"messages": [{"role": "user", "content": "a"}]}, "no completion to learn"),
        ({"messages": [*ASKED, {"role": "wizard", "content": "x"}]}, "message 4 has the unknown role"),
        ({"messages": [*ASKED, {"role": "assistant", "content": ""}]}, "“completion” is empty"),
        ({"prompt": "Hi", "completion": [{"role": "user", "content": "Hi"}]}, "does not answer"),
    ],
)
def test_a_conversation_that_teaches_nothing_is_refused_by_line(
    tmp_path: Path, row: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError) as error:
        read_demonstrations(write(tmp_path, {"completion": "fine"}, row))
    assert "row 2: " in str(error.value)
    assert says in str(error.value)


def completions(folder: Path, *rows: object) -> list[tuple[str, str, float]]:
    return [(each.prompt, each.completion, each.weight) for each in read_demonstrations(write(folder, *rows))]


def test_what_was_judged_bad_is_no_demonstration(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "completion": f"a{n}", "label": bool(n % 2)} for n in range(4)]
    scores = [{"prompt": "p", "completion": f"s{n}", "score": n / 4} for n in range(5)]
    assert completions(tmp_path, *rows, *scores) == [
        ("p", "a1", 1.0),
        ("p", "a3", 1.0),
        ("p", "s3", 1.0),
        ("p", "s4", 1.0),
    ]
    for bad in ([{"prompt": "p", "completion": "a", "label": False}] * 3, [scores[0]]):
        with pytest.raises(InputError, match=r"no demonstration in it: .* are bad, scored low"):
            read_demonstrations(write(tmp_path, *bad))


def test_the_best_of_several_is_a_demonstration(tmp_path: Path) -> None:
    assert completions(
        tmp_path,
        {"prompt": "p", "chosen": "good", "rejected": "bad"},
        {"prompt": "p", "chosen": "same", "rejected": "alike", "tie": True},
        {"prompt": "q", "responses": ["a", "b", "c"], "ranks": [1, 1, 2]},
        {"instruction": "r", "generations": ["x", "y"], "ratings": [1, 5]},
    ) == [("p", "good", 1.0), ("q", "a", 0.5), ("q", "b", 0.5), ("r", " y", 1.0)]


def test_held_out_demonstrations_are_not_learned(tmp_path: Path) -> None:
    rows = [{"prompt": "p", "completion": name, "split": name} for name in ("train", "test")]
    assert completions(tmp_path, *rows) == [("p", "train", 1.0)]


def test_texts_and_what_people_wrote_are_learned(tmp_path: Path) -> None:
    task = {"id": 1, "data": {"prompt": "p"}}
    written = [{"completed_by": 1, "result": [{"type": "textarea", "value": {"text": ["Mine"]}}]}]
    assert completions(tmp_path, {"text": "All of it"}) == [("", "All of it", 1.0)]
    assert completions(tmp_path, {**task, "annotations": written}) == [("p", " Mine", 1.0)]
