"""How far people agree who answered the same tasks, with intervals.

Pure numpy: `labeling.quality.annotation_arrays` reads the arrays. Krippendorff's alpha is the library's; its
interval, like all others here, comes from drawing the tasks anew with replacement (2.5th to 97.5th
percentile), since answers to one task are not independent of each other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import krippendorff
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
Truths = npt.NDArray[np.bool_]
Level = Literal["nominal", "ordinal", "interval"]

LEVELS: Mapping[str, tuple[Level, ...]] = {
    "pair": ("ordinal",),
    "rank": ("ordinal",),
    "best": ("nominal",),
    "score": ("ordinal", "interval"),
    "rewrite": (),
}
"""What a kind's verdicts are: names, an order, or steps of equal width."""

RESAMPLES = 400
MOST_DRAWS = 1_500_000
"""Tasks drawn for all resamples together: many tasks need fewer resamples."""
FEWEST_RESAMPLES = 200
FEWEST_TASKS = 3
"""An interval of fewer tasks would say more about the tasks than about the people: there is none."""
FARTHEST = 32
"""Of a task that more people answered, each answer is compared with so many after it."""
SEED = 20_161


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval. The ends are none where there are too few tasks for one."""

    value: float
    low: float | None
    high: float | None
    tasks: int
    """How many tasks were answered by two people or more."""


@dataclass(frozen=True, eq=False)
class Votes:
    """What people said of the same tasks, one row for each answer, sorted by task.

    `worths` (answers, most samples) holds the verdicts so that more is better, and equal is a tie: a task's
    samples in one order for everybody, nan where a task has fewer or nothing was judged.
    """

    kind: str
    tasks: Ints
    people: Ints
    worths: Floats
    all_bad: Truths

    @classmethod
    def of(
        cls, kind: str, *, tasks: npt.ArrayLike, people: npt.ArrayLike, worths: npt.ArrayLike,
        all_bad: npt.ArrayLike | None = None,
    ) -> "Votes":  # fmt: skip
        """Votes from rows in any order."""
        numbers = np.asarray(tasks, dtype=np.int64)
        order = np.argsort(numbers, kind="stable")
        bad = np.zeros(len(numbers), dtype=bool) if all_bad is None else np.asarray(all_bad, dtype=bool)
        table = np.asarray(worths, dtype=float).reshape(len(numbers), -1)
        return cls(kind, numbers[order], np.asarray(people)[order], table[order], bad[order])

    def where(self, rows: Truths) -> "Votes":
        """Some of the answers."""
        return Votes(self.kind, self.tasks[rows], self.people[rows], self.worths[rows], self.all_bad[rows])

    @cached_property
    def numbered(self) -> tuple[Ints, Ints]:
        """The different tasks, and for each answer the place of its task among them."""
        found, places = np.unique(self.tasks, return_inverse=True)
        return found, places

    @cached_property
    def pairs(self) -> tuple[Ints, Ints]:
        """Every two answers to one task, as two arrays of rows."""
        firsts, seconds = [], []
        for apart in range(1, min(FARTHEST, len(self.tasks) - 1) + 1):
            rows = np.flatnonzero(self.tasks[:-apart] == self.tasks[apart:])
            if not len(rows):
                break
            firsts.append(rows)
            seconds.append(rows + apart)
        if not firsts:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        return np.concatenate(firsts), np.concatenate(seconds)

    @cached_property
    def signs(self) -> Floats:
        """For each answer and every two samples (first, second): 1 where the first is better, -1 where the
        second is, 0 for a tie, nan where nothing is said. Shape (answers, pairs of samples)."""
        columns = list(combinations(range(self.worths.shape[1]), 2))
        if not columns:
            return np.empty((len(self.worths), 0))
        first, second = np.array(columns).T
        return np.sign(self.worths[:, first] - self.worths[:, second])

    @cached_property
    def alike(self) -> Floats:
        """How far the two of each pair of `pairs` agree, from 0 to 1; nan where they cannot be compared.

        Of every two samples, the same order (or a tie in both) counts 1, a tie against an order a half, the
        opposite order 0: who guesses agrees by about a half. Of one sample alone, scores one step apart
        agree. Best: the same pick. Two that find all bad agree, one who does and one who judges do not.
        """
        one, other = self.pairs
        if not len(one):
            return np.empty(0)
        if self.kind == "best":
            found = (self.worths[one] == self.worths[other]) | np.isnan(self.worths[one])
            agreed = np.where(found.all(axis=1), 1.0, 0.0)
        elif self.signs.shape[1]:
            agreed = nanmean(1 - np.abs(self.signs[one] - self.signs[other]) / 2)
        else:
            agreed = (np.abs(self.worths[one, 0] - self.worths[other, 0]) <= 1).astype(float)
        bad, worse = self.all_bad[one], self.all_bad[other]
        agreed = np.where(bad | worse, np.where(bad & worse, 1.0, 0.0), agreed)
        silent = np.isnan(self.worths).all(axis=1) & ~self.all_bad
        return np.where(silent[one] | silent[other], np.nan, agreed)


def nanmean(values: Floats) -> Floats:
    """The mean of each row without its nans; nan for a row of nothing else."""
    known = ~np.isnan(values)
    counts = known.sum(axis=1)
    sums = np.where(known, values, 0.0).sum(axis=1)
    return quotient(sums, counts)


def quotient(sums: Floats | Ints, counts: Floats | Ints) -> Floats:
    """One divided by the other; nan where there is nothing to divide by."""
    return np.asarray(np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0))


# -- The figures -------------------------------------------------------------------------------------------


def pairwise(votes: Votes) -> Estimate | None:
    """How far two people agree about a task, on average over all pairs of answers; see `Votes.alike`."""
    return _mean_of_pairs(votes, votes.alike)


def tau(votes: Votes) -> Estimate | None:
    """Kendall's tau-b (Kendall 1945) of two people's rankings, on average over all pairs of answers.

    Answers that put all samples on one rank have none. Equal to `scipy.stats.kendalltau`, but for all pairs
    at once.
    """
    one, other = votes.pairs
    if not len(one) or not votes.signs.shape[1]:
        return None
    signs = np.nan_to_num(votes.signs)
    length = np.sqrt((signs**2).sum(axis=1))
    product = length[one] * length[other]
    together = (signs[one] * signs[other]).sum(axis=1)
    return _mean_of_pairs(votes, quotient(together, product))


def alpha(votes: Votes, level: Level) -> Estimate | None:
    """Krippendorff's alpha (Krippendorff 2011); a unit is one sample of one task.

    1 is perfect agreement, 0 what chance gives. All-bad answers judge no sample, so they are missing here. A
    pair's two grades are each other's negative: both are units, so that it does not matter which sample comes
    first. None where nobody shares a task, or everybody says the same of everything.
    """
    counts, domain = value_counts(votes)
    paired = counts.sum(axis=2) > 1
    if not paired.any() or (np.where(paired[:, :, None], counts, 0).sum(axis=(0, 1)) > 0).sum() < 2:
        return None
    value = krippendorff.alpha(
        value_counts=counts.reshape(-1, len(domain)),
        value_domain=np.arange(len(domain)) if level == "nominal" else domain,
        level_of_measurement=level,
    )
    together = coincidences(counts)
    shared = paired.any(axis=1)
    weights = resamples(int(shared.sum()))
    drawn = (weights @ together[shared].reshape(int(shared.sum()), -1)).reshape(-1, *together.shape[1:])
    return _with_interval(float(value), alphas(drawn, domain, level), int(shared.sum()))


def value_counts(votes: Votes) -> tuple[Ints, Floats]:
    """How many people gave each value to each sample of each task: shape (tasks, samples, values); and the
    values, in order."""
    found, places = votes.numbered
    rows, columns = np.nonzero(~np.isnan(votes.worths))
    domain, values = np.unique(votes.worths[rows, columns], return_inverse=True)
    samples = votes.worths.shape[1]
    cells = (places[rows] * samples + columns) * len(domain) + values
    counts = np.bincount(cells, minlength=len(found) * samples * len(domain))
    return counts.reshape(len(found), samples, len(domain)), domain


def coincidences(counts: Ints) -> Floats:
    """Each task's part of the coincidence matrix, shape (tasks, values, values), from `value_counts`."""
    people = counts.sum(axis=2)
    weight = np.divide(1.0, people - 1, out=np.zeros(people.shape), where=people > 1)
    weighed = counts * weight[:, :, None]
    together = np.einsum("tsv,tsw->tvw", weighed, counts.astype(float), optimize=True)
    values = np.arange(counts.shape[2])
    together[:, values, values] -= weighed.sum(axis=1)
    return np.asarray(together)


