"""How far people agree: against published figures, other implementations, and by hand."""

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

from labeling.quality.agreement import (
    Level,
    Votes,
    alphas_of_coincidences,
    coincidence_matrices,
    kendall_tau_b,
    krippendorff_alpha,
    pairwise_agreement,
    value_counts,
)

EXPECTED = Path(__file__).parents[3] / "shared" / "data" / "agreement" / "expected.json"
LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")
NAN = float("nan")


def ratings(rows: list[list[float | None]], *, kind: str = "score") -> Votes:
    """Votes from a table with a row for each person and a column for each thing rated."""
    table = np.array([[NAN if value is None else value for value in row] for row in rows], dtype=float)
    people, things = table.shape
    return Votes.from_rows(
        kind,
        tasks=np.tile(np.arange(things), people),
        annotators=np.repeat(np.arange(people), things),
        values=table.reshape(-1, 1),
    )


def votes(kind: str, *tasks: list[list[float]], all_bad: list[bool] | None = None) -> Votes:
    """Votes from tasks, each a list of answers, each a list of the samples' worths."""
    return Votes.from_rows(
        kind,
        tasks=[number for number, answers in enumerate(tasks) for _ in answers],
        annotators=[person for answers in tasks for person in range(len(answers))],
        values=[values for answers in tasks for values in answers],
        all_bad=all_bad,
    )


def rankings(tasks: int, *, people: int = 3, samples: int = 4, noise: float = 1.0, seed: int = 0) -> Votes:
    """Rankings of samples whose worth people see with noise."""
    draw = np.random.default_rng(seed)
    truth = draw.normal(size=(tasks, samples)).repeat(people, axis=0)
    seen = truth + noise * draw.normal(size=truth.shape)
    values = np.argsort(np.argsort(seen, axis=1), axis=1) - samples
    return Votes.from_rows(
        "rank",
        tasks=np.arange(tasks).repeat(people),
        annotators=np.tile(np.arange(people), tasks),
        values=values,
    )


@pytest.mark.skipif(not EXPECTED.exists(), reason="the shared data folder is not there")
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("number", [0, 1])
def test_alpha_equals_the_shared_figures(number: int, level: Level) -> None:
    case: dict[str, Any] = json.loads(EXPECTED.read_text(encoding="utf-8"))["krippendorff"][number]
    found = krippendorff_alpha(ratings(case["data"]), level)
    assert found is not None
    assert found.value == pytest.approx(case[level], abs=5e-7)


