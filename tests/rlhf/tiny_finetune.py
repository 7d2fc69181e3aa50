"""A fine-tune small enough to take a second: what the tests of the policy gradient share."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.rlhf.tiny_policy import tiny_policy
from training.gpt.config import HardwareConfig
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Callbacks
from training.rlhf.config import EarlyStoppingConfig, FinetuneConfig
from training.rlhf.reward.reward_model import BaseRewardModel
from training.rlhf.reward_functions import Scorer
from training.rlhf.tuning.heldout_evaluation import TuningResult
from training.rlhf.tuning.policy_gradient import PolicyGradientTrainer, finetune

PROMPTS = ["", "a", "bcd", "hgfe"]
HELDOUT = ["c", "dd", "e", "fg"] * 8
OPTIONS: dict[str, Any] = {
    "steps": 30,
    "prompts_per_step": 8,
    "max_new_tokens": 8,
    "learning_rate": 1e-2,
    "evaluate_every": 5,
    "missing_eos_penalty": 0.0,
}
FP32 = HardwareConfig(device="cpu", precision="fp32")


def share_of_a(prompts: Sequence[str], completions: Sequence[str], /) -> list[float]:
    """A taste for the letter a."""
    return [4 * completion.count("a") / max(1, len(completion)) for completion in completions]


def configs(**changes: Any) -> tuple[FinetuneConfig, EarlyStoppingConfig]:
    """The options of a small fine-tune, with some changed."""
    options = OPTIONS | changes
    early_stopping = {field.name for field in dataclasses.fields(EarlyStoppingConfig)}
    return (
        FinetuneConfig(**{name: value for name, value in options.items() if name not in early_stopping}),
        EarlyStoppingConfig(**{name: value for name, value in options.items() if name in early_stopping}),
    )


def tune(
    scorer: Scorer | BaseRewardModel = share_of_a,
    *,
    callbacks: Callbacks = Callbacks(),  # noqa: B008 - frozen
    folder: Path | None = None,
    model: tuple[GPT, Tokenizer] | None = None,
    **changes: Any,
) -> TuningResult:
    """A whole fine-tune of a tiny policy, or of the one given."""
    policy, tokenizer = model or tiny_policy()
    config, early_stopping = configs(**changes)
    return finetune(
        policy=policy,
        tokenizer=tokenizer,
        scorer=scorer,
        prompts=PROMPTS,
        heldout_prompts=HELDOUT,
        config=config,
        early_stopping=early_stopping,
        hardware=FP32,
        folder=folder,
        callbacks=callbacks,
    )


def stage(scorer: Scorer | BaseRewardModel = share_of_a, **changes: Any) -> PolicyGradientTrainer:
    """The same before its first step."""
    policy, tokenizer = tiny_policy()
    config, early_stopping = configs(**changes)
    return PolicyGradientTrainer(
        policy,
        tokenizer=tokenizer,
        scorer=scorer,
        prompts=PROMPTS,
        heldout_prompts=["c"],
        config=config,
        early_stopping=early_stopping,
    )
