"""The engine of one loaded model: a thread in which all its requests are generated in one batch."""

import asyncio
import gc
import logging
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

from training.gpt.generation.continuous_batching import ContinuousBatch, RunningCompletion, SampledToken
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.serving.errors import APIError, failed, invalid, overloaded, stopping

logger = logging.getLogger(__name__)

PREFILL_TOKENS = 4096
"""Prompt tokens, padding included, that may join at one step: the others in the batch wait for them."""


@dataclass(frozen=True)
class Update:
    """What is new of one choice."""

    index: int
    text: str
    tokens: Sequence[SampledToken]
    finish_reason: Literal["stop", "length"] | None


@dataclass(eq=False)
class Job:
    """The completions of one request. `updates` gets what is new of them, or the error that ended them.

    With `stream` that is after each token that gave text; otherwise once, when a completion is finished.
    """

    completions: Sequence[RunningCompletion]
    stream: bool
    updates: asyncio.Queue[Update | APIError] = field(default_factory=asyncio.Queue)


@dataclass(eq=False)
class _Choice:
    """One completion of a job, and how much of it was delivered."""

    job: Job
    index: int
    completion: RunningCompletion
    text_sent: int = 0
    tokens_sent: int = 0

    def update(self) -> Update | None:
        """What is new, if that is to be delivered now."""
        completion = self.completion
        has_text = len(completion.text) > self.text_sent
        if not completion.finish_reason and not (self.job.stream and has_text):
            return None
        update = Update(
            self.index,
            completion.text[self.text_sent :],
            completion.tokens[self.tokens_sent :],
            completion.finish_reason,
        )
        self.text_sent, self.tokens_sent = len(completion.text), len(completion.tokens)
        return update


class Engine:
    """Generates for one model. Its methods are called from the event loop that it was made in.

    Every step is computed by `compute`, one thread that all engines share: they take turns, where threads of
    their own would have their computations fight for the same cores.
    """

    def __init__(
        self, model: GPT, tokenizer: Tokenizer, compute: Executor, *, max_batch: int, max_waiting: int
    ) -> None:
        self.tokenizer = tokenizer
        self.context, self.vocab_size = model.config.context, model.config.vocab_size
        self._batch, self._compute = ContinuousBatch(model, tokenizer), compute
        self._max_batch, self._max_waiting = max_batch, max_waiting
        self._waiting: deque[_Choice] = deque()
        self._running: dict[RunningCompletion, _Choice] = {}
        self._cancelled: set[Job] = set()
        self._changed = threading.Condition()
        self._closing = self._ending = False
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job. Raises APIError: 429 if the queue is full, 503 if the engine is closing."""
        with self._changed:
            if self._closing:
                raise stopping()
            room = self._max_batch + self._max_waiting
            if len(job.completions) > room:
                raise invalid("n", f"{len(job.completions)} completions are more than {room}; ask for fewer.")
            if len(job.completions) + len(self._waiting) + len(self._running) > room:
                raise overloaded(
                    f"the server is full: {len(self._running)} completions are being generated and "
                    f"{len(self._waiting)} wait. Ask again in a moment."
                )
            choices = (_Choice(job, index, each) for index, each in enumerate(job.completions))
            self._waiting.extend(choices)
            self._changed.notify()

    def cancel(self, job: Job) -> None:
        """Generate no more for a job, whose client is gone; does nothing for one that is done."""
        with self._changed:
            self._cancelled.add(job)
            self._changed.notify()

    def close(self, *, seconds: float) -> None:
        """Finish what is queued within `seconds`, fail the rest, and free the model. Blocks."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(seconds)
        self.end()
        self._thread.join()

    def end(self) -> None:
        """Fail what is left after the current step; `close` then returns."""
        with self._changed:
            self._closing = self._ending = True
            self._changed.notify()

    # -- In the engine's thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._waiting or self._running or self._cancelled or self._closing):
                    self._changed.wait()
                if self._ending or (self._closing and not self._waiting and not self._running):
                    break
                self._drop_cancelled()
                joining = self._next_to_join()
            if not joining and not self._running:
                continue
            try:
                advanced = self._compute.submit(self._batch.step, joining).result()
            except Exception as error:
                logger.exception("generation failed")
                self._fail_all(failed(f"generation failed: {error}"))
                self._batch = ContinuousBatch(self._batch.model, self.tokenizer)
            else:
                self._deliver(advanced)
        self._fail_all(stopping())
        del self._batch
        gc.collect()

    def _drop_cancelled(self) -> None:
        if not self._cancelled:
            return
        self._waiting = deque(choice for choice in self._waiting if choice.job not in self._cancelled)
        for choice in [choice for choice in self._running.values() if choice.job in self._cancelled]:
            self._batch.remove(choice.completion)
            del self._running[choice.completion]
        self._cancelled.clear()

    def _next_to_join(self) -> list[RunningCompletion]:
        """Take those that wait longest, as many as the batch and one reading of prompts have room for."""
        joining: list[RunningCompletion] = []
        longest = 0
        while self._waiting and len(self._running) < self._max_batch:
            completion = self._waiting[0].completion
            longest = max(longest, len(completion.prompt))
            if joining and longest * (len(joining) + 1) > PREFILL_TOKENS:
                break
            self._running[completion] = self._waiting.popleft()
            joining.append(completion)
        return joining

    def _deliver(self, advanced: Sequence[RunningCompletion]) -> None:
        updates = []
        for completion in advanced:
            choice = self._running[completion]
            if update := choice.update():
                updates.append((choice.job, update))
            if completion.finish_reason:
                with self._changed:
                    del self._running[completion]
        self._send(updates)

    def _fail_all(self, error: APIError) -> None:
        with self._changed:
            jobs = {choice.job for choice in (*self._running.values(), *self._waiting)}
            self._running.clear()
            self._waiting.clear()
        self._send([(job, error) for job in jobs])

    def _send(self, updates: Sequence[tuple[Job, Update | APIError]]) -> None:
        def deliver() -> None:
            for job, update in updates:
                job.updates.put_nowait(update)

        if updates:
            with suppress(RuntimeError):  # the loop has ended, and everybody in it
                self._loop.call_soon_threadsafe(deliver)
