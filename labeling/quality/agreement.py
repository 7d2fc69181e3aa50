"""Inter-annotator agreement, with confidence intervals.

Pure numpy: `labeling.quality.annotation_arrays` reads the arrays. Krippendorff's alpha is computed by the
krippendorff library. All intervals are bootstrap percentile intervals (2.5 to 97.5 %) over tasks, since
answers to one task are not independent.
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
Bools = npt.NDArray[np.bool_]
Level = Literal["nominal", "ordinal", "interval"]

MEASUREMENT_LEVELS: Mapping[str, tuple[Level, ...]] = {
    "pair": ("ordinal",),
    "rank": ("ordinal",),
    "best": ("nominal",),
    "score": ("ordinal", "interval"),
    "rewrite": (),
}
"""The levels of measurement of each kind of feedback."""

MAX_RESAMPLES = 400
MAX_DRAWS = 1_500_000
"""Tasks drawn in all resamples together: with many tasks, fewer resamples are enough."""
MIN_RESAMPLES = 200
MIN_TASKS = 3
"""Below this number of tasks, no interval is given."""
MAX_PAIR_DISTANCE = 32
"""Each answer is compared with at most this many following answers to the same task."""
SEED = 20_161


@dataclass(frozen=True)
class Estimate:
    """An estimate with its 95 % interval; `low` and `high` are None if there are too few tasks."""

    value: float
    low: float | None
    high: float | None
    tasks: int
    """Tasks with two or more answers."""


@dataclass(frozen=True, eq=False)
class Votes:
    """Answers as arrays, one row each, sorted by task.

    `values` has shape (answers, max. samples): higher is better, equal is a tie; a task's samples are in the
    same order in all its rows, nan where a task has fewer samples or nothing was judged.
    """

    kind: str
    tasks: Ints
    annotators: Ints
    values: Floats
    all_bad: Bools

    @classmethod
    def from_rows(
        cls, kind: str, *, tasks: npt.ArrayLike, annotators: npt.ArrayLike, values: npt.ArrayLike,
        all_bad: npt.ArrayLike | None = None,
    ) -> "Votes":  # fmt: skip
        """Votes from rows in any order."""
        numbers = np.asarray(tasks, dtype=np.int64)
        order = np.argsort(numbers, kind="stable")
        bad = np.zeros(len(numbers), dtype=bool) if all_bad is None else np.asarray(all_bad, dtype=bool)
        table = np.asarray(values, dtype=float).reshape(len(numbers), -1)
        return cls(kind, numbers[order], np.asarray(annotators)[order], table[order], bad[order])

    def select(self, rows: Bools) -> "Votes":
        """The answers where `rows` is true."""
        return Votes(
            self.kind, self.tasks[rows], self.annotators[rows], self.values[rows], self.all_bad[rows]
        )

    @cached_property
    def task_index(self) -> tuple[Ints, Ints]:
        """The unique tasks, and for each answer the index of its task among them."""
        found, places = np.unique(self.tasks, return_inverse=True)
        return found, places

    @cached_property
    def pairs(self) -> tuple[Ints, Ints]:
        """All pairs of answers to the same task, as two arrays of rows."""
        firsts, seconds = [], []
        for distance in range(1, min(MAX_PAIR_DISTANCE, len(self.tasks) - 1) + 1):
            rows = np.flatnonzero(self.tasks[:-distance] == self.tasks[distance:])
            if not len(rows):
                break
            firsts.append(rows)
            seconds.append(rows + distance)
        if not firsts:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
        return np.concatenate(firsts), np.concatenate(seconds)

    @cached_property
    def signs(self) -> Floats:
        """For each answer and pair of samples (first, second): 1 if the first is better, -1 if the second is,
        0 for a tie, nan if not compared. Shape (answers, pairs of samples)."""
        columns = list(combinations(range(self.values.shape[1]), 2))
        if not columns:
            return np.empty((len(self.values), 0))
        first, second = np.array(columns).T
        return np.sign(self.values[:, first] - self.values[:, second])

    @cached_property
    def pair_agreement(self) -> Floats:
        """The agreement of each pair of `pairs`, from 0 to 1; nan where they cannot be compared.

        For each two samples, the same order (or a tie in both) counts 1, a tie against an order 0.5, the
        opposite order 0, so guessing gives about 0.5. For a single sample, scores at most one step apart
        agree. For best, the same pick agrees. Two all-bad answers agree; all-bad and a judgement do not.
        """
        one, other = self.pairs
        if not len(one):
            return np.empty(0)
        if self.kind == "best":
            found = (self.values[one] == self.values[other]) | np.isnan(self.values[one])
            agreed = np.where(found.all(axis=1), 1.0, 0.0)
        elif self.signs.shape[1]:
            agreed = row_nanmean(1 - np.abs(self.signs[one] - self.signs[other]) / 2)
        else:
            agreed = (np.abs(self.values[one, 0] - self.values[other, 0]) <= 1).astype(float)
        bad, worse = self.all_bad[one], self.all_bad[other]
        agreed = np.where(bad | worse, np.where(bad & worse, 1.0, 0.0), agreed)
        silent = np.isnan(self.values).all(axis=1) & ~self.all_bad
        return np.where(silent[one] | silent[other], np.nan, agreed)


def row_nanmean(values: Floats) -> Floats:
    """The mean of each row without its nans; nan for a row without values."""
    known = ~np.isnan(values)
    counts = known.sum(axis=1)
    sums = np.where(known, values, 0.0).sum(axis=1)
    return divide_or_nan(sums, counts)


def divide_or_nan(sums: Floats | Ints, counts: Floats | Ints) -> Floats:
    """`sums / counts`; nan where the count is 0."""
    return np.asarray(np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0))


# -- Metrics -----------------------------------------------------------------------------------------------


def pairwise_agreement(votes: Votes) -> Estimate | None:
    """The mean agreement over all pairs of answers to one task; see `Votes.pair_agreement`."""
    return _mean_of_pairs(votes, votes.pair_agreement)


def kendall_tau_b(votes: Votes) -> Estimate | None:
    """The mean of Kendall's tau-b (Kendall 1945) over all pairs of answers to one task.

    Undefined for answers that tie all samples. Equal to `scipy.stats.kendalltau`, for all pairs at once.
    """
    one, other = votes.pairs
    if not len(one) or not votes.signs.shape[1]:
        return None
    signs = np.nan_to_num(votes.signs)
    length = np.sqrt((signs**2).sum(axis=1))
    product = length[one] * length[other]
    together = (signs[one] * signs[other]).sum(axis=1)
    return _mean_of_pairs(votes, divide_or_nan(together, product))


def krippendorff_alpha(votes: Votes, level: Level) -> Estimate | None:
    """Krippendorff's alpha (Krippendorff 2011); a unit is one sample of one task.

    1 is perfect agreement, 0 is chance. All-bad answers judge no sample and count as missing. A pair's two
    grades are each other's negative: both are units, so that the order of the samples does not matter. None
    if no task has two answers, or all values are equal.
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
    together = coincidence_matrices(counts)
    shared = paired.any(axis=1)
    weights = bootstrap_counts(int(shared.sum()))
    drawn = (weights @ together[shared].reshape(int(shared.sum()), -1)).reshape(-1, *together.shape[1:])
    return _with_interval(float(value), alphas_of_coincidences(drawn, domain, level), int(shared.sum()))


