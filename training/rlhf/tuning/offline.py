"""Tuning on existing texts: what `dpo` and `supervised` have in common.

Optimizer, evaluation, checkpoint selection and training state are those of the policy gradient, so that the
three are comparable. Dropout is off. An example is a comparison or a demonstration: B examples in a batch of
all processes, b of them in a micro-batch, R texts in each, of at most L tokens.
"""

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from training.gpt.budget import TrainingBudget
from training.gpt.chat_encoder import Turn
from training.gpt.config import HardwareConfig
from training.gpt.devices import autocast, choose_device, choose_precision
from training.gpt.distributed import ProcessGroup, process_group, shard_batch
from training.gpt.errors import InputError
from training.gpt.generation.decoding import Generation
from training.gpt.model import GPT
from training.gpt.random_seeds import shuffled_index
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Callbacks, Sample, Trainer, run_training_loop
from training.gpt.training_state import StateFolder
from training.rlhf.config import EarlyStoppingConfig, OfflineConfig, SupervisedEarlyStoppingConfig
from training.rlhf.reward_functions import Scorer
from training.rlhf.truncation import TruncationCounts
from training.rlhf.tuning.checkpoint_selection import CheckpointSelector
from training.rlhf.tuning.heldout_evaluation import HeldoutEvaluator, TuningResult
from training.rlhf.tuning.learner import Learner, LogprobModel, LossFunction, default_learning_rate
from training.rlhf.tuning.rollouts import Rollouts, completion_mask, sequence_logprobs

LEARNING_RATE_SCALE = 0.3
"""The default learning rate over that of the policy gradient. Measured with DPO on 900 comparisons of stories
in three epochs: the gold score rose by 1.1 within 3 nats; at the full rate, one epoch takes 13 nats for 1.2.
"""

# The names of the datasets in saved training states.
_TRAIN, _HELDOUT = "material", "kept-back"


class OfflineDataset(ABC):
    """Examples to learn from, and their loss given a policy's log-probabilities."""

    unit: str
    """What an example is, in the plural."""
    nothing_to_learn: str
    """Why an example is left out."""
    measure: str
    """The name of the negative loss as a held-out measure."""
    needs_reference: bool
    """Whether the loss needs the reference policy's log-probabilities too."""

    def __init__(
        self, examples: Sequence[Sequence[Turn]], weights: Sequence[float], truncation: TruncationCounts
    ) -> None:
        """Each example as its texts, and its weight in the loss; what was cut of them."""
        self.examples, self.weights, self.truncation = examples, weights, truncation

    @property
    def texts(self) -> list[Turn]:
        """The texts of all examples, one after the other. [U x R]"""
        return [text for example in self.examples for text in example]

    @abstractmethod
    def loss_and_metrics(
        self, examples: Sequence[int], logprobs: Tensor, reference_logprobs: Tensor
    ) -> dict[str, Tensor]:
        """`loss` and metrics of each example [b], from the log-probabilities of its texts [b, R] by the
        policy, and by the reference policy if they are needed."""


def completion_logprobs(
    model: GPT, texts: Sequence[Turn], *, precision: torch.dtype = torch.float32, batch_size: int = 64
) -> Tensor:
    """Log-probability of each completion, of what is learned of it, without gradient. [N], in nats."""
    sums = [torch.zeros(0, device=model.device)]
    with torch.no_grad(), autocast(model.device, precision):
        for first in range(0, len(texts), batch_size):
            some = texts[first : first + batch_size]
            prompts, completions = [text.prompt for text in some], [text.completion for text in some]
            logprobs = sequence_logprobs(model, prompts, completions, temperature=1.0)
            sums.append((logprobs * learned_mask(some, device=model.device)).sum(dim=1))
    return torch.cat(sums)


