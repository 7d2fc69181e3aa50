"""Errors as OpenAI-compatible clients expect them."""

from collections.abc import Mapping
from typing import Any


class APIError(Exception):
    """An answer that is an error: its status, and a message that says what to do."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        # It may quote half of a surrogate pair, which JSON can spell but no answer can.
        self.status, self.message = status, message.encode(errors="replace").decode()
        self.kind, self.param, self.code = kind, param, code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        error = {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}
        return {"error": error}


def invalid(param: str, message: str, *, code: str | None = None) -> APIError:
    """A 400 about one field of the request."""
    return APIError(400, f"{param}: {message}", param=param, code=code)


def overloaded(message: str) -> APIError:
    """A 429: ask again soon."""
    return APIError(
        429, message, kind="rate_limit_error", code="server_overloaded", headers={"Retry-After": "1"}
    )


def stopping() -> APIError:
    """A 503: the server ends."""
    return APIError(503, "the server is stopping; ask again later.", kind="server_error", code="stopping")


def failed(message: str) -> APIError:
    """A 500."""
    return APIError(500, message, kind="server_error")