def alphas(together: Floats, domain: Floats, level: Level) -> Floats:
    """Alpha of each coincidence matrix, shape (matrices, values, values): one less observed over expected
    disagreement. nan where all values are equal."""
    totals = together.sum(axis=2)
    distances = _distances(totals, domain, level)
    count = totals.sum(axis=1)
    observed = (together * distances).sum(axis=(1, 2))
    # The diagonal of the expected coincidences has no distance, so what is taken off there does not matter.
    expected = np.einsum("bv,bw,bvw->b", totals, totals, distances, optimize=True)
    return 1 - quotient(observed * (count - 1), expected)


def _distances(totals: Floats, domain: Floats, level: Level) -> Floats:
    """Squared distances of values, shape (matrices, values, values); the ordinal ones depend on how often
    each value was given."""
    if level == "ordinal":
        # The rank of a value is how many are below it and half of those equal to it.
        ranks = np.cumsum(totals, axis=1) - totals / 2
        return np.asarray((ranks[:, :, None] - ranks[:, None, :]) ** 2)
    if level == "interval":
        return np.asarray((domain[:, None] - domain[None, :]) ** 2)[None]
    return (~np.eye(len(domain), dtype=bool)).astype(float)[None]


# -- Intervals ---------------------------------------------------------------------------------------------


