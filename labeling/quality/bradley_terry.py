"""Strengths of generators from paired comparisons of their samples: the Bradley-Terry model with ties.

Bradley and Terry (1952), with ties as in Davidson (1970): for two items with worth parameters a and b, the
probabilities that the first wins, the second wins, and of a tie are proportional to a, b and nu sqrt(ab). A
strength is the logarithm of a worth parameter.
"""

import math
from collections import Counter
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
from labeling.proportions import Z95

PRIOR = 2.0
"""Standard deviation of the normal prior on strengths, used where the likelihood has no finite maximum."""

Floats = NDArray[np.float64]


class Comparison(NamedTuple):
    """`n` comparisons of two items with the same outcome: 1 point if the first wins, 0 if it loses, 0.5 for a
    tie."""

    first: str
    second: str
    points: float
    cluster: str = ""
    """Comparisons that are not independent share a name; empty: independent of all others."""
    n: int = 1


@dataclass(frozen=True)
class BradleyTerryFit:
    """Strengths of items that are connected by comparisons, centred on 0."""

    items: list[str]
    strengths: Floats
    errors: Floats
    """Standard errors, robust to clusters."""
    ties: float
    """Davidson's nu: the odds of a tie between equals are nu to 2."""
    loss: float
    """The negative log-likelihood of all comparisons, in nats."""
    has_prior: bool
    """Whether the prior was used: some items never lost against the rest, or never won."""

    @property
    def worth_parameters(self) -> Floats:
        """Exponentiated strengths, normalised to sum to 1."""
        worths = np.exp(self.strengths - self.strengths.max())
        return np.asarray(worths / worths.sum())


