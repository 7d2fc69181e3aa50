"""Training of a reward model or an ensemble on human feedback, with held-out evaluation."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.gpt.budget import TrainingBudget
from training.gpt.devices import autocast, choose_device, choose_precision
from training.gpt.distributed import ProcessGroup, process_group
from training.gpt.model import GPT
from training.gpt.random_seeds import seed_torch
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Callbacks, Trainer, run_training_loop
from training.gpt.training_state import StateFolder, module_digest
from training.rlhf.config import RewardConfig
from training.rlhf.feedback.preferences import Comparison, Rating
from training.rlhf.feedback.splits import FeedbackSplits, split_feedback
from training.rlhf.reward.batching import FeedbackBatches
from training.rlhf.reward.evaluation import evaluate_reward_model
from training.rlhf.reward.learner import RewardLearner
from training.rlhf.reward.reliability import (
    Reliability,
    annotator_weights,
    estimate_reliabilities,
    mean_pooled_states,
)
from training.rlhf.reward.reward_model import Ensemble, RewardModel
from training.rlhf.reward.tokenizer_coverage import tokenizer_coverage

MIN_HELDOUT_TO_STOP = 30
"""Held-out examples below which their loss is too noisy to stop the training by."""

MAX_NORMALISATION_TEXTS = 512
"""Texts used to check the tokenizer, and to normalise the rewards if there are no reference samples."""

NOTHING_TO_LEARN = "their texts are all the same in the policy's tokens"
"""Why an example is left out."""

# Options that may change when a training is resumed: they change where and how fast, not what.
FREE = frozenset({"accumulate", "device", "learning_curve", "parallel", "save_every"})


@dataclass(frozen=True, kw_only=True)
class RewardResult:
    """A trained reward model and its metrics on held-out prompts (NaN if none were held out).

    The best step was selected on the same prompts; if it is an early one, the metrics are slightly
    optimistic.
    """

    model: RewardModel | Ensemble
    accuracy: float  # on held-out comparisons without ties
    interval: tuple[float, float]  # of the accuracy, 95 %
    loss: float  # on held-out comparisons, in nats
    longer_wins: float  # the accuracy of always preferring the longer text, as a baseline
    heldout: list[Comparison]
    steps: int
    best_step: int  # the step whose weights the model has
    stop_reason: str  # "steps", "minutes", "patience" or "cancelled"
    metrics: dict[str, Any] = field(default_factory=dict)


def train_reward_model(
    *,
    trunk: GPT,
    tokenizer: Tokenizer,
    comparisons: Sequence[Comparison],
    ratings: Sequence[Rating] = (),
    config: RewardConfig,
    reference_samples: Sequence[tuple[str, str]] = (),
    folder: Path | None = None,
    callbacks: Callbacks = Callbacks(),  # noqa: B008 - frozen
) -> RewardResult:
    """Train a reward model on a copy of `trunk` (a policy's), or resume the training in `folder`.

    The model is normalised to mean 0 and deviation 1 on `reference_samples`, (prompt, completion) pairs from
    the policy that will be tuned: give 256 or more. Without them, training texts are used.

    `folder` keeps the training state. A training that was killed and called again alike gives on the CPU bit
    for bit the same metrics. Under torchrun the processes share each batch; only the main process calls the
    callbacks and evaluates the result, and the results of the others have no metrics.

    `on_step` gets `loss`, `accuracy` and `margin` of each batch, `learning_rate` and `gradient_norm`, and at
    each evaluation `heldout/loss` and `heldout/accuracy`. Raises InputError if there is nothing to learn from
    and if the tokenizer does not know most tokens of the texts.
    """
    splits = split_feedback(
        comparisons,
        ratings,
        loss=config.loss,
        criteria=config.criteria,
        heldout=config.heldout,
        seed=config.seed,
    )
    device = choose_device(config.device)
    with process_group() as group, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        trainer = _RewardTrainer(trunk, tokenizer, splits, config, device=device, group=group)
        steps = trainer.learners[0].steps
        texts = list(dict.fromkeys(text for each in splits.train.examples for text in each.texts))
        some = texts[:: math.ceil(len(texts) / MAX_NORMALISATION_TEXTS)]
        coverage = tokenizer_coverage(trainer.learners[0].model, *zip(*some, strict=True))
        cut = trainer.truncation
        notes = [
            *cut.notes("examples", context=trunk.config.context, nothing=NOTHING_TO_LEARN),
            # What is cut was counted above, on all texts.
            *replace(coverage, truncated=0).warnings("the texts judged", option="policy"),
        ]
        state = None
        if folder is not None:
            examples = repr([*splits.train.examples, *splits.heldout.examples]).encode()
            inputs = {
                "set of preferences": blake2b(examples, digest_size=16).hexdigest(),
                "policy": module_digest(trunk),
            }
            state = StateFolder(folder, config, inputs=inputs, free=FREE)
        loop_result = run_training_loop(
            trainer,
            budget=TrainingBudget(minutes=config.minutes, steps=steps),
            evaluate_every=config.evaluate_every or math.ceil(steps / 10),
            save_every=config.save_every,
            state=state,
            group=group,
            callbacks=callbacks,
        )
        model = trainer.best_model().to(trunk.device).eval()
        is_evaluated = group.is_main_process and loop_result.stop_reason != "cancelled"
        best_step = loop_result.steps if trainer.best_step is None else trainer.best_step
        reliabilities = trainer.reliabilities
        del trainer  # it uses the process group, which ends here
    metrics = {}
    if is_evaluated:
        model.normalise(*zip(*(reference_samples or some), strict=True))
        metrics = evaluate_reward_model(model, splits, reliabilities)
    return RewardResult(
        model=model,
        accuracy=metrics.get("accuracy", math.nan),
        interval=metrics.get("interval", (0.0, 1.0)),
        loss=metrics.get("loss", math.nan),
        longer_wins=metrics.get("longer_wins", math.nan),
        heldout=splits.heldout_comparisons,
        steps=loop_result.steps,
        best_step=best_step,
        stop_reason=loop_result.stop_reason,
        metrics={
            **metrics,
            "steps": loop_result.steps,
            "best_step": best_step,
            "seconds": loop_result.seconds,
            "notes": notes,
        },
    )


class _RewardTrainer(Trainer):
    """One model with one head or several, or several models, trained step by step by `run_training_loop`."""

    def __init__(
        self,
        trunk: GPT,
        tokenizer: Tokenizer,
        splits: FeedbackSplits,
        config: RewardConfig,
        *,
        device: torch.device,
        group: ProcessGroup,
    ) -> None:
        self.config, self.device, self.group = config, device, group
        self.precision = choose_precision(config.precision, device)
        self.stop_reason: str | None = None
        self.best_loss, self.evaluations_since_best = math.inf, 0
        self.best_step: int | None = None
        self.best: dict[str, Tensor] = {}
        separate = config.ensemble == "models"
        models = [
            RewardModel.from_policy(
                trunk, tokenizer, seed=config.seed + number, members=1 if separate else config.members
            ).to(device)
            for number in range(config.members if separate else 1)
        ]
        self.reliabilities = _estimate_reliabilities(models[0], splits, config)
        weight = annotator_weights(self.reliabilities)
        batches = FeedbackBatches(splits.train, models[0], annotator_weight=weight, device=device)
        self.heldout = FeedbackBatches(
            splits.heldout, models[0], annotator_weight=weight, device=device, training=batches
        )
        self.truncation = batches.truncation + self.heldout.truncation
        self.learners = [
            RewardLearner(
                f"model-{number}",
                model,
                batches,
                config,
                seed=config.seed + number,  # members differ in their heads and their order of batches
                precision=self.precision,
                group=group,
            )
            for number, model in enumerate(models)
        ]

    @property
    def selects_by_heldout_loss(self) -> bool:
        """Whether the held-out loss decides which step is kept."""
        return self.config.patience > 0 and self.heldout.count >= MIN_HELDOUT_TO_STOP

    def step(self, number: int, progress: float) -> dict[str, float]:
        """One update of each model; metrics are means over the models."""
        metrics: dict[str, list[float]] = {}
        for index, learner in enumerate(self.learners):
            seed_torch(self.config.seed, number, index, self.group.rank)
            for name, value in learner.step(number, progress).items():
                metrics.setdefault(name, []).append(value)
        return {name: math.fsum(values) / len(values) for name, values in metrics.items()}

    def evaluate(self, number: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """Evaluate on the held-out split; keep the weights if the loss is the lowest so far."""
        if not self.heldout.terms:
            return {}
        models = [learner.full_model() for learner in self.learners]
        metrics = torch.full((2,), math.nan, dtype=torch.float64)
        if self.group.is_main_process:
            # The mean of the members, as the model will be used.
            with autocast(self.device, self.precision):
                rewards = torch.cat([model.rewards(self.heldout.rows) for model in models], dim=1)
            metrics = self.heldout.evaluate(rewards.mean(dim=1, keepdim=True))
        if self.group.broadcast_bool(should_stop):
            return None
        loss, accuracy = self.group.broadcast(metrics).tolist()
        if self.selects_by_heldout_loss:
            self._update_best(number, loss)
        named = {"heldout/loss": loss, "heldout/accuracy": accuracy}
        return {name: value for name, value in named.items() if not math.isnan(value)}

    def _update_best(self, number: int, loss: float) -> None:
        if loss < self.best_loss:
            self.best_loss, self.best_step, self.evaluations_since_best = loss, number, 0
            self.best = {name: tensor.clone() for name, tensor in self._weights().items()}
        else:
            self.evaluations_since_best += 1
            if self.evaluations_since_best >= self.config.patience:
                self.stop_reason = "patience"

    def _weights(self) -> dict[str, Tensor]:
        return {name: tensor for each in self.learners for name, tensor in each.weights().items()}

    def best_model(self) -> RewardModel | Ensemble:
        """The model of the best step, or of the last if none was selected; every process must call it."""
        if self.best:
            for learner in self.learners:
                learner.load_weights(self.best)
        models = [learner.full_model() for learner in self.learners]
        return models[0] if len(models) == 1 else Ensemble(models)

    def values(self) -> dict[str, Any]:
        """The plain values of the state, under their stored names."""
        return {
            "best_loss": self.best_loss,
            "best_step": self.best_step,
            "fruitless": self.evaluations_since_best,
            "over": self.stop_reason,
        }

    def tensors(self) -> dict[str, Tensor]:
        """The tensors of the state by name; every process must call it."""
        own = {name: tensor for each in self.learners for name, tensor in each.tensors().items()}
        return own | {f"best-{name}": tensor for name, tensor in self.best.items()}

    def restore(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Restore what `values` and `tensors` returned."""
        self.best_loss, self.best_step = values["best_loss"], values["best_step"]
        self.evaluations_since_best, self.stop_reason = values["fruitless"], values["over"]
        for learner in self.learners:
            learner.restore(tensors)
        best = {name: tensor for name, tensor in tensors.items() if name.startswith("best-")}
        self.best = {name.removeprefix("best-"): tensor.to(self.device) for name, tensor in best.items()}


def _estimate_reliabilities(
    model: RewardModel, splits: FeedbackSplits, config: RewardConfig
) -> dict[str, Reliability]:
    """The reliability of each annotator, if the config asks for it; the same in every process."""
    if not config.reliability:
        return {}
    texts = list(dict.fromkeys(text for pair in splits.comparisons for text in pair.texts))
    index = {text: number for number, text in enumerate(texts)}
    rows = model.encode([prompt for prompt, _ in texts], [completion for _, completion in texts])
    return estimate_reliabilities(
        splits.comparisons,
        features=mean_pooled_states(model.trunk, rows),
        chosen=torch.tensor([index[pair.texts[0]] for pair in splits.comparisons]),
        rejected=torch.tensor([index[pair.texts[1]] for pair in splits.comparisons]),
        seed=config.seed,
    )
