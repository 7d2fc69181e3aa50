"""Every choice that learning from preferences leaves open. Imports no torch: web forms read it."""

from dataclasses import dataclass

from training.gpt.errors import InputError
from training.gpt.options import check_options, option


@dataclass(frozen=True, kw_only=True)
class RewardConfig:
    """How a reward model is trained from comparisons."""

    trunk: str = option("full", "train the whole transformer, or the head alone", choices=("full", "frozen"))
    epochs: int = option(0, "passes over the comparisons (0: usual for the trunk)", minimum=0)
    minutes: float = option(0.0, "time budget (0: no limit)", minimum=0.0)
    batch_size: int = option(32, "texts read in one step; those of one prompt stay together", minimum=1)
    learning_rate: float = option(
        0.0, "peak learning rate, annealed to 0 (0: usual for the trunk)", minimum=0.0
    )
    weight_decay: float = option(0.1, "AdamW's weight decay, on matrices", minimum=0.0)
    heldout: float = option(
        0.1, "share of the prompts kept back to measure accuracy", minimum=0.0, maximum=0.9
    )
    seed: int = option(0, "decides the split, the head's first weights and the order", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """How a policy is tuned against a reward model. KL is in nats per sequence throughout."""

    estimator: str = option("rloo", "advantage estimator", choices=("rloo", "reinforce"))
    steps: int = option(100, "updates of the policy", minimum=1)
    minutes: float = option(0.0, "time budget (0: no limit)", minimum=0.0)
    prompts_per_step: int = option(16, "different prompts in each step", minimum=1)
    samples_per_prompt: int = option(4, "completions of each prompt in a step", minimum=1)
    max_new_tokens: int = option(64, "longest completion in tokens", minimum=1)
    temperature: float = option(1.0, "of sampling, and of every log-probability", minimum=0.01)
    learning_rate: float = option(1e-3, "peak learning rate, falling linearly to 0", minimum=0.0)
    clip: float = option(1.0, "largest gradient norm (0: no clipping)", minimum=0.0)
    kl_coefficient: float = option(0.15, "price of a nat in the reward, to begin with", minimum=0.0)
    kl_target: float = option(6.0, "KL that the coefficient steers to", minimum=0.01)
    kl_horizon: float = option(
        10_000.0, "sequences over which the coefficient adapts (0: it stays fixed)", minimum=0.0
    )
    kl_budget: float = option(15.0, "largest KL that the version kept may have", minimum=0.0)
    missing_eos_penalty: float = option(
        1.0, "taken off the reward of a completion without an end", minimum=0.0
    )
    evaluate_every: int = option(10, "steps between evaluations on held-out prompts", minimum=1)
    heldout_prompts: int = option(64, "held-out prompts in each evaluation, at most", minimum=1)
    seed: int = option(0, "decides the order of the prompts and the sampling", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)
        if self.estimator == "rloo" and self.samples_per_prompt < 2:
            raise InputError("samples_per_prompt: rloo compares samples of one prompt; give at least 2")


@dataclass(frozen=True, kw_only=True)
class AnnotatorsConfig:
    """Simulated people who share one taste."""

    count: int = option(3, "how many", minimum=1)
    noise: float = option(
        0.5, "temperature of their choices, in standard deviations of the taste (0: exact)", minimum=0.0
    )
    tie_margin: float = option(0.1, "what is closer than this, in the same unit, is a tie", minimum=0.0)
    seed: int = option(0, "decides their noise", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)
