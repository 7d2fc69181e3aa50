"""Fit a reward model to comparisons, and say how far to trust it."""

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from training.gpt.devices import autocast, choose_precision
from training.gpt.errors import InputError
from training.gpt.generate import never
from training.gpt.model import GPT
from training.gpt.loop import OnStep
from training.gpt.schedule import Budget
from training.gpt.tokenizer import Tokenizer
from training.rlhf.config import RewardConfig
from training.rlhf.losses import bradley_terry_loss
from training.rlhf.preferences import Comparison, split_by_prompt
from training.rlhf.reward import RewardModel
from training.rlhf.win_rate import wilson_interval

# What 0 stands for in the options, measured on the stories and the movie reviews.
EPOCHS = {"full": 3, "frozen": 60}
LEARNING_RATE = {"full": 1e-3, "frozen": 1e-2}


@dataclass(frozen=True, kw_only=True)
class RewardResult:
    """A trained reward model and what it is worth on prompts it never saw (NaN where none was kept back)."""

    model: RewardModel
    accuracy: float  # share of held-out comparisons, ties aside, that it orders as the annotator did
    interval: tuple[float, float]  # of the accuracy, 95 %
    loss: float  # on held-out comparisons, in nats
    longer_wins: float  # the accuracy of preferring the longer text: what any model must beat
    heldout: list[Comparison]
    stopped: str  # "steps", "minutes" or "cancelled"
    metrics: dict[str, float] = field(default_factory=dict)


def train_reward_model(
    *,
    trunk: GPT,
    tokenizer: Tokenizer,
    comparisons: Sequence[Comparison],
    config: RewardConfig,
    reference_samples: Sequence[tuple[str, str]] = (),
    on_step: OnStep,
    should_stop: Callable[[], bool] = never,
) -> RewardResult:
    """Train on a copy of `trunk` (a policy's) by the Bradley-Terry loss; see `losses.bradley_terry_loss`.

    The model is normalised to mean 0 and deviation 1 on `reference_samples`, (prompt, completion) pairs from
    the policy that will be tuned: give 256 or more. Without any, the texts trained on stand in.

    `on_step` gets `loss`, `accuracy` and `margin` of each batch, and `learning_rate`. Raises InputError when
    there is nothing to learn from.
    """
    train, heldout = split_by_prompt(comparisons, heldout=config.heldout, seed=config.seed)
    if not any(not pair.tie and pair.chosen != pair.rejected for pair in train):
        raise InputError("preferences: no comparison prefers one text to another; collect more answers")
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)  # of dropout
        model = RewardModel.from_policy(trunk, tokenizer, seed=config.seed)
        stopped = _fit(model, _Pairs(model, train), config, on_step, should_stop)
    model.eval()
    samples = reference_samples or [
        (pair.prompt, completion) for pair in train for completion in (pair.chosen, pair.rejected)
    ]
    prompts, completions = zip(*samples, strict=True)
    model.normalise(torch.tensor(model.score(prompts, completions)))
    return _result(model, train, heldout, stopped)


class _Pairs:
    """Comparisons as indices into a table of their different texts, each read once a batch."""

    def __init__(self, model: RewardModel, comparisons: Sequence[Comparison]) -> None:
        texts = {
            (pair.prompt, completion): None
            for pair in comparisons
            for completion in (pair.chosen, pair.rejected)
        }
        index = {text: place for place, text in enumerate(texts)}
        self.rows = model.encode([prompt for prompt, _ in texts], [completion for _, completion in texts])
        device = model.trunk.device
        self.chosen = torch.tensor([index[pair.prompt, pair.chosen] for pair in comparisons], device=device)
        self.rejected = torch.tensor(
            [index[pair.prompt, pair.rejected] for pair in comparisons], device=device
        )
        self.margin = torch.tensor([pair.margin for pair in comparisons], device=device)
        self.tie = torch.tensor([pair.tie for pair in comparisons], device=device)
        # All pairs of a ranking of K together weigh 1: they are not independent (Ouyang et al. 2022, 3.5).
        rankings = [
            (pair.prompt, pair.group, pair.annotator) if pair.group else place
            for place, pair in enumerate(comparisons)
        ]
        sizes = Counter(rankings)
        self.weight = torch.tensor([1 / sizes[ranking] for ranking in rankings], device=device)
        units: dict[str, list[int]] = defaultdict(list)
        for place, pair in enumerate(comparisons):
            units[pair.unit].append(place)
        self.units = list(units.values())

    def units_of(self, batch_size: int) -> int:
        """How many units hold about so many texts."""
        return max(1, round(batch_size * len(self.units) / len(self.rows)))

    def batches(self, size: int, rng: random.Random) -> Iterator[Tensor]:
        """Endless: the comparisons [C] of `size` units at a time, units of like length together."""
        lengths = [len(self.rows[text]) for text in self.chosen.tolist()]
        while True:
            units = rng.sample(self.units, len(self.units))
            groups = []
            # Sorting within a stretch keeps most of the disorder and saves most of the pads.
            for start in range(0, len(units), 8 * size):
                stretch = sorted(units[start : start + 8 * size], key=lambda unit: lengths[unit[0]])
                groups += [stretch[first : first + size] for first in range(0, len(stretch), size)]
            for group in rng.sample(groups, len(groups)):
                yield torch.tensor([place for unit in group for place in unit], device=self.chosen.device)

    def steps(self, size: int) -> int:
        """Batches in one pass over the units."""
        full, rest = divmod(len(self.units), 8 * size)
        return 8 * full + math.ceil(rest / size)


