"""The one loop of every training: steps, evaluations, and a state from which a killed training goes on."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from torch import Tensor

from training.gpt.allocator import keep_freed_memory
from training.gpt.distributed import Group
from training.gpt.generation.generate import never
from training.gpt.lr_schedule import Budget
from training.gpt.training_state import StateFolder

OnStep = Callable[[int, float, dict[str, float]], None]
"""Called after each step with (steps done, progress in 0..1, metrics)."""

OnResume = Callable[[int], None]
"""Called before the first step with the number of steps already done, where a training goes on."""


@dataclass(frozen=True)
class Written:
    """What a model wrote to one of a few prompts that stay the same; ``score`` by whoever judges it."""

    prompt: str
    text: str
    score: float | None = None


OnExcerpts = Callable[[int, Sequence[Written]], None]
"""Called after each evaluation with the number of steps done and what the model writes then."""

Saving = Callable[[int], AbstractContextManager[object]]
"""Called with the number of steps done for a context to write the state in."""


def silence(step: int, progress: float, metrics: dict[str, float]) -> None:
    """The ``on_step`` of what nobody watches."""


def unheard(step: int) -> None:
    """The ``on_resume`` of what nobody watches."""


def unread(step: int, excerpts: Sequence[Written]) -> None:
    """The ``on_excerpts`` of what nobody watches: nothing is written for it."""


@dataclass(frozen=True, kw_only=True)
class Hooks:
    """What the caller of a training may watch and decide. Only the first of several processes calls them."""

    on_step: OnStep = silence
    should_stop: Callable[[], bool] = never
    on_resume: OnResume = unheard
    on_excerpts: OnExcerpts = unread
    saving: Saving = nullcontext


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a training may use up: whichever is nearer its end decides; 0 is no limit."""

    minutes: float = 0.0
    steps: int = 0
    tokens: int = 0
    tokens_per_step: int = 1


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a loop ended: ``stopped`` is ``steps``, ``tokens``, ``minutes``, ``cancelled``, or the stage's own
    reason; ``seconds`` are those of all its attempts."""

    steps: int
    stopped: str
    seconds: float


class Stage(Protocol):
    """What a loop drives. Its chance depends on a seed and the number of the step, on nothing that walks on:
    so the steps after a resume are those that would have been."""

    over: str | None
    """Why the stage itself wants to end, once it does: ``patience``, for one."""

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Make one update after ``number`` others, at a share of the budget; give its metrics."""
        ...

    def evaluate(self, number: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """Measure after ``number`` updates; give metrics, or None if told to stop before the end."""
        ...

    def excerpts(self, number: int) -> Sequence[Written]:  # noqa: ARG002
        """What the model writes after ``number`` updates, just evaluated; of a stage without a say, nothing.

        Where processes share the weights, all ask. It touches no state: random numbers are its own.
        """
        return ()

    def values(self) -> dict[str, Any]:
        """Plain values of the state, as JSON keeps them."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """Tensors of the state by name; where processes share them, all must ask."""
        ...

    def restore(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go back to a state: what ``values`` and ``tensors`` gave."""
        ...


def run_loop(
    stage: Stage,
    *,
    limits: Limits,
    every: int,
    save_every: float,
    state: StateFolder | None,
    group: Group,
    hooks: Hooks,
) -> Ended:
    """Step after step, until a limit is reached, the stage is over, or somebody says stop.

    The stage is evaluated before the first step, every ``every`` steps, and at the end. With a ``state``, the
    training goes on from it if there is one, and leaves one every ``save_every`` minutes, at the end, and
    when told to stop. Steps after the last state are made, and told, again after a kill; on the CPU their
    metrics are bit for bit the same, if no limit is in minutes.
    """
    keep_freed_memory()
    loop = _Loop(stage, limits, state, group, hooks)
    saved = loop.budget.elapsed
    while loop.stopped is None and loop.advance(every):
        if loop.stopped or loop.budget.elapsed - saved >= save_every * 60:
            saved = loop.budget.elapsed
            loop.save()
    if loop.stopped is None:
        loop.save()
    return Ended(steps=loop.step, stopped=loop.stopped or "cancelled", seconds=loop.seconds)


_OWN = ("step", "seconds", "pending", "stopped")


class _Loop:
    """How far a stage has come, and what is asked and told on the way."""

    def __init__(
        self, stage: Stage, limits: Limits, state: StateFolder | None, group: Group, hooks: Hooks
    ) -> None:
        self.stage, self.state, self.group, self.hooks = stage, state, group, hooks
        self.step, self.seconds = 0, 0.0
        self.pending: dict[str, float] | None = {}  # metrics of the step, not yet told
        self.stopped: str | None = None  # why the training is over
        if state and state.exists:
            values, tensors = state.load()
            self.step, self.seconds, self.pending, self.stopped = (values["loop"][name] for name in _OWN)
            stage.restore(values["stage"], tensors)
            if group.is_first:
                hooks.on_resume(self.step)
        self.budget = Budget(**asdict(limits), spent=self.seconds, clock=group.clock)

    def advance(self, every: int) -> bool:
        """One step with its evaluation, if one is due; False if told to stop before its end."""
        if self.pending is None:
            if self.group.told(self.hooks.should_stop):
                return False
            self.pending = self.stage.step(self.step, self.budget.progress(self.step))
            self.step += 1
        stopped = self.budget.exhausted(self.step) or self.stage.over
        if stopped or self.step % every == 0:
            found = self.stage.evaluate(self.step, self.hooks.should_stop)
            if found is None:
                return False
            self.pending |= found
            stopped = stopped or self.stage.over
            self.show()
        # Every process reads the clock, since it is the first one's: asking is talking.
        share = 1.0 if stopped else self.budget.progress(self.step)
        if self.group.is_first:
            self.hooks.on_step(self.step, share, self.pending)
        self.pending, self.stopped = None, stopped
        return True

    def show(self) -> None:
        """Give what the model writes now to whoever reads it."""
        if not self.group.told(lambda: self.hooks.on_excerpts is not unread):
            return
        written = self.stage.excerpts(self.step)
        if self.group.is_first and written:
            self.hooks.on_excerpts(self.step, written)

    def save(self) -> None:
        """Write the state, if there is a folder for it."""
        self.seconds = self.budget.elapsed
        if self.state is None:
            return
        tensors = self.stage.tensors()
        if self.group.is_first:
            own = {name: getattr(self, name) for name in _OWN}
            with self.hooks.saving(self.step):
                values = {"loop": own, "stage": self.stage.values()}
                # The evaluation of a step may yet choose its weights as the best, and change the tensors.
                name = f"step-{self.step}" + ("" if self.pending is None else "-unevaluated")
                self.state.save(name, values=values, tensors=tensors)
