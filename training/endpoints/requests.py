"""The body of a request to an endpoint, and what is read from its answer."""

from dataclasses import dataclass, field
from typing import Any

import httpx2

from labeling.models import Prompt
from training.formats.messages import HUMAN_TURN, completion_text
from training.gpt.config import SamplingConfig
from training.models import Endpoint

PATHS = {Endpoint.Api.CHAT: "/chat/completions", Endpoint.Api.COMPLETIONS: "/completions"}
NON_STANDARD = ("top_k", "min_p", "repetition_penalty")
"""Options that many servers know but that the OpenAI API has not: sent only where they are set."""


class BadAnswer(Exception):  # noqa: N818 -- the server is at fault, not the program
    """An answer that is not what the API defines; the message completes “the server answered …”."""


@dataclass(frozen=True, kw_only=True)
class Completion:
    """What a model wrote: `text` follows the text of the prompt."""

    text: str
    finish_reason: str = ""
    model: str = ""
    """As the server named it, which may say more than the name that was asked for."""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    sent: dict[str, Any] = field(default_factory=dict)
    """The parameters of the request, without the prompt."""

    @property
    def problem(self) -> str:
        """Why nobody can judge it; empty if somebody can."""
        if self.finish_reason == "content_filter":
            return "withheld by the server's content filter"
        if not self.text.strip():
            cut = self.finish_reason == "length"
            return "empty: no token was left for the answer (max_new_tokens)" if cut else "empty"
        return ""

    @property
    def parameters(self) -> dict[str, Any]:
        """What is stored with the sample."""
        used = {
            "model": self.model,
            "finish_reason": self.finish_reason,
            "prompt_tokens": self.prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }
        return self.sent | {name: value for name, value in used.items() if value not in (None, "")}


def parameters_to_send(
    endpoint: Endpoint, prompt: Prompt, sampling: SamplingConfig, *, seed: int | None
) -> dict[str, Any]:
    """The parameters of a request; those of the endpoint replace others, and leave out what is null."""
    stops = [*sampling.stops]
    if prompt.messages and endpoint.api == Endpoint.Api.COMPLETIONS:
        stops.append(HUMAN_TURN)  # a base model would go on with the other side's turn
    options = {
        "model": endpoint.model,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p if sampling.top_p < 1 else None,
        "max_tokens": sampling.max_new_tokens,
        "stop": stops or None,
        "seed": seed,
    }
    defaults = SamplingConfig()
    for name in NON_STANDARD:
        if getattr(sampling, name) != getattr(defaults, name):
            options[name] = getattr(sampling, name)
    options |= endpoint.extra_parameters
    return {name: value for name, value in options.items() if value is not None}


def prompt_to_send(endpoint: Endpoint, prompt: Prompt) -> dict[str, Any]:
    """The prompt as the endpoint's API takes it: messages, or text."""
    if endpoint.api == Endpoint.Api.COMPLETIONS:
        return {"prompt": prompt.text}
    return {"messages": prompt.messages or [{"role": "user", "content": prompt.text}]}


def read_completion(endpoint: Endpoint, response: httpx2.Response, sent: dict[str, Any]) -> Completion:
    """The completion in an answer; raises BadAnswer."""
    answer = read_json(response)
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict):
        raise BadAnswer(f"without a completion: {_shorten(response.text)}")
    if endpoint.api == Endpoint.Api.COMPLETIONS:
        text = choice.get("text")
    else:
        message = choice.get("message")
        if not isinstance(message, dict):
            raise BadAnswer(f"without a message: {_shorten(response.text)}")
        content = message.get("content")
        text = completion_text(content) if isinstance(content, str) else content
    if not (text is None or isinstance(text, str)):
        raise BadAnswer(f"with a completion that is no text: {_shorten(response.text)}")
    usage = answer.get("usage")
    tokens = usage if isinstance(usage, dict) else {}
    return Completion(
        text=text or "",
        finish_reason=_text(choice.get("finish_reason")),
        model=_text(answer.get("model")),
        prompt_tokens=_count(tokens.get("prompt_tokens")),
        completion_tokens=_count(tokens.get("completion_tokens")),
        sent=sent,
    )


def read_json(response: httpx2.Response) -> dict[str, Any]:
    """The JSON object of an answer; raises BadAnswer."""
    is_page = "html" in response.headers.get("content-type", "") or response.text.lstrip()[:1] == "<"
    if is_page:
        raise BadAnswer(
            "with a web page (HTML): check the URL; the base URL of an OpenAI-compatible server usually "
            "ends in /v1"
        )
    try:
        answer = response.json()
    except ValueError:
        raise BadAnswer(f"with something that is not JSON: {_shorten(response.text)}") from None
    if not isinstance(answer, dict):
        raise BadAnswer(f"with JSON that is no object: {_shorten(response.text)}")
    return answer


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line[:99]}…”" if len(line) > 100 else f"“{line}”" if line else "nothing"
