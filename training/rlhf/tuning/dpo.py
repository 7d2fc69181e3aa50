"""Direct preference optimisation (DPO): learning from comparisons without a reward model or rollouts.

The optimal policy for a reward with KL coefficient beta is pi* ~ pi_ref exp(r / beta). Conversely, every
policy is optimal for the implicit reward beta log(pi / pi_ref), up to a constant of the prompt that cancels
in comparisons (Rafailov et al. 2023). So the loss of comparisons on implicit rewards trains the policy.
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
from training.rlhf.feedback.splits import require_preference
from training.rlhf.losses import bradley_terry_loss
from training.rlhf.reward_functions import Scorer
from training.rlhf.truncation import TruncationCounts, fit_turns
from training.rlhf.tuning.heldout_evaluation import TuningResult
from training.rlhf.tuning.offline import OfflineDataset, tune_offline


def dpo(
    *,
    policy: GPT,
    tokenizer: Tokenizer,
    comparisons: Sequence[Comparison],
    heldout_prompts: Sequence[str],
    config: DpoConfig,
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig(),  # noqa: B008 - frozen
    hardware: HardwareConfig = HardwareConfig(),  # noqa: B008
    scorer: Scorer | None = None,
    gold: Scorer | None = None,
    disagreement: Scorer | None = None,
    folder: Path | None = None,
    callbacks: Callbacks = Callbacks(),  # noqa: B008
) -> TuningResult:
    """Tune `policy` in place on comparisons, with the fraction `config.heldout` of the prompts held out.

    `scorer` and `gold` are only used to evaluate completions of the held-out prompts. Without either, the
    best checkpoint is the one with the lowest loss on the held-out comparisons.

    `on_step` gets `loss`, `accuracy` (the fraction of comparisons that the policy orders as annotators did,
    ties half), `margin` (of the implicit rewards), `logprob/chosen` and `logprob/rejected` in nats,
    `learning_rate`, `gradient_norm` and `step_time`, and at each evaluation `Evaluation.metrics`. See
    `tune_offline` for folder and processes. Raises InputError if there is nothing to learn.
    """
    train, heldout = split_by_prompt(comparisons, heldout=config.heldout, seed=config.seed)
    require_preference(train=prefers(train), everywhere=prefers(comparisons))
    digest = blake2b(repr(list(comparisons)).encode(), digest_size=16).hexdigest()
    context = policy.config.context
    dataset = ComparisonDataset(train, tokenizer, config, context=context)
    if dataset.ties.all():
        raise InputError(
            "preferences: every preferred text is the same as the other one in the policy's tokens, of which "
            f"{context} fit its context; collect shorter texts, or take a policy with a longer context"
        )
    return tune_offline(
        policy=policy,
        tokenizer=tokenizer,
        dataset=dataset,
        heldout_dataset=ComparisonDataset(heldout, tokenizer, config, context=context),
        heldout_prompts=heldout_prompts,
        config=config,
        early_stopping=early_stopping,
        hardware=hardware,
        scorer=scorer,
        gold=gold,
        disagreement=disagreement,
        folder=folder,
        inputs={"policy": module_digest(policy) if folder else "", "comparisons": digest},
        callbacks=callbacks,
    )


def prefers(comparisons: Sequence[Comparison]) -> bool:
    """Whether any comparison prefers one text to another."""
    return any(not pair.tie and pair.chosen != pair.rejected for pair in comparisons)


class ComparisonDataset(OfflineDataset):
    """Comparisons: each example has two texts, chosen and rejected."""

    unit = "comparisons"
    nothing_to_learn = "both sides are the same in the policy's tokens"
    measure = "preference"
    needs_reference = True

    def __init__(
        self, comparisons: Sequence[Comparison], tokenizer: Tokenizer, config: DpoConfig, *, context: int
    ) -> None:
        """A ranking of K, which gives K(K-1)/2 comparisons, weighs as much as one comparison.

        Both sides follow the same tokens of the prompt. Comparisons of two equal sides are left out.
        """
        turns = iter(
            tokenizer.encode_turns(
                [pair.prompt for pair in comparisons for _ in pair.texts],
                [completion for pair in comparisons for _, completion in pair.texts],
            )
        )
        cut = TruncationCounts()
        units = [fit_turns([next(turns), next(turns)], context, cut) for _ in comparisons]
        kept = [
            (pair, unit)
            for pair, unit in zip(comparisons, units, strict=True)
            if unit[0].completion != unit[1].completion
        ]
        cut.left_out = len(comparisons) - len(kept)
        rankings = Counter((pair.prompt, pair.group, pair.annotator) for pair, _ in kept if pair.group)
        super().__init__(
            examples=[unit for _, unit in kept],
            weights=[
                1 / rankings[pair.prompt, pair.group, pair.annotator] if pair.group else 1.0
                for pair, _ in kept
            ],
            truncation=cut,
        )
        self.config = config
        self.margins = torch.tensor([pair.margin for pair, _ in kept])
        self.ties = torch.tensor([pair.tie for pair, _ in kept], dtype=torch.bool)

    def loss_and_metrics(
        self, examples: Sequence[int], logprobs: Tensor, reference_logprobs: Tensor
    ) -> dict[str, Tensor]:
        """See `OfflineDataset`; `loss` in nats."""
        index = torch.tensor(examples, dtype=torch.long)
        margin, tie = self.margins[index].to(logprobs.device), self.ties[index].to(logprobs.device)
        rewards = implicit_rewards(logprobs, reference_logprobs, beta=self.config.beta)  # [b, 2]
        difference = rewards[:, 0] - rewards[:, 1]
        right = ((difference > 0).float() + (difference >= 0).float()) / 2
        return {
            "loss": dpo_loss(difference, margin=margin, tie=tie, smoothing=self.config.label_smoothing),
            "accuracy": right.where(~tie, 0.5),
            "margin": difference,
            "logprob/chosen": logprobs[:, 0],
            "logprob/rejected": logprobs[:, 1],
        }


def implicit_rewards(logprobs: Tensor, reference_logprobs: Tensor, *, beta: float) -> Tensor:
    """beta log(pi / pi_ref), from log-probabilities of completions. Any shape."""
    return beta * (logprobs - reference_logprobs)


def dpo_loss(difference: Tensor, *, margin: Tensor, tie: Tensor, smoothing: float = 0.0) -> Tensor:
    """The loss of comparisons given differences of implicit rewards. [b] -> [b], in nats.

    With a `margin`, that of Amini et al. (2024). With `smoothing`, the assumed fraction of wrong labels, the
    conservative loss of Mitchell (2023). A tie counts half in each direction.
    """
    given = bradley_terry_loss(difference, margin=margin, tie=tie)
    if not smoothing:
        return given
    return (1 - smoothing) * given + smoothing * bradley_terry_loss(-difference, margin=margin, tie=tie)
