"""How often a person finds the better of two samples, as the answers of all together suggest.

Dawid and Skene (1979), "Maximum likelihood estimation of observer error-rates using the EM algorithm", with
two classes. Nobody needs to know the right answers: people who agree with those who agree are reliable. An
answer is read in the order shown, so that somebody who favours one side is known by it, and is not taken for
half reliable and half not.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import expit

from labeling.proportions import Z

Floats = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.integer[Any]]
Truths = npt.NDArray[np.bool_]

MOST_ROUNDS = 200
SETTLED = 1e-4
PRIOR = 0.5
"""Answers of either outcome that each person's table starts with (Jeffreys): so no share is 0 or 1."""
MOST_TOGETHER = 400
"""People whose uncertainties are worked out together; of more, each as if the others' figures were known."""


@dataclass(frozen=True, eq=False)
class Answers:
    """Answers to questions with two sides, one row each.

    `turned`: the person was shown the sides the other way round; `second`: they chose what is the second
    side in the question's own order. `clusters`: answers that are not independent share a number.
    """

    questions: Ints
    people: Ints
    second: Truths
    turned: Truths
    clusters: Ints


@dataclass(frozen=True, eq=False)
class Reliability:
    """What was found. `right` is for each person, by number, with the ends of its 95 % interval: the mean of
    how often they are right when the first shown is better and when the second is. 0.5 is guessing."""

    right: Floats
    low: Floats
    high: Floats
    by_side: Floats
    """Shape (people, 2): how often right when the first shown is better, and when the second is."""
    truth: Floats
    """For each question, how likely its second side is the better one."""
    agreeing: Floats
    """For each answer, how likely it is right."""


def dawid_skene(answers: Answers) -> Reliability:
    """Fit the model by EM from the majority's vote.

    The share of questions whose second side is better is learned, too. Intervals are from the observed
    information (Louis 1982) and the scores of clusters (a sandwich), on the scale of log-odds.
    """
    questions, people = int(answers.questions.max()) + 1, int(answers.people.max()) + 1
    chose = (answers.second ^ answers.turned).astype(np.int64)  # 1: the second of those shown
    rows = 2 * answers.people  # + 1 where the second shown is better
    asked = np.bincount(answers.questions, minlength=questions)
    votes = np.bincount(answers.questions, weights=answers.second, minlength=questions)
    truth = np.divide(votes, asked, out=np.full(questions, 0.5), where=asked > 0)
    prevalence, right = 0.5, np.full(2 * people, 0.5)
    for _ in range(MOST_ROUNDS):
        before = right
        # M: how often each was right when the first, and when the second shown was better.
        second_better = _shown_second_better(truth, answers)
        hits = _by_row(rows, (1 - second_better) * (chose == 0), second_better * (chose == 1), people)
        cases = _by_row(rows, 1 - second_better, second_better, people)
        right = (hits + PRIOR) / (cases + 2 * PRIOR)
        prevalence = float((truth.sum() + PRIOR) / (questions + 2 * PRIOR))
        # E: how likely each question's second side is the better one.
        likely = np.log(np.where(chose == 1, right[rows + 1], 1 - right[rows + 1]))
        unlikely = np.log(np.where(chose == 0, right[rows], 1 - right[rows]))
        for_second = np.where(answers.turned, unlikely - likely, likely - unlikely)
        odds = np.bincount(answers.questions, weights=for_second, minlength=questions)
        truth = expit(odds + np.log(prevalence / (1 - prevalence)))
        if np.abs(right - before).max() < SETTLED:
            break
    second_better = _shown_second_better(truth, answers)
    spread = _spread(answers, second_better, truth, right)
    mean = right.reshape(-1, 2).mean(axis=1)
    scale = np.maximum(mean * (1 - mean), 1e-9)
    low, high = (expit(np.log(mean / (1 - mean)) + side * Z * spread / scale) for side in (-1, 1))
    agreeing = np.where(chose == 1, second_better, 1 - second_better)
    return Reliability(mean, low, high, right.reshape(-1, 2), truth, agreeing)


def _shown_second_better(truth: Floats, answers: Answers) -> Floats:
    """For each answer, how likely the second of those shown is better."""
    found = truth[answers.questions]
    return np.where(answers.turned, 1 - found, found)


def _by_row(rows: Ints, first: Floats, second: Floats, people: int) -> Floats:
    """Sums for each person: where the first shown is better, then where the second is, by turns."""
    sums = np.bincount(rows, weights=first, minlength=2 * people)
    return np.asarray(sums + np.bincount(rows + 1, weights=second, minlength=2 * people), dtype=float)


def _spread(answers: Answers, second_better: Floats, truth: Floats, right: Floats) -> Floats:
    """The standard error of each person's mean of the two shares."""
    size, rows = len(right), 2 * answers.people
    chose = answers.second ^ answers.turned
    # Scores of an answer by the log-odds of its person's two shares, for either truth.
    if_first = (chose == 0) - right[rows]
    if_second = (chose == 1) - right[rows + 1]
    values = np.concatenate([(1 - second_better) * if_first, second_better * if_second])
    columns = np.concatenate([rows, rows + 1])
    shape = (int(answers.clusters.max()) + 1, size)
    scores = csr_array((values, (np.tile(answers.clusters, 2), columns)), shape=shape)
    # What is missing because the truth is not known: the scores' variance over it, question by question.
    sign = np.where(answers.turned, -1, 1)
    change = np.concatenate([-sign * if_first, sign * if_second])
    changes = csr_array((change, (np.tile(answers.questions, 2), columns)), shape=(len(truth), size))
    doubt = truth * (1 - truth)
    cases = _by_row(rows, 1 - second_better, second_better, size // 2) + 2 * PRIOR
    complete = cases * right * (1 - right)
    missing = changes.T @ changes.multiply(doubt[:, None]).tocsr()
    meat = scores.T @ scores
    # By person, the mean's change with the two log-odds.
    slope = (right * (1 - right) / 2).reshape(-1, 2)
    if size <= 2 * MOST_TOGETHER:
        information = np.diag(complete) - missing.toarray()
        inverse = np.linalg.pinv(information, hermitian=True)
        variance = inverse @ (meat.toarray() + np.diag(2 * PRIOR * right * (1 - right))) @ inverse
        blocks = variance.reshape(size // 2, 2, size // 2, 2)[np.arange(size // 2), :, np.arange(size // 2)]
    else:
        information = _blocks(missing, size) * -1.0
        information[:, [0, 1], [0, 1]] += complete.reshape(-1, 2)
        inverse = np.linalg.pinv(information, hermitian=True)
        blocks = inverse @ _blocks(meat, size) @ inverse
    return np.asarray(np.sqrt(np.maximum(np.einsum("pi,pij,pj->p", slope, blocks, slope), 0)))


def _blocks(matrix: csr_array, size: int) -> Floats:
    """The 2 by 2 block of each person on a matrix's diagonal: shape (people, 2, 2)."""
    evens = np.arange(0, size, 2)
    found = np.empty((len(evens), 2, 2))
    for row in (0, 1):
        for column in (0, 1):
            found[:, row, column] = np.asarray(matrix[evens + row, evens + column]).ravel()
    return found
