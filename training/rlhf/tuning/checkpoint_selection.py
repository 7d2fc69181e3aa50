"""Selection of the best checkpoint: held-out evaluation while tuning, and the roll-back at the end."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

from training.gpt.distributed import ProcessGroup, full_model
from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.training_loop import LoopResult, Sample
from training.gpt.training_state import load_module_tensors, module_tensors
from training.rlhf.config import EarlyStoppingConfig
from training.rlhf.tuning.early_stopping import EarlyStopping, Evaluation
from training.rlhf.tuning.heldout_evaluation import HeldoutEvaluator, TuningResult, summary_metrics

MAX_SAMPLES = 4
"""Held-out prompts whose completions are shown as samples during training."""


class CheckpointSelector:
    """A held-out evaluator, early stopping, and the weights of the best checkpoint so far."""

    def __init__(
        self, policy: GPT, evaluator: HeldoutEvaluator, config: EarlyStoppingConfig, *, group: ProcessGroup
    ) -> None:
        """`policy` is tuned in place; under FSDP it is the sharded one."""
        self.policy, self.evaluator, self.group = policy, evaluator, group
        self.early_stopping = EarlyStopping(config)
        self.best: dict[str, Tensor] = {}
        self._latest: Evaluation | None = None

    def evaluate(
        self,
        number: int,
        should_stop: Callable[[], bool],
        *,
        extra: Callable[[GPT], Mapping[str, Sequence[float]]] = lambda _: {},
    ) -> dict[str, float] | None:
        """Evaluate the policy after `number` updates; None if stopped before the end.

        `extra` gives further measures of the policy.
        """
        policy = full_model(self.policy)
        evaluation = self.evaluator.evaluate(
            policy, step=number, extra=lambda: extra(policy), group=self.group, should_stop=should_stop
        )
        self._latest = evaluation
        if evaluation is None:
            return None
        if self.early_stopping.update(evaluation):
            self.best = {
                name: tensor.detach().clone() for name, tensor in module_tensors("best", policy).items()
            }
        return evaluation.metrics()

    def samples(self, number: int) -> list[Sample]:
        """Completions of the first prompts from the evaluation after `number` updates, if there was one, with
        their gold scores or else their rewards."""
        evaluation = self._latest
        if evaluation is None or evaluation.step != number:
            return []
        measure = next((name for name in ("gold", "reward") if name in evaluation.per_prompt), None)
        scores = evaluation.per_prompt[measure] if measure else [None] * len(evaluation.completions)
        rows = zip(self.evaluator.prompts, evaluation.completions, scores, strict=True)
        return [Sample(prompt, text, score) for prompt, text, score in list(rows)[:MAX_SAMPLES]]

    def restore(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Restore the values of `early_stopping`, and `best` from among the tensors."""
        self.early_stopping.restore(values)
        self.best = {
            name: tensor.to(self.policy.device)
            for name, tensor in tensors.items()
            if name.startswith("best/")
        }

    def roll_back(
        self, loop_result: LoopResult, *, notes: Sequence[str], metrics: Mapping[str, float] | None = None
    ) -> TuningResult:
        """Load the best weights into the policy; gives the result of the tuning."""
        before, best = self.early_stopping.before, self.early_stopping.best
        if before is None or best is None:
            raise InputError("cancelled: the tuning was stopped before its first evaluation; start it again")
        load_module_tensors("best", self.policy, self.best)
        common = summary_metrics(before, best, steps=loop_result.steps, seconds=loop_result.seconds)
        return TuningResult(
            policy=full_model(self.policy),
            best_step=best.step,
            steps=loop_result.steps,
            stop_reason=loop_result.stop_reason,
            before=before,
            after=best,
            heldout_prompts=self.evaluator.prompts,
            notes=[*self.evaluator.notes, *notes],
            metrics={**common, **(metrics or {})},
        )
