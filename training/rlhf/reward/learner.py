"""A reward model in training: its weights, optimizer, batches and update step."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from training.gpt.devices import autocast
from training.gpt.distributed import ProcessGroup, full_model, full_tensor, no_sync, wrap_parallel
from training.gpt.errors import InputError
from training.gpt.optimizers import build_adamw, scale_learning_rates
from training.gpt.training_state import (
    load_module_tensors,
    load_optimizer_tensors,
    module_tensors,
    optimizer_tensors,
)
from training.rlhf.config import RewardConfig
from training.rlhf.reward.batching import FeedbackBatches, bootstrap_counts
from training.rlhf.reward.reward_model import RewardModel

# Defaults by trunk, measured on stories and movie reviews. Large models need one epoch only (Ziegler et al.
# 2019, Stiennon et al. 2020); small ones need more, and stop early by the held-out loss.
EPOCHS = {"full": 3, "frozen": 60}
LEARNING_RATE = {"full": 1e-3, "frozen": 1e-2}


class RewardLearner:
    """A reward model with one head or several, and its optimizer.

    P prompts in a batch, T texts, M heads.
    """

    def __init__(
        self,
        name: str,
        model: RewardModel,
        batches: FeedbackBatches,
        config: RewardConfig,
        *,
        seed: int,
        precision: torch.dtype,
        group: ProcessGroup,
    ) -> None:
        self.name, self.model, self.batches, self.config, self.group = name, model, batches, config, group
        self.seed, self.precision = seed, precision
        self.frozen = config.trunk == "frozen"
        self.learning_rate = config.learning_rate or LEARNING_RATE[config.trunk]
        self.prompts_per_batch = batches.prompts_per_batch(config.batch_size)
        self.steps_per_epoch = batches.batches_per_epoch(self.prompts_per_batch)
        self.steps = (config.epochs or EPOCHS[config.trunk]) * self.steps_per_epoch
        counts = bootstrap_counts(len(batches.texts), members=model.members, seed=seed)
        self.bootstrap_counts = counts if counts is None else counts.to(batches.device)
        # With a frozen trunk, the states are the same in every epoch: compute them once.
        self.states = _compute_states(model, batches.rows, group, precision) if self.frozen else None
        self.trained: nn.Module = model.head if self.frozen else model
        self.wrapped = model if self.frozen else wrap_parallel(model, model.trunk, config.parallel, group)
        self.optimizer = build_adamw(
            self.trained.parameters(), learning_rate=self.learning_rate, weight_decay=config.weight_decay
        )
        self._epoch: tuple[int, list[list[int]]] = (-1, [])

    def step(self, number: int, progress: float) -> dict[str, float]:
        """One update after `number` others, at a fraction of the budget.

        Metrics are `loss`, `accuracy` and `margin` of the batch over all processes, `learning_rate` and
        `gradient_norm`.
        """
        prompts = self._prompts_of_step(number)
        divisors = self.batches.divisors(prompts)
        sums = torch.zeros(4)
        self.model.train(not self.frozen)
        micro_batches = self._micro_batches(prompts)
        for index, some in enumerate(micro_batches):
            with no_sync(self.wrapped, self.model.trunk, enabled=index < len(micro_batches) - 1):
                loss, own_sums = self._loss(some, divisors)
                loss.backward()  # type: ignore[no-untyped-call]
            sums += own_sums
        sums = self.group.all_reduce_sum(sums)
        if self.frozen:
            for weight in self.trained.parameters():
                assert weight.grad is not None
                self.group.all_reduce_mean(weight.grad)
        norm = full_tensor(nn.utils.clip_grad_norm_(self.trained.parameters(), 1.0))
        loss_sum, right, margin, count = sums.tolist()
        if not math.isfinite(loss_sum) or not math.isfinite(norm.item()):
            raise InputError(f"learning_rate: the loss became {loss_sum} at step {number + 1}; lower it")
        scale_learning_rates(self.optimizer, 1 - progress)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        metrics = {
            "loss": loss_sum,
            "learning_rate": self.learning_rate * (1 - progress),
            "gradient_norm": norm.item(),
        }
        # A batch of ties or scores only has no accuracy.
        return metrics | ({"accuracy": right / count, "margin": margin / count} if count else {})

    def _prompts_of_step(self, number: int) -> list[int]:
        epoch, step = divmod(number, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            batches = self.batches.epoch_batches(epoch, size=self.prompts_per_batch, seed=self.seed)
            self._epoch = epoch, batches
        return self._epoch[1][step]

    def _micro_batches(self, prompts: list[int]) -> list[list[int]]:
        """This process's prompts in micro-batches: the same number in every process, some maybe empty."""
        own = list(self.group.shard(prompts))
        count = min(self.config.accumulate, math.ceil(len(prompts) / self.group.world_size))
        return [own[first::count] for first in range(count)]

    def _loss(self, prompts: list[int], divisors: Mapping[str, float]) -> tuple[Tensor, Tensor]:
        """The loss of some prompts with gradient, and [4]: the loss and `FeedbackBatches.accuracy_sums`."""
        batches = self.batches
        # A process without prompts takes part too, with a gradient of 0: the others wait for it.
        batch = batches.batch(prompts)
        texts = batch.texts if len(batch.texts) else torch.tensor(batches.texts[0], device=batches.device)
        with autocast(batches.device, self.precision):
            if self.states is None:
                rewards = self.wrapped([batches.rows[text] for text in texts.tolist()])  # [T, M]
            else:
                rewards = self.model.rewards_of_states(self.states[texts])
        rewards = rewards.float()
        if not prompts:
            return 0.0 * rewards.sum(), torch.zeros(4)
        all_rewards = batches.scatter_rewards(batch, rewards)
        loss = batches.loss(batch, all_rewards, divisors, self.bootstrap_counts)
        sums = torch.cat([loss.detach()[None].cpu(), batches.accuracy_sums(batch, all_rewards.detach())])
        # Gradients are averaged over the processes, but the loss of the batch is a sum over them.
        return loss * self.group.world_size, sums

    def full_model(self) -> RewardModel:
        """The model with all of its weights, to evaluate or to save; every process must call it."""
        trunk = full_model(self.model.trunk)
        if trunk is self.model.trunk:
            return self.model
        model = RewardModel(trunk, self.model.tokenizer, members=self.model.members)
        for name in ("weight", "bias"):
            getattr(model.head, name).data = full_tensor(getattr(self.model.head, name)).detach()
        return model

    def weights(self) -> dict[str, Tensor]:
        """The trained weights by name; every process must call it."""
        return module_tensors(self.name, self.trained)

    def load_weights(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `weights` returned."""
        load_module_tensors(self.name, self.trained, tensors)

    def tensors(self) -> dict[str, Tensor]:
        """The weights and the optimizer's state; every process must call it."""
        return self.weights() | optimizer_tensors(f"{self.name}-optimizer", self.trained, self.optimizer)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore what `tensors` returned."""
        self.load_weights(tensors)
        load_optimizer_tensors(f"{self.name}-optimizer", self.trained, tensors, self.optimizer)


def _compute_states(
    model: RewardModel, rows: list[list[int]], group: ProcessGroup, precision: torch.dtype
) -> Tensor:
    """The final states of all rows; each process computes its shard. [N, D]"""
    with autocast(model.trunk.device, precision):
        own = model.compute_final_states(group.shard(rows))
    return group.gather_shards(own, len(rows))
