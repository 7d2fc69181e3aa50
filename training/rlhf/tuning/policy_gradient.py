"""Tuning a policy against a reward by policy gradient, with a KL penalty to the reference policy.

One loop for all estimators: rollouts, log-probabilities by the reference policy, rewards, advantages, one
update (PPO: several), the KL coefficient. The estimators are pure functions in `advantages`, the losses are
in `losses`. The policy is evaluated regularly on held-out prompts; the best checkpoint inside the KL budget
is kept, and loaded at the end.

Left out: discounting, since a text has a single reward at its end. Top-k, top-p and dropout in rollouts,
since log-probabilities would be those of another distribution than was sampled from.
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
from training.gpt.distributed import ProcessGroup, full_model, process_group, shard_batch
from training.gpt.errors import InputError
from training.gpt.generation.prompts import sift_prompts
from training.gpt.model import GPT
from training.gpt.random_seeds import seeded_generator, shuffled_index
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Callbacks, LoopResult, Sample, Trainer, run_training_loop
from training.gpt.training_state import StateFolder, module_digest
from training.rlhf.config import EarlyStoppingConfig, FinetuneConfig
from training.rlhf.kl import AdaptiveKLController, k1
from training.rlhf.losses import clipped_policy_loss, kl_loss, policy_gradient_loss, value_loss
from training.rlhf.reward.reward_model import BaseRewardModel
from training.rlhf.reward.tokenizer_coverage import tokenizer_coverage
from training.rlhf.reward_functions import Scorer
from training.rlhf.tuning.advantages import (
    ESTIMATORS,
    expand_to_tokens,
    gae,
    grpo_published,
    masked_moments,
    token_rewards,
    update_baseline,
    whiten,
)
from training.rlhf.tuning.checkpoint_selection import CheckpointSelector
from training.rlhf.tuning.heldout_evaluation import HeldoutEvaluator, TuningResult
from training.rlhf.tuning.learner import (
    Learner,
    LogprobModel,
    LossFunction,
    default_learning_rate,
    out_of_memory_hint,
    predict,
)
from training.rlhf.tuning.metrics import batch_metrics, entropy_per_token, update_metrics, value_metrics
from training.rlhf.tuning.rollouts import (
    Rollouts,
    concatenate_rollouts,
    reference_logprobs_and_rewards,
    reward_model_on_trunk,
    sample,
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
"""Options that may change when a tuning is resumed: they change where and how fast, not what."""


def finetune(
    *,
    policy: GPT,
    tokenizer: Tokenizer,
    scorer: Scorer | BaseRewardModel,
    prompts: Sequence[str],
    heldout_prompts: Sequence[str],
    config: FinetuneConfig,
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig(),  # noqa: B008 - frozen
    hardware: HardwareConfig = HardwareConfig(),  # noqa: B008
    gold: Scorer | None = None,
    folder: Path | None = None,
    callbacks: Callbacks = Callbacks(),  # noqa: B008
) -> TuningResult:
    """Tune `policy` in place; the reference is a frozen copy of the policy before tuning.

    `scorer` should have deviation about 1 on the policy's samples: the KL coefficient is in its unit. PPO's
    value network is initialised from it if it is a reward model, else from the policy. `gold` is measured on
    held-out prompts only.

    With a `folder`, the training resumes from the state in it, if there is one. A training that was killed
    and called again alike gives on the CPU bit for bit the same metrics, if its budget is in steps. Under
    torchrun the processes share the prompts of each step.

    `on_step` gets, at each step, the metrics of `PolicyGradientTrainer.step`, and at each evaluation (the
    first is before the first step) `Evaluation.metrics`. Prompts that leave no room in the context are left
    out, with a note. Raises InputError if none is left, for a batch that does not divide evenly, for scores
    that are not finite, and if the log-probabilities of the policy's samples do not match those of sampling.
    """
    if not prompts:
        raise InputError("prompts: there is none; give at least one")
    sifted = sift_prompts(tokenizer, prompts, context=policy.config.context)
    device = choose_device(hardware.device)
    policy = policy.to(device)
    reward_model = scorer.to(device) if isinstance(scorer, BaseRewardModel) else None
    state = None
    if folder:
        texts = "\0".join([*prompts, "", *heldout_prompts]).encode()
        inputs = {"policy": module_digest(policy), "prompts": blake2b(texts, digest_size=16).hexdigest()}
        inputs |= {"reward": module_digest(reward_model)} if reward_model else {}
        state = StateFolder(folder, (config, early_stopping), inputs, FREE)
    with process_group() as group, out_of_memory_hint(config):
        trainer = PolicyGradientTrainer(
            policy,
            tokenizer=tokenizer,
            scorer=scorer,
            gold=gold,
            prompts=sifted.kept,
            heldout_prompts=heldout_prompts,
            config=config,
            early_stopping=early_stopping,
            precision=choose_precision(hardware.precision, device),
            group=group,
        )
        loop_result = run_training_loop(
            trainer,
            budget=TrainingBudget(minutes=config.minutes, steps=config.steps),
            evaluate_every=early_stopping.evaluate_every,
            save_every=early_stopping.save_every,
            state=state,
            group=group,
            callbacks=callbacks,
        )
        result = trainer.result(loop_result, notes=sifted.notes)
        del trainer  # it uses the process group, which ends here
        return result


class PolicyGradientTrainer(Trainer):
    """A fine-tune by policy gradient, driven by `run_training_loop`."""

    def __init__(
        self,
        policy: GPT,
        *,
        tokenizer: Tokenizer,
        scorer: Scorer | BaseRewardModel,
        prompts: Sequence[str],
        heldout_prompts: Sequence[str],
        config: FinetuneConfig,
        early_stopping: EarlyStoppingConfig,
        precision: torch.dtype = torch.float32,
        gold: Scorer | None = None,
        group: ProcessGroup = ProcessGroup(),  # noqa: B008 - frozen
    ) -> None:
        reward_model = scorer if isinstance(scorer, BaseRewardModel) else None
        self.scorer = reward_model.scorer(config.ensemble) if reward_model else scorer
        self.tokenizer, self.prompts = tokenizer, prompts
        self.config, self.precision, self.group = config, precision, group
        self.device = policy.device
        self.micro_batches = shard_batch(
            config.prompts_per_step, accumulate=config.accumulate, group=group, option="prompts_per_step"
        )
        self.sampling = SamplingConfig(temperature=config.temperature, max_new_tokens=config.max_new_tokens)
        reference = copy.deepcopy(policy).requires_grad_(requires_grad=False).eval()
        self.reference = LogprobModel(reference, temperature=config.temperature)
        # A reward model on the reference's trunk: both then share a forward pass.
        self.shared_trunk_model = reward_model_on_trunk(reward_model, reference)
        self.policy = self.build_learner(
            "policy", LogprobModel(policy, temperature=config.temperature), policy
        )
        self.value: Learner | None = None
        if config.estimator == "ppo":
            network = ValueNetwork(initial_value_trunk(reward_model, policy=reference, tokenizer=tokenizer))
            self.value = self.build_learner(
                "value", network, network.trunk, learning_rate=config.value_learning_rate
            )
        evaluator = HeldoutEvaluator(
            reference=reference,
            tokenizer=tokenizer,
            prompts=heldout_prompts,
            max_prompts=early_stopping.heldout_prompts,
            scorer=self.scorer,
            gold=gold,
            disagreement=reward_model.disagreement if reward_model and reward_model.members > 1 else None,
            temperature=config.temperature,
            max_new_tokens=config.max_new_tokens,
            seed=config.seed,
        )
        # The state beside the weights.
        self.selector = CheckpointSelector(policy, evaluator, early_stopping, group=group)
        self.sanity_checks = SanityChecks(
            kl_budget=early_stopping.kl_budget, compares_groups=config.estimator in {"rloo", "grpo"}
        )
        self.notes = tokenizer_notes(tokenizer, reward_model.tokenizer if reward_model else tokenizer)
        if reward_model:
            coverage = tokenizer_coverage(reward_model, prompts, [""] * len(prompts))
            self.notes += coverage.warnings("the prompts")
        self.kl_controller = AdaptiveKLController(
            value=config.kl_coefficient, target=config.kl_target, horizon=config.kl_horizon
        )
        self.baseline: Tensor | None = None
        self.tokens_seen = 0
        self.stop_reason: str | None = None

    def build_learner(
        self, name: str, module: nn.Module, model: GPT, *, learning_rate: float = 0.0
    ) -> Learner:
        """A learner with the options that policy and value network share."""
        config = self.config
        return Learner(
            name,
            module,
            model,
            learning_rate=learning_rate
            or config.learning_rate
            or default_learning_rate(model, updates=config.updates),
            clip=config.clip,
            accumulate=config.accumulate,
            precision=self.precision,
            parallel=config.parallel,
            group=self.group,
        )

    def step(self, number: int, progress: float) -> dict[str, float]:
        """One batch. Shapes: P prompts, K samples each, N = P x K sequences, L tokens at most.

        KL, entropy and length are per sequence, in nats and tokens.
        """
        config, started, beta = self.config, time.monotonic(), self.kl_controller.value

        # 1. Rollouts with the log-probabilities of sampling. [N, L]
        rollouts = self.sample_rollouts(number)
        generation, mask = rollouts.generation, rollouts.generation.mask
        if number == 0:
            self.check_logprobs(rollouts)
        # In bf16, sampling token by token and one forward pass differ by 2e-2, enough for a clip to matter.
        recompute = config.updates > 1 and self.precision != torch.float32
        sampled = self.policy.predict(rollouts) if recompute else generation.logprobs

        # 2. Log-probabilities by the reference policy, scores, and values. [N, L]
        reference_logprobs, score_list = self.score_rollouts(rollouts)
        values = self.value.predict(rollouts) if self.value else torch.zeros_like(reference_logprobs)

        # 3. Rewards: the score of the text, minus a penalty for a missing end, minus the KL penalty unless it
        #    is in the loss. k1 is unbiased, and summed over the sequence since nothing is discounted.
        scores = torch.tensor(score_list, device=mask.device)  # [N]
        check_finite_scores(scores.tolist(), rollouts.texts[1])
        quality = scores - config.missing_eos_penalty * (~generation.ended).float()  # [N]
        kl = k1(logprobs=sampled, reference_logprobs=reference_logprobs)  # [N, L], 0 outside the mask
        kl_penalties = beta * kl if config.kl_in == "reward" else torch.zeros_like(kl)  # [N, L]
        rewards = quality - kl_penalties.sum(dim=1)  # [N]

        # 4. Advantages of each token. [N, L]
        mean_reward = self.group.all_reduce_mean(rewards.mean())
        if self.value:
            raw = gae(token_rewards(quality, kl_penalties, mask), values, mask, decay=config.gae_decay)
            returns = raw + values
            moments = self.group.all_reduce_mean(masked_moments(raw, mask))
            advantages = whiten(raw, mask, moments, scaled=config.kl_in == "reward")
        else:
            groups = rewards.view(-1, config.samples_per_prompt)  # [P, K]
            published = config.estimator == "grpo" and config.grpo_divisor == "published"
            estimator = grpo_published if published else ESTIMATORS[config.estimator]
            by_sample = estimator(groups, mean_reward if self.baseline is None else self.baseline)
            advantages = expand_to_tokens(by_sample, mask, by_length=published)
        self.baseline = update_baseline(self.baseline, mean_reward)

        # 5. Updates. The first needs no ratio and no clip: the policy is the one that sampled.
        tensors = batch_metrics(
            rollouts, scores=scores, quality=quality, rewards=rewards, kl=kl, k=config.samples_per_prompt
        )
        for update in range(config.updates):
            loss = self.policy_loss(
                sampled=None if update == 0 else sampled,
                reference_logprobs=reference_logprobs if config.kl_in == "loss" else None,
                advantages=advantages,
                mask=mask,
            )
            logprobs, norm = self.policy.update(rollouts, loss, lr_factor=1 - progress)  # [N, L]
            if update == 0:
                tensors["logprob_error"] = (logprobs - sampled).abs().max()
            else:
                tensors |= update_metrics(logprobs, sampled=sampled, mask=mask, clip=config.ratio_clip)
            if self.value:
                errors = self.value_loss(values=values, returns=returns, mask=mask)
                _, value_norm = self.value.update(rollouts, errors, lr_factor=1 - progress)
                tensors |= value_metrics(values, returns=returns, mask=mask, norm=value_norm)
        if not norm.isfinite():
            self.stop_reason = DIVERGED

        # 6. The KL coefficient follows the KL.
        metrics = self.mean_over_processes(tensors)
        sequences = len(kl) * self.group.world_size
        if self.stop_reason is None:
            self.kl_controller.update(kl=metrics["kl"], episodes=sequences)
        self.tokens_seen += round(metrics["completions/mean_length"] * sequences)
        metrics |= {
            "entropy": entropy_per_token(metrics),
            "kl_coefficient": self.kl_controller.value,
            "num_tokens": float(self.tokens_seen),
            "learning_rate": self.policy.learning_rate * (1 - progress),
            "gradient_norm": norm.item(),
            "step_time": time.monotonic() - started,
        }
        self.sanity_checks.update(metrics)
        return metrics

    def sample_rollouts(self, number: int) -> Rollouts:
        """This process's part of the rollouts of a step, one micro-batch at a time.

        Each micro-batch has its own random numbers, from the seed and its index in the order of prompts, so
        that they do not depend on earlier steps or on the number of processes.
        """
        config, micro_batches = self.config, []
        policy = full_model(self.policy.model)
        for start in self.micro_batches:
            first = number * config.prompts_per_step + start
            prompts = [
                self.prompts[shuffled_index(index, count=len(self.prompts), seed=config.seed)]
                for index in range(first, first + self.micro_batches.step)
            ]
            with autocast(self.device, self.precision):
                micro_batches.append(
                    sample(
                        policy,
                        self.tokenizer,
                        prompts,
                        self.sampling,
                        samples=config.samples_per_prompt,
                        generator=seeded_generator(config.seed, first, device=self.device),
                    )
                )
        return concatenate_rollouts(micro_batches)

    def score_rollouts(self, rollouts: Rollouts) -> tuple[Tensor, list[float]]:
        """The reference policy's log-probability of each token [N, L], and each completion's score [N]."""
        config, reference = self.config, self.reference
        if self.shared_trunk_model is None:
            logprobs = predict(reference, rollouts, accumulate=config.accumulate, precision=self.precision)
            return logprobs, list(self.scorer(*rollouts.texts))
        return reference_logprobs_and_rewards(
            self.shared_trunk_model,
            reference.model,
            rollouts,
            temperature=config.temperature,
            aggregation=config.ensemble,
            accumulate=config.accumulate,
            precision=self.precision,
        )

    def check_logprobs(self, rollouts: Rollouts) -> None:
        """Raise InputError if the first samples' log-probabilities do not match those of sampling."""
        error = (self.policy.predict(rollouts) - rollouts.generation.logprobs).abs().max()
        if self.group.all_reduce_mean(error) > LOGPROB_TOLERANCE[self.precision]:
            model = LogprobModel(full_model(self.policy.model), temperature=self.config.temperature)
            raise InputError(diagnose_logprob_mismatch(model, rollouts))

    def policy_loss(
        self,
        *,
        sampled: Tensor | None,
        reference_logprobs: Tensor | None,
        advantages: Tensor,
        mask: Tensor,
    ) -> LossFunction:
        """The loss of the policy: with ratio and clip if `sampled`, with the KL if `reference_logprobs`."""
        beta = self.kl_controller.value

        def loss_function(rows: slice, logprobs: Tensor) -> Tensor:
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
            if reference_logprobs is not None:
                loss = loss + beta * kl_loss(
                    logprobs, reference_logprobs=reference_logprobs[rows], mask=mask[rows]
                )
            return loss

        return loss_function

    def value_loss(self, *, values: Tensor, returns: Tensor, mask: Tensor) -> LossFunction:
        """The loss of the value network."""
        return lambda rows, now: value_loss(
            now, old=values[rows], returns=returns[rows], mask=mask[rows], clip=self.config.value_clip
        )

    def mean_over_processes(self, tensors: Mapping[str, Tensor]) -> dict[str, float]:
        """The means over all processes."""
        means = self.group.all_reduce_mean(torch.stack([each.double().cpu() for each in tensors.values()]))
        return dict(zip(tensors, means.tolist(), strict=True))

    def evaluate(self, number: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """Evaluate on held-out prompts, and keep the weights of the best checkpoint."""
        if self.stop_reason == DIVERGED:
            return {}  # the policy cannot be sampled from
        metrics = self.selector.evaluate(number, should_stop)
        self.stop_reason = self.stop_reason or self.selector.early_stopping.stop_reason
        return metrics

    def generate_samples(self, number: int) -> list[Sample]:
        """Completions of the first held-out prompts, from the evaluation after `number` updates."""
        return self.selector.samples(number)

    def values(self) -> dict[str, Any]:
        """The plain values of the state, under their stored names."""
        return {
            "kl_coefficient": self.kl_controller.value,
            "baseline": None if self.baseline is None else self.baseline.item(),
            "tokens_seen": self.tokens_seen,
            "over": self.stop_reason,
            "watch": self.selector.early_stopping.values(),
            "diagnosis": self.sanity_checks.values(),
        }

    def tensors(self) -> dict[str, Tensor]:
        """Policy and value network, their optimizers' states, and the best weights."""
        value = self.value.tensors() if self.value else {}
        return {**self.policy.tensors(), **value, **self.selector.best}

    def restore(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Restore what `values` and `tensors` returned."""
        self.kl_controller.value = values["kl_coefficient"]
        baseline = values["baseline"]
        self.baseline = None if baseline is None else torch.tensor(baseline, device=self.device)
        self.tokens_seen, self.stop_reason = values["tokens_seen"], values["over"]
        self.selector.restore(values["watch"], tensors)
        self.sanity_checks.restore(values["diagnosis"])
        self.policy.restore(tensors)
        if self.value:
            self.value.restore(tensors)

    def result(self, loop_result: LoopResult, *, notes: Sequence[str] = ()) -> TuningResult:
        """Roll back to the best checkpoint; gives the result of the tuning."""
        best = self.selector.early_stopping.best
        found = self.sanity_checks.notes(
            best_step=best.step if best else 0, stop_reason=loop_result.stop_reason
        )
        return self.selector.roll_back(
            loop_result,
            notes=[*notes, *self.notes, *found],
            metrics={
                "kl_coefficient": self.kl_controller.value,
                "num_tokens": float(self.tokens_seen),
            },
        )
