"""Annotator reliability by the Dawid-Skene model: how often each person finds the better of two samples.

Dawid and Skene (1979), "Maximum likelihood estimation of observer error-rates using the EM algorithm", with
two classes. No gold answers are needed: people who agree with people who agree are reliable. Responses are
modelled in the order shown, so that a position bias is recognised as such.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import expit

from labeling.proportions import Z95

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
Bools = npt.NDArray[np.bool_]

MAX_ITERATIONS = 200
TOLERANCE = 1e-4
PRIOR_COUNT = 0.5
"""Pseudo-counts of each outcome per annotator (Jeffreys prior), so that no accuracy is 0 or 1."""
MAX_JOINT_ANNOTATORS = 400
"""Up to this many annotators, standard errors come from the joint information matrix; with more, each
annotator's are computed as if the others' accuracies were known."""


@dataclass(frozen=True, eq=False)
class BinaryResponses:
    """Binary choices between the first and second sample of an item, one row each.

    `responses`: true for the second sample in the item's own order; `is_flipped`: the samples were shown in
    the opposite order; `clusters`: responses that are not independent share a number.
    """

    items: Ints
    annotators: Ints
    responses: Bools
    is_flipped: Bools
    clusters: Ints


@dataclass(frozen=True, eq=False)
class Reliability:
    """The fitted model. `accuracy` of each annotator, by number, with its 95 % interval: the mean of the
    accuracies when the first shown is better and when the second is. 0.5 is guessing."""

    accuracy: Floats
    low: Floats
    high: Floats
    accuracy_by_position: Floats
    """Shape (annotators, 2): the accuracy when the first shown is better, and when the second is."""
    item_posterior: Floats
    """For each item, the probability that its second sample is better."""
    response_posterior: Floats
    """For each response, the probability that it is correct."""


def dawid_skene(data: BinaryResponses) -> Reliability:
    """Fit the model by EM, starting from the majority vote.

    The prevalence of items whose second sample is better is fitted, too. Intervals are Wald intervals on the
    log-odds scale, from the observed information (Louis 1982) and the scores of clusters (sandwich).
    """
    items, annotators = int(data.items.max()) + 1, int(data.annotators.max()) + 1
    chose_second = (data.responses ^ data.is_flipped).astype(np.int64)  # 1: the second shown
    rows = 2 * data.annotators  # + 1 if the second shown is better
    counts = np.bincount(data.items, minlength=items)
    votes = np.bincount(data.items, weights=data.responses, minlength=items)
    truth = np.divide(votes, counts, out=np.full(items, 0.5), where=counts > 0)
    prevalence, right = 0.5, np.full(2 * annotators, 0.5)
    for _ in range(MAX_ITERATIONS):
        before = right
        # M-step: each annotator's accuracy when the first, and when the second shown is better.
        second_better = _second_shown_posterior(truth, data)
        hits = _sum_by_row(
            rows, (1 - second_better) * (chose_second == 0), second_better * (chose_second == 1), annotators
        )
        cases = _sum_by_row(rows, 1 - second_better, second_better, annotators)
        right = (hits + PRIOR_COUNT) / (cases + 2 * PRIOR_COUNT)
        prevalence = float((truth.sum() + PRIOR_COUNT) / (items + 2 * PRIOR_COUNT))
        # E-step: the probability that each item's second sample is better.
        likely = np.log(np.where(chose_second == 1, right[rows + 1], 1 - right[rows + 1]))
        unlikely = np.log(np.where(chose_second == 0, right[rows], 1 - right[rows]))
        for_second = np.where(data.is_flipped, unlikely - likely, likely - unlikely)
        odds = np.bincount(data.items, weights=for_second, minlength=items)
        truth = expit(odds + np.log(prevalence / (1 - prevalence)))
        if np.abs(right - before).max() < TOLERANCE:
            break
    second_better = _second_shown_posterior(truth, data)
    errors = _standard_errors(data, second_better, truth, right)
    mean = right.reshape(-1, 2).mean(axis=1)
    scale = np.maximum(mean * (1 - mean), 1e-9)
    low, high = (expit(np.log(mean / (1 - mean)) + side * Z95 * errors / scale) for side in (-1, 1))
    response_posterior = np.where(chose_second == 1, second_better, 1 - second_better)
    return Reliability(mean, low, high, right.reshape(-1, 2), truth, response_posterior)


def _second_shown_posterior(truth: Floats, data: BinaryResponses) -> Floats:
    """For each response, the probability that the second sample shown is better."""
    found = truth[data.items]
    return np.where(data.is_flipped, 1 - found, found)


def _sum_by_row(rows: Ints, first: Floats, second: Floats, annotators: int) -> Floats:
    """Sums per annotator, alternating: if the first shown is better, if the second is."""
    sums = np.bincount(rows, weights=first, minlength=2 * annotators)
    return np.asarray(sums + np.bincount(rows + 1, weights=second, minlength=2 * annotators), dtype=float)


def _standard_errors(data: BinaryResponses, second_better: Floats, truth: Floats, right: Floats) -> Floats:
    """The standard error of each annotator's mean accuracy."""
    size, rows = len(right), 2 * data.annotators
    chose_second = data.responses ^ data.is_flipped
    # Scores of a response with respect to its annotator's two log-odds, for either truth.
    if_first = (chose_second == 0) - right[rows]
    if_second = (chose_second == 1) - right[rows + 1]
    values = np.concatenate([(1 - second_better) * if_first, second_better * if_second])
    columns = np.concatenate([rows, rows + 1])
    shape = (int(data.clusters.max()) + 1, size)
    scores = csr_array((values, (np.tile(data.clusters, 2), columns)), shape=shape)
    # Missing information, since the truth is latent: the variance of the scores over it, item by item.
    sign = np.where(data.is_flipped, -1, 1)
    change = np.concatenate([-sign * if_first, sign * if_second])
    changes = csr_array((change, (np.tile(data.items, 2), columns)), shape=(len(truth), size))
    doubt = truth * (1 - truth)
    cases = _sum_by_row(rows, 1 - second_better, second_better, size // 2) + 2 * PRIOR_COUNT
    complete = cases * right * (1 - right)
    missing = changes.T @ changes.multiply(doubt[:, None]).tocsr()
    meat = scores.T @ scores
    # The derivative of each mean accuracy with respect to the two log-odds.
    slope = (right * (1 - right) / 2).reshape(-1, 2)
    if size <= 2 * MAX_JOINT_ANNOTATORS:
        information = np.diag(complete) - missing.toarray()
        inverse = np.linalg.pinv(information, hermitian=True)
        variance = inverse @ (meat.toarray() + np.diag(2 * PRIOR_COUNT * right * (1 - right))) @ inverse
        blocks = variance.reshape(size // 2, 2, size // 2, 2)[np.arange(size // 2), :, np.arange(size // 2)]
    else:
        information = _blocks(missing, size) * -1.0
        information[:, [0, 1], [0, 1]] += complete.reshape(-1, 2)
        inverse = np.linalg.pinv(information, hermitian=True)
        blocks = inverse @ _blocks(meat, size) @ inverse
    return np.asarray(np.sqrt(np.maximum(np.einsum("pi,pij,pj->p", slope, blocks, slope), 0)))


def _blocks(matrix: csr_array, size: int) -> Floats:
    """The 2 by 2 diagonal block of each annotator, shape (annotators, 2, 2)."""
    evens = np.arange(0, size, 2)
    found = np.empty((len(evens), 2, 2))
    for row in (0, 1):
        for column in (0, 1):
            found[:, row, column] = np.asarray(matrix[evens + row, evens + column]).ravel()
    return found