@dataclass(frozen=True, kw_only=True)
class GeneratorStrength:
    """A generator's strength among those of its project; None if no comparisons connect it with most of the
    others."""

    generator: Generator
    comparisons: int
    strength: float | None = None
    error: float | None = None

    @property
    def win_probability(self) -> float | None:
        """The probability of beating a generator of mean strength, without ties."""
        return None if self.strength is None else _win_probability(self.strength)

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the win probability."""
        if self.strength is None or self.error is None:
            return None
        return _win_probability(self.strength - Z95 * self.error), _win_probability(
            self.strength + Z95 * self.error
        )


def generator_strengths(project: Project) -> list[GeneratorStrength]:
    """The project's generators with at least one comparison, the strongest first.

    Comparisons are those used for training, of randomly chosen tasks; those of one prompt are one cluster.
    """
    comparisons = list(generator_comparisons(project))
    counts = Counter(item for each in comparisons for item in (each.first, each.second))
    connected = largest_connected_group(comparisons)
    found = (
        fit_bradley_terry([comparison for comparison in comparisons if comparison.first in connected])
        if comparisons
        else None
    )
    places = {item: place for place, item in enumerate(found.items)} if found else {}
    generators = Generator.objects.in_bulk([int(item) for item in counts])
    rows = [
        GeneratorStrength(
            generator=generators[int(item)],
            comparisons=count,
            strength=float(found.strengths[places[item]]) if found and item in places else None,
            error=float(found.errors[places[item]]) if found and item in places else None,
        )
        for item, count in counts.items()
    ]
    return sorted(rows, key=lambda row: (row.strength is None, -(row.strength or 0.0), row.generator.name))


def largest_connected_group(comparisons: Sequence[Comparison]) -> set[str]:
    """The items of the connected component with the most comparisons."""
    if not comparisons:
        return set()
    table = ComparisonTable(comparisons)
    labels = table.component_labels(table.counts.sum(axis=1), connection="weak")
    weight = np.bincount(labels[table.edges[:, 0]], weights=table.counts.sum(axis=1))
    return {item for item, label in zip(table.items, labels, strict=True) if label == weight.argmax()}


def fit_bradley_terry(comparisons: Sequence[Comparison]) -> BradleyTerryFit:
    """Fit strengths by maximum likelihood.

    If an item never lost, or never won, the maximum likelihood estimate is infinite (Ford 1957): then a
    normal prior with standard deviation PRIOR is used. ValueError: items that no comparisons connect.
    """
    if not comparisons:
        raise ValueError("comparisons: there are none to fit.")
    table = ComparisonTable(comparisons)
    if table.component_labels(table.counts.sum(axis=1), connection="weak").max() > 0:
        raise ValueError("comparisons: they do not connect all items.")
    has_prior = not table.has_finite_strengths
    model = DavidsonModel(table, prior=PRIOR if has_prior else math.inf)
    theta = model.fit()
    centred = np.eye(len(table.items)) - 1 / len(table.items)
    strengths = centred @ model.strengths(theta)
    # The derivative of the centred strengths with respect to the fitted parameters.
    slope = centred[:, 1:]
    fitted = slice(0, len(table.items) - 1)
    errors = [
        np.sqrt(np.diag(slope @ covariance[fitted, fitted] @ slope.T))
        for covariance in model.covariances(theta)
    ]
    return BradleyTerryFit(
        items=table.items,
        strengths=strengths,
        # Few clusters make the robust errors too small; dependent comparisons the others.
        errors=np.maximum.reduce(errors),
        ties=float(np.exp(theta[-1])) if table.has_ties else 0.0,
        loss=model.loss(theta),
        has_prior=has_prior,
    )


class ComparisonTable:
    """Comparisons counted by pair: E compared pairs of items; outcomes are first won, second won, tie."""

    def __init__(self, comparisons: Sequence[Comparison]) -> None:
        self.items = sorted(
            {item for comparison in comparisons for item in (comparison.first, comparison.second)}
        )
        index = {item: number for number, item in enumerate(self.items)}
        edges: dict[tuple[int, int], int] = {}
        self.edge, self.outcome = np.zeros((2, len(comparisons)), dtype=np.intp)
        self.count = np.array([comparison.n for comparison in comparisons], dtype=np.float64)
        clusters: dict[Any, int] = {}
        self.cluster = np.zeros(len(comparisons), dtype=np.intp)
        for number, comparison in enumerate(comparisons):
            first, second, points = index[comparison.first], index[comparison.second], comparison.points
            if first > second:
                first, second, points = second, first, 1 - points
            self.edge[number] = edges.setdefault((first, second), len(edges))
            self.outcome[number] = 2 if points == 0.5 else 0 if points > 0.5 else 1
            self.cluster[number] = clusters.setdefault(comparison.cluster or number, len(clusters))
        self.edges = np.array(list(edges))  # [E, 2]
        self.counts = np.zeros((len(edges), 3))
        np.add.at(self.counts, (self.edge, self.outcome), self.count)
        self.clusters = len(clusters)

    @property
    def has_ties(self) -> bool:
        return bool(self.counts[:, 2].any())

    @property
    def has_finite_strengths(self) -> bool:
        """Whether all items are strongly connected by wins and losses: enough for finite strengths."""
        return bool(
            self.component_labels(self.counts[:, 0], self.counts[:, 1], connection="strong").max() == 0
        )

    def component_labels(
        self, won: Floats, lost: Floats | None = None, *, connection: str
    ) -> NDArray[np.intp]:
        """The number of each item's connected component, by the pairs that are counted. [items]"""
        lost = won if lost is None else lost
        first, second = self.edges.T
        ends = np.concatenate([first, second]), np.concatenate([second, first])
        size = len(self.items)
        graph = coo_array((np.concatenate([won, lost]), ends), shape=(size, size)).tocsr()
        graph.eliminate_zeros()  # or pairs without this outcome would be edges
        return np.asarray(connected_components(graph, connection=connection)[1], dtype=np.intp)


