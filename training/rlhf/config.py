"""All options of reward models and tuning. Torch-free: web forms read it."""

from dataclasses import dataclass

from training.gpt.config_fields import check_options, option
from training.gpt.errors import InputError
from training.rlhf.feedback.score_weights import parse_weights

AUTO = "auto"
"""The choice that depends on the other options and the data."""


@dataclass(frozen=True, kw_only=True)
class RewardConfig:
    """How a reward model is trained on human feedback."""

    loss: str = option(
        AUTO,
        "training objective (pairs: Bradley-Terry; ranking: Plackett-Luce; scores: regression on scores;"
        " scores+pairs: both; auto: pairs, or scores if there is nothing to compare)",
        choices=(AUTO, "pairs", "ranking", "scores", "scores+pairs"),
    )
    criteria: str = option(
        "",
        "weights of the criteria, such as overall=1,kindness=0.5 (empty: the overall score only)",
    )
    trunk: str = option("full", "train the full transformer, or the head only", choices=("full", "frozen"))
    members: int = option(1, "ensemble members", minimum=1, maximum=64)
    ensemble: str = option(
        "heads",
        "type of ensemble: several heads on one trunk, or several full models",
        choices=("heads", "models"),
    )
    reliability: bool = option(
        False, "estimate the reliability of each annotator and weight their answers by it"
    )
    epochs: int = option(0, "passes over the comparisons (0: default for the trunk)", minimum=0)
    minutes: float = option(0.0, "time budget (0: no limit)", minimum=0.0)
    batch_size: int = option(32, "texts in each step; the texts of one prompt stay together", minimum=1)
    accumulate: int = option(
        1, "gradient accumulation: micro-batches in each batch; saves memory, same result", minimum=1
    )
    learning_rate: float = option(
        0.0, "peak learning rate, annealed to 0 (0: default for the trunk)", minimum=0.0
    )
    weight_decay: float = option(0.1, "AdamW weight decay of matrices", minimum=0.0)
    heldout: float = option(
        0.1, "fraction of the prompts held out to measure accuracy", minimum=0.0, maximum=0.9
    )
    learning_curve: int = option(
        0,
        "points of a learning curve: train again on 1/2, 1/4, … of the prompts, to show whether more feedback"
        " would help (three points nearly double the time)",
        minimum=0,
        maximum=10,
    )
    evaluate_every: int = option(
        0, "steps between evaluations on the held-out prompts (0: ten evaluations in total)", minimum=0
    )
    patience: int = option(
        5,
        "stop after this many evaluations without a lower held-out loss (0: never); keep the best weights",
        minimum=0,
    )
    save_every: float = option(
        1.0, "minutes between saved training states, from which a run can resume", minimum=0.0
    )
    precision: str = option(
        "auto", "number format (auto: bf16 if it is fast on the device)", choices=("auto", "fp32", "bf16")
    )
    device: str = option(
        "auto",
        "device to compute on (auto: a GPU if there is one)",
        choices=("auto", "cpu", "cuda"),
    )
    parallel: str = option(
        "auto",
        "parallelism under torchrun (ddp: each process holds the full model; fsdp: a shard of it; auto: ddp)",
        choices=("auto", "ddp", "fsdp"),
    )
    seed: int = option(0, "random seed of the split, the initial heads and the order", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)
        parse_weights(self.criteria)
        if self.members > 1 and self.ensemble == "models" and self.trunk == "frozen":
            raise InputError(
                "ensemble: models on a frozen trunk would differ in their heads only; choose heads"
            )


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig:
    """How a policy is tuned against a reward model. KL is in nats per sequence throughout.

    The defaults suit small models and models of 124M parameters; the default learning rate depends on the
    width. Raise `accumulate` if memory is short.
    """

    estimator: str = option(
        "rloo",
        "advantage estimator, by its baseline (rloo: the other samples of the prompt; reinforce: earlier"
        " batches; grpo: the mean of the group; ppo: a value network)",
        choices=("rloo", "reinforce", "grpo", "ppo"),
    )
    steps: int = option(100, "training steps: batches of rollouts", minimum=1)
    minutes: float = option(0.0, "time budget (0: no limit)", minimum=0.0)
    prompts_per_step: int = option(16, "prompts in each step, over all processes", minimum=1)
    samples_per_prompt: int = option(4, "completions per prompt in each step", minimum=1)
    max_new_tokens: int = option(64, "maximum completion length in tokens", minimum=1)
    temperature: float = option(
        1.0, "sampling temperature, also used for all log-probabilities", minimum=0.01
    )
    accumulate: int = option(
        1, "gradient accumulation: micro-batches in each batch; saves memory, takes longer", minimum=1
    )
    learning_rate: float = option(
        0.0, "peak learning rate, decaying linearly to 0 (0: default for the model's width)", minimum=0.0
    )
    clip: float = option(1.0, "maximum gradient norm (0: no clipping)", minimum=0.0)
    kl_in: str = option(
        "reward",
        "where the KL penalty is applied (reward: k1 estimator; loss: k2 estimator with its own gradient)",
        choices=("reward", "loss"),
    )
    kl_coefficient: float = option(0.15, "initial KL coefficient", minimum=0.0)
    kl_target: float = option(
        6.0, "target KL in nats per sequence, which the coefficient adapts to", minimum=0.01
    )
    kl_horizon: float = option(
        10_000.0, "sequences over which the coefficient adapts (0: fixed coefficient)", minimum=0.0
    )
    ensemble: str = option(
        "mean",
        "aggregation of the ensemble members' rewards (cautious: mean minus variance)",
        choices=("mean", "minimum", "cautious"),
    )
    missing_eos_penalty: float = option(
        1.0, "subtracted from the reward of a completion without an end of text", minimum=0.0
    )
    epochs: int = option(0, "updates from each batch (0: 4 for ppo, 1 for the others)", minimum=0)
    ratio_clip: float = option(
        0.2, "clip range of the probability ratio, from the second update of a batch on", minimum=0.0
    )
    grpo_divisor: str = option(
        "constant",
        "divisor of grpo (constant: no bias; published: the deviation of the group and the length of each"
        " completion)",
        choices=("constant", "published"),
    )
    gae_decay: float = option(
        0.95, "ppo: lambda of generalised advantage estimation", minimum=0.0, maximum=1.0
    )
    value_clip: float = option(0.2, "ppo: clip range of the values", minimum=0.0)
    value_learning_rate: float = option(
        0.0, "ppo: learning rate of the value network (0: as the policy)", minimum=0.0
    )
    parallel: str = option(
        "auto",
        "parallelism under torchrun (ddp: each process holds the full model; fsdp: a shard of it; auto: ddp)",
        choices=("auto", "ddp", "fsdp"),
    )
    seed: int = option(0, "random seed of the prompt order and the sampling", minimum=0)

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
    """Held-out evaluation of a tuning: how often, which checkpoint is kept, and when to stop early.

    Signs of over-optimisation are measured as means over several evaluations, and count once they exceed
    their limit significantly. A limit of 0 turns its sign off.
    """

    evaluate_every: int = option(10, "steps between evaluations on held-out prompts", minimum=1)
    heldout_prompts: int = option(64, "maximum number of held-out prompts in each evaluation", minimum=1)
    kl_budget: float = option(
        15.0, "maximum KL of the checkpoint kept, in nats per sequence (0: any)", minimum=0.0
    )
    patience: int = option(0, "stop after this many evaluations without improvement (0: never)", minimum=0)
    stop_window: int = option(
        3, "evaluations averaged to detect over-optimisation (0: no detection)", minimum=0
    )
    stop_certainty: float = option(3.0, "standard errors by which a sign must exceed its limit", minimum=0.0)
    win_rate_limit: float = option(
        0.05, "stop when the held-out win rate falls by this much while the reward rises", minimum=0.0
    )
    disagreement_limit: float = option(
        2.0, "stop when the ensemble disagreement grows by this factor", minimum=0.0
    )
    length_limit: float = option(
        2.0, "stop when the completion length grows or shrinks by this factor", minimum=0.0
    )
    repetition_limit: float = option(
        0.2, "stop when the fraction of repeated words rises by this much", minimum=0.0
    )
    save_every: float = option(
        1.0, "minutes between saved training states, from which a run can resume", minimum=0.0
    )

    def __post_init__(self) -> None:
        check_options(self)
        for name in ("disagreement_limit", "length_limit"):
            if 0 < getattr(self, name) <= 1:
                raise InputError(
                    f"{name}: a factor of {getattr(self, name):g} is no growth; give more than 1, "
                    "or 0 to turn it off"
                )


