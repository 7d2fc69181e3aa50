"""Measuring a policy on held-out prompts while it is tuned, and what every tuning gives back."""

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

import torch

from training.gpt.config import SamplingConfig
from training.gpt.distributed import ProcessGroup
from training.gpt.errors import InputError
from training.gpt.generation.decoding import evaluating
from training.gpt.generation.generate import never_stop
from training.gpt.model import GPT
from training.gpt.tokenizer import Tokenizer
from training.rlhf.evaluation.win_rate import win_points
from training.rlhf.kl import k1
from training.rlhf.scorers import Scorer, repetition_rate
from training.rlhf.tuning.early_stopping import EarlyStopping, Evaluation
from training.rlhf.tuning.rollouts import Rollouts, sample, sequence_logprobs

_PROMPTS_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class TuningResult:
    """What every tuning gives back: the policy with the weights of its best version, and how it got there."""

    policy: GPT
    best_step: int  # 0: no version inside the KL budget was better than the policy it began from
    steps: int
    stop_reason: (
        str  # "steps", "minutes", "cancelled", "diverged", or a sentence that says why it ended early
    )
    before: Evaluation
    after: Evaluation
    heldout_prompts: list[str]  # those evaluated, in the order of the completions
    notes: list[str]  # what a person should know, a sentence each
    metrics: dict[str, float] = field(default_factory=dict)


class HeldoutEvaluator:
    """Measures versions of a policy, always on the same prompts and by the same random numbers."""

    def __init__(
        self,
        *,
        reference: GPT,
        tokenizer: Tokenizer,
        prompts: Sequence[str],
        most: int,
        scorer: Scorer | None = None,
        gold: Scorer | None = None,
        disagreement: Scorer | None = None,
        temperature: float = 1.0,
        max_new_tokens: int,
        seed: int,
    ) -> None:
        """`prompts` are the held-out ones, of which at most `most` are drawn by the seed.

        The `reference` is what the policy was before tuning: KL is measured from it, and win rates are over
        its completions. `disagreement` gives the deviation over an ensemble's members.
        """
        if not prompts:
            raise InputError("heldout_prompts: there is none; give at least one")
        self.reference, self.tokenizer = reference, tokenizer
        self.prompts = random.Random(seed).sample(list(prompts), min(len(prompts), most))
        self.scorer, self.gold, self.disagreement = scorer, gold, disagreement
        # Top-k and top-p stay off, or the KL would be that of another distribution than was sampled.
        self.sampling = SamplingConfig(temperature=temperature, max_new_tokens=max_new_tokens)
        self.seed = seed
        self._rival: dict[str, list[float]] | None = None  # scores of the reference's completions

    def examine(
        self,
        policy: GPT,
        *,
        step: int,
        more: Callable[[], Mapping[str, Sequence[float]]] = dict,
        group: ProcessGroup = ProcessGroup(),  # noqa: B008 - frozen
        should_stop: Callable[[], bool] = never_stop,
    ) -> Evaluation | None:
        """Measure the policy after `step` updates; None if told to stop before the end.

        `more` gives further measures. Under torchrun the first process measures and tells the others; the
        policy must have all its weights there (`parallel.full_model`).
        """
        found = self._examine(policy, step, more, should_stop) if group.is_main_process else None
        return told(found, group)

    @torch.no_grad()
    def _examine(
        self,
        policy: GPT,
        step: int,
        more: Callable[[], Mapping[str, Sequence[float]]],
        should_stop: Callable[[], bool],
    ) -> Evaluation | None:
        if self._rival is None:
            self._rival = self._scores([each.texts for each in self._write(self.reference)])
        each: dict[str, list[float]] = {"kl": [], "length": [], "repetition": [], "ended": []}
        texts: list[tuple[list[str], list[str]]] = []
        for rollouts in self._write(policy):
            if should_stop():
                return None
            with evaluating(self.reference):
                expected = sequence_logprobs(
                    self.reference,
                    rollouts.prompts,
                    rollouts.completions,
                    temperature=self.sampling.temperature,
                )
            kl = k1(logprobs=rollouts.generation.logprobs, reference_logprobs=expected).sum(dim=1)
            each["kl"] += kl.tolist()
            each["length"] += [float(len(new)) for new in rollouts.completions]
            each["repetition"] += [
                repetition_rate(text) if text.strip() else 0.0 for text in rollouts.texts[1]
            ]
            each["ended"] += rollouts.generation.ended.float().tolist()
            texts.append(rollouts.texts)
        scores = self._scores(texts)
        wins = {
            win: [win_points(a, b) for a, b in zip(scores[name], self._rival[name], strict=True)]
            for name, win in (("reward", "win_rate"), ("gold", "gold_win_rate"))
            if name in scores
        }
        return Evaluation(
            step=step,
            each={**scores, **wins, **each, **{name: list(values) for name, values in more().items()}},
            completions=[completion for _, completions in texts for completion in completions],
        )

    def _write(self, policy: GPT) -> Iterator[Rollouts]:
        """A completion of each prompt, some at a time."""
        generator = torch.Generator(policy.device).manual_seed(self.seed + 1)
        for first in range(0, len(self.prompts), _PROMPTS_AT_ONCE):
            some = self.prompts[first : first + _PROMPTS_AT_ONCE]
            yield sample(policy, self.tokenizer, some, self.sampling, samples=1, generator=generator)

    def _scores(self, texts: Sequence[tuple[list[str], list[str]]]) -> dict[str, list[float]]:
        """By measure, what the scorers give to prompts and completions."""
        judges = {"reward": self.scorer, "gold": self.gold, "disagreement": self.disagreement}
        return {
            name: [score for some in texts for score in judge(*some)]
            for name, judge in judges.items()
            if judge is not None
        }


def told(found: Evaluation | None, group: ProcessGroup) -> Evaluation | None:
    """The first process's evaluation, in all of them."""
    if group.world_size == 1:
        return found
    written = torch.tensor(list(json.dumps(found and asdict(found)).encode()), dtype=torch.uint8)
    length = int(group.broadcast(torch.tensor(len(written))))
    written = group.broadcast(written if group.is_main_process else torch.zeros(length, dtype=torch.uint8))
    values = json.loads(bytes(written.tolist()))
    return Evaluation(**values) if values else None


def summary(control: EarlyStopping, *, steps: int, seconds: float) -> dict[str, float]:
    """The figures that every tuning's result has: of the policy before, and of the version kept."""
    before, best = control.before, control.best
    assert before is not None
    assert best is not None
    figures: dict[str, float] = {"best_step": best.step, "steps": steps, "seconds": seconds, "kl": best.kl}
    for name in ("reward", "gold"):
        if name in best.each:
            figures |= {f"{name}_before": before.mean(name) or 0.0, f"{name}_after": best.mean(name) or 0.0}
    return figures
