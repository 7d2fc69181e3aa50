"""Tune a policy against a scorer by policy gradient, at a price for leaving the reference policy.

One loop for every estimator: rollouts, what the reference policy says of them, rewards, advantages, one
update (of PPO, several), the price of KL. The estimators are the pure functions of `advantages`, the losses
those of `losses`. Every so often the policy is measured on held-out prompts, the best version inside the KL
budget is kept, and at the end the policy is rolled back to it.

Left out: discounting, since a text has one reward and an end. Top-k and top-p in rollouts, since
log-probabilities would describe another distribution than was sampled. Dropout, for the same reason.
"""

import copy
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from training.gpt.config import HardwareConfig, SamplingConfig
from training.gpt.devices import autocast, choose_device, choose_precision
from training.gpt.errors import InputError
from training.gpt.loop import Ended, Hooks, Limits, Stage, run_loop
from training.gpt.model import GPT
from training.gpt.parallel import Group, processes, whole_model
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_state import StateFolder, fill_module, module_tensors
from training.rlhf.advantages import (
    ESTIMATORS,
    gae,
    grpo_published,
    moments,
    move_baseline,
    per_token,
    token_rewards,
    whiten,
)
from training.rlhf.config import ControlConfig, FinetuneConfig
from training.rlhf.control import Control
from training.rlhf.diagnosis import Diagnosis
from training.rlhf.examiner import Examiner, Tuned, summary
from training.rlhf.kl import AdaptiveCoefficient, k1, k3
from training.rlhf.learner import Learner, Reader
from training.rlhf.losses import clipped_loss, kl_loss, policy_gradient_loss, value_loss
from training.rlhf.misreading import refuse_misreading
from training.rlhf.reward import RewardModel
from training.rlhf.rollouts import Rollouts, joined, sample, sequence_logprobs
from training.rlhf.scorers import Scorer
from training.rlhf.value import ValueNetwork

# What a training may go on with otherwise than it began: where and how fast, not what.
FREE = frozenset({"save_every", "parallel"})


def finetune(
    *,
    policy: GPT,
    tokenizer: Tokenizer,
    scorer: Scorer | RewardModel,
    prompts: Sequence[str],
    heldout_prompts: Sequence[str],
    config: FinetuneConfig,
    control: ControlConfig = ControlConfig(),  # noqa: B008 - frozen
    hardware: HardwareConfig = HardwareConfig(),  # noqa: B008
    gold: Scorer | None = None,
    folder: Path | None = None,
    hooks: Hooks = Hooks(),  # noqa: B008
) -> Tuned:
    """Tune `policy` in place; the reference is a frozen copy of it as it comes in.

    `scorer` should have deviation about 1 on the policy's samples: the KL coefficient is in its unit. PPO's
    value network begins from it if it is a reward model, else from the policy. `gold` is measured on held-out
    prompts, and nothing learns from it.

    With a `folder`, the training goes on from the state in it, if there is one: killed at any moment and
    called again alike, it gives on the CPU bit for bit the metrics of one that was never interrupted, if its
    budget is in steps. Under torchrun the processes share the prompts of each step.

    `on_step` gets, at each step, what `PolicyGradient.step` says, and at each evaluation (one stands before
    the first step) what `Evaluation.metrics` says. Raises InputError without prompts, for a batch that cannot
    be shared out, for scores that are no numbers, and where the policy reads its samples otherwise than it
    wrote them: nothing could be learned then.
    """
    if not prompts:
        raise InputError("prompts: there is none; give at least one")
    device = choose_device(hardware.device)
    reward = scorer if isinstance(scorer, RewardModel) else None
    if reward is not None:
        reward.to(device)
    with processes() as group:
        stage = PolicyGradient(
            policy.to(device),
            tokenizer=tokenizer,
            scorer=scorer.score if isinstance(scorer, RewardModel) else scorer,
            gold=gold,
            reward=reward,
            prompts=prompts,
            heldout_prompts=heldout_prompts,
            config=config,
            control=control,
            precision=choose_precision(hardware.precision, device),
            group=group,
        )
        ended = run_loop(
            stage,
            limits=Limits(minutes=config.minutes, steps=config.steps),
            every=control.evaluate_every,
            save_every=control.save_every,
            state=state_folder(folder, stage) if folder else None,
            group=group,
            hooks=hooks,
        )
        result = stage.result(ended)
        del stage  # The group ends after all that uses it.
        return result


