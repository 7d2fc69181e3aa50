"""Every choice that learning from preferences leaves open. Imports no torch: web forms read it."""

from dataclasses import dataclass

from training.gpt.config_fields import check_options, option
from training.gpt.errors import InputError
from training.rlhf.feedback.score_weights import parse_weights

AUTO = "auto"
"""The choice of what suits the rest."""


@dataclass(frozen=True, kw_only=True)
class RewardConfig:
    """How a reward model is trained from what people said."""

    loss: str = option(
        AUTO,
        "what is learned (pairs: which text is better, Bradley-Terry; ranking: the order, Plackett-Luce;"
        " scores: the scores themselves, by regression; scores+pairs: both; auto: what the project's kind of"
        " feedback is for, which is pairs, or scores where no two were given side by side)",
        choices=(AUTO, "pairs", "ranking", "scores", "scores+pairs"),
    )
    criteria: str = option(
        "",
        "weights of what was scored, such as overall=1,kindness=0.5 (empty: the overall score alone)",
    )
    trunk: str = option("full", "train the whole transformer, or the head alone", choices=("full", "frozen"))
    members: int = option(1, "reward models that judge together, an ensemble", minimum=1, maximum=64)
    ensemble: str = option(
        "heads",
        "what the members of an ensemble are: heads on one trunk, or whole models",
        choices=("heads", "models"),
    )
    reliability: bool = option(
        False, "learn how reliable each annotator is, so that careless ones count less"
    )
    epochs: int = option(0, "passes over the comparisons (0: usual for the trunk)", minimum=0)
    minutes: float = option(0.0, "time budget (0: no limit)", minimum=0.0)
    batch_size: int = option(32, "texts read in one step; those of one prompt stay together", minimum=1)
    accumulate: int = option(
        1, "pieces that a batch is computed in: saves memory, changes nothing else", minimum=1
    )
    learning_rate: float = option(
        0.0, "peak learning rate, annealed to 0 (0: usual for the trunk)", minimum=0.0
    )
    weight_decay: float = option(0.1, "AdamW's weight decay, on matrices", minimum=0.0)
    heldout: float = option(
        0.1, "share of the prompts kept back to measure accuracy", minimum=0.0, maximum=0.9
    )
    learning_curve: int = option(
        0,
        "train again on a half, a quarter, and so on, of the prompts, so many times, to show what more bring"
        " (three nearly double the time)",
        minimum=0,
        maximum=10,
    )
    evaluate_every: int = option(
        0, "steps between measurements on the held-out prompts (0: ten in all)", minimum=0
    )
    patience: int = option(
        5,
        "stop after so many measurements without a lower held-out loss, and go back to the lowest (0: never)",
        minimum=0,
    )
    save_every: float = option(1.0, "minutes between saved states, from which a run goes on", minimum=0.0)
    precision: str = option(
        "auto", "number format (auto: bf16 where it is fast)", choices=("auto", "fp32", "bf16")
    )
    device: str = option(
        "auto", "where to compute (auto: a GPU if there is one)", choices=("auto", "cpu", "cuda")
    )
    parallel: str = option(
        "auto",
        "how the processes of torchrun share the work (ddp: each has the whole model; fsdp: a part of it;"
        " auto: ddp)",
        choices=("auto", "ddp", "fsdp"),
    )
    seed: int = option(0, "decides the split, the heads' first weights and the order", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)
        parse_weights(self.criteria)
        if self.members > 1 and self.ensemble == "models" and self.trunk == "frozen":
            raise InputError(
                "ensemble: models on a frozen trunk would differ in their heads alone; choose heads"
            )


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """How a policy is tuned against a reward model. KL is in nats per sequence throughout.

    The defaults are those of a small model in the demo; they hold for one of 124M parameters too, whose
    learning rate, left at 0, is 1/36 of it. What memory it wants, `accumulate` saves.
    """

    estimator: str = option(
        "rloo",
        "how a sample's advantage is estimated (rloo: against the other samples of its prompt; reinforce:"
        " against earlier batches; grpo: against its group's mean; ppo: by a value network)",
        choices=("rloo", "reinforce", "grpo", "ppo"),
    )
    steps: int = option(100, "batches of rollouts", minimum=1)
    minutes: float = option(0.0, "time budget (0: no limit)", minimum=0.0)
    prompts_per_step: int = option(16, "different prompts in each step, over all processes", minimum=1)
    samples_per_prompt: int = option(4, "completions of each prompt in a step", minimum=1)
    max_new_tokens: int = option(64, "longest completion in tokens", minimum=1)
    temperature: float = option(1.0, "of sampling, and of every log-probability", minimum=0.01)
    accumulate: int = option(
        1, "pieces that a batch is sampled and learned in: saves memory, takes longer", minimum=1
    )
    learning_rate: float = option(
        0.0, "peak learning rate, falling linearly to 0 (0: usual for the model's width)", minimum=0.0
    )
    clip: float = option(1.0, "largest gradient norm (0: no clipping)", minimum=0.0)
    kl_in: str = option(
        "reward",
        "where the KL is paid (reward: by k1, with a baseline; loss: by k2, with its own gradient)",
        choices=("reward", "loss"),
    )
    kl_coefficient: float = option(0.15, "price of a nat, to begin with", minimum=0.0)
    kl_target: float = option(6.0, "KL that the coefficient steers to", minimum=0.01)
    kl_horizon: float = option(
        10_000.0, "sequences over which the coefficient adapts (0: it stays fixed)", minimum=0.0
    )
    ensemble: str = option(
        "mean",
        "what counts of a reward model with several members (cautious: the mean less the variance)",
        choices=("mean", "minimum", "cautious"),
    )
    missing_eos_penalty: float = option(
        1.0, "taken off the reward of a completion without an end", minimum=0.0
    )
    epochs: int = option(0, "updates from each batch (0: 4 for ppo, 1 for the others)", minimum=0)
    ratio_clip: float = option(
        0.2, "from the second update on, how far a token's probability may move", minimum=0.0
    )
    grpo_divisor: str = option(
        "constant",
        "what grpo divides by (constant: nothing that biases it; published: the group's deviation and each"
        " completion's length)",
        choices=("constant", "published"),
    )
    gae_decay: float = option(0.95, "ppo: how much later surprises count (lambda)", minimum=0.0, maximum=1.0)
    value_clip: float = option(0.2, "ppo: how far a value may move in one step", minimum=0.0)
    value_learning_rate: float = option(0.0, "ppo: of the value network (0: as the policy's)", minimum=0.0)
    parallel: str = option(
        "auto",
        "how the processes of torchrun share the work (ddp: each has the whole model; fsdp: a part of it;"
        " auto: ddp)",
        choices=("auto", "ddp", "fsdp"),
    )
    seed: int = option(0, "decides the order of the prompts and the sampling", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)
        if self.estimator in {"rloo", "grpo"} and self.samples_per_prompt < 2:
            raise InputError(
                f"samples_per_prompt: {self.estimator} compares samples of one prompt; give at least 2"
            )
        if self.prompts_per_step % self.accumulate:
            raise InputError(
                f"accumulate: {self.accumulate} does not divide {self.prompts_per_step} prompts_per_step"
            )

    @property
    def updates(self) -> int:
        """How many updates follow each batch."""
        return self.epochs or (4 if self.estimator == "ppo" else 1)


