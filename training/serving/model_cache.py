"""The models in memory: loaded on first use, the least recently used unloaded when there are too many."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from training.artifacts import ArtifactError
from training.execution.model_loading import load_for_generation
from training.gpt.config import HardwareConfig
from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.models import ModelVersion
from training.serving.engine import Engine
from training.serving.errors import APIError, failed, overloaded, stopping

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much the server takes on."""

    max_models: int = 3  # in memory
    max_batch: int = 32  # completions that a model generates at once
    max_waiting: int = 256  # completions that wait for a model


@dataclass(eq=False)
class _Entry:
    """A model that is loaded, or will be."""

    loading: "asyncio.Task[Engine]"
    users: int = 0  # requests that use it now
    name: str = field(default="", kw_only=True)


class ModelCache:
    """Engines of versions. All methods are called in the event loop."""

    def __init__(self, hardware: HardwareConfig, limits: Limits) -> None:
        self._hardware, self._limits = hardware, limits
        self._compute = ThreadPoolExecutor(1, "compute")
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # by artifact, least recently used first
        self._closing = self._ending = False

    @asynccontextmanager
    async def lease(self, version: ModelVersion) -> AsyncIterator[Engine]:
        """The engine of a version, loaded if it is not yet, and kept until the context ends.

        Raises APIError: 429 if there is no room because every model is in use, 500 if it cannot be loaded.
        """
        if self._closing:
            raise stopping()
        entry = self._entries.get(version.artifact)
        if entry is None:
            unused = self._take_least_recent() if len(self._entries) >= self._limits.max_models else None
            loading = asyncio.create_task(self._load(version, instead_of=unused))
            entry = self._entries[version.artifact] = _Entry(loading, name=version.name)
        self._entries.move_to_end(version.artifact)
        entry.users += 1
        try:
            try:
                engine = await asyncio.shield(entry.loading)
            except APIError:
                if self._entries.get(version.artifact) is entry:
                    del self._entries[version.artifact]  # the next request tries again
                raise
            yield engine
        finally:
            entry.users -= 1

    async def close(self, *, seconds: float) -> None:
        """Let every engine finish within `seconds`; those that cannot fail what they have left."""
        self._closing = True
        entries = self._entries.values()
        await asyncio.gather(*(self._unload(entry, seconds=seconds) for entry in entries))

    def end(self) -> None:
        """Fail what is left, so that `close` returns at once."""
        self._ending = True
        for entry in self._entries.values():
            if entry.loading.done() and not entry.loading.exception():
                entry.loading.result().end()

    def _take_least_recent(self) -> _Entry:
        for key, entry in self._entries.items():
            if not entry.users:
                return self._entries.pop(key)
        names = ", ".join(sorted(entry.name for entry in self._entries.values()))
        raise overloaded(
            f"the {len(self._entries)} models in memory are all in use ({names}). Ask again in a moment, or "
            "serve with more --max-models."
        )

    async def _load(self, version: ModelVersion, *, instead_of: _Entry | None) -> Engine:
        if instead_of is not None:
            await self._unload(instead_of, seconds=0)
        try:
            model, tokenizer = await asyncio.to_thread(load_for_generation, version, self._hardware)
        except (ArtifactError, InputError, RuntimeError, MemoryError, OSError) as error:
            logger.warning("cannot load %s: %s", version.name, error)
            raise failed(f"the model {version.name} cannot be loaded: {error}") from error
        return self._start(model, tokenizer)

    def _start(self, model: GPT, tokenizer: Tokenizer) -> Engine:
        limits = self._limits
        return Engine(
            model,
            tokenizer,
            self._compute,
            max_batch=limits.max_batch,
            max_waiting=limits.max_waiting,
        )

    async def _unload(self, entry: _Entry, *, seconds: float) -> None:
        with suppress(APIError):
            engine = await entry.loading
            if self._ending:
                engine.end()
            await asyncio.to_thread(engine.close, seconds=seconds)