@dataclass(frozen=True, kw_only=True)
class OfflineConfig:
    """How a policy is tuned on existing texts: the options that `dpo` and `supervised` share."""

    epochs: float = option(3.0, "passes over the data", minimum=0.01)
    minutes: float = option(0.0, "time budget (0: no limit)", minimum=0.0)
    batch_size: int = option(32, "comparisons or demonstrations in each step, over all processes", minimum=1)
    accumulate: int = option(
        1, "gradient accumulation: micro-batches in each batch; saves memory, takes longer", minimum=1
    )
    learning_rate: float = option(
        0.0, "peak learning rate, decaying linearly to 0 (0: default for the model's width)", minimum=0.0
    )
    clip: float = option(1.0, "maximum gradient norm (0: no clipping)", minimum=0.0)
    heldout: float = option(0.1, "fraction of the prompts held out for evaluation", minimum=0.0, maximum=0.9)
    max_new_tokens: int = option(64, "maximum completion length in evaluations, in tokens", minimum=1)
    parallel: str = option(
        "auto",
        "parallelism under torchrun (ddp: each process holds the full model; fsdp: a shard of it; auto: ddp)",
        choices=("auto", "ddp", "fsdp"),
    )
    seed: int = option(0, "random seed of the split, the order and the evaluation samples", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)
        if self.batch_size % self.accumulate:
            raise InputError(
                f"accumulate: {self.accumulate} does not divide a batch_size of {self.batch_size}"
            )


