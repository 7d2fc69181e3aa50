"""How strong each generator is, by the comparisons of its samples with others'.

Bradley and Terry's model (1952), with ties as Davidson (1970) has them: of two with the worths a and b, the
first is chosen with a probability in proportion to a, the second to b, and neither to nu sqrt(ab). A strength
is the logarithm of a worth.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from django.db.models.functions import MD5
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from labeling.feedback import Verdict
from labeling.models import Annotation, Generator, Judgement, Project
from labeling.proportions import Z

PRIOR = 2.0
"""Deviation of the strengths that are expected where comparisons alone would make one of them infinite."""

Floats = NDArray[np.float64]


class Game(NamedTuple):
    """So many `times` two players were compared: the first won, or lost, or (points of a half) neither."""

    first: str
    second: str
    points: float
    cluster: str = ""
    """What is not independent has one name; empty: independent of all others."""
    times: int = 1


@dataclass(frozen=True)
class Fit:
    """Strengths of players who are connected by comparisons, their mean being 0."""

    players: list[str]
    strengths: Floats
    errors: Floats
    """Standard errors, which allow for clusters."""
    ties: float
    """Davidson's nu: of two equals, neither is preferred with the odds nu to 2."""
    loss: float
    """The negative log-likelihood of all comparisons, in nats."""
    is_bounded: bool
    """Whether a prior was needed: some players never lost against the rest, or never won."""

    @property
    def worths(self) -> Floats:
        """Worths that sum to 1."""
        worths = np.exp(self.strengths - self.strengths.max())
        return np.asarray(worths / worths.sum())


