"""Tune a policy on texts that are there, whoever wrote them: what `dpo` and `supervised` have in common.

The same optimiser, evaluations, choice of the best version and state as the policy gradient's, so that the
three compare. Dropout stays off, as there. B units (comparisons or demonstrations) in a batch of all
processes, b of them in this process's piece, each of R texts, of at most L tokens.
"""

import copy
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from training.gpt.budget import TrainingBudget
from training.gpt.config import HardwareConfig
from training.gpt.devices import autocast, choose_device, choose_precision
from training.gpt.distributed import ProcessGroup, process_group, shard_batch
from training.gpt.errors import InputError
from training.gpt.generation.decoding import Generation
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.gpt.training_loop import Callbacks, Sample, Trainer, run_training_loop
from training.gpt.training_state import StateFolder
from training.rlhf.config import EarlyStoppingConfig, OfflineConfig
from training.rlhf.scorers import Scorer
from training.rlhf.tuning.checkpoint_selection import CheckpointSelector
from training.rlhf.tuning.heldout_evaluation import HeldoutEvaluator, TuningResult
from training.rlhf.tuning.learner import Learner, LogprobModel, LossOf, default_learning_rate
from training.rlhf.tuning.prompt_sampler import prompt_at
from training.rlhf.tuning.rollouts import Rollouts, completion_mask, sequence_logprobs

SHARE_OF_USUAL = 0.3
"""Of the policy gradient's learning rate. Measured with DPO on 900 comparisons of stories, in three passes:
the gold score rose by 1.1 within 3 nats, where the whole of it needs 13 nats for 1.2 in one pass."""

Ids = tuple[list[int], list[int]]
"""The ids of a prompt and of its completion, the end of text inside."""


class OfflineDataset(ABC):
    """What there is to learn from, and what a policy's log-probabilities of it are worth."""

    measure: str
    """Name of the figure that the loss is, with its sign turned, on what is kept back."""
    compares: bool
    """Whether the loss needs the reference policy's log-probabilities too."""

    def __init__(self, units: Sequence[Sequence[Ids]], weights: Sequence[float]) -> None:
        """Each unit as its texts, and how much it counts in the loss."""
        self.units, self.weights = units, weights

    @property
    def texts(self) -> list[Ids]:
        """The texts of all units, [U x R]."""
        return [text for unit in self.units for text in unit]

    @abstractmethod
    def figures(self, units: Sequence[int], sums: Tensor, expected: Tensor) -> dict[str, Tensor]:
        """`loss` and other figures of each unit [b], from the log-probabilities of its texts [b, R], and from
        those that the reference policy gives them, if they are needed."""


def encoded(tokenizer: Tokenizer, texts: Sequence[tuple[str, str]], *, context: int) -> list[Ids]:
    """Ids of prompts with their completions.

    An end of text follows every completion, as in reward models: stored text does not say whether there was
    one. Where both do not fit the context, the prompt loses its beginning, and then the completion its end.
    """
    completions = tokenizer.encode_batch([completion for _, completion in texts])
    prompts = [tokenizer.prompt(prompt) for prompt, _ in texts]
    found = []
    for prompt, completion in zip(prompts, completions, strict=True):
        new = [*completion, tokenizer.eos_id][:context]
        found.append((prompt[-(context + 1 - len(new)) :], new))
    return found


def completion_logprobs(
    model: GPT, texts: Sequence[Ids], *, precision: torch.dtype = torch.float32, batch_size: int = 64
) -> Tensor:
    """Log-probability of each completion, without gradient. [N], in nats."""
    found = [torch.zeros(0, device=model.device)]
    with torch.no_grad(), autocast(model.device, precision):
        for first in range(0, len(texts), batch_size):
            prompts, completions = zip(*texts[first : first + batch_size], strict=True)
            found.append(sequence_logprobs(model, prompts, completions, temperature=1.0).sum(dim=1))
    return torch.cat(found)


