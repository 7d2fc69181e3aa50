"""A prompt with completions: texts, dialogues and lists of messages, together or apart."""

import json
from typing import Any

import pytest

from training.formats.messages import Message, Role
from training.formats.prompt_completions import ParsedPrompt, parse_prompt, parse_prompt_and_completions

TEXT = "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Sing\n\nAssistant:"


def message(role: Role, content: str) -> Message:
    return {"role": role, "content": content}


ASKED = (message("user", "Hi"), message("assistant", "Hello"), message("user", "Sing"))
LA, NO = message("assistant", "la"), message("assistant", "no")
PROMPT = ParsedPrompt(TEXT, ASKED)


def pair(prompt: Any, chosen: Any, rejected: Any, **options: Any) -> tuple[ParsedPrompt, list[str]]:
    return parse_prompt_and_completions(prompt, {"chosen": chosen, "rejected": rejected}, **options)


@pytest.mark.parametrize(
    ("prompt", "chosen", "rejected"),
    [
        (list(ASKED), [LA], [NO]),
        (list(ASKED), LA, NO),
        (list(ASKED), "la", " no"),
        (list(ASKED), [*ASKED, LA], [*ASKED, NO]),
        (json.dumps(ASKED), json.dumps([LA]), json.dumps([NO])),
        (TEXT, " la", " no"),
        (TEXT, "la", "no"),
        (TEXT + " ", "la", "no"),
        (TEXT, "\n\nAssistant: la", "Assistant: no"),
        (TEXT, f"{TEXT} la", f"{TEXT.strip()} no"),
        (TEXT, [LA], NO),
        (TEXT.strip().replace("\n", "\r\n"), " la", " no"),
        (None, [*ASKED, LA], [*ASKED, NO]),
        ("", [*ASKED, LA], [*ASKED, NO]),
        ([], [*ASKED, LA], [*ASKED, NO]),
        ("Sing", [*ASKED, LA], [*ASKED, NO]),
        (None, f"{TEXT} la", f"{TEXT} no"),
        (None, f"{TEXT} la".strip(), f"{TEXT} no".replace("\n", "\r\n")),
    ],
)
def test_one_comparison_is_the_same_however_it_is_written(prompt: Any, chosen: Any, rejected: Any) -> None:
    assert pair(prompt, chosen, rejected) == (PROMPT, [" la", " no"])


def test_a_plain_prompt_beside_messages_is_the_users() -> None:
    assert pair("Hi", [LA], NO) == (
        ParsedPrompt("\n\nHuman: Hi\n\nAssistant:", (message("user", "Hi"),)),
        [" la", " no"],
    )


def test_plain_texts_are_kept_as_they_are() -> None:
    assert pair("Once", " a\r\n", "b") == (ParsedPrompt("Once"), [" a\r\n", "b"])
    assert pair(None, "la la", "la") == (ParsedPrompt(""), ["la la", "la"])
    for text in ("[1]", "[not JSON", "[" * 100_000, '[{"x": 1}]'):
        assert parse_prompt(text) == ParsedPrompt(text)
    rambling = "a fox.\n\nHuman: Thanks\n\nAssistant: Sure"
    assert pair(None, rambling, "an owl.") == (ParsedPrompt(""), [rambling, "an owl."])


def test_conversations_that_part_early_keep_the_turns_after_it() -> None:
    more = [message("user", "More"), NO]
    expected = (PROMPT, [" la\n\nHuman: More\n\nAssistant: no", " no"])
    assert pair(None, [*ASKED, LA, *more], [*ASKED, NO]) == expected
    assert pair(list(ASKED), [LA, *more], [NO]) == expected
    assert pair(None, f"{TEXT} la\n\nHuman: More\n\nAssistant: no", f"{TEXT} no") == expected


def test_a_completion_that_has_not_begun_is_empty() -> None:
    assert pair(None, f"{TEXT} la", TEXT) == (PROMPT, [" la", ""])


def test_the_last_turn_of_a_whole_conversation_is_its_completion() -> None:
    for whole in ([*ASKED, LA], f"{TEXT} la"):
        assert parse_prompt_and_completions(None, {"messages": whole}) == (PROMPT, [" la"])


