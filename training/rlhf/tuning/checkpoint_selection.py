"""A tuning under watch: measured every so often, its best version kept, and rolled back to at the end."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from training.gpt.distributed import ProcessGroup, full_model
from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.training_loop import LoopResult, Sample
from training.gpt.training_state import fill_module, module_tensors
from training.rlhf.config import EarlyStoppingConfig
from training.rlhf.tuning.early_stopping import EarlyStopping, Evaluation
from training.rlhf.tuning.heldout_evaluation import HeldoutEvaluator, TuningResult, summary

SHOWN = 4
"""How many of the held-out prompts stand for all, where people see a policy change."""


class CheckpointSelector:
    """An examiner, the control that judges what it finds, and the weights of the best version so far."""

    def __init__(
        self, policy: GPT, examiner: HeldoutEvaluator, config: EarlyStoppingConfig, *, group: ProcessGroup
    ) -> None:
        """`policy` is the one that is tuned, in place; under FSDP the one whose parts are spread."""
        self.policy, self.examiner, self.group = policy, examiner, group
        self.control = EarlyStopping(config)
        self.best: dict[str, Tensor] = {}
        self._latest: Evaluation | None = None

    def evaluate(
        self,
        number: int,
        should_stop: Callable[[], bool],
        *,
        more: Callable[[GPT], Mapping[str, Sequence[float]]] = lambda _: {},
    ) -> dict[str, float] | None:
        """Measure the policy after `number` updates; None if told to stop before the end."""
        policy = full_model(self.policy)
        found = self.examiner.examine(
            policy, step=number, more=lambda: more(policy), group=self.group, should_stop=should_stop
        )
        self._latest = found
        if found is None:
            return None
        if self.control.see(found):
            self.best = {
                name: tensor.detach().clone() for name, tensor in module_tensors("best", policy).items()
            }
        return found.metrics()

    def generate_samples(self, number: int) -> list[Sample]:
        """What the policy wrote to the first prompts in the evaluation after `number` updates, if there was
        one, with its scores by the best judge there is."""
        found = self._latest
        if found is None or found.step != number:
            return []
        judge = next((name for name in ("gold", "reward") if name in found.each), None)
        scores = found.each[judge] if judge else [None] * len(found.completions)
        rows = zip(self.examiner.prompts, found.completions, scores, strict=True)
        return [Sample(prompt, text, score) for prompt, text, score in list(rows)[:SHOWN]]

    def restore(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go back to a state: the values of its `control`, and its `best` among others."""
        self.control.restore(values)
        self.best = {
            name: tensor.to(self.policy.device)
            for name, tensor in tensors.items()
            if name.startswith("best/")
        }

    def roll_back(
        self, ended: LoopResult, *, notes: Sequence[str], metrics: Mapping[str, float] | None = None
    ) -> TuningResult:
        """Give the policy its best weights, and say what the tuning came to."""
        control = self.control
        before, best = control.before, control.best
        if before is None or best is None:
            raise InputError("cancelled: the tuning was stopped before anything was measured; start it again")
        fill_module("best", self.policy, self.best)
        return TuningResult(
            policy=full_model(self.policy),
            best_step=best.step,
            steps=ended.steps,
            stop_reason=ended.stop_reason,
            before=before,
            after=best,
            heldout_prompts=self.examiner.prompts,
            notes=list(notes),
            metrics={**summary(control, steps=ended.steps, seconds=ended.seconds), **(metrics or {})},
        )
