"""Comparisons and demonstrations that like the letter a, and what a tuning on them logged."""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.rlhf.tiny_policy import LETTERS, tiny_policy
from training.gpt.config import HardwareConfig
from training.gpt.training_loop import Callbacks
from training.rlhf.config import (
    DpoConfig,
    EarlyStoppingConfig,
    SupervisedConfig,
    SupervisedEarlyStoppingConfig,
)
from training.rlhf.feedback.demonstrations import demonstrations_from_rankings
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.tuning.dpo import dpo
from training.rlhf.tuning.heldout_evaluation import TuningResult
from training.rlhf.tuning.supervised import supervised

HELDOUT = ["c", "dd", "e", "fg"] * 8

Curve = list[tuple[int, dict[str, float]]]


def share_of_a(prompts: Sequence[str], completions: Sequence[str], /) -> list[float]:
    return [4 * completion.count("a") / max(1, len(completion)) for completion in completions]


def likes_a(count: int = 200, *, seed: int = 0) -> list[Comparison]:
    """Pairs of five letters each, the one with more a's preferred, ties among them."""
    rng = random.Random(seed)
    pairs = []
    for _ in range(count):
        prompt = "".join(rng.choices(LETTERS, k=2))
        texts = ["".join(rng.choices(LETTERS, k=5)) for _ in range(2)]
        better, worse = sorted(texts, key=lambda text: -text.count("a"))
        pairs.append(Comparison(prompt, better, worse, tie=better.count("a") == worse.count("a")))
    return pairs


def tuned(
    kind: str,
    *,
    folder: Path | None = None,
    curve: Curve | None = None,
    stop_at: int | None = None,
    early_stopping: dict[str, Any] | None = None,
    scorer: Any = share_of_a,
    **changes: Any,
) -> TuningResult:
    """A `dpo` or `supervised` tuning of a tiny policy, stopped after so many steps."""
    policy, tokenizer = tiny_policy()
    logged: Curve = [] if curve is None else curve
    callbacks = Callbacks(
        on_step=lambda step, _, metrics: logged.append((step, metrics)),
        should_stop=lambda: stop_at is not None and bool(logged) and logged[-1][0] >= stop_at,
    )
    common: dict[str, Any] = {
        "policy": policy,
        "tokenizer": tokenizer,
        "heldout_prompts": HELDOUT,
        "scorer": scorer,
        "folder": folder,
        "callbacks": callbacks,
        "hardware": HardwareConfig(device="cpu", precision="fp32"),
    }
    options: dict[str, Any] = {
        "epochs": 1.0,
        "batch_size": 16,
        "max_new_tokens": 8,
        "learning_rate": 3e-3,
    } | changes
    watched = {"evaluate_every": 4, "heldout_prompts": 16} | (early_stopping or {})
    if kind == "dpo":
        return dpo(
            comparisons=likes_a(),
            config=DpoConfig(**options),
            early_stopping=EarlyStoppingConfig(**watched),
            **common,
        )
    return supervised(
        demonstrations=demonstrations_from_rankings(likes_a()),
        config=SupervisedConfig(**options),
        early_stopping=SupervisedEarlyStoppingConfig(**watched),
        **common,
    )