def resamples(tasks: int) -> npt.NDArray[np.float32]:
    """How often each task is drawn in each resample, shape (resamples, tasks). The same every time."""
    draws = max(FEWEST_RESAMPLES, min(RESAMPLES, MOST_DRAWS // max(tasks, 1)))
    drawn = np.random.default_rng(SEED).integers(tasks, size=(draws, tasks), dtype=np.int64)
    drawn += np.arange(draws)[:, None] * tasks
    return np.bincount(drawn.ravel(), minlength=draws * tasks).reshape(draws, tasks).astype(np.float32)


def by_task(votes: Votes, figures: Floats) -> tuple[Floats, Ints]:
    """Of figures for each of `votes.pairs`: their sum for each of the different tasks, and their number."""
    found, places = votes.numbered
    known = ~np.isnan(figures)
    task = places[votes.pairs[0][known]]
    sums: Floats = np.bincount(task, weights=figures[known], minlength=len(found)).astype(float)
    return sums, np.bincount(task, minlength=len(found))


def _mean_of_pairs(votes: Votes, figures: Floats) -> Estimate | None:
    """The mean of figures for each pair of answers, with the interval over tasks."""
    sums, counts = by_task(votes, figures)
    shared = counts > 0
    if not shared.any():
        return None
    weights = resamples(int(shared.sum()))
    drawn = (weights @ sums[shared]) / np.maximum(weights @ counts[shared], 1)
    return _with_interval(float(sums.sum() / counts.sum()), drawn, int(shared.sum()))


def _with_interval(value: float, drawn: Floats, tasks: int) -> Estimate:
    drawn = drawn[~np.isnan(drawn)]
    if tasks < FEWEST_TASKS or not len(drawn):
        return Estimate(value, None, None, tasks)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Estimate(value, float(low), float(high), tasks)