def tune_offline(
    *,
    policy: GPT,
    tokenizer: Tokenizer,
    material: OfflineDataset,
    kept_back: OfflineDataset,
    heldout_prompts: Sequence[str],
    config: OfflineConfig,
    control: EarlyStoppingConfig,
    hardware: HardwareConfig,
    scorer: Scorer | None,
    gold: Scorer | None,
    disagreement: Scorer | None,
    folder: Path | None,
    inputs: Mapping[str, str],
    callbacks: Callbacks,
) -> TuningResult:
    """Tune `policy` in place; the reference is a frozen copy of it as it comes in.

    With a `folder`, the training goes on from the state in it, if there is one: killed at any moment and
    called again alike, it gives on the CPU bit for bit the metrics of one that was never interrupted, if its
    budget is not in minutes. Under torchrun the processes share each batch.
    """
    if not (scorer or gold or kept_back.units):
        raise InputError(
            "heldout: there is nothing to tell versions apart by; give texts of at least two prompts, keep a "
            "share of them back, or name a reward model"
        )
    device = choose_device(hardware.device)
    policy = policy.to(device).eval()
    reference = copy.deepcopy(policy).requires_grad_(requires_grad=False)
    examiner = HeldoutEvaluator(
        reference=reference,
        tokenizer=tokenizer,
        prompts=heldout_prompts,
        most=control.heldout_prompts,
        scorer=scorer,
        gold=gold,
        disagreement=disagreement,
        max_new_tokens=config.max_new_tokens,
        seed=config.seed,
    )
    steps = max(1, round(config.epochs * len(material.units) / config.batch_size))
    state = None
    if folder is not None:
        watched = replace(control, save_every=1.0)
        given = {**inputs, "control": repr(watched)}
        state = StateFolder(folder, config, given, frozenset({"accumulate", "parallel"}))
    with process_group() as group:
        stage = Offline(
            policy,
            material=material,
            kept_back=kept_back,
            examiner=examiner,
            config=config,
            control=control,
            precision=choose_precision(hardware.precision, device),
            group=group,
        )
        ended = run_training_loop(
            stage,
            budget=TrainingBudget(minutes=config.minutes, steps=steps),
            evaluate_every=control.evaluate_every,
            save_every=control.save_every,
            state=state,
            group=group,
            callbacks=callbacks,
        )
        result = stage.watch.roll_back(ended, notes=tuning_notes(ended.stop_reason, stage.watch))
        del stage  # The group ends after all that uses it.
        return result


