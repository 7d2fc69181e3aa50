"""The application: the routes of OpenAI's API, for the versions of this site."""

import asyncio
import json
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import torch
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from training.gpt.generation.continuous_batching import RunningCompletion
from training.gpt.generation.detokenizer import Detokenizer
from training.models import ModelVersion
from training.serving.engine import Engine, Job, Update
from training.serving.errors import APIError, failed, invalid, stopping
from training.serving.model_cache import ModelCache
from training.serving.prompts import Prompts, chat_prompt, text_prompts
from training.serving.requests import (
    MAX_BODY_BYTES,
    ChatRequest,
    CompletionRequest,
    parse_chat,
    parse_completion,
)
from training.serving.responses import Answer, ChatAnswer, CompletionAnswer
from training.serving.versions import (
    Caller,
    authenticate,
    describe_model,
    find_version,
    in_database,
    list_models,
)

STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx holds back streams otherwise
]


class ServingApp:
    """The server's state and its routes; `app` is the ASGI application."""

    def __init__(self, models: ModelCache, *, only: Sequence[str] = ()) -> None:
        self.models, self.only = models, only
        self.is_stopping = False
        self.app = Starlette(
            routes=[
                Route("/health", self.health),
                Route("/v1/models", self.list_models),
                Route("/v1/models/{name:path}", self.retrieve_model),
                Route("/v1/chat/completions", Generation(self, parse_chat), methods=["POST"]),
                Route("/v1/completions", Generation(self, parse_completion), methods=["POST"]),
            ],
            exception_handlers={
                APIError: answer_error,
                HTTPException: answer_http_error,
                Exception: answer_unexpected_error,
            },
        )

    async def health(self, _request: Request) -> Response:
        """Whether the server takes requests; needs no key."""
        if self.is_stopping:
            return error_response(stopping())
        return JSONResponse({"status": "ok"})

    async def list_models(self, request: Request) -> Response:
        """`GET /v1/models`."""
        caller = await self.caller(request)
        return JSONResponse({"object": "list", "data": await in_database(list_models, caller, self.only)})

    async def retrieve_model(self, request: Request) -> Response:
        """`GET /v1/models/NAME`."""
        caller, name = await self.caller(request), request.path_params["name"]
        version = await in_database(find_version, caller, name, self.only)
        return JSONResponse(describe_model(version, name=name))

    async def caller(self, request: Request) -> Caller:
        """Who asks. Raises APIError without a key that may use versions, or when the server is stopping."""
        if self.is_stopping:
            raise stopping()
        return await in_database(authenticate, request.headers.get("authorization", ""))


