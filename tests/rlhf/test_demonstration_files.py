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
