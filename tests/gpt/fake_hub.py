"""A hub with one data set, on this machine: the replies that `datasets` needs to load it."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REVISION = "a" * 40


class Hub(ThreadingHTTPServer):
    """Holds the data set ``name``: its files by their paths."""

    def __init__(self, name: str, files: Mapping[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.name = name
        self.files = files

    def listing(self, folder: str) -> list[dict[str, Any]]:
        """The files and folders right in a folder."""
        prefix = f"{folder}/" if folder else ""
        entries: dict[str, dict[str, Any]] = {}
        for path, content in self.files.items():
            if path.startswith(prefix):
                name, _, deeper = path.removeprefix(prefix).partition("/")
                kind, oid = ("directory", REVISION) if deeper else ("file", sha1(content).hexdigest())
                entries[name] = {"type": kind, "path": prefix + name, "oid": oid, "size": len(content)}
        return list(entries.values())


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path, name = self.path.partition("?")[0], self.server.name
        resolved = path.removeprefix(f"/datasets/{name}/resolve/")
        if resolved != path:
            self.give(resolved.partition("/")[2])
        elif "/tree/" in path:
            self.reply(self.server.listing(path.partition("/tree/")[2].partition("/")[2]))
        elif path.startswith(f"/api/datasets/{name}"):
            self.reply({"id": name, "sha": REVISION, "siblings": [], "tags": []})
        else:
            self.send(404, b"{}")

    def do_HEAD(self) -> None:
        self.do_GET()

    def give(self, path: str) -> None:
        content = self.server.files.get(path)
        if content is None:
            self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
        else:
            self.send(200, content, {"ETag": f'"{sha1(content).hexdigest()}"'})

    def reply(self, values: Any) -> None:
        self.send(200, json.dumps(values).encode(), {"Content-Type": "application/json"})

    def send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        always = {"Content-Length": str(len(body)), "X-Repo-Commit": REVISION}
        for key, value in {**always, **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def hub_with(name: str, files: Mapping[str, bytes]) -> Iterator[str]:
    """The address of a hub that holds a data set as long as the context lasts."""
    with Hub(name, files) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{hub.server_port}"
        hub.shutdown()
