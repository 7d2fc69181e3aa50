"""Evaluation of a policy on held-out prompts while it is tuned, and the result of a tuning."""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from training.gpt.config import SamplingConfig
from training.gpt.distributed import ProcessGroup
from training.gpt.errors import InputError
from training.gpt.generation.decoding import eval_mode
from training.gpt.generation.generate import never_stop
from training.gpt.generation.prompts import sift_prompts
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.rlhf.evaluation.win_rate import win_points
from training.rlhf.kl import k1
from training.rlhf.reward_functions import Scorer, repetition_rate
from training.rlhf.tuning.early_stopping import Evaluation
from training.rlhf.tuning.rollouts import Rollouts, sample, sequence_logprobs

_PROMPTS_PER_BATCH = 64


@dataclass(frozen=True, kw_only=True)
class TuningResult:
    """The result of a tuning: the policy with its best weights, and how it got there."""

    policy: GPT
    best_step: int  # 0: no checkpoint inside the KL budget was better than the initial policy
    steps: int
    stop_reason: str  # "steps", "minutes", "cancelled", "diverged", or a sentence of early stopping
    before: Evaluation
    after: Evaluation
    heldout_prompts: list[str]  # those evaluated, in the order of the completions
    notes: list[str]  # warnings for the user, one sentence each
    metrics: dict[str, float] = field(default_factory=dict)


class HeldoutEvaluator:
    """Evaluates checkpoints of a policy, always on the same prompts with the same random numbers."""

    def __init__(
        self,
        *,
        reference: GPT,
        tokenizer: Tokenizer,
        prompts: Sequence[str],
        max_prompts: int,
        scorer: Scorer | None = None,
        gold: Scorer | None = None,
        disagreement: Scorer | None = None,
        temperature: float = 1.0,
        max_new_tokens: int,
        seed: int,
    ) -> None:
        """At most `max_prompts` of the held-out `prompts` are used, drawn by the seed.

        Those that leave no room in the context are left out, as `notes` says.

        The `reference` is the policy before tuning: KL is measured to it, and win rates are against its
        completions. `disagreement` gives the deviation over the ensemble members.
        """
        if not prompts:
            raise InputError("heldout_prompts: there is none; give at least one")
        self.reference, self.tokenizer = reference, tokenizer
        sifted = sift_prompts(tokenizer, prompts, context=reference.config.context)
        self.notes = [f"Held out: {note}" for note in sifted.notes]
        self.prompts = random.Random(seed).sample(sifted.kept, min(len(sifted.kept), max_prompts))
        self.scorer, self.gold, self.disagreement = scorer, gold, disagreement
        # No top-k and top-p, or the KL would be that of another distribution than was sampled from.
        self.sampling = SamplingConfig(temperature=temperature, max_new_tokens=max_new_tokens)
        self.seed = seed
        self._reference_scores: dict[str, list[float]] | None = None

    def evaluate(
        self,
        policy: GPT,
        *,
        step: int,
        extra: Callable[[], Mapping[str, Sequence[float]]] = dict,
        group: ProcessGroup = ProcessGroup(),  # noqa: B008 - frozen
        should_stop: Callable[[], bool] = never_stop,
    ) -> Evaluation | None:
        """Evaluate the policy after `step` updates; None if stopped before the end.

        `extra` gives further measures. Under torchrun the main process evaluates and broadcasts the result;
        there the policy must be complete (`distributed.full_model`).
        """
        evaluation = self._evaluate(policy, step, extra, should_stop) if group.is_main_process else None
        return broadcast_evaluation(evaluation, group)

    @torch.no_grad()
    def _evaluate(
        self,
        policy: GPT,
        step: int,
        extra: Callable[[], Mapping[str, Sequence[float]]],
        should_stop: Callable[[], bool],
    ) -> Evaluation | None:
        if self._reference_scores is None:
            self._reference_scores = self._score([each.texts for each in self._sample(self.reference)])
        measures: dict[str, list[float]] = {"kl": [], "length": [], "repetition": [], "ended": []}
        texts: list[tuple[list[str], list[str]]] = []
        for rollouts in self._sample(policy):
            if should_stop():
                return None
            with eval_mode(self.reference):
                reference_logprobs = sequence_logprobs(
                    self.reference,
                    rollouts.prompts,
                    rollouts.completions,
                    temperature=self.sampling.temperature,
                )
            kl = k1(logprobs=rollouts.generation.logprobs, reference_logprobs=reference_logprobs).sum(dim=1)
            measures["kl"] += kl.tolist()
            measures["length"] += [float(len(new)) for new in rollouts.completions]
            measures["repetition"] += [
                repetition_rate(text) if text.strip() else 0.0 for text in rollouts.texts[1]
            ]
            measures["ended"] += rollouts.generation.ended.float().tolist()
            texts.append(rollouts.texts)
        scores = self._score(texts)
        wins = {
            win: [win_points(a, b) for a, b in zip(scores[name], self._reference_scores[name], strict=True)]
            for name, win in (("reward", "win_rate"), ("gold", "gold_win_rate"))
            if name in scores
        }
        further = {name: list(values) for name, values in extra().items()}
        return Evaluation(
            step=step,
            per_prompt={**scores, **wins, **measures, **further},
            completions=[completion for _, completions in texts for completion in completions],
        )

    def _sample(self, policy: GPT) -> Iterator[Rollouts]:
        """A completion of each prompt, in batches."""
        generator = torch.Generator(policy.device).manual_seed(self.seed + 1)
        for first in range(0, len(self.prompts), _PROMPTS_PER_BATCH):
            some = self.prompts[first : first + _PROMPTS_PER_BATCH]
            yield sample(policy, self.tokenizer, some, self.sampling, samples=1, generator=generator)

    def _score(self, texts: Sequence[tuple[list[str], list[str]]]) -> dict[str, list[float]]:
        """By measure, the scores of prompts and completions."""
        scorers = {"reward": self.scorer, "gold": self.gold, "disagreement": self.disagreement}
        return {
            name: [score for some in texts for score in scorer(*some)]
            for name, scorer in scorers.items()
            if scorer is not None
        }


def broadcast_evaluation(evaluation: Evaluation | None, group: ProcessGroup) -> Evaluation | None:
    """The main process's evaluation, in all processes."""
    if group.world_size == 1:
        return evaluation
    values = evaluation and evaluation.values()
    encoded = torch.tensor(list(json.dumps(values).encode()), dtype=torch.uint8)
    length = int(group.broadcast(torch.tensor(len(encoded))))
    encoded = group.broadcast(encoded if group.is_main_process else torch.zeros(length, dtype=torch.uint8))
    received = json.loads(bytes(encoded.tolist()))
    return Evaluation.from_values(received) if received else None


def summary_metrics(before: Evaluation, best: Evaluation, *, steps: int, seconds: float) -> dict[str, float]:
    """The metrics that every tuning's result has, before tuning and at the best checkpoint."""
    metrics: dict[str, float] = {"best_step": best.step, "steps": steps, "seconds": seconds, "kl": best.kl}
    for name in ("reward", "gold"):
        if name in best.per_prompt:
            metrics |= {f"{name}_before": before.mean(name) or 0.0, f"{name}_after": best.mean(name) or 0.0}
    return metrics
