"""Simulated annotators: a reward function with noise that answers as a person would. Torch-free.

Their answers follow the models that reward models assume: for two completions the Bradley-Terry model,
P(a over b) = sigma((s_a - s_b) / T), and for K of them the Plackett-Luce model. Both come from adding T times
a standard Gumbel draw to each score and sorting (Yellott 1977).
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from training.rlhf.config import SimulatedAnnotatorsConfig
from training.rlhf.reward_functions import Scorer

EULER_GAMMA = 0.5772156649015329  # the mean of a standard Gumbel distribution


@dataclass(frozen=True, kw_only=True)
class SimulatedAnnotator:
    """One simulated annotator: a name, a reward function, and its noise.

    `noise` is the temperature T in units of `deviation`, the standard deviation of the rewards over the
    samples to be judged: at noise 1, a completion one deviation better wins 73 % of the time, at 0.5 88 %, at
    0 always. Completions whose noisy scores lie within `tie_margin` deviations of the best of their rank are
    ties. `mean` is the mean reward over the same samples; only `score` needs it.

    The noise depends on (seed, name, prompt, completion) only: the same annotator gives the same answer
    again, in whatever order, and two annotators differ. A `careless` annotator answers by noise alone: every
    order of the completions is equally likely.
    """

    name: str
    scorer: Scorer
    noise: float
    seed: int
    tie_margin: float = 0.0
    deviation: float = 1.0
    mean: float = 0.0
    careless: bool = False

    def rank(self, prompt: str, completions: Sequence[str]) -> list[int]:
        """A rank for each completion: 1 is best, equal ranks are ties."""
        scores = self._noisy_scores(prompt, completions)
        ranks = [0] * len(scores)
        rank, top = 0, math.inf
        for index in sorted(range(len(scores)), key=lambda index: -scores[index]):
            # Measured from the best of the rank, or a chain of near-ties would join the best to the worst.
            if rank == 0 or top - scores[index] > self.tie_margin:
                rank, top = rank + 1, scores[index]
            ranks[index] = rank
        return ranks

    def grade(self, prompt: str, first: str, second: str) -> int:
        """How much better the second is, from -3 to 3: one step per deviation, rounded up; 0 for a tie."""
        first_score, second_score = self._noisy_scores(prompt, [first, second])
        difference = second_score - first_score
        if abs(difference) <= self.tie_margin:
            return 0
        return int(math.copysign(min(3, 1 + math.floor(abs(difference))), difference))

    def score(self, prompt: str, completions: Sequence[str], *, scale: int) -> list[int]:
        """A score from 1 to `scale` for each completion, independent of the others.

        Two deviations below the mean reward is the worst, two above it the best.
        """
        middle = EULER_GAMMA if self.careless else self.mean / self.deviation + self.noise * EULER_GAMMA
        fractions = [
            (min(2.0, max(-2.0, score - middle)) + 2) / 4 for score in self._noisy_scores(prompt, completions)
        ]
        return [1 + round(fraction * (scale - 1)) for fraction in fractions]

    def _noisy_scores(self, prompt: str, completions: Sequence[str]) -> list[float]:
        """The reward of each completion with noise, in deviations."""
        draws = [self._gumbel_draw(prompt, completion) for completion in completions]
        if self.careless:
            return draws
        scores = self.scorer([prompt] * len(completions), completions)
        return [score / self.deviation + self.noise * draw for score, draw in zip(scores, draws, strict=True)]

    def _gumbel_draw(self, prompt: str, completion: str) -> float:
        """A standard Gumbel draw."""
        draw = random.Random(repr((self.seed, self.name, prompt, completion))).random()
        return -math.log(-math.log(max(draw, 1e-300)))


def simulated_annotators(
    config: SimulatedAnnotatorsConfig, scorer: Scorer, *, deviation: float = 1.0, mean: float = 0.0
) -> list[SimulatedAnnotator]:
    """`config.count` annotators with one reward function, named simulated-1, simulated-2, ...

    The first ones are careless: the fraction `config.careless` of them, rounded half up.
    """
    careless = math.floor(config.careless * config.count + 0.5)
    return [
        SimulatedAnnotator(
            name=f"simulated-{number}",
            scorer=scorer,
            noise=config.noise,
            tie_margin=config.tie_margin,
            seed=config.seed,
            deviation=deviation,
            mean=mean,
            careless=number <= careless,
        )
        for number in range(1, config.count + 1)
    ]
