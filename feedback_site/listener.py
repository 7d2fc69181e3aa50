"""Listening sockets that are bound before the server that takes them starts."""

import os
import socket

from django.core.management import CommandError


def open_listener(bind: str, port: int, option: str = "--port") -> socket.socket:
    """Bind the port now and keep it, so that nothing else can take it before the server starts.

    Raises CommandError, naming the option that says which port.
    """
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    try:
        return socket.create_server((bind, port), family=family, backlog=512)
    except OverflowError as error:
        raise CommandError(f"{option} {port}: a port is a number from 1 to 65535.") from error
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
        raise CommandError(
            f"Cannot listen on {bind} port {port}: {reason}. Choose another {option} (or address)."
        ) from error


def local_address(listener: socket.socket) -> tuple[str, int]:
    """Host and port at which the listener is reached from this machine."""
    host, port = listener.getsockname()[:2]
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104


def listener_url(listener: socket.socket) -> str:
    """The address of the listener as a URL, for this machine."""
    host, port = local_address(listener)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/"