@pytest.mark.parametrize(
    ("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)]
)
def test_alpha_equals_what_krippendorff_published(level: Level, published: float) -> None:
    """Krippendorff 2011, "Computing Krippendorff's alpha-reliability", section D."""
    rows: list[list[float | None]] = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
        [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
    ]
    found = krippendorff_alpha(ratings(rows), level)
    assert found is not None
    assert found.value == pytest.approx(published, abs=5e-4)
    assert found.low is not None
    assert found.high is not None
    assert found.low < published < found.high


@pytest.mark.parametrize("level", LEVELS)
def test_the_resampled_alpha_is_the_library_s_when_every_task_is_drawn_once(level: Level) -> None:
    answers = rankings(50)
    counts, domain = value_counts(answers)
    ours = alphas_of_coincidences(coincidence_matrices(counts).sum(axis=0)[None], domain, level)[0]
    library = krippendorff_alpha(answers, level)
    assert library is not None
    assert ours == pytest.approx(library.value)


def test_tau_is_scipy_s_tau_b_on_average_ties_included() -> None:
    answers = rankings(40)
    tied = Votes(
        answers.kind, answers.tasks, answers.annotators, np.ceil(answers.values / 2), answers.all_bad
    )
    for each in (answers, tied):
        pairs = [
            kendalltau(each.values[one], each.values[other]).statistic
            for one, other in combinations(range(len(each.tasks)), 2)
            if each.tasks[one] == each.tasks[other]
        ]
        found = kendall_tau_b(each)
        assert found is not None
        assert found.value == pytest.approx(np.nanmean(pairs))


def test_pairwise_agreement_of_pairs_counts_a_tie_against_a_side_as_a_half() -> None:
    same, half, opposite = [[-1.0, 1.0], [-3.0, 3.0]], [[0.0, 0.0], [1.0, -1.0]], [[2.0, -2.0], [-1.0, 1.0]]
    found = pairwise_agreement(votes("pair", same, half, opposite))
    assert found is not None
    assert found.value == pytest.approx(0.5)
    assert found.tasks == 3


def test_pairwise_agreement_of_rankings_is_over_all_pairs_of_samples() -> None:
    found = pairwise_agreement(votes("rank", [[-1, -2, -3], [-2, -1, -3]]))
    assert found is not None
    assert found.value == pytest.approx(2 / 3)


def test_two_who_pick_different_samples_as_best_do_not_agree_at_all() -> None:
    found = pairwise_agreement(votes("best", [[-1, -2, -2], [-2, -1, -2]], [[-1, -2, -2], [-1, -2, -2]]))
    assert found is not None
    assert found.value == pytest.approx(0.5)


def test_single_scores_agree_within_one_step() -> None:
    found = pairwise_agreement(votes("score", [[3], [4]], [[3], [5]]))
    assert found is not None
    assert found.value == pytest.approx(0.5)


def test_all_bad_agrees_with_all_bad_and_with_nothing_else() -> None:
    both, one = [[NAN, NAN], [NAN, NAN]], [[NAN, NAN], [1.0, -1.0]]
    found = pairwise_agreement(votes("pair", both, one, all_bad=[True, True, True, False]))
    assert found is not None
    assert found.value == pytest.approx(0.5)


def test_alpha_of_pairs_does_not_depend_on_which_sample_comes_first() -> None:
    draw = np.random.default_rng(3)
    truth = draw.integers(-2, 3, size=60).repeat(2)
    grades = np.clip(truth + draw.integers(-1, 2, size=120), -3, 3)
    turned = draw.integers(0, 2, size=60).repeat(2) * 2 - 1
    figures = []
    for side in (np.ones(120), turned):
        values = np.stack([-grades * side, grades * side], axis=1)
        found = krippendorff_alpha(
            Votes.from_rows(
                "pair", tasks=np.arange(60).repeat(2), annotators=np.tile([0, 1], 60), values=values
            ),
            "ordinal",
        )
        assert found is not None
        figures.append(found.value)
    assert figures[0] == pytest.approx(figures[1])


def test_guessing_has_an_alpha_about_zero_and_agrees_by_about_a_half() -> None:
    guesses = rankings(400, noise=1e6)
    chance, agreed = krippendorff_alpha(guesses, "ordinal"), pairwise_agreement(guesses)
    assert chance is not None
    assert agreed is not None
    assert chance.low is not None
    assert chance.high is not None
    assert chance.low < 0 < chance.high
    assert agreed.value == pytest.approx(0.5, abs=0.03)


def test_there_is_no_figure_where_nobody_shares_a_task() -> None:
    alone = votes("rank", [[-1, -2]], [[-2, -1]])
    assert (krippendorff_alpha(alone, "ordinal"), pairwise_agreement(alone), kendall_tau_b(alone)) == (
        None,
        None,
        None,
    )


def test_there_is_no_alpha_where_everybody_says_the_same_of_everything() -> None:
    assert krippendorff_alpha(votes("score", [[3], [3]], [[3], [3]]), "interval") is None


def test_two_tasks_give_a_figure_without_an_interval() -> None:
    found = pairwise_agreement(votes("pair", [[1, -1], [1, -1]], [[1, -1], [-1, 1]]))
    assert found is not None
    assert (found.low, found.high) == (None, None)


def test_the_interval_is_the_same_every_time_and_covers_the_truth_about_as_often_as_it_says() -> None:
    assert pairwise_agreement(rankings(100)) == pairwise_agreement(rankings(100))
    truth = pairwise_agreement(rankings(20_000, seed=99))
    assert truth is not None
    covered = 0
    for seed in range(40):
        found = pairwise_agreement(rankings(80, seed=seed))
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= truth.value <= found.high
    assert covered >= 33
