"""An OpenAI-compatible server for tests of pages, whose models say what the test wants them to."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
from typing import Any


class ScriptedModels:
    """What the models say, by name; and what they were asked."""

    def __init__(self) -> None:
        self.replies: dict[str, str] = {}
        self.failures: dict[str, tuple[int, str]] = {}
        """Models that answer with this status and message."""
        self.cut: set[str] = set()
        """Models whose streams end in the middle, as if their server had died."""
        self.may_go_on = threading.Event()
        """Cleared: after half of its words, each answer waits."""
        self.may_go_on.set()
        self.requests: list[dict[str, Any]] = []
        self.url = ""

    def pieces(self, model: str) -> Iterator[str]:
        """A reply word by word."""
        words = [f"{word} " for word in self.replies[model].split(" ")]
        for number, word in enumerate(words):
            if number == len(words) // 2:
                self.may_go_on.wait(timeout=30)
            yield word if number < len(words) - 1 else word[:-1]


@contextmanager
def scripted_models() -> Iterator[ScriptedModels]:
    """A server on a free port; its address for SERVE_URL is `url`."""
    models = ScriptedModels()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, status: int, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.answer(200, {"status": "ok"})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            models.requests.append(asked)
            name = asked["model"]
            if name in models.failures:
                status, message = models.failures[name]
                self.answer(status, {"error": {"message": message, "type": "error", "code": None}})
                return
            is_chat = "messages" in asked
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.end_headers()
            for piece, reason in chain(
                zip(models.pieces(name), repeat(None)), [] if name in models.cut else [("", "stop")]
            ):
                choice = {"delta": {"content": piece}} if is_chat else {"text": piece}
                chunk = {
                    "id": "1",
                    "object": "chat.completion.chunk" if is_chat else "text_completion",
                    "created": 0,
                    "model": name,
                    "choices": [{"index": 0, "finish_reason": reason, **choice}],
                }
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                self.wfile.flush()
            if name not in models.cut:
                self.wfile.write(b"data: [DONE]\n\n")

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        models.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield models
        finally:
            models.may_go_on.set()
            server.shutdown()
            thread.join()
