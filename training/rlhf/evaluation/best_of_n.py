"""Best-of-n: sample n completions, take the one with the highest reward. Torch-free.

It needs no training, and its KL to the policy is known: a baseline for every tuning.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from training.gpt.errors import InputError
from training.rlhf.reward_functions import Scorer


@dataclass(frozen=True, kw_only=True)
class BestOfN:
    """Best-of-n by the reward: means over prompts of the chosen completion."""

    n: int
    kl: float
    """Upper bound in nats per sequence: log n - (n-1)/n; exact without ties."""
    reward: float
    gold: float
    gold_error: float
    """Standard error of `gold` over prompts; NaN for one prompt."""


def best_of_n(rewards: Sequence[Sequence[float]], golds: Sequence[Sequence[float]], *, n: int) -> BestOfN:
    """Estimate best-of-n from N >= n completions of each prompt, their rewards and their gold scores [P][N].

    Unbiased, and of less variance than one draw of n: the mean over all subsets of n of the N (Nakano et al.
    2021, appendix I). Completions with equal rewards are equally likely to be chosen.
    """
    if not rewards or len(rewards) != len(golds):
        raise InputError(f"best_of: {len(rewards)} prompts have rewards and {len(golds)} gold scores")
    best_golds = [expected_best(mine, gold, n=n) for mine, gold in zip(rewards, golds, strict=True)]
    count, gold = len(best_golds), math.fsum(best_golds) / len(best_golds)
    variance = math.fsum((each - gold) ** 2 for each in best_golds) / (count - 1) if count > 1 else math.nan
    return BestOfN(
        n=n,
        kl=best_of_n_kl(n),
        reward=math.fsum(expected_best(mine, mine, n=n) for mine in rewards) / count,
        gold=gold,
        gold_error=math.sqrt(variance / count),
    )


def expected_best(rewards: Sequence[float], golds: Sequence[float], *, n: int) -> float:
    """The expected gold score of the completion with the highest of n rewards, drawn without replacement."""
    count = len(rewards)
    if not 1 <= n <= count or len(golds) != count:
        raise InputError(f"best_of: {n} cannot be drawn of {count} completions; give at most {count}")
    ranked = sorted(zip(rewards, golds, strict=True), key=lambda pair: pair[0])
    total, below = 0.0, 0
    for _, tied in groupby(ranked, key=lambda pair: pair[0]):
        group = [gold for _, gold in tied]
        # The best is in this group if all n are from it or below, and not all from below.
        share = (math.comb(below + len(group), n) - math.comb(below, n)) / math.comb(count, n)
        total += share * math.fsum(group) / len(group)
        below += len(group)
    return total


def best_of_n_kl(n: int) -> float:
    """The KL of best-of-n to the policy in nats; an upper bound if completions can tie."""
    return math.log(n) - (n - 1) / n


def powers_of_two(maximum: int) -> list[int]:
    """1, 2, 4, ... and `maximum` itself: the n of a curve."""
    return sorted({2**power for power in range(maximum.bit_length()) if 2**power <= maximum} | {maximum})


def choose_best(scorer: Scorer, prompts: Sequence[str], completions: Sequence[Sequence[str]]) -> list[str]:
    """Each prompt's completion with the highest score; the first of equal ones."""
    flat = [(prompt, text) for prompt, texts in zip(prompts, completions, strict=True) for text in texts]
    scores = iter(scorer([prompt for prompt, _ in flat], [text for _, text in flat]))
    return [
        max(((next(scores), text) for text in texts), key=lambda pair: pair[0])[1] for texts in completions
    ]