def _fit(
    model: RewardModel,
    pairs: _Pairs,
    config: RewardConfig,
    on_step: OnStep,
    should_stop: Callable[[], bool],
) -> str:
    """The training loop, of the head alone or of everything; gives why it stopped."""
    frozen = config.trunk == "frozen"
    epochs = config.epochs or EPOCHS[config.trunk]
    peak = config.learning_rate or LEARNING_RATE[config.trunk]
    precision = choose_precision("auto", model.trunk.device)
    # A frozen trunk says the same of a text in every epoch: read all of them once.
    states = model.all_states(pairs.rows, batch_size=128) if frozen else None
    optimizer = _optimizer(model.head if frozen else model, weight_decay=config.weight_decay)
    size = pairs.units_of(config.batch_size)
    budget = Budget(minutes=config.minutes, steps=epochs * pairs.steps(size))
    order = pairs.batches(size, random.Random(config.seed))
    model.train(not frozen)
    step, stopped = 0, None
    while stopped is None:
        if should_stop():
            return "cancelled"
        batch = next(order)  # [C] comparisons
        both = torch.cat((pairs.chosen[batch], pairs.rejected[batch]))
        texts, places = torch.unique(both, return_inverse=True)
        with autocast(model.trunk.device, precision):
            if states is None:
                rewards = model([pairs.rows[text] for text in texts.tolist()])
            else:
                rewards = model.read(states[texts])
        chosen, rejected = rewards.float()[places].chunk(2)  # [C] each
        tie, weight = pairs.tie[batch], pairs.weight[batch]
        losses = bradley_terry_loss(chosen - rejected, margin=pairs.margin[batch], tie=tie)
        loss = (weight * losses).sum() / weight.sum()
        if not math.isfinite(loss.item()):
            raise InputError(f"learning_rate: the loss became {loss.item()} at step {step + 1}; lower it")
        rate = peak * (1 - budget.progress(step))
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        stopped = budget.exhausted(step)
        metrics = {
            "loss": loss.item(),
            "learning_rate": rate,
            **_agreement((chosen - rejected).detach()[~tie]),
        }
        on_step(step, 1.0 if stopped else budget.progress(step), metrics)
    return stopped


def _optimizer(module: nn.Module, *, weight_decay: float) -> torch.optim.AdamW:
    matrices = [weight for weight in module.parameters() if weight.dim() >= 2]
    others = [weight for weight in module.parameters() if weight.dim() < 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, betas=(0.9, 0.95), fused=True)


def _agreement(difference: Tensor) -> dict[str, float]:
    """`accuracy` and `margin` of r_chosen - r_rejected; equal rewards are half right. Nothing of nothing."""
    if not len(difference):
        return {}
    right = (difference.sign() + 1) / 2
    return {"accuracy": right.mean().item(), "margin": difference.mean().item()}


def _result(
    model: RewardModel, train: list[Comparison], heldout: list[Comparison], stopped: str
) -> RewardResult:
    """Measure on what was held out."""
    counts = {"comparisons": float(len(train)), "heldout_comparisons": float(len(heldout))}
    if not heldout:
        nan = math.nan
        return RewardResult(
            model=model,
            accuracy=nan,
            interval=(0.0, 1.0),
            loss=nan,
            longer_wins=nan,
            heldout=[],
            stopped=stopped,
            metrics=counts,
        )
    prompts = [pair.prompt for pair in heldout]
    chosen = torch.tensor(model.score(prompts, [pair.chosen for pair in heldout]))
    rejected = torch.tensor(model.score(prompts, [pair.rejected for pair in heldout]))
    tie = torch.tensor([pair.tie for pair in heldout])
    # The scores were scaled to deviation 1; the comparisons are explained by what they were before.
    difference = (chosen - rejected) / model.gain.cpu()
    margin = torch.tensor([pair.margin for pair in heldout])
    loss = bradley_terry_loss(difference, margin=margin, tie=tie).mean().item()
    agreement = _agreement((chosen - rejected)[~tie])
    lengths = torch.tensor([float(len(pair.chosen) - len(pair.rejected)) for pair in heldout])
    longer_wins = _agreement(lengths[~tie]).get("accuracy", math.nan)
    accuracy = agreement.get("accuracy", math.nan)
    mean_reward = torch.cat((chosen, rejected)).mean().item()
    return RewardResult(
        model=model,
        accuracy=accuracy,
        interval=wilson_interval(accuracy, count=int((~tie).sum())),
        loss=loss,
        longer_wins=longer_wins,
        heldout=heldout,
        stopped=stopped,
        metrics={**counts, **agreement, "loss": loss, "longer_wins": longer_wins, "mean_reward": mean_reward},
    )
