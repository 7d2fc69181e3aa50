"""What the official client gets: chat and completions, whole and streamed, alone and together."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai as openai_errors
import pytest
from openai import OpenAI

from tests.training.serving.conftest import publish, tiny_writer
from training.formats.conversation import Conversation
from training.formats.messages import completion_content, render_messages
from training.gpt.chat_template import ChatTemplate
from training.gpt.config import SamplingConfig
from training.gpt.generation.generate import Completion, complete

CONVERSATION: list[Any] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Tell me about 猫 🐈"},
]


def expected(prompt: str, *, seed: int, tokens: int = 24, stop: str = "", **options: Any) -> Completion:
    """What the generation engine gives for one prompt alone."""
    sampling = SamplingConfig(seed=seed, max_new_tokens=tokens, stop=stop, **options)
    return complete(*tiny_writer(), [prompt], sampling)[0][0]


def test_a_completion_is_what_generate_gives_for_its_seed(openai: OpenAI) -> None:
    alone = expected("the cat", seed=5)
    answer = openai.completions.create(model="base", prompt="the cat", seed=5, max_tokens=24, logprobs=2)
    choice = answer.choices[0]
    assert choice.text == alone.text
    assert choice.finish_reason == ("stop" if alone.ended else "length")
    assert answer.model == "base"
    assert answer.object == "text_completion"
    assert answer.usage
    assert answer.usage.completion_tokens == len(alone.tokens)
    assert answer.usage.prompt_tokens == len(tiny_writer()[1].prompt("the cat"))
    assert choice.logprobs
    assert choice.logprobs.token_logprobs == pytest.approx(alone.logprobs, abs=1e-4)
    assert choice.logprobs.top_logprobs
    assert [len(top) for top in choice.logprobs.top_logprobs] == [2] * len(alone.tokens)


def test_a_stream_joined_is_the_whole(openai: OpenAI) -> None:
    options: Any = {"model": "base", "prompt": ["the cat", "on"], "seed": 1, "n": 2, "max_tokens": 30}
    whole = openai.completions.create(**options)
    texts: dict[int, str] = {}
    reasons: dict[int, str | None] = {}
    chunks = list(openai.completions.create(**options, stream=True))
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + choice.text
            reasons[choice.index] = choice.finish_reason
    assert texts == {choice.index: choice.text for choice in whole.choices}
    assert reasons == {choice.index: choice.finish_reason for choice in whole.choices}
    assert len(texts) == 4
    assert len(chunks) > 20


def test_a_conversation_is_answered_as_the_assistant(openai: OpenAI) -> None:
    alone = expected(render_messages(CONVERSATION), seed=3, stop=r"\n\nHuman:")
    answer = openai.chat.completions.create(
        model="base",
        messages=CONVERSATION,
        seed=3,
        max_tokens=24,
        logprobs=True,
        top_logprobs=3,
    )
    choice = answer.choices[0]
    assert choice.message.role == "assistant"
    assert choice.message.content == alone.text.removeprefix(" ")
    assert choice.logprobs
    assert choice.logprobs.content
    assert [each.logprob for each in choice.logprobs.content] == pytest.approx(alone.logprobs, abs=1e-4)
    for token in choice.logprobs.content:
        assert len(token.top_logprobs) == 3
        assert token.bytes is None or bytes(token.bytes).decode() == token.token


def test_a_model_with_a_chat_template_reads_conversations_through_it(openai: OpenAI) -> None:
    model, tokenizer = tiny_writer()
    template = tokenizer.plain_chat_template()
    publish("chatty", template=template)
    chatty = tokenizer.with_chat(always=True, template=template)
    sampling = SamplingConfig(seed=3, max_new_tokens=24)
    alone = complete(model, chatty, [Conversation(CONVERSATION)], sampling)[0][0]
    common: Any = {"model": "chatty", "messages": CONVERSATION, "seed": 3, "max_tokens": 24}
    answer = openai.chat.completions.create(**common)
    assert answer.choices[0].message.content == completion_content(alone.text)
    assert answer.usage.prompt_tokens == len(chatty.prompt(Conversation(CONVERSATION)))
    chunks = openai.chat.completions.create(**common, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == completion_content(alone.text)


def test_a_conversation_that_the_template_refuses_is_a_400_with_its_words(openai: OpenAI) -> None:
    source = "{% if messages[0].role == 'system' %}{{ raise_exception('no system messages') }}{% endif %}?"
    publish("picky", template=ChatTemplate(source))
    with pytest.raises(openai_errors.BadRequestError, match="no system messages") as error:
        openai.chat.completions.create(model="picky", messages=CONVERSATION)
    assert error.value.param == "messages"


def test_a_streamed_conversation_begins_with_the_role_and_ends_with_the_usage(openai: OpenAI) -> None:
    common: Any = {"model": "base", "messages": CONVERSATION, "seed": 3, "max_completion_tokens": 24}
    whole = openai.chat.completions.create(**common)
    chunks = list(
        openai.chat.completions.create(**common, stream=True, stream_options={"include_usage": True})
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks[:-1]) == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].choices == []
    assert chunks[-1].usage == whole.usage


def test_a_stop_text_ends_an_answer_and_is_not_part_of_it(openai: OpenAI) -> None:
    text = expected("the cat", seed=2, tokens=40).text
    stop = text[5:7]
    answer = openai.completions.create(
        model="base", prompt="the cat", seed=2, max_tokens=40, stop=["€", stop]
    )
    assert answer.choices[0].text == text[: text.index(stop)]
    assert answer.choices[0].finish_reason == "stop"


def test_token_ids_are_read_as_they_came(openai: OpenAI) -> None:
    ids = tiny_writer()[1].prompt("the cat")
    prompts: list[Any] = ["the cat", ids, [ids, ids]]
    by_text, by_ids, both = (
        openai.completions.create(model="base", prompt=prompt, temperature=0) for prompt in prompts
    )
    assert by_text.choices[0].text == by_ids.choices[0].text
    assert [choice.text for choice in both.choices] == [by_ids.choices[0].text] * 2


def test_fields_of_vllm_shape_the_distribution(openai: OpenAI) -> None:
    alone = expected("on", seed=4, top_k=3, min_p=0.01, repetition_penalty=1.3, top_p=0.9, temperature=0.8)
    answer = openai.completions.create(
        model="base", prompt="on", seed=4, max_tokens=24, top_p=0.9, temperature=0.8,
        extra_body={"top_k": 3, "min_p": 0.01, "repetition_penalty": 1.3},
    )  # fmt: skip
    assert answer.choices[0].text == alone.text


def test_requests_that_come_together_get_what_each_would_get_alone(openai: OpenAI) -> None:
    def ask(seed: int) -> str:
        options: Any = {"temperature": 0.5 + seed / 10, "max_tokens": 5 + 4 * seed}
        answer = openai.completions.create(model="base", prompt="the " * (seed + 1), seed=seed, **options)
        text: str = answer.choices[0].text
        return text

    with ThreadPoolExecutor(12) as pool:
        texts = list(pool.map(ask, range(12)))
    for seed, text in enumerate(texts):
        alone = expected("the " * (seed + 1), seed=seed, tokens=5 + 4 * seed, temperature=0.5 + seed / 10)
        assert text == alone.text
