"""Many prompts completed by an endpoint at once, for code that is not asynchronous."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field

from labeling.models import Prompt
from training.endpoints.client import EndpointClient
from training.endpoints.errors import EndpointError, RequestFailed, RequestRefused
from training.endpoints.requests import Completion
from training.gpt.config import SamplingConfig
from training.models import Endpoint

MAX_EXTRA = 2
"""Further completions of a prompt that are asked for in place of equal or unusable ones."""
POLL_SECONDS = 0.2
CLOSING_SECONDS = 0.05
"""How long the loop goes on at the end, so that connections are closed and not just dropped."""
MAX_FAILURES_IN_A_ROW = 10
"""After so many prompts without a completion, one after the other, the run ends instead of asking for all."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The completions of a prompt, or why there are none: the server refused, or requests failed."""

    prompt: Prompt
    completions: list[Completion] = field(default_factory=list)
    refusal: str = ""
    failure: str = ""


@dataclass
class Tally:
    """The prompts that got no completions, and why."""

    refused: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    in_a_row: int = 0

    def add(self, outcome: Outcome) -> None:
        """Count a prompt; raises EndpointError after too many in a row without completions."""
        if outcome.completions:
            self.in_a_row = 0
            return
        (self.failed if outcome.failure else self.refused).append(outcome.failure or outcome.refusal)
        self.in_a_row += 1
        if self.in_a_row >= MAX_FAILURES_IN_A_ROW:
            raise EndpointError(f"{self.in_a_row} prompts in a row failed; the last one: {self.last}")

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.refused) + len(self.failed)

    @property
    def last(self) -> str:
        """Why the last one of them got none."""
        return (self.failed or self.refused)[-1]

    @property
    def notes(self) -> list[str]:
        """What the result says of prompts that were left out."""
        return [f"{_prompts(len(self.refused))} left out: {self.refused[-1]}"] if self.refused else []

    def raise_if_failed(self) -> None:
        """Raise EndpointError if requests failed that may succeed later."""
        if self.failed:
            raise EndpointError(f"{_prompts(len(self.failed))} failed; the last one: {self.failed[-1]}")


def complete_prompts(
    endpoint: Endpoint,
    prompts: Iterable[Prompt],
    sampling: SamplingConfig,
    *,
    count: int,
    should_stop: Callable[[], bool],
) -> Generator[Outcome]:
    """`count` completions of each prompt, as they come; it ends early if `should_stop`.

    Requests run in a thread of their own, which never touches the database. Raises EndpointError as soon as
    one request shows that none can succeed. Closing it ends the open requests.
    """
    outcomes: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
    loop = asyncio.new_event_loop()
    work = loop.create_task(_produce(endpoint, prompts, sampling, count, outcomes.put))

    def run() -> None:
        try:
            loop.run_until_complete(work)
        except asyncio.CancelledError:
            pass
        except BaseException as error:  # noqa: BLE001 -- it is raised in the other thread
            outcomes.put(error)
        finally:
            outcomes.put(None)
            loop.run_until_complete(asyncio.sleep(CLOSING_SECONDS))
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    thread = threading.Thread(target=run, name=f"endpoint {endpoint.name}", daemon=True)
    thread.start()
    try:
        while not should_stop():
            try:
                outcome = outcomes.get(timeout=POLL_SECONDS)
            except queue.Empty:
                continue
            if outcome is None:
                return
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    finally:
        if thread.is_alive() and not loop.is_closed():
            with contextlib.suppress(RuntimeError):  # it has just ended
                loop.call_soon_threadsafe(work.cancel)
        thread.join()


async def _produce(
    endpoint: Endpoint,
    prompts: Iterable[Prompt],
    sampling: SamplingConfig,
    count: int,
    put: Callable[[Outcome | BaseException], None],
) -> None:
    """Complete the prompts in their order, as many at once as the endpoint's concurrency allows."""
    waiting = iter(prompts)
    async with EndpointClient(endpoint) as client:

        async def work() -> None:
            for prompt in waiting:
                try:
                    put(await complete_prompt(client, prompt, sampling, count=count))
                except EndpointError as error:
                    put(error)
                    return

        # One prompt more than the open requests need, so that none of them waits for a slow one.
        at_once = -(-endpoint.concurrency // count) + 1
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(work())


async def complete_prompt(
    client: EndpointClient, prompt: Prompt, sampling: SamplingConfig, *, count: int
) -> Outcome:
    """`count` completions of one prompt, as different as a few further requests make them."""
    seeds = _seeds(prompt, sampling)
    found: list[Completion] = []
    problem = ""
    for more in (count, min(MAX_EXTRA, count)):
        usable = [each for each in found if not each.problem]
        missing = count - len({each.text for each in usable})
        if found and (missing <= 0 or (sampling.temperature == 0 and len(usable) >= count)):
            break
        asked = [client.complete(prompt, sampling, seed=next(seeds)) for _ in range(min(more, missing))]
        for result in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(result, RequestRefused):
                return Outcome(prompt=prompt, refusal=str(result))
            if isinstance(result, RequestFailed):
                problem = str(result)
            elif isinstance(result, BaseException):
                raise result
            else:
                found.append(result)
        if problem:
            return Outcome(prompt=prompt, failure=problem)
    usable = [each for each in found if not each.problem]
    distinct = {each.text: each for each in reversed(usable)}.values()
    repeats = [each for each in usable if not any(each is one for one in distinct)]
    chosen = [*reversed(distinct), *repeats][:count]
    if len(chosen) < count:
        reasons = ", ".join(dict.fromkeys(each.problem for each in found if each.problem))
        return Outcome(
            prompt=prompt,
            refusal=f"endpoint {client.endpoint.name}: {len(found) - len(usable)} of {len(found)} "
            f"completions of a prompt were unusable ({reasons}).",
        )
    return Outcome(prompt=prompt, completions=chosen)


def _seeds(prompt: Prompt, sampling: SamplingConfig) -> Iterator[int | None]:
    """A seed for each request of a prompt, the same in every run with the same seed; None: without one."""
    first = (sampling.seed + int(prompt.hash[:8], 16)) % 2**31 if sampling.seed >= 0 else None
    number = 0
    while True:
        yield None if first is None else first + number
        number += 1


def _prompts(count: int) -> str:
    return "1 prompt" if count == 1 else f"{count} prompts"