@dataclass(frozen=True, kw_only=True)
class EarlyStoppingConfig:
    """How a tuning is watched on held-out prompts: which version is kept, and when it is ended early.

    The signs of over-optimisation are read from means over several evaluations, and count once they exceed
    their limit by more than chance explains. A limit of 0 turns its sign off.
    """

    evaluate_every: int = option(10, "steps between evaluations on held-out prompts", minimum=1)
    heldout_prompts: int = option(64, "held-out prompts in each evaluation, at most", minimum=1)
    kl_budget: float = option(
        15.0, "largest KL that the version kept may have, in nats per sequence (0: any)", minimum=0.0
    )
    patience: int = option(0, "stop after so many evaluations without a new best (0: never)", minimum=0)
    stop_window: int = option(
        3, "evaluations whose mean is watched for signs of over-optimisation (0: none is)", minimum=0
    )
    stop_certainty: float = option(
        3.0, "standard errors by which a sign must exceed its limit to stop the tuning", minimum=0.0
    )
    win_rate_limit: float = option(
        0.05, "stop when the held-out win rate fell by this much while the reward rose", minimum=0.0
    )
    disagreement_limit: float = option(
        2.0, "stop when the ensemble disagrees so many times as much as at first", minimum=0.0
    )
    length_limit: float = option(
        2.0, "stop when completions are so many times as long, or as short, as at first", minimum=0.0
    )
    repetition_limit: float = option(
        0.2, "stop when the share of words said before rose by this much", minimum=0.0
    )
    save_every: float = option(1.0, "minutes between saved states, from which a run goes on", minimum=0.0)

    def __post_init__(self) -> None:
        check_options(self)
        for name in ("disagreement_limit", "length_limit"):
            if 0 < getattr(self, name) <= 1:
                raise InputError(
                    f"{name}: {getattr(self, name):g} times as much is no growth; give more "
                    "than 1, or 0 to turn the sign off"
                )


