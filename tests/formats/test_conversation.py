"""A conversation is its text everywhere, and has its messages where they are asked for."""

import copy
import json
import pickle

from training.formats.conversation import Conversation, as_prompt, messages_of
from training.formats.messages import Message, render_messages

TALK: list[Message] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]


def test_it_is_the_text_of_its_messages() -> None:
    prompt = Conversation(TALK)
    assert prompt == render_messages(TALK) == "Be brief.\n\nHuman: Why?\n\nAssistant:"
    assert hash(prompt) == hash(str(prompt))
    assert json.loads(json.dumps(prompt)) == prompt
    assert messages_of(prompt) == tuple(TALK)


def test_copies_keep_the_messages() -> None:
    prompt = Conversation(TALK)
    for again in (copy.copy(prompt), copy.deepcopy(prompt), pickle.loads(pickle.dumps(prompt))):
        assert again == prompt
        assert messages_of(again) == tuple(TALK)


def test_a_prompt_without_messages_is_its_text() -> None:
    prompt = as_prompt("Once", None)
    assert type(prompt) is str
    assert messages_of(prompt) is None
    assert messages_of(as_prompt(render_messages(TALK), TALK)) == tuple(TALK)
