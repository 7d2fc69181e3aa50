"""The bodies of answers: chat completions and completions, whole or in chunks, as OpenAI's API has them."""

import math
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from training.gpt.generation.continuous_batching import SampledToken
from training.gpt.tokenizer import Tokenizer
from training.serving.engine import Update

REPLACEMENT = "\ufffd"
LEAST_LOGPROB = -9999.0  # JSON has no infinity


class Answer(ABC):
    """The answer to one request."""

    whole_object: str
    chunk_object: str
    id_prefix: str

    def __init__(self, tokenizer: Tokenizer, *, model: str, fingerprint: str, logprobs: bool) -> None:
        self.tokenizer, self.logprobs = tokenizer, logprobs
        self._same = {
            "id": f"{self.id_prefix}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": fingerprint,
        }

    def whole(self, updates: Sequence[Update], usage: Mapping[str, int]) -> dict[str, Any]:
        """The answer with all its choices; each is one update."""
        choices = [self.choice(update) for update in sorted(updates, key=lambda update: update.index)]
        return self._same | {"object": self.whole_object, "choices": choices, "usage": usage}

    def chunk(self, *choices: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """A chunk of a stream."""
        return self._same | {"object": self.chunk_object, "choices": choices} | more

    @abstractmethod
    def choice(self, update: Update) -> dict[str, Any]:
        """A whole choice."""

    @abstractmethod
    def begin(self, index: int) -> dict[str, Any] | None:
        """The first delta of a choice, if there is one before its text."""

    @abstractmethod
    def deltas(self, update: Update) -> list[dict[str, Any]]:
        """What is new of a choice, as choices of one chunk each."""

    def token_text(self, token: int) -> str:
        """A token as text; as its vocabulary spells it where it is no whole text of its own."""
        text = self.tokenizer.decode([token])
        return text if text and REPLACEMENT not in text else self.tokenizer.token(token)


class ChatAnswer(Answer):
    """Messages. The `opening` that stands between a prompt and the content of its answer is left out."""

    whole_object, chunk_object, id_prefix = "chat.completion", "chat.completion.chunk", "chatcmpl"

    def __init__(
        self, tokenizer: Tokenizer, *, model: str, fingerprint: str, logprobs: bool, opening: str
    ) -> None:
        super().__init__(tokenizer, model=model, fingerprint=fingerprint, logprobs=logprobs)
        self.opening = opening
        self._held: dict[int, str | None] = {}  # the first text of a choice; None once it was given

    def choice(self, update: Update) -> dict[str, Any]:
        message = {"role": "assistant", "content": self._content(update), "refusal": None}
        return {
            "index": update.index,
            "message": message,
            "logprobs": self._token_logprobs(update.tokens),
            "finish_reason": update.finish_reason,
        }

    def begin(self, index: int) -> dict[str, Any] | None:
        return self._delta(index, {"role": "assistant", "content": ""})

    def deltas(self, update: Update) -> list[dict[str, Any]]:
        content, logprobs = self._content(update), self._token_logprobs(update.tokens)
        deltas = []
        if content or logprobs:
            deltas.append(self._delta(update.index, {"content": content}, logprobs=logprobs))
        if update.finish_reason:
            deltas.append(self._delta(update.index, {}, finish_reason=update.finish_reason))
        return deltas

    def _delta(
        self, index: int, delta: dict[str, str], *, logprobs: Any = None, finish_reason: str | None = None
    ) -> dict[str, Any]:
        return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}

    def _content(self, update: Update) -> str:
        held = self._held.get(update.index, "")
        if held is None:
            return update.text
        text = held + update.text
        if len(text) < len(self.opening) and not update.finish_reason:
            self._held[update.index] = text
            return ""
        self._held[update.index] = None
        return text.removeprefix(self.opening)

    def _token_logprobs(self, tokens: Sequence[SampledToken]) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        content = [
            self._token_logprob(token.id, token.logprob)
            | {"top_logprobs": [self._token_logprob(*each) for each in token.top]}
            for token in tokens
        ]
        return {"content": content, "refusal": None}

    def _token_logprob(self, token: int, logprob: float) -> dict[str, Any]:
        text = self.tokenizer.decode([token])
        whole = bool(text) and REPLACEMENT not in text
        return {
            "token": self.token_text(token),
            "logprob": finite(logprob),
            "bytes": list(text.encode()) if whole else None,
        }


class CompletionAnswer(Answer):
    """Texts."""

    whole_object, chunk_object, id_prefix = "text_completion", "text_completion", "cmpl"

    def choice(self, update: Update) -> dict[str, Any]:
        return {
            "index": update.index,
            "text": update.text,
            "logprobs": self._token_logprobs(update.tokens),
            "finish_reason": update.finish_reason,
        }

    def begin(self, index: int) -> dict[str, Any] | None:  # noqa: ARG002
        return None

    def deltas(self, update: Update) -> list[dict[str, Any]]:
        return [self.choice(update)]

    def _token_logprobs(self, tokens: Sequence[SampledToken]) -> dict[str, Any] | None:
        if not self.logprobs:
            return None
        tops = [{self.token_text(id_): finite(value) for id_, value in token.top} for token in tokens]
        return {
            "tokens": [self.token_text(token.id) for token in tokens],
            "token_logprobs": [finite(token.logprob) for token in tokens],
            "top_logprobs": tops if any(tops) else None,
            "text_offset": [token.text_start for token in tokens],
        }


def finite(logprob: float) -> float:
    """A log-probability that JSON can write."""
    return max(logprob, LEAST_LOGPROB) if not math.isnan(logprob) else LEAST_LOGPROB
