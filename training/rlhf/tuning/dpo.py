"""Direct preference optimisation: the policy learns from comparisons, without a reward model and a rollout.

The policy that is best for a reward at a price of beta a nat is pi* ~ pi_ref exp(r / beta). Turned round,
every policy is best for the reward beta log(pi / pi_ref), up to a constant of the prompt that no comparison
sees (Rafailov et al. 2023). So the loss of comparisons, with that in the reward's place, trains the policy.
"""

from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import torch
from torch import Tensor

from training.gpt.config import HardwareConfig
from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Callbacks
from training.gpt.training_state import module_digest
from training.rlhf.config import DpoConfig, EarlyStoppingConfig
from training.rlhf.feedback.preferences import Comparison, split_by_prompt
from training.rlhf.losses import bradley_terry_loss
from training.rlhf.scorers import Scorer
from training.rlhf.tuning.heldout_evaluation import TuningResult
from training.rlhf.tuning.offline import OfflineDataset, encoded, tune_offline


def dpo(
    *,
    policy: GPT,
    tokenizer: Tokenizer,
    comparisons: Sequence[Comparison],
    heldout_prompts: Sequence[str],
    config: DpoConfig,
    control: EarlyStoppingConfig = EarlyStoppingConfig(),  # noqa: B008 - frozen
    hardware: HardwareConfig = HardwareConfig(),  # noqa: B008
    scorer: Scorer | None = None,
    gold: Scorer | None = None,
    disagreement: Scorer | None = None,
    folder: Path | None = None,
    callbacks: Callbacks = Callbacks(),  # noqa: B008
) -> TuningResult:
    """Tune `policy` in place on comparisons, of which the share `config.heldout` of the prompts is kept back.

    `scorer` and `gold` measure what is written to the held-out prompts; nothing learns from them. Without
    either, the best version is the one that finds the comparisons kept back likeliest.

    `on_step` gets `loss`, `accuracy` (share of the comparisons that the policy orders as people did, ties
    half), `margin` (of the implied rewards), `logprob/chosen` and `logprob/rejected` in nats,
    `learning_rate`, `gradient_norm` and `step_time`; at each evaluation what `Evaluation.metrics` says.
    Folder and processes are as `tune_offline` has them. Raises InputError when there is nothing to learn.
    """
    train, kept_back = split_by_prompt(comparisons, heldout=config.heldout, seed=config.seed)
    if not any(not pair.tie and pair.chosen != pair.rejected for pair in train):
        raise InputError("preferences: no comparison prefers one text to another; collect more answers")
    digest = blake2b(repr(list(comparisons)).encode(), digest_size=16).hexdigest()
    context = policy.config.context
    return tune_offline(
        policy=policy,
        tokenizer=tokenizer,
        material=Pairs(train, tokenizer, config, context=context),
        kept_back=Pairs(kept_back, tokenizer, config, context=context),
        heldout_prompts=heldout_prompts,
        config=config,
        control=control,
        hardware=hardware,
        scorer=scorer,
        gold=gold,
        disagreement=disagreement,
        folder=folder,
        inputs={"policy": module_digest(policy) if folder else "", "comparisons": digest},
        callbacks=callbacks,
    )


class Pairs(OfflineDataset):
    """Comparisons, each as what was chosen and what was rejected."""

    measure = "preference"
    compares = True

    def __init__(
        self, comparisons: Sequence[Comparison], tokenizer: Tokenizer, config: DpoConfig, *, context: int
    ) -> None:
        """A ranking of K counts as one comparison does, though it gives K(K-1)/2 of them."""
        flat = [text for pair in comparisons for text in pair.texts]
        ids = encoded(tokenizer, flat, context=context) if flat else []
        rankings = Counter((pair.prompt, pair.group, pair.annotator) for pair in comparisons if pair.group)
        super().__init__(
            units=list(zip(ids[::2], ids[1::2], strict=True)),
            weights=[
                1 / rankings[pair.prompt, pair.group, pair.annotator] if pair.group else 1.0
                for pair in comparisons
            ],
        )
        self.config = config
        self.margins = torch.tensor([pair.margin for pair in comparisons])
        self.ties = torch.tensor([pair.tie for pair in comparisons], dtype=torch.bool)

    def figures(self, units: Sequence[int], sums: Tensor, expected: Tensor) -> dict[str, Tensor]:
        """As `OfflineDataset`; `loss` in nats."""
        which = torch.tensor(units, dtype=torch.long)
        margin, tie = self.margins[which].to(sums.device), self.ties[which].to(sums.device)
        rewards = implicit_rewards(sums, expected, beta=self.config.beta)  # [b, 2]
        difference = rewards[:, 0] - rewards[:, 1]
        right = ((difference > 0).float() + (difference >= 0).float()) / 2
        return {
            "loss": dpo_loss(difference, margin=margin, tie=tie, smoothing=self.config.label_smoothing),
            "accuracy": right.where(~tie, 0.5),
            "margin": difference,
            "logprob/chosen": sums[:, 0],
            "logprob/rejected": sums[:, 1],
        }


def implicit_rewards(sums: Tensor, expected: Tensor, *, beta: float) -> Tensor:
    """The rewards for which the policy is best at a price of beta a nat, but for a constant of the prompt:
    beta log(pi / pi_ref), from log-probabilities of whole completions. Any shape."""
    return beta * (sums - expected)


def dpo_loss(difference: Tensor, *, margin: Tensor, tie: Tensor, smoothing: float = 0.0) -> Tensor:
    """The loss of comparisons, of implied rewards. [b] -> [b], in nats.

    With a `margin`, that of Amini et al. (2024). With `smoothing`, the share of answers that are taken to be
    wrong, the conservative one of Mitchell (2023): its minimum lies where the policy is that sure and no
    surer. A tie is half of each direction.
    """
    given = bradley_terry_loss(difference, margin=margin, tie=tie)
    if not smoothing:
        return given
    return (1 - smoothing) * given + smoothing * bradley_terry_loss(-difference, margin=margin, tie=tie)
