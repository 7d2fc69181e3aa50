"""A small OpenAI-compatible server that makes faults on demand."""

import gc
import json
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from training.models import Endpoint

MODEL = "parrot"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the server sends; `cut` leaves out the last bytes that its header promises."""

    body: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int = 0


def said(status: int, message: str, **headers: str) -> Answer:
    """An error in the words of the API."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(body=json.dumps({"error": {"message": message}}), status=status, headers=names)


@dataclass
class Request:
    """What was asked."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        """The text that is to be answered."""
        messages = self.body.get("messages")
        return str(messages[-1]["content"] if messages else self.body.get("prompt"))


def completion(request: Request, text: str, **changes: Any) -> Answer:
    """An answer as the API defines it."""
    chat = request.path.endswith("/chat/completions")
    choice = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
    return Answer(
        body=json.dumps(
            {
                "model": "parrot-2026",
                "choices": [{"index": 0, "finish_reason": "stop"} | choice | changes],
                "usage": {"prompt_tokens": 7, "completion_tokens": 3},
            }
        )
    )


Fault = Callable[[Request, int], Answer | None]
"""What is answered to the nth request (from 0) instead; None: nothing special."""


class EndpointServer(ThreadingHTTPServer):
    """Answers each prompt with a text of its own, a little different each time."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[Request] = []
        self.fault: Fault = lambda request, number: None
        self.models = [MODEL]
        self.lock = threading.Lock()
        self.at_once = self.most_at_once = 0
        self.released = threading.Event()
        """Requests that hang go on once it is set."""

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self.server_port}/v1"

    def answer(self, request: Request) -> Answer:
        """The answer to a request."""
        if request.path == "/v1/models":
            return Answer(body=json.dumps({"data": [{"id": name} for name in self.models]}))
        with self.lock:
            number = len(self.requests)
            self.requests.append(request)
        if (fault := self.fault(request, number)) is not None:
            return fault
        if request.body["model"] not in self.models:
            return said(404, f"The model `{request.body['model']}` does not exist.")
        return completion(request, f"{request.prompt}, said for the {number}th time")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: EndpointServer

    def do_GET(self) -> None:
        self.handle_request({})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body:  # else the client has given up already
            self.handle_request(json.loads(body))

    def handle_request(self, body: dict[str, Any]) -> None:
        server = self.server
        with server.lock:
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            answer = server.answer(
                Request(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
            )
        finally:
            with server.lock:
                server.at_once -= 1
        data = answer.body.encode()
        try:
            self.send_response(answer.status)
            for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) - answer.cut])
            if answer.cut:
                self.close_connection = True
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client has given up

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


def add_endpoint(server: EndpointServer, name: str = "parrot", **fields: Any) -> Endpoint:
    """An endpoint at this server, which gives up soon."""
    given = {"url": server.url, "model": MODEL, "retries": 1, "timeout": 20} | fields
    endpoint: Endpoint = Endpoint.objects.create(name=name, **given)
    return endpoint


@contextmanager
def endpoint_server() -> Iterator[EndpointServer]:
    """The server in a thread of this process."""
    with EndpointServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()
            # A request that is given up while its connection is being opened leaves the socket to the garbage
            # collector: the libraries below do not close it.
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                gc.collect()
