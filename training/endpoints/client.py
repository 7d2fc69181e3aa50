"""The client of one endpoint: requests with a pace, retries, and errors that say what to do.

The official `openai` client sends them. It could repeat requests itself; here they are repeated outside of
it, so that one answer that says `Retry-After` holds back all requests, and answers that are not what the API
defines are asked for again too.
"""

import asyncio
import math
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import NoReturn, Self, TypeVar

import httpx2
import openai
from openai.types import Completion as CompletionChunk
from openai.types import CompletionChoice
from openai.types.chat import ChatCompletionChunk

from labeling.models import Prompt
from training.endpoints.addresses import CheckedTransport
from training.endpoints.errors import EndpointError, RequestFailed, RequestRefused
from training.endpoints.requests import (
    PATHS,
    BadAnswer,
    Completion,
    parameters_to_send,
    prompt_to_send,
    read_completion,
    read_json,
)
from training.gpt.config import SamplingConfig
from training.models import Endpoint

Result = TypeVar("Result")

CONNECT_SECONDS = 10.0
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
"""Seconds before the first and before a late repetition; each is twice as long as the one before."""
LONGEST_RETRY_AFTER = 300.0
"""Seconds that a server may ask to wait; a run that would have to wait longer ends, and can be resumed."""
REPEATED_STATUSES = frozenset({408, 409, 425, 429})
REFUSED_STATUSES = frozenset({400, 413, 422})
SHOWN_MODELS = 8


class Pace:
    """When the next request may be sent: at most so many a minute, and not before `Retry-After`."""

    def __init__(self, requests_per_minute: int) -> None:
        self._interval = 60 / requests_per_minute if requests_per_minute else 0.0
        self._next = 0.0

    async def wait(self) -> None:
        """Wait for the turn of one request."""
        now = asyncio.get_running_loop().time()
        start = max(now, self._next)
        self._next = start + self._interval
        await asyncio.sleep(start - now)

    def pause(self, seconds: float) -> None:
        """No request begins for so many seconds."""
        self._next = max(self._next, asyncio.get_running_loop().time() + seconds)