class Offline(Trainer):
    """One tuning on fixed texts, from its first step to its last."""

    def __init__(
        self,
        policy: GPT,
        *,
        material: OfflineDataset,
        kept_back: OfflineDataset,
        examiner: HeldoutEvaluator,
        config: OfflineConfig,
        control: EarlyStoppingConfig,
        precision: torch.dtype = torch.float32,
        group: ProcessGroup = ProcessGroup(),  # noqa: B008 - frozen
    ) -> None:
        self.material, self.kept_back = material, kept_back
        self.config, self.precision, self.group = config, precision, group
        self.micro_batches = shard_batch(config.batch_size, accumulate=config.accumulate, group=group)
        self.learner = Learner(
            "policy",
            LogprobModel(policy, temperature=1.0),
            policy,
            rate=config.learning_rate or SHARE_OF_USUAL * default_learning_rate(policy, updates=1),
            clip=config.clip,
            pieces=config.accumulate,
            precision=precision,
            parallel=config.parallel,
            group=group,
        )
        self.watch = CheckpointSelector(policy, examiner, control, group=group)
        self.stop_reason: str | None = None
        # What the reference says of every text, asked once: it never changes. [U, R]
        self.expected: dict[str, Tensor] = {}

    def step(self, number: int, progress: float) -> dict[str, float]:
        """One batch, one update. The units come in an endless order, each once before any comes again."""
        begun, size = time.monotonic(), self.config.batch_size
        self.prepare()
        count = len(self.material.units)
        batch = [
            prompt_at(index, count=count, seed=self.config.seed)
            for index in range(number * size, (number + 1) * size)
        ]
        mine = batch[self.micro_batches.start : self.micro_batches.stop]
        total = sum(self.material.weights[unit] for unit in batch)
        found: dict[str, Tensor] = {}
        texts = as_rollouts(
            [text for unit in mine for text in self.material.units[unit]], self.learner.model.device
        )
        _, norm = self.learner.learn(texts, self.loss_of(mine, total, found), share=1 - progress)
        means = self.group.all_reduce_mean(torch.stack([each.double().cpu() for each in found.values()]))
        metrics = dict(zip(found, (means * self.group.world_size).tolist(), strict=True))
        if not (norm.isfinite() and means.isfinite().all()):
            self.stop_reason = "diverged"
        return metrics | {
            "learning_rate": self.learner.rate * (1 - progress),
            "gradient_norm": norm.item(),
            "step_time": time.monotonic() - begun,
        }

    def loss_of(self, mine: Sequence[int], total: float, found: dict[str, Tensor]) -> LossOf:
        """The loss as a weighted mean over the whole batch; leaves the means of all figures in `found`.

        The learner takes the mean over its pieces, and the processes that over all of them.
        """
        parts = self.config.accumulate * self.group.world_size

        def loss(rows: slice, logprobs: Tensor) -> Tensor:
            texts = len(logprobs) * self.config.accumulate // len(mine)  # R
            units = mine[rows.start // texts : rows.stop // texts]
            weights = torch.tensor([self.material.weights[unit] for unit in units], device=logprobs.device)
            figures = self.material.figures(
                units, logprobs.sum(dim=1).view(-1, texts), self.expected["material"][units]
            )
            for name, values in figures.items():
                mean = (weights * values.detach()).sum() / total
                found[name] = found[name] + mean if name in found else mean
            return (weights * figures["loss"]).sum() / total * parts

        return loss

    def prepare(self) -> None:
        """Let the reference policy read what there is, unless an earlier attempt kept what it said."""
        if not self.expected:
            reference = self.watch.examiner.reference
            for name, material in (("material", self.material), ("kept-back", self.kept_back)):
                self.expected[name] = reference_logprobs_of(
                    reference, material, precision=self.precision, group=self.group
                )

    def evaluate(self, number: int, should_stop: Callable[[], bool]) -> dict[str, float] | None:
        """Measure on the held-out prompts, and on what was kept back of the texts."""
        self.prepare()
        metrics = self.watch.evaluate(number, should_stop, more=self.heldout_metrics)
        self.stop_reason = self.stop_reason or self.watch.control.stop_reason
        return metrics

    def heldout_metrics(self, policy: GPT) -> dict[str, list[float]]:
        """The figures of each unit that was kept back."""
        units, material = self.kept_back.units, self.kept_back
        if not units:
            return {}
        sums = completion_logprobs(policy, material.texts, precision=self.precision).view(len(units), -1)
        figures = material.figures(range(len(units)), sums, self.expected["kept-back"])
        found: dict[str, list[float]] = {material.measure: (-figures["loss"]).tolist()}
        if "accuracy" in figures:
            found["accuracy"] = figures["accuracy"].tolist()
        return found

    def generate_samples(self, number: int) -> list[Sample]:
        """What the policy wrote to the first of the held-out prompts."""
        return self.watch.generate_samples(number)

    def values(self) -> dict[str, Any]:
        """What the watch has seen."""
        return {"watch": self.watch.control.values(), "over": self.stop_reason}

    def tensors(self) -> dict[str, Tensor]:
        """The policy, what its optimiser remembers, the best weights, and what the reference said."""
        expected = {f"expected/{name}": tensor for name, tensor in self.expected.items()}
        return {**self.learner.tensors(), **self.watch.best, **expected}

    def restore(self, values: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Go back to a state."""
        self.learner.restore(tensors)
        self.watch.restore(values["watch"], tensors)
        self.stop_reason = values["over"]
        self.expected = {
            name.removeprefix("expected/"): tensor.to(self.learner.model.device)
            for name, tensor in tensors.items()
            if name.startswith("expected/")
        }


def reference_logprobs_of(
    reference: GPT, material: OfflineDataset, *, precision: torch.dtype, group: ProcessGroup
) -> Tensor:
    """What the reference says of each unit's texts [U, R]; zeros if nothing needs it. Each process reads its
    share."""
    texts = material.texts
    sums = torch.zeros(len(texts), device=reference.device)
    if material.compares:
        sums[group.rank :: group.world_size] = completion_logprobs(
            reference, texts[group.rank :: group.world_size], precision=precision
        )
        sums = group.all_reduce_mean(sums.double()).mul(group.world_size).float()
    return sums.view(len(material.units), -1) if texts else sums.view(0, 1)


def as_rollouts(texts: Sequence[Ids], device: torch.device) -> Rollouts:
    """Texts in the form in which a learner reads its own; nobody sampled them, so no log-probability comes
    with them."""
    prompts, completions = [prompt for prompt, _ in texts], [new for _, new in texts]
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


def tuning_notes(stop_reason: str, watch: CheckpointSelector) -> list[str]:
    """What a person should know, a sentence each."""
    best = watch.control.best
    notes = []
    if stop_reason == "diverged":
        notes.append("The loss or its gradient became infinite; lower learning_rate.")
    if best is not None and best.step == 0:
        notes.append(
            "No version inside the KL budget was better on what was held out than the policy it started "
            "from, so that one was kept: give more data, or another learning_rate."
        )
    return notes
