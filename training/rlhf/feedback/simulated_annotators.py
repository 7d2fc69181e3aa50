"""Simulated people: a known taste, blurred by noise, that answers as an annotator would. Torch-free.

Their answers follow the models the reward model assumes: for two completions the Bradley-Terry model,
P(a over b) = sigma((s_a - s_b) / T), and for K of them the Plackett-Luce model. Both come from adding T times
a standard Gumbel draw to each score and sorting (Yellott 1977).
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from training.rlhf.config import SimulatedAnnotatorsConfig
from training.rlhf.scorers import Scorer

EULER_GAMMA = 0.5772156649015329


@dataclass(frozen=True, kw_only=True)
class SimulatedAnnotator:
    """One person: a name, the taste, and how unsteadily it is applied.

    `noise` is the temperature T in units of `deviation`, the standard deviation of the taste over the samples
    to be judged: at noise 1, a completion one deviation better wins 73 % of the time, at 0.5 88 %, at 0
    always. Completions whose blurred scores lie within `tie_margin` deviations of the best of their rank are
    ties. `mean` is the taste's over the same samples, which only `score` asks for.

    The blur belongs to (seed, name, prompt, completion), so the same person asked again, in whatever order,
    answers the same, and two people differ. A `careless` person has no taste, only the blur: every order of
    the completions is as likely as the next.
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
        """A rank for each completion: 1 is best, equal ranks are ties, and none is left out."""
        felt = self._felt(prompt, completions)
        ranks = [0] * len(felt)
        rank, top = 0, math.inf
        for index in sorted(range(len(felt)), key=lambda index: -felt[index]):
            # Measured from the best of the rank, or a chain of near-ties would join the best to the worst.
            if rank == 0 or top - felt[index] > self.tie_margin:
                rank, top = rank + 1, felt[index]
            ranks[index] = rank
        return ranks

    def grade(self, prompt: str, first: str, second: str) -> int:
        """How much better the second is, from -3 to 3: a step for each deviation begun, 0 for a tie."""
        felt_first, felt_second = self._felt(prompt, [first, second])
        difference = felt_second - felt_first
        if abs(difference) <= self.tie_margin:
            return 0
        return int(math.copysign(min(3, 1 + math.floor(abs(difference))), difference))

    def score(self, prompt: str, completions: Sequence[str], *, scale: int) -> list[int]:
        """A score for each completion, 1 to `scale`: two deviations below the mean of the taste, the blur's
        own apart, is the worst, two above it the best. It does not depend on what is beside it."""
        # Of Gumbel's distribution the mean is Euler's constant.
        middle = EULER_GAMMA if self.careless else self.mean / self.deviation + self.noise * EULER_GAMMA
        shares = [(min(2.0, max(-2.0, felt - middle)) + 2) / 4 for felt in self._felt(prompt, completions)]
        return [1 + round(share * (scale - 1)) for share in shares]

    def _felt(self, prompt: str, completions: Sequence[str]) -> list[float]:
        """What each completion seems to be worth, in deviations of the taste."""
        blurs = [self._blur(prompt, completion) for completion in completions]
        if self.careless:
            return blurs
        scores = self.scorer([prompt] * len(completions), completions)
        return [score / self.deviation + self.noise * blur for score, blur in zip(scores, blurs, strict=True)]

    def _blur(self, prompt: str, completion: str) -> float:
        """A standard Gumbel draw."""
        draw = random.Random(repr((self.seed, self.name, prompt, completion))).random()
        return -math.log(-math.log(max(draw, 1e-300)))


def simulated_annotators(
    config: SimulatedAnnotatorsConfig, scorer: Scorer, *, deviation: float = 1.0, mean: float = 0.0
) -> list[SimulatedAnnotator]:
    """`config.count` people of one taste, named simulated-1, simulated-2, ..., the first of them careless.

    Their number is the share `config.careless`, rounded to a whole number with halves going up.
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
