"""The training loop that every kind of training shares: steps, evaluations, and a state to resume from."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from training.gpt.budget import BudgetTracker, TrainingBudget
from training.gpt.distributed import ProcessGroup
from training.gpt.generation.generate import never_stop
from training.gpt.malloc import keep_freed_memory
from training.gpt.training_state import StateFolder

OnStep = Callable[[int, float, dict[str, float]], None]
"""Called after each step with (steps done, progress in 0..1, metrics)."""

OnResume = Callable[[int], None]
"""Called before the first step of a resumed training with the number of steps already done."""


@dataclass(frozen=True)
class Sample:
    """A text that the model generated during training, to one of a few fixed prompts."""

    prompt: str
    text: str
    score: float | None = None  # by the reward that the training uses, if any


OnSamples = Callable[[int, Sequence[Sample]], None]
"""Called after each evaluation with the number of steps done and the model's samples."""

SaveContext = Callable[[int], AbstractContextManager[object]]
"""Called with the number of steps done; the state is saved inside the context that it returns."""


def do_nothing(*_: object) -> None:
    """The callback of a training that nobody watches."""


@dataclass(frozen=True, kw_only=True)
class Callbacks:
    """How the caller watches and stops a training. Only the main process calls them.

    Without ``on_samples``, no samples are generated.
    """

    on_step: OnStep = do_nothing
    should_stop: Callable[[], bool] = never_stop
    on_resume: OnResume = do_nothing
    on_samples: OnSamples | None = None
    save_context: SaveContext = nullcontext


@dataclass(frozen=True, kw_only=True)
class LoopResult:
    """How a training loop ended."""

    steps: int
    stop_reason: str  # steps, tokens, minutes, cancelled, or the trainer's own reason
    seconds: float  # over all attempts


class Trainer(Protocol):
    """What the loop drives. Its randomness must depend only on a seed and the number of the step, so that a
    resumed training repeats the steps of one that was never interrupted."""

    stop_reason: str | None
    """Why the trainer wants to stop, such as ``patience``; None while it wants to continue."""

    def step(self, number: int, progress: float) -> dict[str, float]:
        """Make one update after ``number`` others, at a share of the budget; give its metrics."""
        ...

    def evaluate(self, number: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """Evaluate after ``number`` updates; give metrics, or None if stopped before the end."""
        ...

    def generate_samples(self, number: int) -> Sequence[Sample]:  # noqa: ARG002
        """Samples of the model that was just evaluated, after ``number`` updates; none by default.

        All processes call this. It uses its own random numbers and changes no state.
        """
        return ()

    def values(self) -> dict[str, Any]:
        """The plain values of the state, as JSON can hold them."""
        ...

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of the state by name; all processes call this."""
        ...

    def restore(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Restore the state that ``values`` and ``tensors`` gave."""
        ...


def run_training_loop(
    trainer: Trainer,
    *,
    budget: TrainingBudget,
    evaluate_every: int,
    save_every: float,
    state: StateFolder | None,
    group: ProcessGroup,
    callbacks: Callbacks,
) -> LoopResult:
    """Train until the budget is spent, the trainer has a reason to stop, or ``should_stop`` says so.

    Evaluates before the first step, every ``evaluate_every`` steps, and at the end. With a ``state`` folder,
    the training resumes from the state in it, if any, and saves one every ``save_every`` minutes, at the end,
    and when stopped. After a kill, the steps since the last saved state are repeated, and their callbacks
    called again; on the CPU their metrics are bit for bit the same, unless the budget is in minutes.
    """
    keep_freed_memory()
    loop = _Loop(trainer, budget, state, group, callbacks)
    saved = loop.budget.elapsed
    while loop.stop_reason is None and loop.advance(evaluate_every):
        if loop.stop_reason or loop.budget.elapsed - saved >= save_every * 60:
            saved = loop.budget.elapsed
            loop.save()
    if loop.stop_reason is None:
        loop.save()
    return LoopResult(steps=loop.step, stop_reason=loop.stop_reason or "cancelled", seconds=loop.seconds)


class _Loop:
    """How far a training is, and the calls to its trainer and callbacks on the way."""

    def __init__(
        self,
        trainer: Trainer,
        budget: TrainingBudget,
        state: StateFolder | None,
        group: ProcessGroup,
        callbacks: Callbacks,
    ) -> None:
        self.trainer, self.state, self.group, self.callbacks = trainer, state, group, callbacks
        self.step, self.seconds = 0, 0.0
        self.pending: dict[str, float] | None = {}  # metrics of a step whose evaluation is still to come
        self.stop_reason: str | None = None
        if state and state.exists:
            values, tensors = state.load()
            saved = values["loop"]
            self.step, self.seconds, self.pending = saved["step"], saved["seconds"], saved["pending"]
            self.stop_reason = saved["stopped"]
            trainer.restore(values["stage"], tensors)
            if group.is_main_process:
                callbacks.on_resume(self.step)
        self.budget = BudgetTracker(budget, seconds_spent=self.seconds, clock=group.clock)

    def advance(self, evaluate_every: int) -> bool:
        """One step, with its evaluation if one is due; False if stopped before its end."""
        if self.pending is None:
            if self.group.broadcast_bool(self.callbacks.should_stop):
                return False
            self.pending = self.trainer.step(self.step, self.budget.progress(self.step))
            self.step += 1
        stop_reason = self.budget.stop_reason(self.step) or self.trainer.stop_reason
        if stop_reason or self.step % evaluate_every == 0:
            metrics = self.trainer.evaluate(self.step, self.callbacks.should_stop)
            if metrics is None:
                return False
            self.pending |= metrics
            stop_reason = stop_reason or self.trainer.stop_reason
            self.show_samples()
        # Every process must ask for the progress: the main process broadcasts its clock.
        progress = 1.0 if stop_reason else self.budget.progress(self.step)
        if self.group.is_main_process:
            self.callbacks.on_step(self.step, progress, self.pending)
        self.pending, self.stop_reason = None, stop_reason
        return True

    def show_samples(self) -> None:
        """Generate samples and pass them on, if there is a callback for them."""
        if not self.group.broadcast_bool(lambda: self.callbacks.on_samples is not None):
            return
        samples = self.trainer.generate_samples(self.step)
        if self.callbacks.on_samples is not None and self.group.is_main_process and samples:
            self.callbacks.on_samples(self.step, samples)

    def save(self) -> None:
        """Save the state, if there is a folder for it."""
        self.seconds = self.budget.elapsed
        if self.state is None:
            return
        tensors = self.trainer.tensors()
        if self.group.is_main_process:
            loop = {
                "step": self.step,
                "seconds": self.seconds,
                "pending": self.pending,
                "stopped": self.stop_reason,
            }
            with self.callbacks.save_context(self.step):
                values = {"loop": loop, "stage": self.trainer.values()}
                # The evaluation of a step may yet choose its weights as the best, and change the tensors.
                name = f"step-{self.step}" + ("" if self.pending is None else "-unevaluated")
                self.state.save(name, values=values, tensors=tensors)