class EndpointClient:
    """An asynchronous context with the connections to an endpoint.

    Raises EndpointError, also later, if nothing can succeed: no key, a refused address, a wrong key or model.
    """

    def __init__(
        self, endpoint: Endpoint, *, retries: int | None = None, timeout: float | None = None
    ) -> None:
        self.endpoint = endpoint
        self._retries = endpoint.retries if retries is None else retries
        self._timeout = timeout or endpoint.timeout
        self._pace = Pace(endpoint.requests_per_minute)
        self._slots = asyncio.Semaphore(endpoint.concurrency)
        self._final: EndpointError | None = None
        """What showed that no request can succeed; further ones are not sent."""
        self._key = self.read_key()
        # Not what the environment may hold for another server.
        left_out = ["OpenAI-Organization", "OpenAI-Project", *([] if self._key else ["Authorization"])]
        self._options: openai.RequestOptions = {"headers": dict.fromkeys(left_out, openai.omit)}

    async def __aenter__(self) -> Self:
        limit = httpx2.Timeout(self._timeout, connect=min(CONNECT_SECONDS, self._timeout))
        limits = httpx2.Limits(max_connections=self.endpoint.concurrency)
        self._client = openai.AsyncOpenAI(
            base_url=self.endpoint.url,
            api_key=self._key or "none",
            max_retries=0,
            timeout=limit,
            http_client=httpx2.AsyncClient(
                transport=self.open_transport(limits), timeout=limit, follow_redirects=False
            ),
        )
        return self

    def read_key(self) -> str:
        """The API key; empty if none is sent. Raises EndpointError."""
        return read_key(self.endpoint)

    def open_transport(self, limits: httpx2.Limits) -> httpx2.AsyncBaseTransport:
        """What opens the connections."""
        return CheckedTransport(limits=limits)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def complete(self, prompt: Prompt, sampling: SamplingConfig, *, seed: int | None) -> Completion:
        """One completion of a prompt; raises RequestFailed, RequestRefused or EndpointError."""
        sent = parameters_to_send(self.endpoint, prompt, sampling, seed=seed)
        body = prompt_to_send(self.endpoint, prompt) | sent

        async def ask() -> Completion:
            path = PATHS[Endpoint.Api(self.endpoint.api)]
            response = await self._client.post(
                path, cast_to=httpx2.Response, body=body, options=self._options
            )
            return read_completion(self.endpoint, response, sent)

        async with self._slots:
            if self._final is not None:
                raise self._final
            try:
                return await self._repeat(ask)
            except EndpointError as error:
                self._final = error
                raise

    async def stream(self, prompt: Prompt, sampling: SamplingConfig) -> AsyncIterator[str]:
        """One completion piece by piece, asked for once; raises as `complete` does, also in the middle."""
        body = prompt_to_send(self.endpoint, prompt) | {"stream": True}
        body |= parameters_to_send(self.endpoint, prompt, sampling, seed=None)
        path = PATHS[Endpoint.Api(self.endpoint.api)]

        async def ask() -> openai.AsyncStream[ChatCompletionChunk] | openai.AsyncStream[CompletionChunk]:
            if self.endpoint.api == Endpoint.Api.CHAT:
                return await self._client.post(
                    path,
                    cast_to=ChatCompletionChunk,
                    body=body,
                    options=self._options,
                    stream=True,
                    stream_cls=openai.AsyncStream[ChatCompletionChunk],
                )
            return await self._client.post(
                path,
                cast_to=CompletionChunk,
                body=body,
                options=self._options,
                stream=True,
                stream_cls=openai.AsyncStream[CompletionChunk],
            )

        is_finished = False
        try:
            async for chunk in await self._repeat(ask):
                for choice in chunk.choices:
                    is_finished = is_finished or choice.finish_reason is not None
                    yield (
                        choice.text if isinstance(choice, CompletionChoice) else choice.delta.content
                    ) or ""
        except openai.APIError as error:
            raise RequestFailed(self._line(f"the server ended the answer: {error.message}")) from None
        except httpx2.TimeoutException:
            raise RequestFailed(self._line(f"no more text within {self._timeout:g} s")) from None
        except (httpx2.HTTPError, ValueError) as error:
            raise RequestFailed(self._line(f"the answer cannot be read: {error}")) from None
        if not is_finished:
            raise RequestFailed(self._line("the answer was cut off"))

    async def models(self) -> list[str]:
        """The names of the models that the server lists."""

        async def ask() -> list[str]:
            response = await self._client.get("/models", cast_to=httpx2.Response, options=self._options)
            rows = read_json(response).get("data")
            names = (
                [each.get("id") for each in rows if isinstance(each, dict)] if isinstance(rows, list) else []
            )
            return [name for name in names if isinstance(name, str)]

        return await self._repeat(ask)

    async def _repeat(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        """The result of `ask`, which is repeated while another attempt may help."""
        problem, unreachable = "", False
        for attempt in range(self._retries + 1):
            await self._pace.wait()
            delay: float | None = None
            try:
                async with asyncio.timeout(self._timeout):
                    return await ask()
            except openai.APIStatusError as error:
                problem, unreachable = self._describe_status(error), False
                self._raise_final(error, problem)
                delay = retry_after(error.response.headers)
            except (openai.APITimeoutError, TimeoutError):
                problem, unreachable = f"no answer within {self._timeout:g} s", False
            except openai.APIConnectionError as error:
                if isinstance(error.__cause__, EndpointError):
                    raise EndpointError(self._line(str(error.__cause__))) from None
                problem, unreachable = describe_connection_error(error), is_unreachable(error)
            except BadAnswer as error:
                problem, unreachable = f"the server answered {error}", False
            if delay is None:
                delay = min(LONGEST_DELAY, FIRST_DELAY * 2**attempt) * random.uniform(0.75, 1)
            elif delay > LONGEST_RETRY_AFTER:
                raise EndpointError(
                    self._line(f"{problem}; it asks to wait {delay:.0f} s: resume the run then")
                )
            else:
                self._pace.pause(delay)
            if attempt < self._retries:
                await asyncio.sleep(delay)
        raise (EndpointError if unreachable else RequestFailed)(self._line(problem))

    def _raise_final(self, error: openai.APIStatusError, problem: str) -> None:
        """Raise unless the request may be repeated."""
        status = error.status_code
        if error.code == "insufficient_quota" or not (
            status >= 500 or status in REPEATED_STATUSES | REFUSED_STATUSES
        ):
            raise EndpointError(self._line(problem + self._advice(error)))
        if status in REFUSED_STATUSES:
            raise RequestRefused(self._line(problem))

    def _advice(self, error: openai.APIStatusError) -> str:
        variable = self.endpoint.api_key_variable
        match error.status_code:
            case 401 | 403 if variable:
                return f"; check the key in {variable}"
            case 401 | 403:
                return "; it wants a key: name its environment variable (--api-key-variable)"
            case 404:
                return f"; check the URL and the model “{self.endpoint.model}”"
            case status if 300 <= status < 400:
                return f"; it redirects to {error.response.headers.get('location', '?')}: enter that address"
        return ""

    def _describe_status(self, error: openai.APIStatusError) -> str:
        """The status of an answer, and the server's own words if it has any."""
        status = f"{error.status_code} {error.response.reason_phrase}".strip()
        try:
            body = read_json(error.response)
        except BadAnswer:
            return status
        said = body.get("error", body.get("message") or body.get("detail"))
        said = said.get("message") if isinstance(said, dict) else said
        words = " ".join(said.split()) if isinstance(said, str) else ""
        return f"{status}: {words[:300].rstrip('.')}" if words else status

    def _line(self, problem: str) -> str:
        """A problem as one line that names the endpoint, without the key, which some servers repeat."""
        if self._key:
            problem = problem.replace(self._key, "…")
        return f"endpoint {self.endpoint.name}, {self.endpoint.url}: {problem.rstrip('.')}."


def read_key(endpoint: Endpoint) -> str:
    """The API key of an endpoint from the environment; empty if it needs none. Raises EndpointError."""
    if not endpoint.api_key_variable:
        return ""
    key = os.environ.get(endpoint.api_key_variable, "").strip()
    if not key:
        raise EndpointError(
            f"endpoint {endpoint.name}: the environment variable {endpoint.api_key_variable} is not set in "
            "this process; set it to the key, for workers too."
        )
    return key


def retry_after(headers: httpx2.Headers) -> float | None:
    """The seconds to wait that an answer asks for, as a number or a date; None if it does not."""
    value = headers.get("retry-after", "")
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (aware - datetime.now(UTC)).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def describe_connection_error(error: openai.APIConnectionError) -> str:
    """Why there was no complete answer."""
    cause = error.__cause__ or error
    if isinstance(cause, httpx2.ConnectError):
        return f"cannot be reached: {str(cause) or 'connection refused'}"
    if isinstance(cause, httpx2.RemoteProtocolError | httpx2.ReadError):
        return f"the connection was cut in the middle of an answer: {cause or type(cause).__name__}"
    return f"the connection failed: {cause or type(cause).__name__}"


def is_unreachable(error: openai.APIConnectionError) -> bool:
    """Whether no connection could be made, so that other requests would fail as well."""
    return isinstance(error.__cause__, httpx2.ConnectError)


def check(endpoint: Endpoint) -> None:
    """Ask the endpoint for one token. Raises EndpointError with what to do; it names the models there are."""
    asyncio.run(_check(endpoint))


async def _check(endpoint: Endpoint) -> None:
    greeting = Prompt(text="Hello")
    async with EndpointClient(endpoint, retries=0, timeout=min(endpoint.timeout, 30)) as client:
        try:
            await client.complete(greeting, SamplingConfig(max_new_tokens=1), seed=None)
        except (EndpointError, RequestFailed, RequestRefused) as error:
            await _explain(client, error)


async def _explain(client: EndpointClient, error: Exception) -> NoReturn:
    """Raise the error as EndpointError, with the models of the server if the model is not among them."""
    try:
        names = await client.models()
    except (EndpointError, RequestFailed, RequestRefused):
        names = []
    if names and client.endpoint.model not in names:
        more = f" and {len(names) - SHOWN_MODELS} more" if len(names) > SHOWN_MODELS else ""
        raise EndpointError(
            f"{client.endpoint.url} has no model “{client.endpoint.model}”; there are: "
            f"{', '.join(names[:SHOWN_MODELS])}{more}."
        ) from None
    raise EndpointError(str(error)) from None
