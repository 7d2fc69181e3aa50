"""Tune a policy against a scorer by policy gradient, at a price for leaving the reference policy.

One loop: rollouts, reference log-probabilities, rewards with the KL in them, advantages, one update. We are
on policy and take one update from each batch, so there is no ratio to an old policy, no clip and no value
network. Every so often the policy is measured on held-out prompts, the best version inside the KL budget is
kept, and at the end the policy is rolled back to it.
"""

import copy
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from training.gpt.config import SamplingConfig
from training.gpt.errors import InputError
from training.gpt.generate import never
from training.gpt.model import GPT
from training.gpt.loop import OnStep
from training.gpt.schedule import Budget
from training.gpt.tokenizer import Tokenizer
from training.rlhf.advantages import ESTIMATORS, move_baseline
from training.rlhf.config import FinetuneConfig
from training.rlhf.diagnosis import Diagnosis
from training.rlhf.kl import AdaptiveCoefficient, k1
from training.rlhf.losses import policy_gradient_loss
from training.rlhf.rollouts import Rollouts, sample, sequence_logprobs
from training.rlhf.scorers import Scorer


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A version of the policy on held-out prompts, one completion each, always of the same seed."""

    step: int
    reward: float  # mean score, without KL and penalty
    kl: float  # mean, in nats per sequence
    completions: list[str]


@dataclass(frozen=True, kw_only=True)
class FinetuneResult:
    """The policy given, now with the weights of its best version, and how it got there."""

    policy: GPT
    best_step: int  # 0: no version inside the KL budget scored higher than the reference policy
    steps: int
    stopped: str  # "steps", "minutes", "cancelled" or "diverged"
    before: Evaluation
    after: Evaluation
    heldout_prompts: list[str]  # those evaluated, in the order of the completions
    kl_coefficient: float
    notes: list[str]  # what a person should know, a sentence each
    metrics: dict[str, float] = field(default_factory=dict)


def finetune(
    *,
    policy: GPT,
    tokenizer: Tokenizer,
    scorer: Scorer,
    prompts: Sequence[str],
    heldout_prompts: Sequence[str],
    config: FinetuneConfig,
    on_step: OnStep,
    should_stop: Callable[[], bool] = never,
) -> FinetuneResult:
    """Tune `policy` in place; the reference is a frozen copy of it as it comes in.

    `scorer` should have deviation about 1 on the policy's samples: the KL coefficient is in its unit.
    `on_step` gets `reward`, `reward_std`, `score`, `kl`, `kl_coefficient`, `entropy`, `frac_reward_zero_std`,
    `completions/mean_length`, `completions/clipped_ratio`, `num_tokens`, `learning_rate`, `gradient_norm` and
    `step_time`, and at each evaluation `heldout/reward` and `heldout/kl`. Raises InputError without prompts.
    """
    for name, given in (("prompts", prompts), ("heldout_prompts", heldout_prompts)):
        if not given:
            raise InputError(f"{name}: there is none; give at least one")
    tuning = _Tuning(policy, tokenizer, scorer, prompts, heldout_prompts, config)
    return tuning.run(on_step, should_stop)


class _Tuning:
    """The state of one fine-tune, from its first step to its last."""

    def __init__(  # noqa: PLR0917 - as finetune names them
        self,
        policy: GPT,
        tokenizer: Tokenizer,
        scorer: Scorer,
        prompts: Sequence[str],
        heldout_prompts: Sequence[str],
        config: FinetuneConfig,
    ) -> None:
        # Dropout stays off throughout: it would make the policy differ from what it samples and is scored as.
        self.policy = policy.eval()
        self.reference = copy.deepcopy(policy).requires_grad_(requires_grad=False)
        self.tokenizer, self.scorer, self.config = tokenizer, scorer, config
        rng = random.Random(config.seed)
        self.order = _endless(prompts, rng)
        self.heldout = rng.sample(list(heldout_prompts), min(len(heldout_prompts), config.heldout_prompts))
        self.generator = torch.Generator(policy.device).manual_seed(config.seed)
        # Top-k and top-p stay off: log-probabilities would describe another distribution than was sampled.
        self.sampling = SamplingConfig(temperature=config.temperature, max_new_tokens=config.max_new_tokens)
        self.optimizer = torch.optim.Adam(policy.parameters(), lr=config.learning_rate, eps=1e-5)
        self.coefficient = AdaptiveCoefficient(
            value=config.kl_coefficient, target=config.kl_target, horizon=config.kl_horizon
        )
        self.baseline: Tensor | None = None
        self.tokens_seen = 0
        self.diagnosis = Diagnosis(kl_budget=config.kl_budget)

    def run(self, on_step: OnStep, should_stop: Callable[[], bool]) -> FinetuneResult:
        config = self.config
        budget = Budget(minutes=config.minutes, steps=config.steps)
        before = best = self.evaluate(0)
        weights = copy.deepcopy(self.policy.state_dict())
        on_step(0, 0.0, {"heldout/reward": before.reward, "heldout/kl": before.kl})
        step, stopped = 0, None
        while stopped is None:
            if should_stop():
                stopped = "cancelled"
                break
            metrics = self.step(budget.progress(step))
            step += 1
            stopped = budget.exhausted(step)
            if not math.isfinite(metrics["gradient_norm"]):
                stopped = "diverged"
            elif stopped or step % config.evaluate_every == 0:
                found = self.evaluate(step)
                metrics |= {"heldout/reward": found.reward, "heldout/kl": found.kl}
                if found.reward > best.reward and found.kl <= config.kl_budget:
                    best, weights = found, copy.deepcopy(self.policy.state_dict())
            self.diagnosis.see(metrics)
            on_step(step, 1.0 if stopped else budget.progress(step), metrics)
        self.policy.load_state_dict(weights)
        return FinetuneResult(
            policy=self.policy,
            best_step=best.step,
            steps=step,
            stopped=stopped,
            before=before,
            after=best,
            heldout_prompts=self.heldout,
            kl_coefficient=self.coefficient.value,
            notes=self.diagnosis.notes(best_step=best.step, stopped=stopped),
            metrics={
                "reward_before": before.reward,
                "reward_after": best.reward,
                "kl": best.kl,
                "best_step": best.step,
                "kl_coefficient": self.coefficient.value,
                "num_tokens": self.tokens_seen,
                "seconds": budget.elapsed,
            },
        )

    def step(self, progress: float) -> dict[str, float]:
        """One batch, one update. Shapes: P prompts, K samples each, N = P x K sequences, L tokens at most."""
        config, begun = self.config, time.monotonic()

        # 1. Rollouts; their log-probabilities come with them.
        chosen = [next(self.order) for _ in range(config.prompts_per_step)]
        rollouts = self.sample(chosen, samples=config.samples_per_prompt, generator=self.generator)
        generation = rollouts.generation
        sampled, mask = generation.logprobs, generation.mask  # [N, L] both

        # 2. What the reference policy thinks of them. [N, L]
        with torch.no_grad():
            expected = self.logprobs(self.reference, rollouts)

        # 3. Rewards: the score of the whole text, less a penalty where it does not end, less the KL. k1 is
        #    unbiased, and summed over the sequence since nothing is discounted.
        scores = torch.tensor(self.scorer(*rollouts.texts), device=mask.device)  # [N]
        kl = k1(logprobs=sampled, reference_logprobs=expected).sum(dim=1)  # [N], 0 outside the mask
        penalty = config.missing_eos_penalty * (~generation.ended).float()
        rewards = scores - penalty - self.coefficient.value * kl  # [N]
        groups = rewards.view(config.prompts_per_step, config.samples_per_prompt)  # [P, K]

        # 4. Advantages. [P, K]
        baseline = groups.mean() if self.baseline is None else self.baseline
        advantages = ESTIMATORS[config.estimator](groups, baseline)
        self.baseline = move_baseline(self.baseline, groups)

        # 5. One update. Had the policy moved since sampling, a ratio would be due here; it has not.
        logprobs = self.logprobs(self.policy, rollouts)  # [N, L]
        loss = policy_gradient_loss(logprobs, mask, advantages.flatten())
        rate = config.learning_rate * (1 - progress)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), config.clip or math.inf)
        if norm.isfinite():
            self.optimizer.step()

        # 6. The price of KL follows the KL.
        mean_kl = kl.mean().item()
        self.coefficient.update(kl=mean_kl, episodes=len(kl))
        self.tokens_seen += int(mask.sum())
        quality = (scores - penalty).view_as(groups)
        return {
            "reward": rewards.mean().item(),
            "reward_std": rewards.std().item() if len(rewards) > 1 else 0.0,
            "frac_reward_zero_std": (quality.amax(dim=1) == quality.amin(dim=1)).float().mean().item(),
            "score": scores.mean().item(),
            "kl": mean_kl,
            "kl_coefficient": self.coefficient.value,
            # -log p of what was sampled: unbiased for the entropy per token, and free.
            "entropy": -(sampled.sum() / mask.sum()).item(),
            "logprob_error": (logprobs.detach() - sampled).abs().max().item(),
            "completions/mean_length": mask.sum(dim=1).float().mean().item(),
            "completions/clipped_ratio": 1 - generation.ended.float().mean().item(),
            "num_tokens": float(self.tokens_seen),
            "learning_rate": rate,
            "gradient_norm": norm.item(),
            "step_time": time.monotonic() - begun,
        }

    @torch.no_grad()
    def evaluate(self, step: int) -> Evaluation:
        """Measure the policy on the held-out prompts, by the same random numbers each time."""
        generator = torch.Generator(self.policy.device).manual_seed(self.config.seed + 1)
        rollouts = self.sample(self.heldout, samples=1, generator=generator)
        expected = self.logprobs(self.reference, rollouts)
        kl = k1(logprobs=rollouts.generation.logprobs, reference_logprobs=expected).sum(dim=1)
        scores = self.scorer(*rollouts.texts)
        return Evaluation(
            step=step,
            reward=math.fsum(scores) / len(scores),
            kl=kl.mean().item(),
            completions=rollouts.texts[1],
        )

    def sample(self, prompts: Sequence[str], *, samples: int, generator: torch.Generator) -> Rollouts:
        return sample(
            self.policy, self.tokenizer, prompts, self.sampling, samples=samples, generator=generator
        )

    def logprobs(self, model: GPT, rollouts: Rollouts) -> Tensor:
        """[N, L]; the temperature is that of sampling throughout."""
        return sequence_logprobs(
            model, rollouts.prompts, rollouts.completions, temperature=self.config.temperature
        )


def _endless(prompts: Sequence[str], rng: random.Random) -> Iterator[str]:
    """Every prompt once before any comes again, in a new order each time."""
    while True:
        yield from rng.sample(list(prompts), len(prompts))