def learned_mask(texts: Sequence[Turn], *, device: torch.device | str = "cpu") -> Tensor:
    """1 at the tokens of completions that are learned, 0 elsewhere. [N, L]"""
    rows = [
        torch.ones(len(text.completion)) if text.learned is None else torch.tensor(text.learned).float()
        for text in texts
    ]
    return pad_sequence(rows, batch_first=True).to(device)


def tune_offline(
    *,
    policy: GPT,
    tokenizer: Tokenizer,
    dataset: OfflineDataset,
    heldout_dataset: OfflineDataset,
    heldout_prompts: Sequence[str],
    config: OfflineConfig,
    early_stopping: EarlyStoppingConfig,
    hardware: HardwareConfig,
    scorer: Scorer | None,
    gold: Scorer | None,
    disagreement: Scorer | None,
    folder: Path | None,
    inputs: Mapping[str, str],
    callbacks: Callbacks,
) -> TuningResult:
    """Tune `policy` in place; the reference is a frozen copy of the policy before tuning.

    With a `folder`, the training resumes from the state in it, if there is one. A training that was killed
    and called again alike gives on the CPU bit for bit the same metrics, if its budget is not in minutes.
    Under torchrun the processes share each batch.
    """
    if not (scorer or gold or heldout_dataset.examples):
        raise InputError(
            "heldout: there is nothing to compare checkpoints by; give texts of at least two prompts, hold a "
            "fraction of them out, or name a reward model"
        )
    device = choose_device(hardware.device)
    policy = policy.to(device).eval()
    reference = copy.deepcopy(policy).requires_grad_(requires_grad=False)
    evaluator = HeldoutEvaluator(
        reference=reference,
        tokenizer=tokenizer,
        prompts=heldout_prompts,
        max_prompts=early_stopping.heldout_prompts,
        scorer=scorer,
        gold=gold,
        disagreement=disagreement,
        max_new_tokens=config.max_new_tokens,
        seed=config.seed,
    )
    steps = max(1, round(config.epochs * len(dataset.examples) / config.batch_size))
    state = None
    if folder is not None:
        digests = {**inputs, "control": _early_stopping_digest(early_stopping)}
        state = StateFolder(folder, config, digests, frozenset({"accumulate", "parallel"}))
    with process_group() as group:
        trainer = OfflineTrainer(
            policy,
            dataset=dataset,
            heldout_dataset=heldout_dataset,
            evaluator=evaluator,
            config=config,
            early_stopping=early_stopping,
            precision=choose_precision(hardware.precision, device),
            group=group,
        )
        loop_result = run_training_loop(
            trainer,
            budget=TrainingBudget(minutes=config.minutes, steps=steps),
            evaluate_every=early_stopping.evaluate_every,
            save_every=early_stopping.save_every,
            state=state,
            group=group,
            callbacks=callbacks,
        )
        cut = dataset.truncation + heldout_dataset.truncation
        notes = [
            *cut.notes(dataset.unit, context=policy.config.context, nothing=dataset.nothing_to_learn),
            *tuning_notes(loop_result.stop_reason, trainer.selector),
        ]
        result = trainer.selector.roll_back(loop_result, notes=notes)
        del trainer  # it uses the process group, which ends here
        return result


def _early_stopping_digest(config: EarlyStoppingConfig) -> str:
    """The options that must be the same to resume, in the form in which saved states have them."""
    is_supervised = isinstance(config, SupervisedEarlyStoppingConfig)
    options = asdict(replace(config, save_every=1.0))
    values = ", ".join(f"{name}={value!r}" for name, value in options.items())
    return f"{'Supervised' if is_supervised else ''}ControlConfig({values})"


