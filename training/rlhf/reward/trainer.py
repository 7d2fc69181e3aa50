"""Fit a reward model, or an ensemble of them, to what people said, and say how far to trust it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.gpt.budget import TrainingBudget
from training.gpt.devices import autocast, choose_device, choose_precision
from training.gpt.distributed import ProcessGroup, process_group
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Callbacks, Trainer, run_training_loop
from training.gpt.training_state import StateFolder, module_digest
from training.rlhf.config import RewardConfig
from training.rlhf.feedback.preferences import Comparison, Rating
from training.rlhf.feedback.splits import FeedbackSplits, split_feedback
from training.rlhf.reward.batching import FeedbackBatches
from training.rlhf.reward.evaluation import report
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
"""Held-out lessons below which their loss is noise, and ends no training."""

MAX_NORMALISATION_TEXTS = 512
"""Texts that tell mean and deviation of a reward well enough, and how well they are read."""

# What a training may go on with otherwise than it began: they change where and how fast, not what.
FREE = frozenset({"accumulate", "device", "learning_curve", "parallel", "save_every"})


@dataclass(frozen=True, kw_only=True)
class RewardResult:
    """A trained reward model and what it is worth on prompts it never saw (NaN where none was kept back).

    The step whose weights are kept was chosen on the same prompts: where that is an early one, the figures
    flatter it a little.
    """

    model: RewardModel | Ensemble
    accuracy: float  # share of held-out comparisons, ties aside, that it orders as the annotator did
    interval: tuple[float, float]  # of the accuracy, 95 %
    loss: float  # on held-out comparisons, in nats
    longer_wins: float  # the accuracy of preferring the longer text: what any model must beat
    heldout: list[Comparison]
    steps: int
    best_step: int  # after which the weights are those of the model
    stopped: str  # "steps", "minutes", "patience" or "cancelled"
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
    """Train on a copy of `trunk` (a policy's) by the loss that the config names; or go on where it was left.

    The model is normalised to mean 0 and deviation 1 on `reference_samples`, (prompt, completion) pairs from
    the policy that will be tuned: give 256 or more. Without any, the texts trained on stand in.

    `folder` keeps the state to go on from; killed at any moment and called again alike, a training on the CPU
    tells bit for bit what it would have told. Under torchrun the processes share each batch; only the first
    calls the hooks and measures the result, and the others' result has no figures.

    `on_step` gets `loss`, `accuracy` and `margin` of each batch, `learning_rate` and `gradient_norm`, and at
    each measurement `heldout/loss` and `heldout/accuracy`. Raises InputError when there is nothing to learn
    from, and when the tokenizer does not know most of what people read.
    """
    sides = split_feedback(
        comparisons,
        ratings,
        loss=config.loss,
        criteria=config.criteria,
        heldout=config.heldout,
        seed=config.seed,
    )
    device = choose_device(config.device)
    with process_group() as group, torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        stage = _RewardTrainer(trunk, tokenizer, sides, config, device=device, group=group)
        steps = stage.learners[0].steps
        texts = list(dict.fromkeys(text for each in sides.train.examples for text in each.texts))
        some = texts[:: math.ceil(len(texts) / MAX_NORMALISATION_TEXTS)]
        notes = tokenizer_coverage(stage.learners[0].model, *zip(*some, strict=True)).check(
            "the texts judged", option="policy"
        )
        state = None
        if folder is not None:
            said = repr([*sides.train.examples, *sides.heldout.examples]).encode()
            inputs = {
                "set of preferences": blake2b(said, digest_size=16).hexdigest(),
                "policy": module_digest(trunk),
            }
            state = StateFolder(folder, config, inputs=inputs, free=FREE)
        ended = run_training_loop(
            stage,
            budget=TrainingBudget(minutes=config.minutes, steps=steps),
            evaluate_every=config.evaluate_every or math.ceil(steps / 10),
            save_every=config.save_every,
            state=state,
            group=group,
            callbacks=callbacks,
        )
        model = stage.kept().to(trunk.device).eval()
        measured = group.is_main_process and ended.stop_reason != "cancelled"
        best_step = ended.steps if stage.best_step is None else stage.best_step
        reliabilities = stage.reliabilities
        del stage  # The group ends after all that uses it.
    figures = {}
    if measured:
        model.normalise(*zip(*(reference_samples or some), strict=True))
        figures = report(model, sides, reliabilities)
    return RewardResult(
        model=model,
        accuracy=figures.get("accuracy", math.nan),
        interval=figures.get("interval", (0.0, 1.0)),
        loss=figures.get("loss", math.nan),
        longer_wins=figures.get("longer_wins", math.nan),
        heldout=sides.heldout_comparisons,
        steps=ended.steps,
        best_step=best_step,
        stopped=ended.stop_reason,
        metrics={
            **figures,
            "steps": ended.steps,
            "best_step": best_step,
            "seconds": ended.seconds,
            "notes": notes,
        },
    )


class _RewardTrainer(Trainer):
    """Training as `run_training_loop` drives it: one model whose heads learn together, or several models in
    turn."""

    def __init__(
        self,
        trunk: GPT,
        tokenizer: Tokenizer,
        sides: FeedbackSplits,
        config: RewardConfig,
        *,
        device: torch.device,
        group: ProcessGroup,
    ) -> None:
        self.config, self.device, self.group = config, device, group
        self.precision = choose_precision(config.precision, device)
        self.stop_reason: str | None = None
        self.best_loss, self.fruitless = math.inf, 0
        self.best_step: int | None = None
        self.best: dict[str, Tensor] = {}
        separate = config.ensemble == "models"
        models = [
            RewardModel.from_policy(
                trunk, tokenizer, seed=config.seed + number, members=1 if separate else config.members
            ).to(device)
            for number in range(config.members if separate else 1)
        ]
        self.reliabilities = _reliabilities(models[0], sides, config)
        trust = annotator_weights(self.reliabilities)
        lessons = FeedbackBatches(sides.train, models[0], trust=trust, device=device)
        self.heldout = FeedbackBatches(sides.heldout, models[0], trust=trust, device=device, like=lessons)
        self.learners = [
            RewardLearner(
                f"model-{number}",
                model,
                lessons,
                config,
                seed=config.seed + number,  # of its head and of its order: so that members differ
                precision=self.precision,
                group=group,
            )
            for number, model in enumerate(models)
        ]

    @property
    def may_stop(self) -> bool:
        """Whether the held-out loss decides which step is kept."""
        return self.config.patience > 0 and self.heldout.count >= MIN_HELDOUT_TO_STOP

    def step(self, number: int, progress: float) -> dict[str, float]:
        """One update of each model; metrics are means over them."""
        found: dict[str, list[float]] = {}
        for place, learner in enumerate(self.learners):
            _seed_chance(self.config.seed, number, place, self.group.rank)
            for name, value in learner.step(number, progress).items():
                found.setdefault(name, []).append(value)
        return {name: math.fsum(values) / len(values) for name, values in found.items()}

    def evaluate(self, number: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """Measure on what is held out; keep the weights if its loss was never lower."""
        if not self.heldout.kinds:
            return {}
        models = [learner.full_model() for learner in self.learners]
        figures = torch.full((2,), math.nan, dtype=torch.float64)
        if self.group.is_main_process:
            # The members judge together, as they will be used.
            with autocast(self.device, self.precision):
                rewards = torch.cat([model.rewards(self.heldout.rows) for model in models], dim=1)
            figures = self.heldout.measure(rewards.mean(dim=1, keepdim=True))
        if self.group.broadcast_bool(should_stop):
            return None
        loss, accuracy = self.group.broadcast(figures).tolist()
        if self.may_stop:
            self._judge(number, loss)
        metrics = {"heldout/loss": loss, "heldout/accuracy": accuracy}
        return {name: value for name, value in metrics.items() if not math.isnan(value)}

    def _judge(self, number: int, loss: float) -> None:
        if loss < self.best_loss:
            self.best_loss, self.best_step, self.fruitless = loss, number, 0
            self.best = {name: tensor.clone() for name, tensor in self._weights().items()}
        else:
            self.fruitless += 1
            if self.fruitless >= self.config.patience:
                self.stop_reason = "patience"

    def _weights(self) -> dict[str, Tensor]:
        return {name: tensor for each in self.learners for name, tensor in each.weights().items()}

    def kept(self) -> RewardModel | Ensemble:
        """The model of the best step, or of the last where no step is the best; every process must ask."""
        if self.best:
            for learner in self.learners:
                learner.fill(self.best)
        models = [learner.full_model() for learner in self.learners]
        return models[0] if len(models) == 1 else Ensemble(models)

    def values(self) -> dict[str, Any]:
        """Plain values of the state, as JSON keeps them."""
        return {
            "best_loss": self.best_loss,
            "best_step": self.best_step,
            "fruitless": self.fruitless,
            "over": self.stop_reason,
        }

    def tensors(self) -> dict[str, Tensor]:
        """Tensors of the state by name; every process must ask."""
        own = {name: tensor for each in self.learners for name, tensor in each.tensors().items()}
        return own | {f"best-{name}": tensor for name, tensor in self.best.items()}

    def restore(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go back to what `values` and `tensors` gave."""
        self.best_loss, self.best_step = values["best_loss"], values["best_step"]
        self.fruitless, self.stop_reason = values["fruitless"], values["over"]
        for learner in self.learners:
            learner.restore(tensors)
        kept = {name: tensor for name, tensor in tensors.items() if name.startswith("best-")}
        self.best = {name.removeprefix("best-"): tensor.to(self.device) for name, tensor in kept.items()}


def _reliabilities(model: RewardModel, sides: FeedbackSplits, config: RewardConfig) -> dict[str, Reliability]:
    """How reliable each annotator is, where the config asks. Every process finds the same."""
    if not config.reliability:
        return {}
    texts = list(dict.fromkeys(text for pair in sides.comparisons for text in pair.texts))
    index = {text: place for place, text in enumerate(texts)}
    rows = model.encode([prompt for prompt, _ in texts], [completion for _, completion in texts])
    return estimate_reliabilities(
        sides.comparisons,
        features=mean_pooled_states(model.trunk, rows),
        chosen=torch.tensor([index[pair.texts[0]] for pair in sides.comparisons]),
        rejected=torch.tensor([index[pair.texts[1]] for pair in sides.comparisons]),
        seed=config.seed,
    )


def _seed_chance(*numbers: int) -> None:
    """Let dropout depend on these numbers, and on nothing that happened before."""
    torch.manual_seed(int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]))