class DavidsonModel:
    """The log-likelihood, which is concave: probabilities are proportional to exp(features . theta).

    theta [P]: the strengths of all items but the first, which is 0, and log nu if there are ties.
    """

    def __init__(self, table: ComparisonTable, *, prior: float) -> None:
        self.table, self.prior = table, prior
        item_count, size = len(table.items), len(table.edges)
        features = np.zeros((size, 3, item_count + 1))
        number = np.arange(size)
        for side in (0, 1):
            features[number, side, table.edges[:, side]] = 1
            features[number, 2, table.edges[:, side]] = 0.5
        features[:, 2, item_count] = 1
        self.outcomes = 3 if table.has_ties else 2
        self.features = features[
            :, : self.outcomes, 1 : item_count + (self.outcomes == 3)
        ]  # [E, outcomes, P]
        self.counts = table.counts[:, : self.outcomes]
        self.item_count = item_count

    def strengths(self, theta: Floats) -> Floats:
        """Of all items. [items]"""
        return np.concatenate([[0.0], theta[: self.item_count - 1]])

    @cached_property
    def penalty(self) -> Floats:
        """The prior's precision matrix, of strengths about their mean and of log nu. [P, P]"""
        size = self.features.shape[2]
        centred = (np.eye(self.item_count) - 1 / self.item_count)[1:, 1:]
        precision = np.eye(size)
        precision[: self.item_count - 1, : self.item_count - 1] = centred
        return precision / self.prior**2

    def outcome_probabilities(self, theta: Floats) -> tuple[Floats, Floats]:
        """Probabilities of the outcomes and their logarithms, both [E, outcomes]."""
        scores = self.features @ theta
        top = scores.max(axis=1, keepdims=True)
        logs = scores - top - np.log(np.exp(scores - top).sum(axis=1, keepdims=True))
        return np.exp(logs), logs

    def loss(self, theta: Floats) -> float:
        """The negative log-likelihood, without the prior."""
        return -float((self.counts * self.outcome_probabilities(theta)[1]).sum())

    def gradient(self, theta: Floats) -> Floats:
        """Of the loss with the prior. [P]"""
        probabilities, _ = self.outcome_probabilities(theta)
        missing = self.counts.sum(axis=1, keepdims=True) * probabilities - self.counts
        return np.asarray(np.einsum("eo,eop->p", missing, self.features) + self.penalty @ theta)

    def hessian(self, theta: Floats) -> Floats:
        """Of the loss with the prior. [P, P]"""
        probabilities, _ = self.outcome_probabilities(theta)
        mean = np.einsum("eo,eop->ep", probabilities, self.features)
        total = self.counts.sum(axis=1)
        square = np.einsum(
            "e,eo,eop,eoq->pq", total, probabilities, self.features, self.features, optimize=True
        )
        return np.asarray(square - np.einsum("e,ep,eq->pq", total, mean, mean) + self.penalty)

    def fit(self) -> Floats:
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
        """Covariances of theta, [P, P]: for independent comparisons, and robust to clusters (White 1982)."""
        inverse = np.linalg.inv(self.hessian(theta))
        yield np.asarray(inverse)
        if 1 < self.table.clusters < len(self.table.edge):
            probabilities, _ = self.outcome_probabilities(theta)
            mean = np.einsum("eo,eop->ep", probabilities, self.features)
            edge, outcome = self.table.edge, self.table.outcome
            scores = self.table.count[:, None] * (self.features[edge, outcome] - mean[edge])
            sums = np.zeros((self.table.clusters, scores.shape[1]))
            np.add.at(sums, self.table.cluster, scores)
            few = self.table.clusters / (self.table.clusters - 1)
            yield np.asarray(inverse @ (few * sums.T @ sums) @ inverse)


def generator_comparisons(project: Project) -> Iterator[Comparison]:
    """Comparisons of samples by different generators in a project's annotations: those used for training, of
    randomly chosen tasks. Items are generator ids, clusters prompts."""
    if not project.kind.is_comparative:
        return
    answers = (
        Annotation.objects.for_project(project)
        .latest_revisions()
        .used_for_training()
        .on_random_tasks()
        .filter(all_bad=False)
    )
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
        yield from _annotation_comparisons(project, list(answer))


def _annotation_comparisons(project: Project, rows: Sequence[Mapping[str, Any]]) -> Iterable[Comparison]:
    verdicts = [Verdict(rank=row["rank"], score=row["score"], grade=row["grade"]) for row in rows]
    for better, worse, tie, _ in project.kind.preferences(verdicts):
        first, second = rows[better], rows[worse]
        if (
            first["sample__generator_id"] != second["sample__generator_id"]
            and first["text"] != second["text"]
        ):
            yield Comparison(
                first=str(first["sample__generator_id"]),
                second=str(second["sample__generator_id"]),
                points=0.5 if tie else 1.0,
                cluster=str(first["annotation__assignment__task__prompt_id"]),
            )


def _win_probability(strength: float) -> float:
    return 1 / (1 + math.exp(-strength))
