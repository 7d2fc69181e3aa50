"""The bodies of requests, as typed values: what an OpenAI-compatible client may ask for.

A null counts as left out. Fields that would change the text and are not supported are refused by name; other
unknown fields are ignored, as servers in the field do, since clients send many.
"""

import json
import math
from dataclasses import dataclass, fields
from typing import Any, NoReturn

from training.formats.messages import Message, check_prompt, parse_messages
from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.serving.errors import APIError, invalid

MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_PROMPTS = 256
MAX_CHOICES = 128
MAX_STOPS = 16
MAX_TOP_LOGPROBS = 20
DEFAULT_COMPLETION_TOKENS = 16  # OpenAI's, for completions without max_tokens

UNSUPPORTED = {
    "presence_penalty": "use repetition_penalty",
    "frequency_penalty": "use repetition_penalty",
    "logit_bias": "leave it out",
    "echo": "leave it out",
    "suffix": "leave it out",
    "tools": "leave it out",
    "functions": "leave it out",
    "audio": "leave it out",
    "prediction": "leave it out",
}
"""Fields that are refused unless they ask for nothing, and what to do instead."""


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """What both kinds of requests have."""

    model: str | None  # None: the version in production
    sampling: SamplingConfig
    max_tokens: int | None  # None: as many as fit the context
    n: int
    stop: tuple[str, ...]
    seed: int | None
    stream: bool
    include_usage: bool
    logprobs: bool
    top_logprobs: int


@dataclass(frozen=True, kw_only=True)
class ChatRequest(GenerationRequest):
    """`POST /v1/chat/completions`."""

    messages: list[Message]


@dataclass(frozen=True, kw_only=True)
class CompletionRequest(GenerationRequest):
    """`POST /v1/completions`."""

    prompts: list[str] | list[list[int]]


def parse_chat(body: bytes) -> ChatRequest:
    """Read the body of a chat request. Raises APIError (400) naming the field."""
    given = Fields(body)
    try:
        messages = check_prompt(parse_messages(given.require("messages")))
    except ValueError as error:
        raise invalid("messages", str(error)) from None
    require_text("messages", [message["content"] for message in messages])
    if given.get("response_format", {"type": "text"}) != {"type": "text"}:
        raise invalid("response_format", 'only {"type": "text"} is supported.')
    if given.get("modalities", ["text"]) != ["text"]:
        raise invalid("modalities", 'only ["text"] is supported.')
    top_logprobs = given.integer("top_logprobs", 0, low=0, high=MAX_TOP_LOGPROBS)
    logprobs = given.boolean("logprobs", default=False)
    if top_logprobs and not logprobs:
        raise invalid("top_logprobs", "also set logprobs to true.")
    name = "max_completion_tokens" if given.get("max_completion_tokens") is not None else "max_tokens"
    return ChatRequest(
        messages=messages,
        max_tokens=given.optional_integer(name, low=1),
        logprobs=logprobs,
        top_logprobs=top_logprobs,
        **given.shared(),
    )


def parse_completion(body: bytes) -> CompletionRequest:
    """Read the body of a completion request. Raises APIError (400) naming the field."""
    given = Fields(body)
    logprobs = given.optional_integer("logprobs", low=0, high=MAX_TOP_LOGPROBS)
    shared = given.shared()
    if given.optional_integer("best_of", low=1) not in (None, shared["n"]):
        raise invalid("best_of", "only the value of n is supported.")
    return CompletionRequest(
        prompts=parse_prompts(given.get("prompt", "")),
        max_tokens=given.integer("max_tokens", DEFAULT_COMPLETION_TOKENS, low=1),
        logprobs=logprobs is not None,
        top_logprobs=logprobs or 0,
        **shared,
    )


def parse_prompts(prompt: Any) -> list[str] | list[list[int]]:
    """A text, a list of token ids, or a list of either; several prompts give several choices."""
    if isinstance(prompt, str):
        prompt = [prompt]
    if isinstance(prompt, list) and prompt and all(type(each) is int for each in prompt):
        prompt = [prompt]
    if not isinstance(prompt, list) or not 0 < len(prompt) <= MAX_PROMPTS:
        raise invalid("prompt", f"write a text or token ids, or a list of 1 to {MAX_PROMPTS} of them.")
    if all(isinstance(each, str) for each in prompt):
        require_text("prompt", prompt)
        return prompt
    if all(isinstance(each, list) and each and all(type(id_) is int for id_ in each) for each in prompt):
        return prompt
    raise invalid("prompt", "is neither a text nor a list of token ids; do not mix the two.")