@dataclass(frozen=True, kw_only=True)
class Strength:
    """How strong a generator is beside the others of its project; None where no comparison connects it with
    most of the others."""

    generator: Generator
    comparisons: int
    strength: float | None = None
    error: float | None = None

    @property
    def chance(self) -> float | None:
        """The probability that it beats one of mean strength, ties apart."""
        return None if self.strength is None else _chance(self.strength)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the chance."""
        if self.strength is None or self.error is None:
            return None
        return _chance(self.strength - Z * self.error), _chance(self.strength + Z * self.error)


def strengths(project: Project) -> list[Strength]:
    """The generators of the project's samples that were compared with another's, the strongest first.

    Comparisons are those that are learned from, of tasks that came at random; all on one prompt are taken as
    one cluster.
    """
    games = list(games_of(project))
    played: dict[str, int] = {}
    for game in games:
        for player in (game.first, game.second):
            played[player] = played.get(player, 0) + 1
    connected = largest_group(games)
    found = fit([game for game in games if game.first in connected]) if games else None
    places = {player: place for place, player in enumerate(found.players)} if found else {}
    generators = Generator.objects.in_bulk([int(player) for player in played])
    rows = [
        Strength(
            generator=generators[int(player)],
            comparisons=count,
            strength=float(found.strengths[places[player]]) if found and player in places else None,
            error=float(found.errors[places[player]]) if found and player in places else None,
        )
        for player, count in played.items()
    ]
    return sorted(rows, key=lambda row: (row.strength is None, -(row.strength or 0.0), row.generator.name))


def largest_group(games: Sequence[Game]) -> set[str]:
    """The players of the group with the most comparisons in which each can be compared with each, through
    others if need be."""
    if not games:
        return set()
    table = Table(games)
    labels = table.groups(table.counts.sum(axis=1), connection="weak")
    weight = np.bincount(labels[table.edges[:, 0]], weights=table.counts.sum(axis=1))
    return {player for player, label in zip(table.players, labels, strict=True) if label == weight.argmax()}


def fit(games: Sequence[Game]) -> Fit:
    """The likeliest strengths.

    Where somebody was never beaten, or never won, the likeliest strength would be infinite (Ford 1957): then
    strengths are taken to come from a normal distribution of deviation PRIOR. ValueError: players whom no
    comparisons connect.
    """
    if not games:
        raise ValueError("games: there is nothing to fit.")
    table = Table(games)
    if table.groups(table.counts.sum(axis=1), connection="weak").max() > 0:
        raise ValueError("games: no comparisons connect all players.")
    is_bounded = not table.is_finite
    model = Davidson(table, prior=PRIOR if is_bounded else math.inf)
    theta = model.likeliest()
    centred = np.eye(len(table.players)) - 1 / len(table.players)
    strengths = centred @ model.strengths(theta)
    # The strengths as they depend on what was fitted.
    slope = centred[:, 1:]
    fitted = slice(0, len(table.players) - 1)
    errors = [
        np.sqrt(np.diag(slope @ covariance[fitted, fitted] @ slope.T))
        for covariance in model.covariances(theta)
    ]
    return Fit(
        players=table.players,
        strengths=strengths,
        # Few clusters make the second too small; comparisons that depend on each other the first.
        errors=np.maximum.reduce(errors),
        ties=float(np.exp(theta[-1])) if table.has_ties else 0.0,
        loss=model.loss(theta),
        is_bounded=is_bounded,
    )


class Table:
    """Comparisons counted by pair. E pairs of players that met; outcomes: first won, second won, neither."""

    def __init__(self, games: Sequence[Game]) -> None:
        self.players = sorted({player for game in games for player in (game.first, game.second)})
        place = {player: number for number, player in enumerate(self.players)}
        edges: dict[tuple[int, int], int] = {}
        self.edge, self.outcome = np.zeros((2, len(games)), dtype=np.intp)
        self.count = np.array([game.times for game in games], dtype=np.float64)
        clusters: dict[Any, int] = {}
        self.cluster = np.zeros(len(games), dtype=np.intp)
        for number, game in enumerate(games):
            first, second, points = place[game.first], place[game.second], game.points
            if first > second:
                first, second, points = second, first, 1 - points
            self.edge[number] = edges.setdefault((first, second), len(edges))
            self.outcome[number] = 2 if points == 0.5 else 0 if points > 0.5 else 1
            self.cluster[number] = clusters.setdefault(game.cluster or number, len(clusters))
        self.edges = np.array(list(edges))  # [E, 2]
        self.counts = np.zeros((len(edges), 3))
        np.add.at(self.counts, (self.edge, self.outcome), self.count)
        self.clusters = len(clusters)

    @property
    def has_ties(self) -> bool:
        return bool(self.counts[:, 2].any())

    @property
    def is_finite(self) -> bool:
        """Whether each player is connected with each by wins, and by losses: enough for finite strengths."""
        return bool(self.groups(self.counts[:, 0], self.counts[:, 1], connection="strong").max() == 0)

    def groups(self, won: Floats, lost: Floats | None = None, *, connection: str) -> NDArray[np.intp]:
        """The number of each player's group, by the pairs that are counted. [players]"""
        lost = won if lost is None else lost
        first, second = self.edges.T
        ends = np.concatenate([first, second]), np.concatenate([second, first])
        size = len(self.players)
        graph = coo_array((np.concatenate([won, lost]), ends), shape=(size, size)).tocsr()
        graph.eliminate_zeros()  # or a pair that never ended so would be an edge
        return np.asarray(connected_components(graph, connection=connection)[1], dtype=np.intp)