def value_counts(votes: Votes) -> tuple[Ints, Floats]:
    """How many annotators gave each value to each sample of each task, shape (tasks, samples, values), and
    the sorted values."""
    found, places = votes.task_index
    rows, columns = np.nonzero(~np.isnan(votes.values))
    domain, values = np.unique(votes.values[rows, columns], return_inverse=True)
    samples = votes.values.shape[1]
    cells = (places[rows] * samples + columns) * len(domain) + values
    counts = np.bincount(cells, minlength=len(found) * samples * len(domain))
    return counts.reshape(len(found), samples, len(domain)), domain


def coincidence_matrices(counts: Ints) -> Floats:
    """Each task's coincidence matrix, shape (tasks, values, values), from `value_counts`."""
    annotators = counts.sum(axis=2)
    weight = np.divide(1.0, annotators - 1, out=np.zeros(annotators.shape), where=annotators > 1)
    weighed = counts * weight[:, :, None]
    together = np.einsum("tsv,tsw->tvw", weighed, counts.astype(float), optimize=True)
    values = np.arange(counts.shape[2])
    together[:, values, values] -= weighed.sum(axis=1)
    return np.asarray(together)


def alphas_of_coincidences(together: Floats, domain: Floats, level: Level) -> Floats:
    """Alpha of each coincidence matrix, shape (matrices, values, values): 1 minus observed over expected
    disagreement; nan where all values are equal."""
    totals = together.sum(axis=2)
    distances = _squared_distances(totals, domain, level)
    count = totals.sum(axis=1)
    observed = (together * distances).sum(axis=(1, 2))
    # Distances on the diagonal are 0, so the correction of the expected coincidences there has no effect.
    expected = np.einsum("bv,bw,bvw->b", totals, totals, distances, optimize=True)
    return 1 - divide_or_nan(observed * (count - 1), expected)