def require_text(param: str, texts: list[str]) -> None:
    """Raise APIError for a text with half a surrogate pair, which JSON can spell but UTF-8 cannot."""
    if any("\ud800" <= character <= "\udfff" for text in texts for character in text):
        raise invalid(param, "holds half of a surrogate pair; send whole characters.")


class Fields:
    """The fields of a JSON object, read with checks."""

    def __init__(self, body: bytes) -> None:
        def refuse(constant: str) -> NoReturn:
            raise ValueError(f"{constant} is no number of JSON")

        try:
            values = json.loads(body.decode(), parse_constant=refuse)
        except (ValueError, RecursionError) as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise APIError(400, f"the body is not JSON: {reason}.", code="invalid_json") from None
        if not isinstance(values, dict):
            raise APIError(400, "the body is not a JSON object.", code="invalid_json")
        self._values: dict[str, Any] = values
        for name, advice in UNSUPPORTED.items():
            if values.get(name):
                raise invalid(name, f"is not supported; {advice}.", code="unsupported_parameter")

    def shared(self) -> dict[str, Any]:
        """The fields of a GenerationRequest that are read alike everywhere."""
        model = self.get("model", None)
        if model is not None and not isinstance(model, str):
            raise invalid("model", "write the name of a version.")
        stream = self.boolean("stream", default=False)
        stream_options = self.get("stream_options", {})
        if not isinstance(stream_options, dict):
            raise invalid("stream_options", 'write an object, such as {"include_usage": true}.')
        return {
            "model": model or None,
            "sampling": self.sampling(),
            "n": self.integer("n", 1, low=1, high=MAX_CHOICES),
            "stop": self.stop(),
            "seed": self.optional_integer("seed", low=-(2**63), high=2**63 - 1),
            "stream": stream,
            "include_usage": stream and stream_options.get("include_usage") is True,
        }

    def sampling(self) -> SamplingConfig:
        """How tokens are chosen; seed, stop strings and length are kept apart."""
        defaults = SamplingConfig()
        names = ("temperature", "top_p", "min_p", "repetition_penalty")
        values = {name: self.number(name, getattr(defaults, name)) for name in names}
        top_k = max(0, self.integer("top_k", 0, low=-1))  # -1 is vLLM's "all"
        try:
            return SamplingConfig(**values, top_k=top_k)  # type: ignore[arg-type]
        except InputError as error:
            param = str(error).partition(":")[0]
            known = param in {field.name for field in fields(SamplingConfig)}
            raise APIError(400, str(error), param=param if known else None) from None

    def stop(self) -> tuple[str, ...]:
        """The stop strings."""
        stop = self.get("stop", [])
        stops = [stop] if isinstance(stop, str) else stop
        if not isinstance(stops, list) or len(stops) > MAX_STOPS:
            raise invalid("stop", f"write a text, or a list of at most {MAX_STOPS} texts.")
        if not all(isinstance(each, str) and each for each in stops):
            raise invalid("stop", "each must be a text that is not empty.")
        return tuple(stops)

    def get(self, name: str, default: Any = None) -> Any:
        """The value; the default where it is left out or null."""
        value = self._values.get(name)
        return default if value is None else value

    def require(self, name: str) -> Any:
        """The value of a field that has no default."""
        if self.get(name) is None:
            raise invalid(name, "is missing.", code="missing_required_parameter")
        return self._values[name]

    def boolean(self, name: str, *, default: bool) -> bool:
        """True or false."""
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise invalid(name, "must be true or false.")
        return value

    def integer(self, name: str, default: int, *, low: int, high: int | None = None) -> int:
        """A whole number within bounds."""
        value = self.optional_integer(name, low=low, high=high)
        return default if value is None else value

    def optional_integer(self, name: str, *, low: int, high: int | None = None) -> int | None:
        """A whole number within bounds, or None."""
        value = self.get(name)
        if value is None:
            return None
        if type(value) is not int or value < low or (high is not None and value > high):
            bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
            raise invalid(name, f"must be a whole number {bounds}.")
        return value

    def number(self, name: str, default: float) -> float:
        """A finite number."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not is_finite(value):
            raise invalid(name, "must be a number.")
        return float(value)


def is_finite(value: float) -> bool:
    """Whether a number of JSON fits a float: 1e999 does not, nor does a whole number of a thousand digits."""
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