@dataclass(frozen=True, kw_only=True)
class DpoConfig(OfflineConfig):
    """Direct preference optimisation: tuning on comparisons without a reward model."""

    beta: float = option(0.15, "KL coefficient, as kl_coefficient of finetune", minimum=1e-4)
    label_smoothing: float = option(
        0.0, "assumed fraction of comparisons with the wrong label", minimum=0.0, maximum=0.49
    )


@dataclass(frozen=True, kw_only=True)
class SupervisedConfig(OfflineConfig):
    """Supervised fine-tuning on demonstrations."""


@dataclass(frozen=True, kw_only=True)
class SupervisedEarlyStoppingConfig(EarlyStoppingConfig):
    """The defaults for supervised fine-tuning, where the policy is meant to move far from the reference.

    There is no KL budget and no detection of over-optimisation; tuning stops when the held-out demonstrations
    become less likely.
    """

    kl_budget: float = option(
        0.0, "maximum KL of the checkpoint kept, in nats per sequence (0: any)", minimum=0.0
    )
    patience: int = option(3, "stop after this many evaluations without improvement (0: never)", minimum=0)
    stop_window: int = option(
        0, "evaluations averaged to detect over-optimisation (0: no detection)", minimum=0
    )


@dataclass(frozen=True, kw_only=True)
class SimulatedAnnotatorsConfig:
    """Simulated annotators with one reward function."""

    count: int = option(3, "number of annotators", minimum=1)
    noise: float = option(
        0.5, "temperature of their choices, in standard deviations of the reward (0: exact)", minimum=0.0
    )
    tie_margin: float = option(0.1, "differences below this, in the same unit, are ties", minimum=0.0)
    careless: float = option(0.0, "fraction of annotators who answer at random", minimum=0.0, maximum=1.0)
    seed: int = option(0, "random seed of their noise", minimum=0)

    def __post_init__(self) -> None:
        check_options(self)