class Generation:
    """An ASGI endpoint that generates: checks the request, then answers whole or as a stream of events."""

    def __init__(self, server: ServingApp, parse: Callable[[bytes], ChatRequest | CompletionRequest]) -> None:
        self.server, self.parse = server, parse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            caller = await self.server.caller(request)
            asked = self.parse(await read_body(request))
            version = await in_database(find_version, caller, asked.model, self.server.only)
            await until_disconnected(receive, self.answer(version, asked, scope, receive, send))
        except APIError as error:
            await error_response(error)(scope, receive, send)
        except ClientDisconnect:
            pass

    async def answer(
        self,
        version: ModelVersion,
        asked: ChatRequest | CompletionRequest,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Generate and answer. Raises APIError as long as nothing was sent."""
        async with self.server.models.lease(version) as engine:
            prompts, job = await asyncio.to_thread(prepare, engine, asked)
            answer = make_answer(engine, version, asked, prompts)
            engine.submit(job)
            try:
                if asked.stream:
                    await stream(send, job, answer, prompts, include_usage=asked.include_usage)
                else:
                    finished = [await next_update(job) for _ in job.completions]
                    whole = answer.whole(finished, usage(prompts, job))
                    await JSONResponse(whole)(scope, receive, send)
            finally:
                engine.cancel(job)


def prepare(engine: Engine, asked: ChatRequest | CompletionRequest) -> tuple[Prompts, Job]:
    """Tokenise the prompts, and make their completions; n of each prompt, which are adjacent."""
    tokenizer = engine.tokenizer
    if isinstance(asked, ChatRequest):
        prompts = chat_prompt(tokenizer, asked.messages)
    else:
        prompts = text_prompts(tokenizer, asked.prompts, vocab_size=engine.vocab_size)
    param = "messages" if isinstance(asked, ChatRequest) else "prompt"
    completions: list[RunningCompletion] = []
    for ids in prompts.ids:
        room = engine.context - len(ids)
        if room < 1:
            raise invalid(
                param,
                f"{len(ids)} tokens leave no room in the model's context of {engine.context}; shorten it to "
                f"at most {engine.context - 1} tokens.",
                code="context_length_exceeded",
            )
        stops = (*asked.stop, *prompts.stops)
        completions += [
            RunningCompletion(
                ids,
                asked.sampling,
                min(asked.max_tokens or room, room),
                Detokenizer(tokenizer, ids, stops),
                torch.Generator().manual_seed(choice_seed(asked.seed, choice)),
                top_logprobs=asked.top_logprobs,
            )
            for choice in range(asked.n)
        ]
    return prompts, Job(completions, asked.stream)


def choice_seed(seed: int | None, choice: int) -> int:
    """The seed of one choice: the first one's is that of the request, and others are far from it.

    So neighbouring seeds with several choices each have no choice in common.
    """
    if seed is None:
        return secrets.randbits(64)
    return (seed + choice * 0x9E3779B97F4A7C15) % 2**64  # steps of Weyl's sequence, as in SplitMix64


def make_answer(
    engine: Engine, version: ModelVersion, asked: ChatRequest | CompletionRequest, prompts: Prompts
) -> Answer:
    """The answer to a request, before it has any text. Its model is the version, whatever it was called."""
    common: dict[str, Any] = {
        "model": version.name,
        "fingerprint": f"fp_{version.artifact_hash[:10]}",
        "logprobs": asked.logprobs,
    }
    if isinstance(asked, ChatRequest):
        return ChatAnswer(engine.tokenizer, opening=prompts.opening, **common)
    return CompletionAnswer(engine.tokenizer, **common)


def usage(prompts: Prompts, job: Job) -> dict[str, int]:
    """How many tokens were read and written; a prompt counts once, however many choices it has."""
    read = sum(map(len, prompts.ids))
    written = sum(len(completion.tokens) for completion in job.completions)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


async def next_update(job: Job) -> Update:
    """Wait for the next update. Raises APIError if the job failed."""
    update = await job.updates.get()
    if isinstance(update, APIError):
        raise update
    return update


async def stream(send: Send, job: Job, answer: Answer, prompts: Prompts, *, include_usage: bool) -> None:
    """Send server-sent events until every choice is finished, or an event with an error."""
    update = await next_update(job)  # an error before the first text still gets its status
    await send({"type": "http.response.start", "status": 200, "headers": STREAM_HEADERS})
    more = {"usage": None} if include_usage else {}
    begun = [answer.begin(index) for index in range(len(job.completions))]
    events = [event(answer.chunk(delta, **more)) for delta in begun if delta]
    unfinished = len(job.completions)
    try:
        while True:
            events += [event(answer.chunk(delta, **more)) for delta in answer.deltas(update)]
            unfinished -= update.finish_reason is not None
            if not unfinished:
                break
            if job.updates.empty():  # several that came together are sent together
                await send_body(send, events, more_body=True)
                events = []
            update = await next_update(job)
        if include_usage:
            events.append(event(answer.chunk(usage=usage(prompts, job))))
        events.append(b"data: [DONE]\n\n")
    except APIError as error:
        events.append(event(error.body()))
    await send_body(send, events, more_body=False)


def event(value: Mapping[str, Any]) -> bytes:
    """A server-sent event."""
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


async def send_body(send: Send, events: Sequence[bytes], *, more_body: bool) -> None:
    """Send events in one piece."""
    await send({"type": "http.response.body", "body": b"".join(events), "more_body": more_body})


async def read_body(request: Request) -> bytes:
    """The body. Raises APIError (413) for one that is too large."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            message = f"the body is larger than {MAX_BODY_BYTES // 1024**2} MiB; send less."
            raise APIError(413, message, code="request_too_large")
    return bytes(body)


async def until_disconnected(receive: Receive, work: Coroutine[Any, Any, None]) -> None:
    """Do the work; cancel it when the client goes. The request's body must have been read."""

    async def disconnected() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    working, gone = asyncio.create_task(work), asyncio.create_task(disconnected())
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        for task in (working, gone):
            task.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


def error_response(error: APIError) -> Response:
    """An error as an answer."""
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers)


async def answer_error(_request: Request, error: Exception) -> Response:
    """Answer an APIError of a route."""
    assert isinstance(error, APIError)
    return error_response(error)


async def answer_unexpected_error(_request: Request, error: Exception) -> Response:
    """Answer any other error, which the log describes."""
    return error_response(failed(f"something went wrong ({type(error).__name__}); see the server's log."))


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Answer an unknown address or method."""
    assert isinstance(error, HTTPException)
    message = {
        404: f"there is no {request.url.path}; the addresses are /v1/models, /v1/chat/completions, "
        "/v1/completions and /health.",
        405: f"{request.url.path} does not take {request.method}.",
    }.get(error.status_code, error.detail)
    return error_response(APIError(error.status_code, message, headers=error.headers))