def _squared_distances(totals: Floats, domain: Floats, level: Level) -> Floats:
    """Squared distances of values, shape (matrices, values, values); ordinal ones depend on the frequency of
    each value."""
    if level == "ordinal":
        # A value's rank: the number of lower values plus half of the equal ones.
        ranks = np.cumsum(totals, axis=1) - totals / 2
        return np.asarray((ranks[:, :, None] - ranks[:, None, :]) ** 2)
    if level == "interval":
        return np.asarray((domain[:, None] - domain[None, :]) ** 2)[None]
    return (~np.eye(len(domain), dtype=bool)).astype(float)[None]


# -- Intervals ---------------------------------------------------------------------------------------------


def bootstrap_counts(tasks: int) -> npt.NDArray[np.float32]:
    """How often each task is drawn in each bootstrap resample, shape (resamples, tasks); fixed seed."""
    draws = max(MIN_RESAMPLES, min(MAX_RESAMPLES, MAX_DRAWS // max(tasks, 1)))
    drawn = np.random.default_rng(SEED).integers(tasks, size=(draws, tasks), dtype=np.int64)
    drawn += np.arange(draws)[:, None] * tasks
    return np.bincount(drawn.ravel(), minlength=draws * tasks).reshape(draws, tasks).astype(np.float32)


def sum_by_task(votes: Votes, values: Floats) -> tuple[Floats, Ints]:
    """Sum and count, for each unique task, of values given for each of `votes.pairs`; nan is left out."""
    found, places = votes.task_index
    known = ~np.isnan(values)
    task = places[votes.pairs[0][known]]
    sums: Floats = np.bincount(task, weights=values[known], minlength=len(found)).astype(float)
    return sums, np.bincount(task, minlength=len(found))


def _mean_of_pairs(votes: Votes, values: Floats) -> Estimate | None:
    """The mean of values given for each of `votes.pairs`, with the bootstrap interval over tasks."""
    sums, counts = sum_by_task(votes, values)
    shared = counts > 0
    if not shared.any():
        return None
    weights = bootstrap_counts(int(shared.sum()))
    drawn = (weights @ sums[shared]) / np.maximum(weights @ counts[shared], 1)
    return _with_interval(float(sums.sum() / counts.sum()), drawn, int(shared.sum()))


def _with_interval(value: float, drawn: Floats, tasks: int) -> Estimate:
    drawn = drawn[~np.isnan(drawn)]
    if tasks < MIN_TASKS or not len(drawn):
        return Estimate(value, None, None, tasks)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return Estimate(value, float(low), float(high), tasks)