@dataclass(frozen=True, kw_only=True)
class OfflineConfig:
    """How a policy is tuned on texts that are there: what `dpo` and `supervised` have in common."""

    epochs: float = option(3.0, "passes over the data", minimum=0.01)
    minutes: float = option(0.0, "time budget (0: no limit)", minimum=0.0)
    batch_size: int = option(32, "comparisons or demonstrations in each step, over all processes", minimum=1)
    accumulate: int = option(1, "pieces that a batch is learned in: saves memory, takes longer", minimum=1)
    learning_rate: float = option(
        0.0, "peak learning rate, falling linearly to 0 (0: usual for the model's width)", minimum=0.0
    )
    clip: float = option(1.0, "largest gradient norm (0: no clipping)", minimum=0.0)
    heldout: float = option(0.1, "share of the prompts kept back to measure on", minimum=0.0, maximum=0.9)
    max_new_tokens: int = option(64, "longest completion in an evaluation, in tokens", minimum=1)
    parallel: str = option(
        "auto",
        "how the processes of torchrun share the work (ddp: each has the whole model; fsdp: a part of it;"
        " auto: ddp)",
        choices=("auto", "ddp", "fsdp"),
    )
    seed: int = option(0, "decides the split, the order and the samples of evaluations", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)
        if self.batch_size % self.accumulate:
            raise InputError(
                f"accumulate: {self.accumulate} does not divide a batch_size of {self.batch_size}"
            )


@dataclass(frozen=True, kw_only=True)
class DpoConfig(OfflineConfig):
    """How a policy is tuned on comparisons directly, without a reward model."""

    beta: float = option(0.15, "price of a nat of KL: what kl_coefficient is to finetune", minimum=1e-4)
    label_smoothing: float = option(
        0.0, "share of the comparisons taken to say the opposite of what was meant", minimum=0.0, maximum=0.49
    )


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig(OfflineConfig):
    """How a policy is tuned to write as demonstrations do."""


@dataclass(frozen=True, kw_only=True)
class SupervisedEarlyStoppingConfig(EarlyStoppingConfig):
    """The same control for texts that are meant to be copied, however far they are from what was written.

    So there is no KL budget, and no sign says that the policy's texts have changed too much; instead the
    tuning ends when the held-out demonstrations become less likely.
    """

    kl_budget: float = option(
        0.0, "largest KL that the version kept may have, in nats per sequence (0: any)", minimum=0.0
    )
    patience: int = option(3, "stop after so many evaluations without a new best (0: never)", minimum=0)
    stop_window: int = option(
        0, "evaluations whose mean is watched for signs of over-optimisation (0: none is)", minimum=0
    )


@dataclass(frozen=True, kw_only=True)
class SimulatedAnnotatorsConfig:
    """Simulated people who share one taste."""

    count: int = option(3, "how many", minimum=1)
    noise: float = option(
        0.5, "temperature of their choices, in standard deviations of the taste (0: exact)", minimum=0.0
    )
    tie_margin: float = option(0.1, "what is closer than this, in the same unit, is a tie", minimum=0.0)
    careless: float = option(
        0.0, "share of them who answer at random, whatever they are shown", minimum=0.0, maximum=1.0
    )
    seed: int = option(0, "decides their noise", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)