class Davidson:
    """The log-likelihood, which is concave: outcomes are drawn in proportion to exp(features . theta).

    theta [P]: the strengths of all players but the first, which is 0, and log nu where there are ties.
    """

    def __init__(self, table: Table, *, prior: float) -> None:
        self.table, self.prior = table, prior
        players, size = len(table.players), len(table.edges)
        features = np.zeros((size, 3, players + 1))
        number = np.arange(size)
        for side in (0, 1):
            features[number, side, table.edges[:, side]] = 1
            features[number, 2, table.edges[:, side]] = 0.5
        features[:, 2, players] = 1
        self.outcomes = 3 if table.has_ties else 2
        self.features = features[:, : self.outcomes, 1 : players + (self.outcomes == 3)]  # [E, outcomes, P]
        self.counts = table.counts[:, : self.outcomes]
        self.players = players

    def strengths(self, theta: Floats) -> Floats:
        """Of all players. [players]"""
        return np.concatenate([[0.0], theta[: self.players - 1]])

    @cached_property
    def penalty(self) -> Floats:
        """The prior's precision: of strengths about their mean, and of log nu. [P, P]"""
        size = self.features.shape[2]
        centred = (np.eye(self.players) - 1 / self.players)[1:, 1:]
        precision = np.eye(size)
        precision[: self.players - 1, : self.players - 1] = centred
        return precision / self.prior**2

    def expected(self, theta: Floats) -> tuple[Floats, Floats]:
        """Probabilities of the outcomes [E, outcomes], and the log-likelihood of each. [E, outcomes]"""
        scores = self.features @ theta
        top = scores.max(axis=1, keepdims=True)
        logs = scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True))
        return np.exp(logs), logs

    def loss(self, theta: Floats) -> float:
        """The negative log-likelihood, without the prior."""
        return -float((self.counts * self.expected(theta)[1]).sum())

    def gradient(self, theta: Floats) -> Floats:
        """Of the loss with the prior. [P]"""
        chances, _ = self.expected(theta)
        missing = self.counts.sum(axis=1, keepdims=True) * chances - self.counts
        return np.asarray(np.einsum("eo,eop->p", missing, self.features) + self.penalty @ theta)

    def hessian(self, theta: Floats) -> Floats:
        """Of the loss with the prior. [P, P]"""
        chances, _ = self.expected(theta)
        mean = np.einsum("eo,eop->ep", chances, self.features)
        total = self.counts.sum(axis=1)
        square = np.einsum("e,eo,eop,eoq->pq", total, chances, self.features, self.features, optimize=True)
        return np.asarray(square - np.einsum("e,ep,eq->pq", total, mean, mean) + self.penalty)

    def likeliest(self) -> Floats:
        """Theta at the minimum of the loss with the prior."""
        found = minimize(
            lambda theta: self.loss(theta) + theta @ self.penalty @ theta / 2,
            np.zeros(self.features.shape[2]),
            jac=self.gradient,
            hess=self.hessian,
            method="trust-exact",
            options={"gtol": 1e-9 * max(1.0, self.counts.sum())},
        )
        return np.asarray(found.x)

    def covariances(self, theta: Floats) -> Iterator[Floats]:
        """Of theta, [P, P]: as if all comparisons were independent; and as clusters differ (White 1982)."""
        inverse = np.linalg.inv(self.hessian(theta))
        yield np.asarray(inverse)
        if 1 < self.table.clusters < len(self.table.edge):
            chances, _ = self.expected(theta)
            mean = np.einsum("eo,eop->ep", chances, self.features)
            edge, outcome = self.table.edge, self.table.outcome
            scores = self.table.count[:, None] * (self.features[edge, outcome] - mean[edge])
            sums = np.zeros((self.table.clusters, scores.shape[1]))
            np.add.at(sums, self.table.cluster, scores)
            few = self.table.clusters / (self.table.clusters - 1)
            yield np.asarray(inverse @ (few * sums.T @ sums) @ inverse)


def games_of(project: Project) -> Iterator[Game]:
    """The comparisons of samples by different generators in a project's answers, by the generators' ids; all
    on one prompt are one cluster. Those that are learned from, of tasks that came at random."""
    if not project.kind.compares:
        return
    answers = Annotation.objects.of(project).counting().learned_from().at_random().filter(all_bad=False)
    rows = (
        Judgement.objects.filter(annotation__in=answers)
        .order_by("annotation_id", "sample_id")
        .annotate(text=MD5("sample__text"))
        .values(
            "annotation_id",
            "annotation__assignment__task__prompt_id",
            "sample__generator_id",
            "text",
            "rank",
            "score",
            "grade",
        )
    )
    for _, answer in groupby(rows.iterator(), key=lambda row: row["annotation_id"]):
        yield from _games_in(project, list(answer))


def _games_in(project: Project, rows: Sequence[Mapping[str, Any]]) -> Iterable[Game]:
    verdicts = [Verdict(rank=row["rank"], score=row["score"], grade=row["grade"]) for row in rows]
    for better, worse, tie, _ in project.kind.preferences(verdicts):
        first, second = rows[better], rows[worse]
        if (
            first["sample__generator_id"] != second["sample__generator_id"]
            and first["text"] != second["text"]
        ):
            yield Game(
                first=str(first["sample__generator_id"]),
                second=str(second["sample__generator_id"]),
                points=0.5 if tie else 1.0,
                cluster=str(first["annotation__assignment__task__prompt_id"]),
            )


def _chance(strength: float) -> float:
    return 1 / (1 + math.exp(-strength))
