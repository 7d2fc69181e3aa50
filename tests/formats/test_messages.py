"""Messages as the field writes them, dialogues as text, and what a model without a chat template reads."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.formats.messages import (
    Message,
    completion_content,
    completion_text,
    parse_dialogue,
    parse_messages,
    render_messages,
)

ASKED: list[Message] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "Sing"},
]
TEXT = "Be kind.\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Sing\n\nAssistant:"


@pytest.mark.parametrize(
    ("names", "role"),
    [
        (("system", "developer", "System"), "system"),
        (("user", "human", "prompter", " Human "), "user"),
        (("assistant", "gpt", "chatgpt", "bot", "chatbot", "model", "AI"), "assistant"),
        (("tool", "function", "observation", "ipython"), "tool"),
    ],
)
def test_roles_have_the_names_of_many_formats(names: tuple[str, ...], role: str) -> None:
    for name in names:
        assert parse_messages([{"role": name, "content": "x"}]) == [{"role": role, "content": "x"}]
        assert parse_messages([{"from": name, "value": "x"}]) == [{"role": role, "content": "x"}]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": "Hi", "name": None, "tool_calls": None, "from": None, "value": None},
        {"role": None, "content": None, "from": "human", "value": "Hi"},
        {"role": "user", "content": [{"type": "text", "text": "H"}, {"type": "text", "text": "i"}]},
        {"role": "user", "content": [{"type": "text", "text": "Hi", "image_url": None}]},
        {"role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"role": "user", "content": ["H", "i"]},
        {"role": "user", "content": {"type": "text", "text": "Hi"}},
        {"role": "user", "parts": [{"text": "Hi"}]},
        {"role": "prompter", "text": "Hi"},
    ],
)
def test_contents_are_texts_or_text_parts_and_nulls_count_as_left_out(message: dict[str, Any]) -> None:
    assert parse_messages([message]) == [{"role": "user", "content": "Hi"}]


def test_tool_calls_are_kept_as_text() -> None:
    function = {"name": "look_up", "arguments": '{"city": "Málaga"}'}
    call = '<tool_call>\n{"name": "look_up", "arguments": {"city": "Málaga"}}\n</tool_call>'
    calls = [{"id": "c1", "type": "function", "function": function}]
    assert parse_messages(
        [
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "c1", "content": "42"},
            {"role": "assistant", "content": "Wait.", "function_call": function},
            {"from": "function_call", "value": "look_up()"},
            {"role": "assistant", "content": None},
        ]
    ) == [
        {"role": "assistant", "content": call},
        {"role": "tool", "content": "42"},
        {"role": "assistant", "content": f"Wait.\n{call}"},
        {"role": "assistant", "content": "look_up()"},
        {"role": "assistant", "content": ""},
    ]


@pytest.mark.parametrize(
    ("second", "says"),
    [
        (
            {"role": "wizard", "content": "x"},
            'message 2 has the unknown role "wizard": use one of system, user,',
        ),
        ({"role": 3, "content": "x"}, "message 2 has the unknown role 3"),
        ({"content": "x"}, "message 2 has no role: give it one of"),
        ({"role": "user"}, "message 2 (user) has no content: write its text"),
        ({"role": "user", "content": None}, "message 2 (user) has no content"),
        ({"role": "user", "content": 7}, "the content of message 2 (user) is 7: write a text"),
        (
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]},
            'message 2 (user) has a part of the type "image_url": only text can be used',
        ),
        ({"role": "user", "content": [{"type": "text"}]}, "a part of message 2 (user) has no text"),
        ("Hi", "message 2 is not an object"),
        (None, "message 2 is not an object"),
    ],
)
def test_what_is_wrong_is_said_with_the_number_of_its_message(second: object, says: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        parse_messages([{"role": "user", "content": "Hi"}, second])
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("value", "says"),
    [([], "the conversation is empty"), ("Hi", "is a list of messages"), (None, "is a list of messages")],
)
def test_what_is_no_conversation_is_said(value: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_messages(value)


def test_a_conversation_that_is_to_be_answered_ends_in_the_assistants_turn() -> None:
    assert render_messages(ASKED) == TEXT
    assert render_messages([*ASKED, {"role": "assistant", "content": "La"}]) == TEXT + completion_text("La")
    assert render_messages(
        [*ASKED[1:2], {"role": "tool", "content": "42"}, {"role": "system", "content": "S"}]
    ) == ("\n\nHuman: Hi\n\nTool: 42\n\nSystem: S\n\nAssistant:")


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        TEXT.strip(),
        TEXT + " ",
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\r"),
        TEXT.removesuffix("\n\nAssistant:"),
    ],
)
def test_dialogues_are_parsed_however_their_lines_end(text: str) -> None:
    assert parse_dialogue(text) == ASKED


@pytest.mark.parametrize("start", ["\n\n", "", "\n", "  "])
def test_a_dialogue_may_have_lost_its_first_line_ends(start: str) -> None:
    assert parse_dialogue(f"{start}Human: Hi\n\nAssistant: Hello\n\nHuman: Sing") == ASKED[1:]


def test_turns_may_be_on_lines_of_their_own() -> None:
    assert parse_dialogue("Human: Hi\nAssistant: Hello\nHuman: Sing\nAssistant:") == ASKED[1:]
    assert parse_dialogue("\n\nHuman: One\nHuman: two") == [{"role": "user", "content": "One\nHuman: two"}]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Hi",
        "Human beings: a study",
        "We are\n\nHuman: after all",
        "Say:\n\nAssistant: yes",
        "Q: x\n\nA: y",
    ],
)
def test_other_texts_are_no_dialogues(text: str) -> None:
    assert parse_dialogue(text) is None


contents = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"), max_size=30).filter(
    lambda text: not any(mark in f"\n\n{text}" for mark in ("\n\nHuman:", "\n\nAssistant:"))
)
turns = st.lists(st.tuples(contents, contents), max_size=3)


@given(turns=turns, last=contents, system=st.none() | contents.filter(lambda text: bool(text.strip())))
def test_a_rendered_conversation_is_parsed_to_itself(
    turns: list[tuple[str, str]], last: str, system: str | None
) -> None:
    messages: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    for asked, answered in turns:
        messages += [{"role": "user", "content": asked}, {"role": "assistant", "content": answered}]
    messages.append({"role": "user", "content": last})
    assert parse_messages(messages) == messages
    assert parse_dialogue(render_messages(messages)) == messages


@given(content=st.text())
def test_a_completion_gives_its_content_back(content: str) -> None:
    assert completion_content(completion_text(content)) == content
