"""Generators in order of their strength, each with an interval by the bootstrap over prompts, and each pair
of them as it was compared.

Comparisons of one prompt depend on each other, so whole prompts are drawn, as many as there are, with
replacement; the strengths are fitted anew to each draw, all draws at once by Newton's method; the intervals
are the middle 95 % of what comes out (Efron 1979; Cameron, Gelbach and Miller 2008 for clusters).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from labeling.models import Generator, Project
from labeling.proportions import Share
from labeling.quality.bradley_terry import PRIOR, Davidson, Floats, Game, Table, fit, games_of, largest_group

DRAWS = 500
"""Ends of an interval then vary by about a tenth of its width from one set of draws to another."""
SEED = 2024
"""The same answers give the same intervals."""
STEPS = 25
"""Of Newton's method, at most."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """A generator's place among those that comparisons connect. Intervals are of 95 %."""

    generator: Generator
    comparisons: int
    prompts: int
    strength: float
    chance: float
    """Of beating one of mean strength, ties apart."""
    interval: tuple[float, float]
    """Of the chance."""
    places: tuple[int, int]
    """Between which places it is, 1 being the best: how many are surely better, and how many surely not."""


class Meeting(NamedTuple):
    """How two generators were compared: the first one's points of so many comparisons, on so many prompts."""

    points: float
    comparisons: int
    prompts: int

    @property
    def share(self) -> Share:
        """Ties half; the interval takes each prompt for one."""
        return Share(self.points / self.comparisons * self.prompts, self.prompts)


@dataclass(frozen=True, kw_only=True)
class Standings:
    """All generators of a project that were compared."""

    rows: list[Standing] = field(default_factory=list)
    """The strongest first."""
    apart: list[Generator] = field(default_factory=list)
    """Those that no comparison connects with them."""
    meetings: dict[tuple[int, int], Meeting] = field(default_factory=dict)
    """By the ids of two generators, both ways round."""
    comparisons: int = 0
    prompts: int = 0


def standings(project: Project) -> Standings:
    """The project's generators by the comparisons that are learned from, of tasks that came at random."""
    games = list(games_of(project))
    if not games:
        return Standings()
    group = largest_group(games)
    generators = Generator.objects.in_bulk(
        {int(name) for game in games for name in (game.first, game.second)}
    )
    among = [game for game in games if game.first in group]
    found = fit(among)
    drawn = bootstrap(among)  # [draws, players]
    chances = 1 / (1 + np.exp(-drawn))
    lows, highs = np.quantile(chances, (0.025, 0.975), axis=0)
    better = _surely_better(drawn)
    rows = [
        Standing(
            generator=generators[int(player)],
            comparisons=sum(player in (game.first, game.second) for game in among),
            prompts=len({game.cluster for game in among if player in (game.first, game.second)}),
            strength=float(found.strengths[place]),
            chance=float(1 / (1 + np.exp(-found.strengths[place]))),
            interval=(float(lows[place]), float(highs[place])),
            places=(1 + int(better[:, place].sum()), len(found.players) - int(better[place].sum())),
        )
        for place, player in enumerate(found.players)
    ]
    return Standings(
        rows=sorted(rows, key=lambda row: (-row.strength, row.generator.name)),
        apart=sorted(
            (generators[key] for key in generators if str(key) not in group), key=lambda each: each.name
        ),
        meetings=meetings(games),
        comparisons=len(games),
        prompts=len({game.cluster for game in games}),
    )


def meetings(games: Sequence[Game]) -> dict[tuple[int, int], Meeting]:
    """Each pair that was compared, both ways round."""
    points: dict[tuple[int, int], list[float]] = defaultdict(list)
    prompts: dict[tuple[int, int], set[str]] = defaultdict(set)
    for game in games:
        pair = int(game.first), int(game.second)
        for key, won in ((pair, game.points), (pair[::-1], 1 - game.points)):
            points[key].append(won)
            prompts[key].add(game.cluster)
    return {key: Meeting(sum(won), len(won), len(prompts[key])) for key, won in points.items()}


def bootstrap(games: Sequence[Game], *, draws: int = DRAWS, seed: int = SEED) -> Floats:
    """The strengths of the players, in the order of `fit`, of so many draws of clusters. [draws, players]

    In a draw in which somebody never lost, or never won, strengths come from the distribution that `fit`
    takes then; players must be connected, as there.
    """
    table = Table(games)
    size = len(table.edges)
    tallies = np.zeros((table.clusters, size * 3))
    np.add.at(tallies, (table.cluster, table.edge * 3 + table.outcome), table.count)
    random = np.random.default_rng(seed)
    times = random.multinomial(table.clusters, np.full(table.clusters, 1 / table.clusters), size=draws)
    counts = (times @ tallies).reshape(draws, size, 3)
    model = Davidson(table, prior=1.0)
    thetas = _likeliest(model, counts[:, :, : model.outcomes], _precision(table, counts))
    strengths = np.concatenate([np.zeros((draws, 1)), thetas[:, : model.players - 1]], axis=1)
    return np.asarray(strengths - strengths.mean(axis=1, keepdims=True))


def _precision(table: Table, counts: Floats) -> Floats:
    """Of the prior of each draw: 0 where all are connected by wins, and by losses. [draws]"""
    players = len(table.players)
    beat = np.zeros((len(counts), players, players), dtype=bool)
    first, second = table.edges.T
    beat[:, first, second] = counts[:, :, 0] > 0
    beat[:, second, first] = counts[:, :, 1] > 0
    reach = (beat | np.eye(players, dtype=bool)).astype(np.float32)
    for _ in range(max(1, players.bit_length())):
        reach = np.minimum(reach @ reach, 1)
    return np.where((reach > 0).all(axis=(1, 2)), 0.0, 1 / PRIOR**2)


def _likeliest(model: Davidson, counts: Floats, precision: Floats) -> Floats:
    """Theta at the maximum of each draw's likelihood, with its prior. [draws, P]"""
    features = model.features
    penalty = precision[:, None, None] * model.penalty
    # Where a draw says nothing of something (a tie that was not drawn, a pair), it stays near nothing.
    penalty = penalty + 1e-6 * np.eye(features.shape[2])
    theta = np.zeros((len(counts), features.shape[2]))
    totals = counts.sum(axis=2, keepdims=True)
    for _ in range(STEPS):
        scores = np.einsum("eop,bp->beo", features, theta)
        chances = np.exp(scores - scores.max(axis=2, keepdims=True))
        chances /= chances.sum(axis=2, keepdims=True)
        slope = np.einsum("beo,eop->bp", totals * chances - counts, features, optimize=True)
        slope += np.einsum("bpq,bq->bp", penalty, theta)
        mean = np.einsum("beo,eop->bep", chances, features)
        bend = np.einsum("beo,eop,eoq->bpq", totals * chances, features, features, optimize=True)
        bend -= np.einsum("bep,beq->bpq", totals * mean, mean, optimize=True)
        step = np.linalg.solve(bend + penalty, slope[:, :, None])[:, :, 0]
        # From afar Newton's step can overshoot: no figure moves by more than 2 at once.
        step *= np.minimum(1, 2 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-12))
        theta -= step
        if np.abs(step).max() < 1e-6:
            break
    return theta


def _surely_better(drawn: Floats) -> Floats:
    """Whether the one is stronger than the other in 97.5 % of the draws. [players, players]"""
    return np.asarray((drawn[:, :, None] > drawn[:, None, :]).mean(axis=0) >= 0.975)
