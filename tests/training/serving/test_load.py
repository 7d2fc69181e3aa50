"""More requests than fit, clients that leave, and a stop while requests run."""

import signal
from collections.abc import Iterator
from pathlib import Path

import openai as openai_errors
import pytest
from django.core.management import CommandError, call_command
from openai import OpenAI, Stream
from openai.types import Completion
from pytest_django import Settings

from tests.processes import eventually
from tests.training.factories import admin
from tests.training.serving.conftest import RunningServer, client, publish
from training import serve_client


def long_stream(openai: OpenAI, *, n: int = 1, tokens: int = 4000) -> Stream[Completion]:
    """A stream that goes on for so many tokens, after its first chunk."""
    stream = openai.completions.create(
        model="base", prompt="the", max_tokens=tokens, n=n, stream=True, temperature=0
    )
    next(stream)
    return stream


def is_answered(openai: OpenAI, *, model: str = "base", n: int = 1) -> bool:
    try:
        return bool(openai.completions.create(model=model, prompt="the", n=n, max_tokens=2).choices)
    except openai_errors.RateLimitError:
        return False


def test_a_full_queue_is_said_at_once_and_has_room_again_when_the_client_leaves(openai: OpenAI) -> None:
    with long_stream(openai, n=4):  # as many as are generated at once; eight more may wait
        with pytest.raises(openai_errors.RateLimitError, match="Ask again in a moment") as error:
            openai.completions.create(model="base", prompt="the", n=9, max_tokens=2)
        assert error.value.response.headers["retry-after"] == "1"
        assert error.value.code == "server_overloaded"
    assert eventually(lambda: is_answered(openai, n=9))


def test_a_model_that_is_in_use_stays_in_memory(openai: OpenAI) -> None:
    publish("poet", seed=1)
    with long_stream(openai) as stream:
        with pytest.raises(openai_errors.RateLimitError, match="all in use"):
            openai.completions.create(model="poet", prompt="the", max_tokens=2)
        assert next(stream).model == "base"
    assert eventually(lambda: is_answered(openai, model="poet"))


@pytest.fixture
def own_server(
    transactional_db: None, artifacts_of_the_server: None, serving_home: Path
) -> Iterator[RunningServer]:
    """A server that the test stops itself."""
    publish("base")
    running = RunningServer(serving_home, "--versions", "base")
    yield running
    if running.process.returncode is None:
        running.stop(signal.SIGKILL)


def test_a_stop_lets_requests_finish(own_server: RunningServer) -> None:
    with client(own_server, admin()) as openai:
        stream = long_stream(openai, tokens=300)
        own_server.process.send_signal(signal.SIGINT)
        assert list(stream)[-1].choices[0].finish_reason == "length"
    assert own_server.stop() == 0
    assert "Traceback" not in own_server.output


def test_a_second_signal_ends_requests_with_an_error(own_server: RunningServer, settings: Settings) -> None:
    settings.SERVE_URL = own_server.url
    assert serve_client.is_running()
    with client(own_server, admin()) as openai:
        stream = long_stream(openai)
        own_server.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: not serve_client.is_running())
        own_server.process.send_signal(signal.SIGTERM)
        with pytest.raises(openai_errors.APIError, match="the server is stopping"):
            list(stream)
    assert own_server.end() == 0
    assert "Traceback" not in own_server.output


def test_what_cannot_be_served_is_said_before_it_starts(own_server: RunningServer) -> None:
    for options, words in {
        ("--versions", "nobody"): "--versions: there is no policy “nobody”; there are: base.",
        ("--max-models", "0"): "--max-models:",
        ("--port", own_server.url.rpartition(":")[2]): "Choose another --port",
    }.items():
        with pytest.raises(CommandError, match=words):
            call_command("serve", *options)
