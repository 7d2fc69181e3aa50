"""Leaderboard of generators by strength, with bootstrap intervals, and the results of each pair.

Comparisons of one prompt are not independent, so the bootstrap draws whole prompts with replacement.
Strengths are refitted to each draw, all draws at once by Newton's method. Intervals are 2.5 to 97.5 %
percentiles (Efron 1979; Cameron, Gelbach and Miller 2008 for clusters).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from labeling.models import Generator, Project
from labeling.proportions import Proportion
from labeling.quality.bradley_terry import (
    PRIOR,
    Comparison,
    ComparisonTable,
    DavidsonModel,
    Floats,
    fit_bradley_terry,
    generator_comparisons,
    largest_connected_group,
)

BOOTSTRAP_DRAWS = 500
"""Interval ends vary by about a tenth of the width between sets of this many draws."""
SEED = 2024
"""Fixed, so that the same annotations give the same intervals."""
MAX_NEWTON_STEPS = 25


@dataclass(frozen=True, kw_only=True)
class LeaderboardRow:
    """A generator among those that comparisons connect. Intervals are 95 %."""

    generator: Generator
    comparisons: int
    prompts: int
    strength: float
    win_probability: float
    """Of beating a generator of mean strength, without ties."""
    interval: tuple[float, float]
    """Of the win probability."""
    rank_range: tuple[int, int]
    """The best and worst rank (1 is best) that the significant differences to the others leave open."""


class PairResult(NamedTuple):
    """The comparisons of two generators: the first one's points, the number of comparisons and of prompts."""

    points: float
    comparisons: int
    prompts: int

    @property
    def win_rate(self) -> Proportion:
        """Ties count half; n is the number of prompts."""
        return Proportion(self.points / self.comparisons * self.prompts, self.prompts)


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """All generators of a project with at least one comparison."""

    rows: list[LeaderboardRow] = field(default_factory=list)
    """The strongest first."""
    unconnected: list[Generator] = field(default_factory=list)
    """Generators that no comparisons connect with `rows`."""
    pairs: dict[tuple[int, int], PairResult] = field(default_factory=dict)
    """By the ids of two generators, in both orders."""
    comparisons: int = 0
    prompts: int = 0


def compute_leaderboard(project: Project) -> Leaderboard:
    """The leaderboard of a project, by the comparisons used for training, of randomly chosen tasks."""
    comparisons = list(generator_comparisons(project))
    if not comparisons:
        return Leaderboard()
    group = largest_connected_group(comparisons)
    generators = Generator.objects.in_bulk(
        {int(name) for comparison in comparisons for name in (comparison.first, comparison.second)}
    )
    connected = [comparison for comparison in comparisons if comparison.first in group]
    found = fit_bradley_terry(connected)
    drawn = bootstrap_strengths(connected)  # [draws, items]
    probabilities = 1 / (1 + np.exp(-drawn))
    lows, highs = np.quantile(probabilities, (0.025, 0.975), axis=0)
    better = _significantly_better(drawn)
    rows = [
        LeaderboardRow(
            generator=generators[int(item)],
            comparisons=sum(item in (comparison.first, comparison.second) for comparison in connected),
            prompts=len(
                {
                    comparison.cluster
                    for comparison in connected
                    if item in (comparison.first, comparison.second)
                }
            ),
            strength=float(found.strengths[place]),
            win_probability=float(1 / (1 + np.exp(-found.strengths[place]))),
            interval=(float(lows[place]), float(highs[place])),
            rank_range=(1 + int(better[:, place].sum()), len(found.items) - int(better[place].sum())),
        )
        for place, item in enumerate(found.items)
    ]
    return Leaderboard(
        rows=sorted(rows, key=lambda row: (-row.strength, row.generator.name)),
        unconnected=sorted(
            (generators[key] for key in generators if str(key) not in group), key=lambda each: each.name
        ),
        pairs=pair_results(comparisons),
        comparisons=len(comparisons),
        prompts=len({comparison.cluster for comparison in comparisons}),
    )


