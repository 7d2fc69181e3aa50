"""An experiment with simulated annotators and a gold scorer: one seed's samples, answers and measurements."""

import copy
import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, pstdev, stdev

from training.gpt.config import HardwareConfig
from training.gpt.model import GPT
from training.gpt.training_loop import Callbacks
from training.rlhf.config import EarlyStoppingConfig, FinetuneConfig, SimulatedAnnotatorsConfig
from training.rlhf.evaluation.best_of_n import expected_best
from training.rlhf.evaluation.win_rate import win_points
from training.rlhf.feedback.preferences import Comparison
from training.rlhf.feedback.simulated_annotators import simulated_annotators
from training.rlhf.reward.reward_model import Ensemble, RewardModel
from training.rlhf.reward_functions import Scorer
from training.rlhf.tuning.heldout_evaluation import HeldoutEvaluator
from training.rlhf.tuning.policy_gradient import finetune
from training.studies.results_store import Results
from training.studies.reward_models import pairwise_accuracy, score_samples
from training.studies.samples import Pair, Samples
from training.studies.tasks import StudyTask

BASELINE_SAMPLES = 8
"""Completions of the untuned policy, per prompt, that win rates are measured against."""


class SimulatedExperiment:
    """What the cells of one seed share.

    `pool` holds the samples that annotators compare. `candidates` and `baseline` are samples of the same
    held-out prompts: what a reward chooses from, and what that choice has to beat.
    """

    def __init__(
        self,
        task: StudyTask,
        *,
        pool: Samples,
        seed: int,
        heldout: int,
        best_of: int,
        annotators: SimulatedAnnotatorsConfig | None = None,
    ) -> None:
        """`heldout` prompts, which differ between seeds as far as there are enough; without `annotators`,
        `annotate` must not be called."""
        self.task, self.pool, self.seed, self.best_of = task, pool, seed, best_of
        start = seed * heldout % max(1, len(task.heldout) - heldout)
        prompts = task.heldout[start : start + heldout]
        self.candidates = Samples.generate(task, prompts, per_prompt=best_of, seed=1000 + seed)
        self.baseline = Samples.generate(task, prompts, per_prompt=BASELINE_SAMPLES, seed=2000 + seed)
        self.gold_deviation = pstdev([score for scores in pool.gold for score in scores])
        self.annotators = (
            simulated_annotators(replace(annotators, seed=seed), task.gold, deviation=self.gold_deviation)
            if annotators
            else []
        )

    def annotate(self, pair: Pair, *, number: int) -> Comparison:
        """A pair compared by one annotator: they take turns by `number`, and each repeats its own answers."""
        prompt, first, second = pair
        annotator = self.annotators[number % len(self.annotators)]
        rank, other = annotator.rank(prompt, [first, second])
        chosen, rejected = (first, second) if rank <= other else (second, first)
        return Comparison(
            prompt=prompt, chosen=chosen, rejected=rejected, tie=rank == other, annotator=annotator.name
        )

    def evaluate_reward(self, scorer: Scorer) -> Results:
        """Pairwise accuracy on the candidates, and best-of-n of all of them."""
        scores = score_samples(scorer, self.candidates)
        return {
            "accuracy": pairwise_accuracy(scores, self.candidates.gold),
            **self.evaluate_best_of_n(scores, n=self.best_of),
        }

    def evaluate_best_of_n(self, scores: Sequence[Sequence[float]], *, n: int) -> Results:
        """Best of n of the candidates by these scores [P, K]: expected gold win rate, gold and score."""
        win_rates, golds, rewards = [], [], []
        for row, gold, baseline in zip(scores, self.candidates.gold, self.baseline.gold, strict=True):
            wins = [win_rate(each, baseline) for each in gold]
            win_rates.append(expected_best(row, wins, n=n))
            golds.append(expected_best(row, gold, n=n))
            rewards.append(expected_best(row, row, n=n))
        return {**mean_and_error("win_rate", win_rates), "gold": fmean(golds), "reward": fmean(rewards)}

    def evaluate_policy(self, policy: GPT, *, scorer: Scorer | None = None) -> Results:
        """A tuned policy on the held-out prompts: gold win rate, KL, gold, length, repetition, an example.

        With a `scorer`, its mean `reward` too.
        """
        prompts = self.baseline.prompts
        evaluator = HeldoutEvaluator(
            reference=self.task.policy,
            tokenizer=self.task.tokenizer,
            prompts=prompts,
            max_prompts=len(prompts),
            scorer=scorer,
            gold=self.task.gold,
            max_new_tokens=self.task.max_new_tokens,
            seed=self.seed,
        )
        evaluation = evaluator.evaluate(policy, step=0)
        assert evaluation is not None
        baseline = dict(zip(prompts, self.baseline.gold, strict=True))
        win_rates = [
            win_rate(gold, baseline[prompt])
            for prompt, gold in zip(evaluator.prompts, evaluation.per_prompt["gold"], strict=True)
        ]
        metrics = ("kl", "gold", "length", "repetition", *(["reward"] if scorer else []))
        return {
            **mean_and_error("win_rate", win_rates),
            **{name: evaluation.mean(name) for name in metrics},
            "example": [evaluator.prompts[0], evaluation.completions[0]],
        }


def tune_policy(
    task: StudyTask,
    scorer: Scorer | RewardModel | Ensemble,
    config: FinetuneConfig,
    *,
    heldout_prompts: Sequence[str],
    evaluate_every: int,
    gold: Scorer | None = None,
    callbacks: Callbacks = Callbacks(),  # noqa: B008 - frozen
) -> GPT:
    """A copy of the task's policy after all steps of a policy gradient against `scorer`."""
    policy = copy.deepcopy(task.policy)
    finetune(
        policy=policy,
        tokenizer=task.tokenizer,
        scorer=scorer,
        prompts=task.prompts,
        heldout_prompts=heldout_prompts,
        config=config,
        early_stopping=without_early_stopping(evaluate_every, heldout_prompts=len(heldout_prompts)),
        hardware=HardwareConfig(device="cpu"),
        gold=gold,
        callbacks=callbacks,
    )
    return policy


def without_early_stopping(evaluate_every: int, *, heldout_prompts: int) -> EarlyStoppingConfig:
    """Evaluate without a KL limit and without stopping early, so that every arm uses all its samples."""
    return EarlyStoppingConfig(
        evaluate_every=evaluate_every,
        heldout_prompts=heldout_prompts,
        kl_budget=0.0,
        patience=0,
        stop_window=0,
    )


def win_rate(gold: float, baseline: Sequence[float]) -> float:
    """The share of the baseline's gold scores that `gold` beats; a tie counts one half."""
    return fmean(win_points(gold, each) for each in baseline)


def mean_and_error(name: str, values: Sequence[float]) -> dict[str, float]:
    """The mean as `name` and its standard error as `name_error`."""
    return {name: fmean(values), f"{name}_error": stdev(values) / math.sqrt(len(values))}