def test_messages_beside_their_text_are_its_conversation_and_other_messages_are_not() -> None:
    tools = [message("user", "Hi"), message("tool", "42")]
    text = "\n\nHuman: Hi\n\nTool: 42\n\nAssistant:"
    assert parse_prompt(text, row={"messages": tools}) == (text, tuple(tools))
    assert pair(text, "la", " no", row={"messages": tools}) == ((text, tuple(tools)), ["la", " no"])
    assert parse_prompt("Once", row={"messages": tools}) == ("Once", None)
    assert parse_prompt("Once", row={"messages": [{"role": "wizard"}]}) == ("Once", None)


@pytest.mark.parametrize(
    ("prompt", "chosen", "rejected"),
    [
        ("Hi", "la", " no"),
        ("Hi", [LA], [NO]),
        ("\n\nHuman: Hi\n\nAssistant:", " la", " no"),
        ([message("user", "Hi")], [LA], [NO]),
        ([message("system", "Be kind."), message("user", "Hi")], [LA], [NO]),
        ([message("user", "Hi")], [message("user", "Hi"), LA], [NO]),
        ("Hi", [message("user", "Hi"), LA], [message("user", "Hi"), NO]),
        (None, [message("user", "Hi"), LA], [message("user", "Hi"), NO]),
    ],
)
def test_a_system_prompt_of_its_own_is_the_first_message(prompt: Any, chosen: Any, rejected: Any) -> None:
    asked = (message("system", "Be kind."), message("user", "Hi"))
    expected = ParsedPrompt("Be kind.\n\nHuman: Hi\n\nAssistant:", asked)
    for name in ("system", "system_prompt"):
        assert pair(prompt, chosen, rejected, row={name: "Be kind."}) == (expected, [" la", " no"])


def test_two_system_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match='"system" differs from the system message of the conversation'):
        parse_prompt([message("system", "Be kind."), message("user", "Hi")], row={"system": "Be short."})


def test_a_text_that_ends_within_an_answer_is_a_text_to_continue() -> None:
    assert parse_prompt(f"{TEXT} Sure,") == (f"{TEXT} Sure,", None)


@pytest.mark.parametrize(
    ("prompt", "chosen", "rejected", "says"),
    [
        (
            None,
            "Human: Hi",
            "Human: Hi",
            '"chosen" does not answer anything: it has no turn of the assistant',
        ),
        (
            None,
            f"{TEXT} la",
            "\n\nHuman: Bye\n\nAssistant: no",
            "no common beginning up to an assistant's turn",
        ),
        (None, f"{TEXT} la", "no", '"rejected" does not answer anything'),
        (None, [message("user", "a"), LA], [message("user", "b"), NO], "no common beginning"),
        (None, [*ASKED, LA], f"{TEXT} no", "some are texts and some are messages"),
        (None, [LA], [NO], "no common beginning"),
        ("Bye", [*ASKED, LA], [*ASKED, NO], '"prompt" is in none of the messages of "chosen" and "rejected"'),
        ([*ASKED, LA], "a", "b", '"prompt": the prompt ends with a message of the role assistant'),
        ([message("system", "Be kind.")], "a", "b", "ends with a message of the role system"),
        ([message("user", "")], "a", "b", '"prompt": the conversation has no text'),
        (list(ASKED), [LA, message("user", "More")], [NO], '"chosen" does not answer its prompt'),
        (list(ASKED), [message("user", "Hi"), LA], [NO], '"chosen" does not answer its prompt'),
        (list(ASKED), "\n\nHuman: Bye\n\nAssistant: la", "no", '"chosen" does not answer its prompt'),
        (list(ASKED), [], [NO], '"chosen": the conversation is empty'),
        (
            list(ASKED),
            [{"role": "judge", "content": "x"}],
            [NO],
            '"chosen": message 1 has the unknown role "judge"',
        ),
        ("Hi", 3, "b", '"chosen" is not a string or a list of messages'),
        ({"text": "Hi"}, "a", "b", '"prompt" is not a string or a list of messages'),
    ],
)
def test_what_cannot_be_understood_is_said(prompt: Any, chosen: Any, rejected: Any, says: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011
        pair(prompt, chosen, rejected)
    assert says in str(error.value)
