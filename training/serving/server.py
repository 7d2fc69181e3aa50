"""The server process: uvicorn on a listening socket, with a stop that lets requests finish."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable, Generator, Sequence

import uvicorn

from training.gpt.config import HardwareConfig
from training.serving.app import ServingApp
from training.serving.model_cache import Limits, ModelCache

DRAIN_SECONDS = 10
"""How long requests may go on after a stop is asked for; a second signal ends them at once."""
CLOSE_SECONDS = 3


class _Server(uvicorn.Server):
    """Uvicorn, which leaves signals to us, and says when it listens."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()


def serve(
    listener: socket.socket,
    *,
    only: Sequence[str],
    hardware: HardwareConfig,
    limits: Limits,
    on_ready: Callable[[], None],
) -> None:
    """Serve on a listening socket until SIGINT, SIGTERM or SIGHUP."""
    asyncio.run(_serve(listener, only=only, hardware=hardware, limits=limits, on_ready=on_ready))


async def _serve(
    listener: socket.socket,
    *,
    only: Sequence[str],
    hardware: HardwareConfig,
    limits: Limits,
    on_ready: Callable[[], None],
) -> None:
    models = ModelCache(hardware, limits)
    serving = ServingApp(models, only=only)
    config = uvicorn.Config(
        serving.app,
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )
    server = _Server(config, on_ready)
    stops: list[asyncio.Task[None]] = []

    async def stop(seconds: float) -> None:
        await models.close(seconds=seconds)
        server.should_exit = True

    def request_stop() -> None:
        serving.is_stopping = True
        if stops:
            models.end()
        else:
            stops.append(asyncio.create_task(stop(DRAIN_SECONDS)))

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, request_stop)
    await server.serve(sockets=[listener])
    await asyncio.gather(*stops)