class PolicyGradient(Stage):
    """One fine-tune, from its first step to its last."""

    def __init__(
        self,
        policy: GPT,
        *,
        tokenizer: Tokenizer,
        scorer: Scorer,
        prompts: Sequence[str],
        heldout_prompts: Sequence[str],
        config: FinetuneConfig,
        control: ControlConfig,
        precision: torch.dtype = torch.float32,
        gold: Scorer | None = None,
        reward: RewardModel | None = None,
        group: Group = Group(),  # noqa: B008 - frozen
    ) -> None:
        self.tokenizer, self.scorer, self.prompts = tokenizer, scorer, prompts
        self.config, self.precision, self.group = config, precision, group
        self.device = policy.device
        self.share = share_of_prompts(config, group)
        self.sampling = SamplingConfig(temperature=config.temperature, max_new_tokens=config.max_new_tokens)
        reference = copy.deepcopy(policy).requires_grad_(requires_grad=False).eval()
        self.reference = Reader(reference, temperature=config.temperature)
        self.policy = self.learner("policy", Reader(policy, temperature=config.temperature), policy)
        self.value: Learner | None = None
        if config.estimator == "ppo":
            network = ValueNetwork(value_trunk(reward, reference, tokenizer))
            self.value = self.learner("value", network, network.trunk, rate=config.value_learning_rate)
        self.examiner = Examiner(
            reference=reference,
            tokenizer=tokenizer,
            prompts=heldout_prompts,
            most=control.heldout_prompts,
            scorer=scorer,
            gold=gold,
            temperature=config.temperature,
            max_new_tokens=config.max_new_tokens,
            seed=config.seed,
        )
        # What changes from step to step, beside the weights.
        self.control = Control(control)
        self.diagnosis = Diagnosis(
            kl_budget=control.kl_budget,
            before=said_beforehand(tokenizer, reward),
        )
        self.coefficient = AdaptiveCoefficient(
            value=config.kl_coefficient, target=config.kl_target, horizon=config.kl_horizon
        )
        self.baseline: Tensor | None = None
        self.tokens_seen = 0
        self.best: dict[str, Tensor] = {}
        self.over: str | None = None

    def learner(self, name: str, module: torch.nn.Module, model: GPT, *, rate: float = 0.0) -> Learner:
        """A network that learns, by the options that policy and value network share."""
        config = self.config
        return Learner(
            name,
            module,
            model,
            rate=rate or config.learning_rate or usual_learning_rate(model),
            clip=config.clip,
            pieces=config.accumulate,
            precision=self.precision,
            parallel=config.parallel,
            group=self.group,
        )

    def step(self, number: int, progress: float) -> dict[str, float]:
        """One batch. Shapes: P prompts, K samples each, N = P x K sequences, L tokens at most.

        KL, entropy and length are per sequence, in nats and tokens.
        """
        config, begun, beta = self.config, time.monotonic(), self.coefficient.value

        # 1. Rollouts; their log-probabilities come with them. [N, L]
        rollouts = self.write(number)
        generation, mask = rollouts.generation, rollouts.generation.mask
        # In bf16, writing token by token and reading at once differ by 2e-2, enough for a clip to bite.
        reread = config.updates > 1 and self.precision != torch.float32
        sampled = self.policy.read(rollouts) if reread else generation.logprobs

        # 2. What the reference policy thinks of them, and what the value network expects. [N, L]
        expected = self.read_reference(rollouts)
        values = self.value.read(rollouts) if self.value else torch.zeros_like(expected)

        # 3. Rewards: the score of the whole text, less a penalty where it does not end, less the KL unless it
        #    is in the loss. k1 is unbiased, and summed over the sequence since nothing is discounted.
        scores = finite(self.scorer(*rollouts.texts), rollouts).to(mask.device)  # [N]
        quality = scores - config.missing_eos_penalty * (~generation.ended).float()  # [N]
        kl = k1(logprobs=sampled, reference_logprobs=expected)  # [N, L], 0 outside the mask
        charges = beta * kl if config.kl_in == "reward" else torch.zeros_like(kl)  # [N, L]
        rewards = quality - charges.sum(dim=1)  # [N]

        # 4. Advantages of each token. [N, L]
        mean_reward = self.group.mean(rewards.mean())
        if self.value:
            raw = gae(token_rewards(quality, charges, mask), values, mask, decay=config.gae_decay)
            returns = raw + values
            advantages = whiten(raw, mask, self.group.mean(moments(raw, mask)))
        else:
            groups = rewards.view(-1, config.samples_per_prompt)  # [P, K]
            published = config.estimator == "grpo" and config.grpo_divisor == "published"
            estimator = grpo_published if published else ESTIMATORS[config.estimator]
            found = estimator(groups, mean_reward if self.baseline is None else self.baseline)
            advantages = per_token(found, mask, by_length=published)
        self.baseline = move_baseline(self.baseline, mean_reward)

        # 5. Updates. The first needs neither ratio nor clip: the policy is still the one that sampled.
        figures = batch_figures(
            rollouts, scores=scores, quality=quality, rewards=rewards, kl=kl, k=config.samples_per_prompt
        )
        for update in range(config.updates):
            loss = self.policy_loss(
                sampled=None if update == 0 else sampled,
                expected=expected if config.kl_in == "loss" else None,
                advantages=advantages,
                mask=mask,
            )
            said, norm = self.policy.learn(rollouts, loss, share=1 - progress)  # [N, L]
            if update == 0:
                figures["logprob_error"] = self.group.mean((said - sampled).abs().max())
                if number == 0:
                    self.check_reading(rollouts, figures["logprob_error"].item())
            else:
                figures |= update_figures(said, sampled=sampled, mask=mask, clip=config.ratio_clip)
            if self.value:
                errors = self.value_loss(values=values, returns=returns, mask=mask)
                _, value_norm = self.value.learn(rollouts, errors, share=1 - progress)
                norm = torch.maximum(norm, value_norm) if value_norm.isfinite() else value_norm
        if not norm.isfinite():
            self.over = "diverged"

        # 6. The price of KL follows the KL.
        if self.value:
            figures |= value_figures(values, returns=returns, mask=mask)
        metrics = self.agreed(figures)
        self.coefficient.update(kl=metrics["kl"], episodes=len(kl) * self.group.size)
        self.tokens_seen += round(metrics["completions/mean_length"] * len(kl) * self.group.size)
        metrics |= {
            "kl_coefficient": self.coefficient.value,
            "num_tokens": float(self.tokens_seen),
            "learning_rate": self.policy.rate * (1 - progress),
            "gradient_norm": norm.item(),
            "step_time": time.monotonic() - begun,
        }
        self.diagnosis.see(metrics)
        return metrics
