"""Sanity checks of a fine-tune: warnings, and the cause of log-probabilities that do not match."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from training.gpt.errors import InputError
from training.gpt.tokenizer import Tokenizer
from training.rlhf.tuning.learner import LogprobModel
from training.rlhf.tuning.rollouts import Rollouts, sequence_logprobs

# fp32 differs by 1e-4 or so between sampling token by token and reading the whole text.
_SAME_LOGPROB = 1e-2

LOGPROB_TOLERANCE = {torch.float32: 1e-2, torch.bfloat16: 0.5}
"""Largest difference of one token's log-probability, in nats, that rounding explains."""


class SanityChecks:
    """Collects the metrics of each step, and gives warnings at the end."""

    def __init__(self, *, kl_budget: float, compares_groups: bool = True) -> None:
        self.kl_budget = kl_budget
        self.compares_groups = compares_groups  # whether equal rewards in a group give no gradient
        self.steps = 0
        self.lowest_kl = 0.0
        self.highest_kl = 0.0
        self.logprob_error = 0.0
        self.flat = 0.0
        self.clipped = 0.0

    def update(self, metrics: Mapping[str, float]) -> None:
        """Take in the metrics of one step."""
        self.steps += 1
        self.lowest_kl = min(self.lowest_kl, metrics["kl"])
        self.highest_kl = max(self.highest_kl, metrics["kl"])
        self.logprob_error = max(self.logprob_error, metrics["logprob_error"])
        self.flat += metrics["frac_reward_zero_std"]
        self.clipped += metrics["completions/clipped_ratio"]

    def values(self) -> dict[str, float]:
        """The state as plain values."""
        return dict(vars(self))

    def restore(self, values: Mapping[str, float]) -> None:
        """Restore what `values` returned."""
        vars(self).update(values)

    def notes(self, *, best_step: int, stop_reason: str) -> list[str]:
        """Warnings, one sentence each."""
        notes = []
        if self.logprob_error > _SAME_LOGPROB:
            notes.append(
                f"The policy's log-probabilities of its own samples were off by {self.logprob_error:.3f} "
                "nats: look for dropout, padding, or different temperatures."
            )
        # The mean of k1 over a batch is noisy around 0, and only around 0.
        if self.lowest_kl < -1.0:
            notes.append(
                f"KL went negative ({self.lowest_kl:.1f} nats per sequence): sampling and reference use "
                "different temperatures, or top-k, top-p, padding or dropout."
            )
        if 0 < 2 * self.kl_budget < self.highest_kl:
            notes.append(
                f"KL reached {self.highest_kl:.0f} nats per sequence, over twice the budget of "
                f"{self.kl_budget:g}: lower learning_rate, or raise kl_coefficient."
            )
        if self.steps and self.flat / self.steps > (0.5 if self.compares_groups else 0.99):
            notes.append(
                f"In {self.flat / self.steps:.0%} of the groups all samples had the same score, so "
                "nothing was learned: the reward model is too coarse, or the samples do not differ."
            )
        if self.steps and self.clipped / self.steps > 0.5:
            notes.append(
                f"{self.clipped / self.steps:.0%} of the completions did not end: raise max_new_tokens."
            )
        if stop_reason == "diverged":
            notes.append("The gradient became infinite; lower learning_rate.")
        if best_step == 0 and self.steps:
            notes.append(
                "No checkpoint inside the KL budget had a higher held-out reward than the initial policy, so "
                "the initial policy was kept: give more steps, or check the reward model's accuracy."
            )
        return notes


def check_finite_scores(scores: Sequence[float], completions: Sequence[str]) -> None:
    """Raise InputError for the first completion with a score that is not finite."""
    for score, completion in zip(scores, completions, strict=True):
        if not math.isfinite(score):
            raise InputError(
                f"reward: the score of {completion[:60]!r} is {score}; train the reward model again"
            )


def tokenizer_notes(policy: Tokenizer, reward: Tokenizer) -> list[str]:
    """Warnings about the tokenizers of policy and reward model, one sentence each."""
    notes = []
    if policy.special.pad in policy.special.end:
        notes.append(
            f"The tokenizer pads with the token that ends a text (id {policy.special.pad}). Padding is "
            "masked by position here, so the end is learned; a tool that masks by the pad id would lose it."
        )
    if reward.fingerprint != policy.fingerprint:
        notes.append(
            "The reward model has another tokenizer than the policy, so it was trained from another policy: "
            "check its accuracy on samples of this policy before trusting its rewards."
        )
    return notes


@torch.no_grad()
def diagnose_logprob_mismatch(model: LogprobModel, rollouts: Rollouts) -> str:
    """The likely cause of log-probabilities that do not match those of sampling, in one line."""
    sampled, mask = rollouts.generation.logprobs, rollouts.generation.mask
    first, second = _logprobs(model, rollouts), _logprobs(model, rollouts)
    off = _distance(first, sampled)
    begin = f"policy: the log-probabilities of its own samples are off by {off:.2g} nats per token"
    if _distance(first, second) > 1e-6:
        return f"{begin}, and differ each time: dropout (or other randomness) is on; turn it off"
    longest = max(map(len, rollouts.prompts))
    padded = torch.tensor([len(prompt) < longest for prompt in rollouts.prompts], device=mask.device)
    if padded.any() and _distance(first[~padded], sampled[~padded]) < 0.1 * off:
        return f"{begin}, but only next to a longer prompt: padding was read as text"
    temperature = _fit_temperature(model, rollouts)
    if _distance(_logprobs(model, rollouts, temperature=temperature), sampled) < 0.1 * off:
        return (
            f"temperature: the samples were drawn at {temperature:.2g}, their log-probabilities are at "
            f"{model.temperature:g}; sampling and every log-probability must use the same"
        )
    return (
        f"{begin}: top-k, top-p or a penalty changed the distribution, or the prompt was another one "
        f"({int(mask.sum())} tokens compared)"
    )


def _logprobs(model: LogprobModel, rollouts: Rollouts, *, temperature: float | None = None) -> Tensor:
    return sequence_logprobs(
        model.model,
        rollouts.prompts,
        rollouts.completions,
        temperature=temperature or model.temperature,
    )


def _distance(one: Tensor, other: Tensor) -> float:
    """The mean absolute difference over tokens; both are 0 elsewhere."""
    return (one - other).abs().sum().item() / max(1, int((other != 0).sum()))


def _fit_temperature(model: LogprobModel, rollouts: Rollouts) -> float:
    """The temperature that fits the sampled log-probabilities best, from a tenth to ten times."""
    sampled = rollouts.generation.logprobs

    def error(power: float) -> float:
        return _distance(_logprobs(model, rollouts, temperature=model.temperature * 10**power), sampled)

    # A coarse grid, then a golden-section search around its best place.
    best = min((place / 10 for place in range(-10, 11)), key=error)
    low, high, golden = best - 0.1, best + 0.1, (math.sqrt(5) - 1) / 2
    for _ in range(20):
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if error(left) < error(right) else (left, high)
    return model.temperature * 10 ** ((low + high) / 2)
