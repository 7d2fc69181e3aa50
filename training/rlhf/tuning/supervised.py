"""Supervised fine-tuning: the policy learns to write as demonstrations do, or as its own best samples."""

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
from training.rlhf.config import EarlyStoppingConfig, SupervisedConfig, SupervisedEarlyStoppingConfig
from training.rlhf.feedback.demonstrations import Demonstration
from training.rlhf.feedback.preferences import split_by_prompt
from training.rlhf.scorers import Scorer
from training.rlhf.tuning.heldout_evaluation import TuningResult
from training.rlhf.tuning.offline import OfflineDataset, encoded, tune_offline


def supervised(
    *,
    policy: GPT,
    tokenizer: Tokenizer,
    demonstrations: Sequence[Demonstration],
    heldout_prompts: Sequence[str],
    config: SupervisedConfig,
    control: EarlyStoppingConfig = SupervisedEarlyStoppingConfig(),  # noqa: B008 - frozen
    hardware: HardwareConfig = HardwareConfig(),  # noqa: B008
    scorer: Scorer | None = None,
    gold: Scorer | None = None,
    disagreement: Scorer | None = None,
    folder: Path | None = None,
    callbacks: Callbacks = Callbacks(),  # noqa: B008
) -> TuningResult:
    """Tune `policy` in place on demonstrations; the share `config.heldout` of their prompts is kept back.

    Only the completion is learned, the end of text included; the prompt is given. `scorer` and `gold` measure
    what is written to the held-out prompts; nothing learns from them. Without either, the best version is
    the one that finds the demonstrations kept back likeliest.

    `on_step` gets `loss` in nats a token, `learning_rate`, `gradient_norm` and `step_time`; at each
    evaluation what `Evaluation.metrics` says. Folder and processes are as `tune_offline` has them. Raises
    InputError when there is nothing to learn from.
    """
    if not demonstrations:
        raise InputError("demonstrations: there is none; give at least one")
    train, kept_back = split_by_prompt(demonstrations, heldout=config.heldout, seed=config.seed)
    digest = blake2b(repr(list(demonstrations)).encode(), digest_size=16).hexdigest()
    context = policy.config.context
    return tune_offline(
        policy=policy,
        tokenizer=tokenizer,
        material=Texts(train, tokenizer, context=context),
        kept_back=Texts(kept_back, tokenizer, context=context),
        heldout_prompts=heldout_prompts,
        config=config,
        control=control,
        hardware=hardware,
        scorer=scorer,
        gold=gold,
        disagreement=disagreement,
        folder=folder,
        inputs={"policy": module_digest(policy) if folder else "", "demonstrations": digest},
        callbacks=callbacks,
    )


class Texts(OfflineDataset):
    """Demonstrations, each one text."""

    measure = "likelihood"
    compares = False

    def __init__(
        self, demonstrations: Sequence[Demonstration], tokenizer: Tokenizer, *, context: int
    ) -> None:
        """Every token counts alike, times the weight of its demonstration."""
        flat = [(each.prompt, each.completion) for each in demonstrations]
        ids = encoded(tokenizer, flat, context=context) if flat else []
        self.lengths = torch.tensor([len(new) for _, new in ids])
        super().__init__(
            units=[(text,) for text in ids],
            weights=[each.weight * len(new) for each, (_, new) in zip(demonstrations, ids, strict=True)],
        )

    def figures(self, units: Sequence[int], sums: Tensor, expected: Tensor) -> dict[str, Tensor]:  # noqa: ARG002
        """As `OfflineDataset`; `loss` in nats a token."""
        lengths = self.lengths[torch.tensor(units, dtype=torch.long)].to(sums.device)
        return {"loss": -sums[:, 0] / lengths}