def pair_results(comparisons: Sequence[Comparison]) -> dict[tuple[int, int], PairResult]:
    """The result of each compared pair, in both orders."""
    points: dict[tuple[int, int], list[float]] = defaultdict(list)
    prompts: dict[tuple[int, int], set[str]] = defaultdict(set)
    for comparison in comparisons:
        pair = int(comparison.first), int(comparison.second)
        for key, won in ((pair, comparison.points), (pair[::-1], 1 - comparison.points)):
            points[key].append(won)
            prompts[key].add(comparison.cluster)
    return {key: PairResult(sum(won), len(won), len(prompts[key])) for key, won in points.items()}


def bootstrap_strengths(
    comparisons: Sequence[Comparison], *, draws: int = BOOTSTRAP_DRAWS, seed: int = SEED
) -> Floats:
    """Strengths refitted to bootstrap draws of clusters, [draws, items], items as in `fit_bradley_terry`.

    The prior is used in draws in which an item never lost or never won. The items must be connected.
    """
    table = ComparisonTable(comparisons)
    size = len(table.edges)
    cluster_counts = np.zeros((table.clusters, size * 3))
    np.add.at(cluster_counts, (table.cluster, table.edge * 3 + table.outcome), table.count)
    random = np.random.default_rng(seed)
    weights = random.multinomial(table.clusters, np.full(table.clusters, 1 / table.clusters), size=draws)
    counts = (weights @ cluster_counts).reshape(draws, size, 3)
    model = DavidsonModel(table, prior=1.0)
    thetas = _fit_draws(model, counts[:, :, : model.outcomes], _prior_precisions(table, counts))
    strengths = np.concatenate([np.zeros((draws, 1)), thetas[:, : model.item_count - 1]], axis=1)
    return np.asarray(strengths - strengths.mean(axis=1, keepdims=True))


def _prior_precisions(table: ComparisonTable, counts: Floats) -> Floats:
    """The prior's precision in each draw: 0 if all items are strongly connected. [draws]"""
    items = len(table.items)
    beat = np.zeros((len(counts), items, items), dtype=bool)
    first, second = table.edges.T
    beat[:, first, second] = counts[:, :, 0] > 0
    beat[:, second, first] = counts[:, :, 1] > 0
    reach = (beat | np.eye(items, dtype=bool)).astype(np.float32)
    for _ in range(max(1, items.bit_length())):
        reach = np.minimum(reach @ reach, 1)
    return np.where((reach > 0).all(axis=(1, 2)), 0.0, 1 / PRIOR**2)


def _fit_draws(model: DavidsonModel, counts: Floats, precision: Floats) -> Floats:
    """Theta at the maximum of each draw's posterior. [draws, P]"""
    features = model.features
    penalty = precision[:, None, None] * model.penalty
    # A small ridge for parameters on which a draw has no data.
    penalty = penalty + 1e-6 * np.eye(features.shape[2])
    theta = np.zeros((len(counts), features.shape[2]))
    totals = counts.sum(axis=2, keepdims=True)
    for _ in range(MAX_NEWTON_STEPS):
        scores = np.einsum("eop,bp->beo", features, theta)
        probabilities = np.exp(scores - scores.max(axis=2, keepdims=True))
        probabilities /= probabilities.sum(axis=2, keepdims=True)
        gradient = np.einsum("beo,eop->bp", totals * probabilities - counts, features, optimize=True)
        gradient += np.einsum("bpq,bq->bp", penalty, theta)
        mean = np.einsum("beo,eop->bep", probabilities, features)
        hessian = np.einsum("beo,eop,eoq->bpq", totals * probabilities, features, features, optimize=True)
        hessian -= np.einsum("bep,beq->bpq", totals * mean, mean, optimize=True)
        step = np.linalg.solve(hessian + penalty, gradient[:, :, None])[:, :, 0]
        # Newton's method can overshoot far from the maximum: no parameter moves by more than 2 at once.
        step *= np.minimum(1, 2 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-12))
        theta -= step
        if np.abs(step).max() < 1e-6:
            break
    return theta


def _significantly_better(drawn: Floats) -> Floats:
    """Whether the one is stronger than the other in at least 97.5 % of the draws. [items, items]"""
    return np.asarray((drawn[:, :, None] > drawn[:, None, :]).mean(axis=0) >= 0.975)
