"""What the figures of a fine-tune say about its health, in words a person can act on."""

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
    """Watches the metrics of each step; says at the end what was wrong, if anything."""

    def __init__(self, *, kl_budget: float, compares_groups: bool = True) -> None:
        self.kl_budget = kl_budget
        self.compares_groups = compares_groups  # only then does a single group of equal rewards teach nothing
        self.steps = 0
        self.lowest_kl = 0.0
        self.highest_kl = 0.0
        self.logprob_error = 0.0
        self.flat = 0.0
        self.clipped = 0.0

    def see(self, metrics: Mapping[str, float]) -> None:
        """Take in one step."""
        self.steps += 1
        self.lowest_kl = min(self.lowest_kl, metrics["kl"])
        self.highest_kl = max(self.highest_kl, metrics["kl"])
        self.logprob_error = max(self.logprob_error, metrics["logprob_error"])
        self.flat += metrics["frac_reward_zero_std"]
        self.clipped += metrics["completions/clipped_ratio"]

    def values(self) -> dict[str, float]:
        """What was seen so far, as plain values."""
        return dict(vars(self))

    def restore(self, values: Mapping[str, float]) -> None:
        """Take back what `values` gave."""
        vars(self).update(values)

    def notes(self, *, best_step: int, stop_reason: str) -> list[str]:
        """A sentence for each thing amiss."""
        notes = []
        if self.logprob_error > _SAME_LOGPROB:
            notes.append(
                f"The policy read its own samples {self.logprob_error:.3f} nats off what it sampled them "
                "with: look for dropout, padding, or a temperature that is not the same in both."
            )
        # The mean of k1 over a batch is noisy around 0, and only around 0.
        if self.lowest_kl < -1.0:
            notes.append(
                f"KL went negative ({self.lowest_kl:.1f} nats a sequence): sampling and reference do not use "
                "the same temperature, or top-k, top-p, padding or dropout came in."
            )
        if 0 < 2 * self.kl_budget < self.highest_kl:
            notes.append(
                f"KL reached {self.highest_kl:.0f} nats a sequence, over twice the budget of "
                f"{self.kl_budget:g}: lower learning_rate, or raise kl_coefficient."
            )
        if self.steps and self.flat / self.steps > (0.5 if self.compares_groups else 0.99):
            notes.append(
                f"In {self.flat / self.steps:.0%} of the groups all samples scored the same, which teaches "
                "nothing: the reward model is too coarse, or the policy says one thing only."
            )
        if self.steps and self.clipped / self.steps > 0.5:
            notes.append(
                f"{self.clipped / self.steps:.0%} of the completions did not end: raise max_new_tokens."
            )
        if stop_reason == "diverged":
            notes.append("The gradient became infinite; lower learning_rate.")
        if best_step == 0 and self.steps:
            notes.append(
                "No version inside the KL budget scored higher on held-out prompts than the policy it "
                "started from, so that one was kept: give more steps, or look at the reward model's accuracy."
            )
        return notes


def check_finite_scores(scores: Sequence[float], completions: Sequence[str]) -> None:
    """Raise InputError for the first text whose score is no number: from there, nothing is learned."""
    for score, completion in zip(scores, completions, strict=True):
        if not math.isfinite(score):
            raise InputError(
                f"reward: the score of {completion[:60]!r} is {score}; train the reward model again"
            )


def tokenizer_notes(policy: Tokenizer, reward: Tokenizer) -> list[str]:
    """What a person should know of the tokenizers of policy and reward model, a sentence each."""
    notes = []
    if policy.special.pad in policy.special.end:
        notes.append(
            f"The tokenizer pads with the token that ends a text (id {policy.special.pad}). Here places are "
            "counted and no id is taken for padding, so the end stays inside what is learned; a tool that "
            "masks by the pad id would lose it."
        )
    if reward.fingerprint != policy.fingerprint:
        notes.append(
            "The reward model reads with another tokenizer than the policy writes with, so it was trained "
            "from another policy: look at its accuracy on samples of this one before trusting the reward."
        )
    return notes


@torch.no_grad()
def diagnose_logprob_mismatch(reader: LogprobModel, rollouts: Rollouts) -> str:
    """One line that names the likely cause, with what was measured."""
    written, mask = rollouts.generation.logprobs, rollouts.generation.mask
    first, second = _read(reader, rollouts), _read(reader, rollouts)
    off = _distance(first, written)
    begin = f"policy: it reads its own samples {off:.2g} nats a token off what it wrote them with"
    if _distance(first, second) > 1e-6:
        return f"{begin}, and differently each time: dropout (or something else random) is on; turn it off"
    longest = max(map(len, rollouts.prompts))
    padded = torch.tensor([len(prompt) < longest for prompt in rollouts.prompts], device=mask.device)
    if padded.any() and _distance(first[~padded], written[~padded]) < 0.1 * off:
        return f"{begin}, but only where a longer prompt stood beside it: padding was read as text"
    temperature = _temperature(reader, rollouts)
    if _distance(_read(reader, rollouts, temperature=temperature), written) < 0.1 * off:
        return (
            f"temperature: the samples were written at {temperature:.2g} and are read at "
            f"{reader.temperature:g}; sampling and every log-probability must use the same"
        )
    return (
        f"{begin}: top-k, top-p or a penalty bent what was sampled from, or the prompt it was given was "
        f"another ({int(mask.sum())} tokens compared)"
    )


def _read(reader: LogprobModel, rollouts: Rollouts, *, temperature: float | None = None) -> Tensor:
    return sequence_logprobs(
        reader.model,
        rollouts.prompts,
        rollouts.completions,
        temperature=temperature or reader.temperature,
    )


def _distance(one: Tensor, other: Tensor) -> float:
    """The mean difference at the places where a token stands; 0 elsewhere in both."""
    return (one - other).abs().sum().item() / max(1, int((other != 0).sum()))


def _temperature(reader: LogprobModel, rollouts: Rollouts) -> float:
    """The temperature at which reading comes nearest to what was written, between a tenth and ten times."""
    written = rollouts.generation.logprobs

    def miss(power: float) -> float:
        return _distance(_read(reader, rollouts, temperature=reader.temperature * 10**power), written)

    # A coarse grid, then a golden-section search around its best place.
    best = min((place / 10 for place in range(-10, 11)), key=miss)
    low, high, golden = best - 0.1, best + 0.1, (math.sqrt(5) - 1) / 2
    for _ in range(20):
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if miss(left) < miss(right) else (left, high)
    return reader.temperature * 10 ** ((low + high) / 2)
