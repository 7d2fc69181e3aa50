"""Tune a policy against a scorer by policy gradient, at a price for leaving the reference policy.

One loop for every estimator: rollouts, what the reference policy says of them, rewards, advantages, one
update (of PPO, several), the price of KL. The estimators are the pure functions of `advantages`, the losses
those of `losses`. Every so often the policy is measured on held-out prompts, the best version inside the KL
budget is kept, and at the end the policy is rolled back to it.

Left out: discounting, since a text has one reward and an end. Top-k and top-p in rollouts, since
log-probabilities would describe another distribution than was sampled. Dropout, for the same reason.
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from training.gpt.budget import TrainingBudget
from training.gpt.config import HardwareConfig, SamplingConfig
from training.gpt.devices import autocast, choose_device, choose_precision
from training.gpt.distributed import ProcessGroup, full_model, process_group
from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Callbacks, LoopResult, Sample, Trainer, run_training_loop
from training.gpt.training_state import StateFolder, module_digest
from training.rlhf.config import EarlyStoppingConfig, FinetuneConfig
from training.rlhf.kl import AdaptiveKLController, k1
from training.rlhf.losses import clipped_policy_loss, kl_loss, policy_gradient_loss, value_loss
from training.rlhf.reward.reward_model import BaseRewardModel
from training.rlhf.reward.tokenizer_coverage import tokenizer_coverage
from training.rlhf.scorers import Scorer
from training.rlhf.tuning.advantages import (
    ESTIMATORS,
    expand_to_tokens,
    gae,
    grpo_published,
    moments,
    token_rewards,
    update_baseline,
    whiten,
)
from training.rlhf.tuning.checkpoint_selection import CheckpointSelector
from training.rlhf.tuning.heldout_evaluation import HeldoutEvaluator, TuningResult
from training.rlhf.tuning.learner import (
    Learner,
    LogprobModel,
    LossOf,
    default_learning_rate,
    out_of_memory_hint,
    read,
)
from training.rlhf.tuning.metrics import batch_metrics, entropy_per_token, update_metrics, value_metrics
from training.rlhf.tuning.prompt_sampler import generator_at, prompt_at, share_of_prompts
from training.rlhf.tuning.rollouts import (
    Rollouts,
    joined,
    reference_logprobs_and_rewards,
    sample,
    shared_trunk,
)
from training.rlhf.tuning.sanity_checks import (
    LOGPROB_TOLERANCE,
    SanityChecks,
    check_finite_scores,
    diagnose_logprob_mismatch,
    tokenizer_notes,
)
from training.rlhf.tuning.value_network import ValueNetwork, initial_value_trunk

DIVERGED = "diverged"
FREE = frozenset({"save_every", "parallel", "accumulate"})
"""What a tuning may go on with otherwise than it began: where and how fast, and by how many processes."""


def finetune(
    *,
    policy: GPT,
    tokenizer: Tokenizer,
    scorer: Scorer | BaseRewardModel,
    prompts: Sequence[str],
    heldout_prompts: Sequence[str],
    config: FinetuneConfig,
    control: EarlyStoppingConfig = EarlyStoppingConfig(),  # noqa: B008 - frozen
    hardware: HardwareConfig = HardwareConfig(),  # noqa: B008
    gold: Scorer | None = None,
    folder: Path | None = None,
    callbacks: Callbacks = Callbacks(),  # noqa: B008
) -> TuningResult:
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
    policy = policy.to(device)
    judge = scorer.to(device) if isinstance(scorer, BaseRewardModel) else None
    state = None
    if folder:
        texts = "\0".join([*prompts, "", *heldout_prompts]).encode()
        inputs = {"policy": module_digest(policy), "prompts": blake2b(texts, digest_size=16).hexdigest()}
        inputs |= {"reward": module_digest(judge)} if judge else {}
        state = StateFolder(folder, (config, control), inputs, FREE)
    with process_group() as group, out_of_memory_hint(config):
        stage = PolicyGradient(
            policy,
            tokenizer=tokenizer,
            scorer=scorer,
            gold=gold,
            prompts=prompts,
            heldout_prompts=heldout_prompts,
            config=config,
            control=control,
            precision=choose_precision(hardware.precision, device),
            group=group,
        )
        ended = run_training_loop(
            stage,
            budget=TrainingBudget(minutes=config.minutes, steps=config.steps),
            evaluate_every=control.evaluate_every,
            save_every=control.save_every,
            state=state,
            group=group,
            callbacks=callbacks,
        )
        result = stage.result(ended)
        del stage  # The group ends after all that uses it.
        return result


class PolicyGradient(Trainer):
    """One fine-tune, from its first step to its last."""

    def __init__(
        self,
        policy: GPT,
        *,
        tokenizer: Tokenizer,
        scorer: Scorer | BaseRewardModel,
        prompts: Sequence[str],
        heldout_prompts: Sequence[str],
        config: FinetuneConfig,
        control: EarlyStoppingConfig,
        precision: torch.dtype = torch.float32,
        gold: Scorer | None = None,
        group: ProcessGroup = ProcessGroup(),  # noqa: B008 - frozen
    ) -> None:
        judge = scorer if isinstance(scorer, BaseRewardModel) else None
        self.scorer = judge.scorer(config.ensemble) if judge else scorer
        self.tokenizer, self.prompts = tokenizer, prompts
        self.config, self.precision, self.group = config, precision, group
        self.device = policy.device
        self.share = share_of_prompts(
            config.prompts_per_step, pieces=config.accumulate, rank=group.rank, size=group.world_size
        )
        self.sampling = SamplingConfig(temperature=config.temperature, max_new_tokens=config.max_new_tokens)
        reference = copy.deepcopy(policy).requires_grad_(requires_grad=False).eval()
        self.reference = LogprobModel(reference, temperature=config.temperature)
        self.headed = shared_trunk(judge, reference)  # reward and reference then share a pass
        self.policy = self.learner("policy", LogprobModel(policy, temperature=config.temperature), policy)
        self.value: Learner | None = None
        if config.estimator == "ppo":
            network = ValueNetwork(initial_value_trunk(judge, policy=reference, tokenizer=tokenizer))
            self.value = self.learner("value", network, network.trunk, rate=config.value_learning_rate)
        examiner = HeldoutEvaluator(
            reference=reference,
            tokenizer=tokenizer,
            prompts=heldout_prompts,
            most=control.heldout_prompts,
            scorer=self.scorer,
            gold=gold,
            disagreement=judge.disagreement if judge and judge.members > 1 else None,
            temperature=config.temperature,
            max_new_tokens=config.max_new_tokens,
            seed=config.seed,
        )
        # What changes from step to step, beside the weights.
        self.watch = CheckpointSelector(policy, examiner, control, group=group)
        self.diagnosis = SanityChecks(
            kl_budget=control.kl_budget, compares_groups=config.estimator in {"rloo", "grpo"}
        )
        self.notes = tokenizer_notes(tokenizer, judge.tokenizer if judge else tokenizer)
        if judge:
            self.notes += tokenizer_coverage(judge, prompts, [""] * len(prompts)).warnings("the prompts")
        self.coefficient = AdaptiveKLController(
            value=config.kl_coefficient, target=config.kl_target, horizon=config.kl_horizon
        )
        self.baseline: Tensor | None = None
        self.tokens_seen = 0
        self.stop_reason: str | None = None

    def learner(self, name: str, module: nn.Module, model: GPT, *, rate: float = 0.0) -> Learner:
        """A network that learns, by the options that policy and value network share."""
        config = self.config
        return Learner(
            name,
            module,
            model,
            rate=rate or config.learning_rate or default_learning_rate(model, updates=config.updates),
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
        if number == 0:
            self.check_reading(rollouts)
        # In bf16, writing token by token and reading at once differ by 2e-2, enough for a clip to bite.
        reread = config.updates > 1 and self.precision != torch.float32
        sampled = self.policy.read(rollouts) if reread else generation.logprobs

        # 2. What the reference policy thinks of them, and what the value network expects. [N, L]
        expected, scored = self.refer(rollouts)
        values = self.value.read(rollouts) if self.value else torch.zeros_like(expected)

        # 3. Rewards: the score of the whole text, less a penalty where it does not end, less the KL unless it
        #    is in the loss. k1 is unbiased, and summed over the sequence since nothing is discounted.
        scores = torch.tensor(scored, device=mask.device)  # [N]
        check_finite_scores(scores.tolist(), rollouts.texts[1])
        quality = scores - config.missing_eos_penalty * (~generation.ended).float()  # [N]
        kl = k1(logprobs=sampled, reference_logprobs=expected)  # [N, L], 0 outside the mask
        kl_penalties = beta * kl if config.kl_in == "reward" else torch.zeros_like(kl)  # [N, L]
        rewards = quality - kl_penalties.sum(dim=1)  # [N]

        # 4. Advantages of each token. [N, L]
        mean_reward = self.group.all_reduce_mean(rewards.mean())
        if self.value:
            raw = gae(token_rewards(quality, kl_penalties, mask), values, mask, decay=config.gae_decay)
            returns = raw + values
            everywhere = self.group.all_reduce_mean(moments(raw, mask))
            advantages = whiten(raw, mask, everywhere, scaled=config.kl_in == "reward")
        else:
            groups = rewards.view(-1, config.samples_per_prompt)  # [P, K]
            published = config.estimator == "grpo" and config.grpo_divisor == "published"
            estimator = grpo_published if published else ESTIMATORS[config.estimator]
            found = estimator(groups, mean_reward if self.baseline is None else self.baseline)
            advantages = expand_to_tokens(found, mask, by_length=published)
        self.baseline = update_baseline(self.baseline, mean_reward)

        # 5. Updates. The first needs neither ratio nor clip: the policy is still the one that sampled.
        figures = batch_metrics(
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
                figures["logprob_error"] = (said - sampled).abs().max()
            else:
                figures |= update_metrics(said, sampled=sampled, mask=mask, clip=config.ratio_clip)
            if self.value:
                errors = self.value_loss(values=values, returns=returns, mask=mask)
                _, value_norm = self.value.learn(rollouts, errors, share=1 - progress)
                figures |= value_metrics(values, returns=returns, mask=mask, norm=value_norm)
        if not norm.isfinite():
            self.stop_reason = DIVERGED

        # 6. The price of KL follows the KL.
        metrics = self.agreed(figures)
        if self.stop_reason is None:
            self.coefficient.update(kl=metrics["kl"], episodes=len(kl) * self.group.world_size)
        self.tokens_seen += round(metrics["completions/mean_length"] * len(kl) * self.group.world_size)
        metrics |= {
            "entropy": entropy_per_token(metrics),
            "kl_coefficient": self.coefficient.value,
            "num_tokens": float(self.tokens_seen),
            "learning_rate": self.policy.rate * (1 - progress),
            "gradient_norm": norm.item(),
            "step_time": time.monotonic() - begun,
        }
        self.diagnosis.see(metrics)
        return metrics

    def write(self, number: int) -> Rollouts:
        """This process's share of the rollouts of a step, a piece at a time.

        Each piece has random numbers of its own, from the seed, the step and its place in the batch, so that
        nothing depends on what happened before, nor on which process writes it.
        """
        config, pieces = self.config, []
        policy = full_model(self.policy.model)
        for place in self.share:
            first = number * config.prompts_per_step + place
            chosen = [
                self.prompts[prompt_at(index, count=len(self.prompts), seed=config.seed)]
                for index in range(first, first + self.share.step)
            ]
            with autocast(self.device, self.precision):
                pieces.append(
                    sample(
                        policy,
                        self.tokenizer,
                        chosen,
                        self.sampling,
                        samples=config.samples_per_prompt,
                        generator=generator_at(first, seed=config.seed, device=self.device),
                    )
                )
        return joined(pieces)

    def refer(self, rollouts: Rollouts) -> tuple[Tensor, list[float]]:
        """What the reference policy says of each token [N, L], and the score of each completion [N]."""
        config, reference = self.config, self.reference
        if self.headed is None:
            expected = read(reference, rollouts, pieces=config.accumulate, precision=self.precision)
            return expected, list(self.scorer(*rollouts.texts))
        return reference_logprobs_and_rewards(
            self.headed,
            reference.model,
            rollouts,
            temperature=config.temperature,
            aggregation=config.ensemble,
            pieces=config.accumulate,
            precision=self.precision,
        )

    def check_reading(self, rollouts: Rollouts) -> None:
        """Raise InputError if the policy reads its first samples otherwise than it wrote them."""
        wrong = (self.policy.read(rollouts) - rollouts.generation.logprobs).abs().max()
        if self.group.all_reduce_mean(wrong) > LOGPROB_TOLERANCE[self.precision]:
            reader = LogprobModel(full_model(self.policy.model), temperature=self.config.temperature)
            raise InputError(diagnose_logprob_mismatch(reader, rollouts))

    def policy_loss(
        self, *, sampled: Tensor | None, expected: Tensor | None, advantages: Tensor, mask: Tensor
    ) -> LossOf:
        """What the policy minimises: with `sampled`, by ratio and clip; with `expected`, the KL in it too."""
        beta = self.coefficient.value

        def loss_of(rows: slice, logprobs: Tensor) -> Tensor:
            if sampled is None:
                loss = policy_gradient_loss(logprobs, mask[rows], advantages[rows])
            else:
                loss = clipped_policy_loss(
                    logprobs,
                    sampled=sampled[rows],
                    mask=mask[rows],
                    advantages=advantages[rows],
                    clip=self.config.ratio_clip,
                )
            if expected is not None:
                loss = loss + beta * kl_loss(logprobs, reference_logprobs=expected[rows], mask=mask[rows])
            return loss

        return loss_of

    def value_loss(self, *, values: Tensor, returns: Tensor, mask: Tensor) -> LossOf:
        """What the value network minimises."""
        return lambda rows, now: value_loss(
            now, old=values[rows], returns=returns[rows], mask=mask[rows], clip=self.config.value_clip
        )

    def agreed(self, figures: Mapping[str, Tensor]) -> dict[str, float]:
        """The means over all processes."""
        means = self.group.all_reduce_mean(torch.stack([each.double().cpu() for each in figures.values()]))
        return dict(zip(figures, means.tolist(), strict=True))

    def evaluate(self, number: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """Measure on the held-out prompts, and keep the weights of the best version inside the KL budget."""
        if self.stop_reason == DIVERGED:
            return {}  # nothing can be sampled
        metrics = self.watch.evaluate(number, should_stop)
        self.stop_reason = self.stop_reason or self.watch.control.stop_reason
        return metrics

    def generate_samples(self, number: int) -> list[Sample]:
        """What the policy wrote to the first of the held-out prompts."""
        return self.watch.generate_samples(number)

    def values(self) -> dict[str, Any]:
        """The coefficient of the KL, the baseline, what was seen and the best so far."""
        return {
            "kl_coefficient": self.coefficient.value,
            "baseline": None if self.baseline is None else self.baseline.item(),
            "tokens_seen": self.tokens_seen,
            "over": self.stop_reason,
            "watch": self.watch.control.values(),
            "diagnosis": self.diagnosis.values(),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Policy, value network, what their optimisers remember, and the best weights."""
        value = self.value.tensors() if self.value else {}
        return {**self.policy.tensors(), **value, **self.watch.best}

    def restore(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        self.coefficient.value = values["kl_coefficient"]
        kept = values["baseline"]
        self.baseline = None if kept is None else torch.tensor(kept, device=self.device)
        self.tokens_seen, self.stop_reason = values["tokens_seen"], values["over"]
        self.watch.restore(values["watch"], tensors)
        self.diagnosis.restore(values["diagnosis"])
        self.policy.restore(tensors)
        if self.value:
            self.value.restore(tensors)

    def result(self, ended: LoopResult) -> TuningResult:
        """Roll back to the best version, and say what the tuning came to."""
        best = self.watch.control.best
        return self.watch.roll_back(
            ended,
            notes=self.notes
            + self.diagnosis.notes(best_step=best.step if best else 0, stop_reason=ended.stop_reason),
            metrics={"kl_coefficient": self.coefficient.value, "num_tokens": float(self.tokens_seen)},
        )