class OfflineTrainer(Trainer):
    """A tuning on fixed texts, driven by `run_training_loop`."""

    def __init__(
        self,
        policy: GPT,
        *,
        dataset: OfflineDataset,
        heldout_dataset: OfflineDataset,
        evaluator: HeldoutEvaluator,
        config: OfflineConfig,
        early_stopping: EarlyStoppingConfig,
        precision: torch.dtype = torch.float32,
        group: ProcessGroup = ProcessGroup(),  # noqa: B008 - frozen
    ) -> None:
        self.dataset, self.heldout_dataset = dataset, heldout_dataset
        self.config, self.precision, self.group = config, precision, group
        self.micro_batches = shard_batch(config.batch_size, accumulate=config.accumulate, group=group)
        self.learner = Learner(
            "policy",
            LogprobModel(policy, temperature=1.0),
            policy,
            learning_rate=config.learning_rate
            or LEARNING_RATE_SCALE * default_learning_rate(policy, updates=1),
            clip=config.clip,
            accumulate=config.accumulate,
            precision=precision,
            parallel=config.parallel,
            group=group,
        )
        self.selector = CheckpointSelector(policy, evaluator, early_stopping, group=group)
        self.stop_reason: str | None = None
        # The reference's log-probabilities by dataset, computed once. [U, R]
        self.reference_logprobs: dict[str, Tensor] = {}

    def step(self, number: int, progress: float) -> dict[str, float]:
        """One batch and one update. Examples come in epochs, each example once per epoch."""
        started, size = time.monotonic(), self.config.batch_size
        self.compute_reference_logprobs()
        count = len(self.dataset.examples)
        batch = [
            shuffled_index(index, count=count, seed=self.config.seed)
            for index in range(number * size, (number + 1) * size)
        ]
        own = batch[self.micro_batches.start : self.micro_batches.stop]
        total = sum(self.dataset.weights[example] for example in batch)
        sums: dict[str, Tensor] = {}
        texts = [text for example in own for text in self.dataset.examples[example]]
        rollouts = as_rollouts(texts, self.learner.model.device)
        loss = self.loss_function(
            own, total, sums, mask=learned_mask(texts, device=self.learner.model.device)
        )
        _, norm = self.learner.update(rollouts, loss, lr_factor=1 - progress)
        means = self.group.all_reduce_sum(torch.stack([each.double().cpu() for each in sums.values()]))
        metrics = dict(zip(sums, means.tolist(), strict=True))
        if not (norm.isfinite() and means.isfinite().all()):
            self.stop_reason = "diverged"
        return metrics | {
            "learning_rate": self.learner.learning_rate * (1 - progress),
            "gradient_norm": norm.item(),
            "step_time": time.monotonic() - started,
        }

    def loss_function(
        self, own: Sequence[int], total: float, sums: dict[str, Tensor], *, mask: Tensor
    ) -> LossFunction:
        """The loss as a weighted mean over the whole batch; adds this process's part of all means to `sums`.

        Of the texts [N, L], only the tokens in the `mask` count.

        The learner averages over micro-batches, and the processes average gradients.
        """
        parts = self.config.accumulate * self.group.world_size

        def loss(rows: slice, logprobs: Tensor) -> Tensor:
            texts = len(logprobs) * self.config.accumulate // len(own)  # R
            examples = own[rows.start // texts : rows.stop // texts]
            weights = torch.tensor(
                [self.dataset.weights[example] for example in examples], device=logprobs.device
            )
            learned = logprobs * mask[rows, : logprobs.shape[1]]
            values_by_name = self.dataset.loss_and_metrics(
                examples, learned.sum(dim=1).view(-1, texts), self.reference_logprobs[_TRAIN][examples]
            )
            for name, values in values_by_name.items():
                mean = (weights * values.detach()).sum() / total
                sums[name] = sums[name] + mean if name in sums else mean
            return (weights * values_by_name["loss"]).sum() / total * parts

        return loss

    def compute_reference_logprobs(self) -> None:
        """Compute the reference's log-probabilities, unless they are there or were restored."""
        if not self.reference_logprobs:
            reference = self.selector.evaluator.reference
            for name, dataset in ((_TRAIN, self.dataset), (_HELDOUT, self.heldout_dataset)):
                self.reference_logprobs[name] = dataset_logprobs(
                    reference, dataset, precision=self.precision, group=self.group
                )

    def evaluate(self, number: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """Evaluate on the held-out prompts and the held-out dataset."""
        self.compute_reference_logprobs()
        metrics = self.selector.evaluate(number, should_stop, extra=self.heldout_measures)
        self.stop_reason = self.stop_reason or self.selector.early_stopping.stop_reason
        return metrics

    def heldout_measures(self, policy: GPT) -> dict[str, list[float]]:
        """The negative loss, and the accuracy if there is one, of each held-out example."""
        dataset = self.heldout_dataset
        count = len(dataset.examples)
        if not count:
            return {}
        logprobs = completion_logprobs(policy, dataset.texts, precision=self.precision).view(count, -1)
        values = dataset.loss_and_metrics(range(count), logprobs, self.reference_logprobs[_HELDOUT])
        measures: dict[str, list[float]] = {dataset.measure: (-values["loss"]).tolist()}
        if "accuracy" in values:
            measures["accuracy"] = values["accuracy"].tolist()
        return measures

    def generate_samples(self, number: int) -> list[Sample]:
        """Completions of the first held-out prompts, from the evaluation after `number` updates."""
        return self.selector.samples(number)

    def values(self) -> dict[str, Any]:
        """The plain values of the state, under their stored names."""
        return {"watch": self.selector.early_stopping.values(), "over": self.stop_reason}

    def tensors(self) -> dict[str, Tensor]:
        """The policy, its optimizer's state, the best weights, and the reference's log-probabilities."""
        reference = {f"expected/{name}": tensor for name, tensor in self.reference_logprobs.items()}
        return {**self.learner.tensors(), **self.selector.best, **reference}

    def restore(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Restore what `values` and `tensors` returned."""
        self.learner.restore(tensors)
        self.selector.restore(values["watch"], tensors)
        self.stop_reason = values["over"]
        self.reference_logprobs = {
            name.removeprefix("expected/"): tensor.to(self.learner.model.device)
            for name, tensor in tensors.items()
            if name.startswith("expected/")
        }


def dataset_logprobs(
    reference: GPT, dataset: OfflineDataset, *, precision: torch.dtype, group: ProcessGroup
) -> Tensor:
    """The reference's log-probabilities of each example's texts [U, R]; zeros if they are not needed. Each
    process computes its shard."""
    texts = dataset.texts
    logprobs = torch.zeros(len(texts), device=reference.device)
    if dataset.needs_reference:
        own = completion_logprobs(reference, group.shard(texts), precision=precision)
        logprobs = group.gather_shards(own, len(texts))
    return logprobs.view(len(dataset.examples), -1) if texts else logprobs.view(0, 1)


def as_rollouts(texts: Sequence[Turn], device: torch.device) -> Rollouts:
    """Existing texts as rollouts for a learner, without sampled log-probabilities."""
    prompts, completions = [text.prompt for text in texts], [text.completion for text in texts]
    mask = completion_mask(completions, device=device)
    ids = torch.zeros(mask.shape, dtype=torch.long, device=device)
    ids[mask] = torch.tensor([token for new in completions for token in new], device=device)
    generation = Generation(
        tokens=ids,
        mask=mask,
        logprobs=torch.zeros(mask.shape, device=device),
        ended=torch.ones(len(texts), dtype=torch.bool, device=device),
    )
    return Rollouts(prompts=prompts, completions=completions, generation=generation, texts=([], []))


def tuning_notes(stop_reason: str, selector: CheckpointSelector) -> list[str]:
    """Warnings for the user, one sentence each."""
    best = selector.early_stopping.best
    notes = []
    if stop_reason == "diverged":
        notes.append("The loss or its gradient became infinite; lower learning_rate.")
    if best is not None and best.step == 0:
        notes.append(
            "No checkpoint inside the KL budget was better on held-out data than the initial policy, so the "
            "initial policy was kept: give more data, or another learning_rate."
        )
    return notes
