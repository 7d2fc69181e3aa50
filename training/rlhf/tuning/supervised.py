"""Supervised fine-tuning (SFT) on demonstrations or on the policy's own best samples."""

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import torch
from torch import Tensor

from training.formats.messages import Message, completion_content
from training.gpt.chat_encoder import Turn
from training.gpt.config import HardwareConfig
from training.gpt.errors import InputError
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Callbacks
from training.gpt.training_state import module_digest
from training.rlhf.config import EarlyStoppingConfig, SupervisedConfig, SupervisedEarlyStoppingConfig
from training.rlhf.feedback.demonstrations import Demonstration
from training.rlhf.feedback.preferences import split_by_prompt
from training.rlhf.reward_functions import Scorer
from training.rlhf.truncation import TruncationCounts, fit_turns
from training.rlhf.tuning.heldout_evaluation import TuningResult
from training.rlhf.tuning.offline import OfflineDataset, tune_offline


def supervised(
    *,
    policy: GPT,
    tokenizer: Tokenizer,
    demonstrations: Sequence[Demonstration],
    heldout_prompts: Sequence[str],
    config: SupervisedConfig,
    early_stopping: EarlyStoppingConfig = SupervisedEarlyStoppingConfig(),  # noqa: B008 - frozen
    hardware: HardwareConfig = HardwareConfig(),  # noqa: B008
    scorer: Scorer | None = None,
    gold: Scorer | None = None,
    disagreement: Scorer | None = None,
    folder: Path | None = None,
    callbacks: Callbacks = Callbacks(),  # noqa: B008
) -> TuningResult:
    """Tune `policy` in place on demonstrations; the fraction `config.heldout` of their prompts is held out.

    The loss is on the completion only, including the end of text; of a whole conversation, on all that the
    assistant says. `scorer` and `gold` are only used to
    evaluate completions of the held-out prompts. Without either, the best checkpoint is the one with the
    lowest loss on the held-out demonstrations.

    `on_step` gets `loss` in nats per token, `learning_rate`, `gradient_norm` and `step_time`, and at each
    evaluation `Evaluation.metrics`. See `tune_offline` for folder and processes. Raises InputError if there
    is nothing to learn from.
    """
    if not demonstrations:
        raise InputError("demonstrations: there is none; give at least one")
    train, heldout = split_by_prompt(demonstrations, heldout=config.heldout, seed=config.seed)
    texts = repr(list(demonstrations)) + "".join("+" for each in demonstrations if each.all_turns)
    digest = blake2b(texts.encode(), digest_size=16).hexdigest()
    context = policy.config.context
    dataset = DemonstrationDataset(train, tokenizer, context=context)
    if not dataset.examples:
        raise InputError(
            f"demonstrations: nothing of what they teach fits the context of {context} tokens; shorten them, "
            "or take a policy with a longer context"
        )
    return tune_offline(
        policy=policy,
        tokenizer=tokenizer,
        dataset=dataset,
        heldout_dataset=DemonstrationDataset(heldout, tokenizer, context=context),
        heldout_prompts=heldout_prompts,
        config=config,
        early_stopping=early_stopping,
        hardware=hardware,
        scorer=scorer,
        gold=gold,
        disagreement=disagreement,
        folder=folder,
        inputs={"policy": module_digest(policy) if folder else "", "demonstrations": digest},
        callbacks=callbacks,
    )


def demonstrated_turns(demonstration: Demonstration, tokenizer: Tokenizer) -> list[Turn]:
    """What is learned from a demonstration: its completion, or every turn of the assistant in a conversation
    of which all turns are to be learned, if the policy reads conversations."""
    asked = tokenizer.messages(demonstration.prompt)
    if asked is None or not demonstration.all_turns:
        return tokenizer.encode_turns([demonstration.prompt], [demonstration.completion])
    answer: Message = {"role": "assistant", "content": completion_content(demonstration.completion)}
    return tokenizer.chat.turns([*asked, answer])


class DemonstrationDataset(OfflineDataset):
    """Demonstrations: each example has one text."""

    unit = "demonstrations"
    nothing_to_learn = "nothing of what they teach fits the context"
    measure = "likelihood"
    needs_reference = False

    def __init__(
        self, demonstrations: Sequence[Demonstration], tokenizer: Tokenizer, *, context: int
    ) -> None:
        """All tokens that are learned count equally, times the weight of their demonstration."""
        texts: list[Turn] = []
        weights: list[float] = []
        lengths: list[int] = []
        cut = TruncationCounts()
        for each in demonstrations:
            for turn in demonstrated_turns(each, tokenizer):
                (text,) = fit_turns([turn], context, cut)
                learned = len(text.completion) if text.learned is None else sum(text.learned)
                if not learned:
                    cut.left_out += 1
                    continue
                texts.append(text)
                weights.append(each.weight)
                lengths.append(learned)
        self.lengths = torch.tensor(lengths)
        super().__init__(
            examples=[(text,) for text in texts],
            weights=[weight * length for weight, length in zip(weights, lengths, strict=True)],
            truncation=cut,
        )

    def loss_and_metrics(
        self,
        examples: Sequence[int],
        logprobs: Tensor,
        reference_logprobs: Tensor,  # noqa: ARG002
    ) -> dict[str, Tensor]:
        """See `OfflineDataset`; `loss` in nats per token."""
        lengths = self.lengths[torch.tensor(examples, dtype=torch.long)].to(logprobs.device)
        return {"loss": -logprobs[:, 0] / lengths}
