"""One reward model that is being trained: its weights, its optimiser, and its batches."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from training.gpt.devices import autocast
from training.gpt.distributed import ProcessGroup, full_model, full_tensor, no_sync, wrap_parallel
from training.gpt.errors import InputError
from training.gpt.training_state import fill_module, fill_optimizers, module_tensors, optimizer_tensors
from training.rlhf.config import RewardConfig
from training.rlhf.reward.batching import FeedbackBatches, bootstrap_counts
from training.rlhf.reward.reward_model import RewardModel

# What 0 stands for in the options, measured on the stories and the movie reviews. Large models learn all that
# there is in one pass (Ziegler et al. 2019, Stiennon et al. 2020); small ones do not, and the held-out loss
# says when to stop. The rate falls to 0 in any case.
EPOCHS = {"full": 3, "frozen": 60}
LEARNING_RATE = {"full": 1e-3, "frozen": 1e-2}


class RewardLearner:
    """A reward model, with one head or several, learning from a curriculum.

    U units in a batch, T texts, M heads.
    """

    def __init__(
        self,
        name: str,
        model: RewardModel,
        lessons: FeedbackBatches,
        config: RewardConfig,
        *,
        seed: int,
        precision: torch.dtype,
        group: ProcessGroup,
    ) -> None:
        self.name, self.model, self.lessons, self.config, self.group = name, model, lessons, config, group
        self.seed, self.precision = seed, precision
        self.frozen = config.trunk == "frozen"
        self.peak = config.learning_rate or LEARNING_RATE[config.trunk]
        self.size = lessons.units_of(config.batch_size)
        self.steps_per_epoch = lessons.steps(self.size)
        self.steps = (config.epochs or EPOCHS[config.trunk]) * self.steps_per_epoch
        copies = bootstrap_counts(len(lessons.texts), members=model.members, seed=seed)
        self.copies = copies if copies is None else copies.to(lessons.device)
        # A frozen trunk says the same of a text in every epoch: all of them are read once.
        self.states = _states(model, lessons.rows, group, precision) if self.frozen else None
        self.trained: nn.Module = model.head if self.frozen else model
        self.wrapped = model if self.frozen else wrap_parallel(model, model.trunk, config.parallel, group)
        self.optimizer = _optimizer(self.trained, weight_decay=config.weight_decay)
        self._epoch: tuple[int, list[list[int]]] = (-1, [])

    def step(self, number: int, progress: float) -> dict[str, float]:
        """The update after `number` others, at a share of the budget; `loss`, `accuracy` and `margin` of its
        batch, over all processes."""
        units = self._units(number)
        divisors = self.lessons.divisors(units)
        figures = torch.zeros(4)
        self.model.train(not self.frozen)
        pieces = self._pieces(units)
        for index, piece in enumerate(pieces):
            with no_sync(self.wrapped, self.model.trunk, enabled=index < len(pieces) - 1):
                loss, found = self._read(piece, divisors)
                loss.backward()  # type: ignore[no-untyped-call]
            figures += found
        figures = self.group.all_reduce_mean(figures) * self.group.world_size
        # The loss is a sum over the processes, the gradients were averaged.
        if self.frozen:
            for weight in self.trained.parameters():
                assert weight.grad is not None
                self.group.all_reduce_mean(weight.grad)
        norm = full_tensor(nn.utils.clip_grad_norm_(self.trained.parameters(), 1.0))
        total, right, margin, count = figures.tolist()
        if not math.isfinite(total) or not math.isfinite(norm.item()):
            raise InputError(f"learning_rate: the loss became {total} at step {number + 1}; lower it")
        rate = self.peak * (1 - progress)
        for weights in self.optimizer.param_groups:
            weights["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        metrics = {"loss": total, "learning_rate": rate, "gradient_norm": norm.item()}
        # A batch of ties, or of scores alone, orders nothing.
        return metrics | ({"accuracy": right / count, "margin": margin / count} if count else {})

    def _units(self, number: int) -> list[int]:
        epoch, place = divmod(number, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = epoch, self.lessons.order(epoch, size=self.size, seed=self.seed)
        return self._epoch[1][place]

    def _pieces(self, units: list[int]) -> list[list[int]]:
        """This process's units, in pieces; as many pieces in every process, though some may be empty."""
        share = units[self.group.rank :: self.group.world_size]
        count = min(self.config.accumulate, math.ceil(len(units) / self.group.world_size))
        return [share[first::count] for first in range(count)]

    def _read(self, units: list[int], divisors: Mapping[str, float]) -> tuple[Tensor, Tensor]:
        """The loss of some units; and with it the number of pairs ordered as people did, the sum of
        r_chosen - r_rejected, and the number of pairs but for ties."""
        lessons = self.lessons
        # A process without units reads as well: the others wait for its gradient, which is 0.
        batch = lessons.batch(units)
        texts = batch.texts if len(batch.texts) else torch.tensor(lessons.texts[0], device=lessons.device)
        with autocast(lessons.device, self.precision):
            if self.states is None:
                rewards = self.wrapped([lessons.rows[text] for text in texts.tolist()])  # [T, M]
            else:
                rewards = self.model.read(self.states[texts])
        rewards = rewards.float()
        if not units:
            return 0.0 * rewards.sum(), torch.zeros(4)
        everywhere = lessons.everywhere(batch, rewards)
        loss = lessons.loss(batch, everywhere, divisors, self.copies)
        figures = torch.cat([loss.detach()[None].cpu(), lessons.agreement(batch, everywhere.detach())])
        # Gradients are averaged over the processes, where the loss of the batch is a sum.
        return loss * self.group.world_size, figures

    def full_model(self) -> RewardModel:
        """The model with all of its weights, to measure or to keep; every process must ask."""
        trunk = full_model(self.model.trunk)
        if trunk is self.model.trunk:
            return self.model
        model = RewardModel(trunk, self.model.tokenizer, members=self.model.members)
        for name in ("weight", "bias"):
            getattr(model.head, name).data = full_tensor(getattr(self.model.head, name)).detach()
        return model

    def weights(self) -> dict[str, Tensor]:
        """What is trained, by name; every process must ask."""
        return module_tensors(self.name, self.trained)

    def tensors(self) -> dict[str, Tensor]:
        """The weights and what the optimiser remembers; every process must ask."""
        return self.weights() | optimizer_tensors(f"{self.name}-optimizer", self.trained, self.optimizer)

    def fill(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `weights` gave."""
        fill_module(self.name, self.trained, tensors)

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `tensors` gave."""
        self.fill(tensors)
        fill_optimizers(f"{self.name}-optimizer", self.trained, tensors, self.optimizer)


def _states(model: RewardModel, rows: list[list[int]], group: ProcessGroup, precision: torch.dtype) -> Tensor:
    """The states of all rows, each process having read its share. [N, D]"""
    states = torch.zeros(len(rows), model.trunk.config.width, device=model.trunk.device)
    with autocast(states.device, precision):
        own = model.all_states(rows[group.rank :: group.world_size])
    states[group.rank :: group.world_size] = own
    return group.all_reduce_mean(states) * group.world_size


def _optimizer(module: nn.Module, *, weight_decay: float) -> torch.optim.AdamW:
    """AdamW whose decay pulls at matrices only."""
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in weights if weight.dim() >= 2], "weight_decay": weight_decay},
        {"params": [weight for weight in weights if weight.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)
