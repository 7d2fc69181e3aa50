"""What cannot be served is refused in the format of OpenAI's errors, with what to do."""

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from openai import OpenAI

from tests.training.serving.conftest import CONTEXT

CHAT, TEXT = "/chat/completions", "/completions"
HI = [{"role": "user", "content": "Hi"}]


def send(
    openai: OpenAI, path: str, body: bytes, *, method: str = "POST", key: str = ""
) -> tuple[int, dict[str, Any]]:
    """The status and the error of a request that is refused."""
    headers = {"Authorization": f"Bearer {key or openai.api_key}"}
    request = Request(f"{str(openai.base_url).rstrip('/')}{path}", body, headers, method=method)
    with pytest.raises(HTTPError) as error:
        urlopen(request, timeout=60)
    answer = json.loads(error.value.read())
    assert set(answer["error"]) == {"message", "type", "param", "code"}
    return error.value.code, answer["error"]


@pytest.mark.parametrize(
    ("path", "body", "param", "words"),
    [
        (CHAT, {}, "messages", "is missing"),
        (CHAT, {"messages": []}, "messages", "at least one message"),
        (CHAT, {"messages": [{"role": "wizard", "content": "Hi"}]}, "messages", "unknown role"),
        (CHAT, {"messages": [*HI, {"role": "assistant", "content": "Hello"}]}, "messages", "ends with"),
        (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages", "only text"),
        (CHAT, {"messages": [{"role": "user", "content": "\ud83d"}]}, "messages", "surrogate"),
        (CHAT, {"messages": HI, "tools": [{"type": "function"}]}, "tools", "not supported"),
        (CHAT, {"messages": HI, "response_format": {"type": "json_object"}}, "response_format", "only"),
        (CHAT, {"messages": HI, "top_logprobs": 3}, "top_logprobs", "logprobs"),
        (CHAT, {"messages": HI, "max_completion_tokens": 0}, "max_completion_tokens", "at least 1"),
        (TEXT, {"prompt": {"text": "a"}}, "prompt", "text or token ids"),
        (TEXT, {"prompt": ["a", [1]]}, "prompt", "neither"),
        (TEXT, {"prompt": [1_000_000]}, "prompt", "no token id"),
        (TEXT, {"prompt": []}, "prompt", "text or token ids"),
        (TEXT, {"prompt": "a", "n": 0}, "n", "from 1 to"),
        (TEXT, {"prompt": "a", "n": 100}, "n", "ask for fewer"),
        (TEXT, {"prompt": "a", "n": True}, "n", "whole number"),
        (TEXT, {"prompt": "a", "seed": 2**70}, "seed", "whole number"),
        (TEXT, {"prompt": "a", "temperature": -1}, "temperature", "at least 0"),
        (TEXT, {"prompt": "a", "temperature": "hot"}, "temperature", "a number"),
        (TEXT, {"prompt": "a", "top_p": 0}, "top_p", "above 0"),
        (TEXT, {"prompt": "a", "stop": [""]}, "stop", "not empty"),
        (TEXT, {"prompt": "a", "stop": ["x"] * 17}, "stop", "at most 16"),
        (TEXT, {"prompt": "a", "logprobs": 21}, "logprobs", "from 0 to 20"),
        (TEXT, {"prompt": "a", "echo": True}, "echo", "not supported"),
        (TEXT, {"prompt": "a", "best_of": 4}, "best_of", "only"),
        (TEXT, {"prompt": "a", "logit_bias": {"1": 5}}, "logit_bias", "not supported"),
        (TEXT, {"prompt": "a", "frequency_penalty": 0.5}, "frequency_penalty", "repetition_penalty"),
        (TEXT, {"prompt": "a", "stream": "yes"}, "stream", "true or false"),
        (TEXT, {"prompt": "a", "model": 5}, "model", "name of a version"),
        (TEXT, {"prompt": "a " * CONTEXT}, "prompt", f"context of {CONTEXT}"),
        (CHAT, {"messages": [{"role": "user", "content": "a " * CONTEXT}]}, "messages", "shorten it"),
    ],
)  # fmt: skip
def test_a_field_that_cannot_be_used_is_named(
    openai: OpenAI, path: str, body: dict[str, Any], param: str, words: str
) -> None:
    status, error = send(openai, path, json.dumps({"model": "base", **body}).encode())
    assert status == 400
    assert error["param"] == param
    assert words in error["message"]
    assert error["message"].startswith(param)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"temperature": NaN}', "not JSON"),
        (b'"\xff"', "not JSON"),
        (b'{"messages": ' + b"[" * 200_000, "nested too deeply"),
    ],
)
def test_a_body_that_is_no_json_object_is_refused(openai: OpenAI, body: bytes, words: str) -> None:
    status, error = send(openai, CHAT, body)
    assert status == 400
    assert words in error["message"]
    assert error["code"] == "invalid_json"


def test_numbers_that_are_too_large_are_refused(openai: OpenAI) -> None:
    for number in (b"1e999", b"1" * 4000):
        status, error = send(
            openai, TEXT, b'{"model": "base", "prompt": "a", "temperature": ' + number + b"}"
        )
        assert (status, error["param"]) == (400, "temperature")


def test_a_body_that_is_too_large_is_refused(openai: OpenAI) -> None:
    status, error = send(openai, TEXT, b" " * (8 * 1024**2 + 1))
    assert (status, error["code"]) == (413, "request_too_large")


def test_fields_that_ask_for_nothing_and_unknown_ones_are_ignored(openai: OpenAI) -> None:
    answer = openai.chat.completions.create(
        model="base", messages=HI, max_tokens=4, user="ada", presence_penalty=0, logit_bias={}, store=True,  # type: ignore[arg-type]
        stop=None, extra_body={"tools": [], "guided_json": None, "ignore_eos": False},
    )  # fmt: skip
    assert answer.choices[0].finish_reason in ("stop", "length")


def test_an_unknown_address_and_method_are_said(openai: OpenAI) -> None:
    assert send(openai, "/embeddings", b"{}")[0] == 404
    status, error = send(openai, TEXT, b"", method="PUT")
    assert status == 405
    assert "PUT" in error["message"]


def test_a_key_that_is_none_is_said_before_the_body_is_read(openai: OpenAI) -> None:
    for key in (" ", "unknown", "\u00e9"):
        status, error = send(openai, TEXT, b"{", key=key)
        assert (status, error["code"]) == (401, "invalid_api_key")
        assert "POST /api/token/" in error["message"]


def test_a_model_whose_name_cannot_be_one_is_not_there(openai: OpenAI) -> None:
    status, error = send(openai, TEXT, json.dumps({"model": "\ud83d", "prompt": "a"}).encode())
    assert (status, error["code"]) == (404, "model_not_found")
