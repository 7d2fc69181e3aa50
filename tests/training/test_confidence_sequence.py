"""The confidence sequence of a win rate: right at all times at once, and quick to see a difference."""

import numpy as np
import pytest
from scipy.special import betaincc, betaln
from scipy.stats import beta

from training.registry.confidence_sequence import confidence_sequence, log_capital

RUNS, LONGEST = 400, 200


def draws(rate: float, *, ties: float = 0.0, seed: int = 0) -> np.ndarray:
    """RUNS sequences of points 1, 0.5 and 0 with this mean. [RUNS, LONGEST]"""
    uniform = np.random.default_rng(seed).random((RUNS, LONGEST))
    won = rate - ties / 2
    return np.where(uniform < won, 1.0, np.where(uniform < won + ties, 0.5, 0.0))


def ever_excluded(points: np.ndarray, rate: float) -> np.ndarray:
    """Whether the interval left a rate out at any time: for each of several sequences at once. [RUNS]"""
    values = np.unique(points)
    counts = np.cumsum(points[:, :, None] == values, axis=1).reshape(-1, len(values)).astype(float)
    below, above = np.full(len(counts), rate), np.full(len(counts), 1 - rate)
    most = np.maximum(log_capital(values, counts, below), log_capital(1 - values, counts, above))
    return np.asarray(np.any(most.reshape(len(points), -1) >= np.log(2 / 0.05), axis=1))


@pytest.mark.parametrize(
    ("won", "lost", "tied"), [(8, 0, 0), (7, 1, 3), (20, 12, 0), (30, 31, 9), (55, 8, 4)]
)
def test_capital_against_a_half_is_the_closed_integral(won: int, lost: int, tied: int) -> None:
    counts = np.array([[lost, tied, won]], dtype=float)
    closed = (
        (won + lost + 1) * np.log(2) + betaln(won + 1, lost + 1) + np.log(betaincc(won + 1, lost + 1, 0.5))
    )
    got = log_capital(np.array([0.0, 0.5, 1.0]), counts, np.array([0.5]))
    assert got == pytest.approx([closed], abs=1e-9)


def test_eight_wins_in_a_row_are_the_fewest_that_decide() -> None:
    # (2**(n+1) - 1) / (n + 1) reaches 2 / 0.05 at n = 8.
    assert confidence_sequence([1.0] * 20).decided_at == 8
    assert confidence_sequence([0.0] * 20).decided_at == 8
    assert confidence_sequence([0.5] * 200).decided_at is None


def test_ties_do_not_put_off_what_wins_decide() -> None:
    points = [1.0, 0.5] * 8
    assert confidence_sequence(points).decided_at == 15
    assert confidence_sequence(points[::-1]).decided_at == 16


def test_the_two_sides_mirror_each_other() -> None:
    points = draws(0.7, ties=0.2)[0]
    ours, theirs = confidence_sequence(points), confidence_sequence(1 - points)
    assert ours.lows == pytest.approx(1 - theirs.highs)
    assert ours.rates == pytest.approx(1 - theirs.rates)


def test_the_interval_never_grows_and_holds_the_rate_that_was_seen() -> None:
    found = confidence_sequence(draws(0.55, ties=0.1)[0])
    assert (np.diff(found.lows) >= 0).all()
    assert (np.diff(found.highs) <= 0).all()
    assert (found.lows <= found.rates).all()
    assert (found.rates <= found.highs).all()


def test_it_is_wider_than_an_interval_for_one_look_but_not_by_much() -> None:
    points = [1.0] * 130 + [0.0] * 70
    found = confidence_sequence(np.random.default_rng(3).permutation(points))
    once = beta.ppf(0.975, 131, 70) - beta.ppf(0.025, 130, 71)  # Clopper and Pearson's, 1934
    width = found.highs[-1] - found.lows[-1]
    assert once < width < 1.7 * once


@pytest.mark.parametrize(("rate", "ties"), [(0.5, 0.0), (0.5, 0.4), (0.65, 0.1), (0.9, 0.0)])
def test_who_stops_when_it_pleases_is_still_right_nineteen_times_in_twenty(rate: float, ties: float) -> None:
    left_out = ever_excluded(draws(rate, ties=ties, seed=1), rate)
    assert left_out.mean() < 0.05 + 2 * np.sqrt(0.05 * 0.95 / RUNS)


def test_observations_need_not_be_alike_as_long_as_their_mean_is() -> None:
    # Prompts answered by one or by two people: points in halves.
    random = np.random.default_rng(2)
    people = random.integers(1, 3, (RUNS, LONGEST))
    assert ever_excluded(random.binomial(people, 0.5) / people, 0.5).mean() < 0.05


@pytest.mark.parametrize(("rate", "ties", "share"), [(0.6, 0.3, 0.6), (0.65, 0.0, 0.8), (0.7, 0.0, 0.97)])
def test_two_hundred_prompts_tell_a_clear_difference(rate: float, ties: float, share: float) -> None:
    assert ever_excluded(draws(rate, ties=ties, seed=4), 0.5).mean() > share


def test_the_interval_leaves_out_what_capital_was_made_against() -> None:
    points = draws(0.62, ties=0.1, seed=5)[:20]
    decided = [confidence_sequence(each).decided_at is not None for each in points]
    assert decided == ever_excluded(points, 0.5).tolist()
    assert 0 < sum(decided) < len(decided)


def test_points_outside_the_unit_interval_are_refused() -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        confidence_sequence([0.5, 1.2])


def test_nothing_seen_is_nothing_known() -> None:
    assert confidence_sequence([]).decided_at is None
