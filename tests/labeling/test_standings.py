"""Strengths with intervals by the bootstrap: as wide as they should be, and quickly drawn."""

import time

import numpy as np
import pytest

from labeling.quality.bradley_terry import Game, fit
from labeling.quality.leaderboard import bootstrap, meetings


def played(players: int, count: int, *, prompts: int, ties: float = 0.15, seed: int = 0) -> list[Game]:
    """Comparisons of players whose strengths go from -1 to 1."""
    random = np.random.default_rng(seed)
    true = np.linspace(-1, 1, players)
    games = []
    for number in range(count):
        one, other = (int(each) for each in random.choice(players, 2, replace=False))
        won = random.random() < 1 / (1 + np.exp(true[other] - true[one]))
        points = 0.5 if random.random() < ties else float(won)
        games.append(Game(str(one), str(other), points, cluster=str(number % prompts)))
    return games


def test_draws_scatter_as_the_standard_errors_say() -> None:
    games = played(4, 600, prompts=300)
    found, drawn = fit(games), bootstrap(games)
    assert drawn.mean(axis=0) == pytest.approx(found.strengths, abs=0.04)
    assert drawn.std(axis=0) == pytest.approx(found.errors, rel=0.2)


def test_one_draw_of_everything_is_the_fit_itself() -> None:
    games = [game._replace(cluster="one") for game in played(3, 200, prompts=1)]
    assert bootstrap(games, draws=2)[1] == pytest.approx(fit(games).strengths, abs=1e-3)


def test_several_answers_to_a_prompt_count_for_fewer_than_as_many_prompts() -> None:
    games = played(2, 100, prompts=100)
    thrice = [game for game in games for _ in range(3)]
    assert bootstrap(thrice).std(axis=0) == pytest.approx(bootstrap(games).std(axis=0), rel=0.1)


def test_who_never_lost_has_an_interval_all_the_same() -> None:
    games = [Game("a", "b", 1.0, cluster=str(number)) for number in range(10)]
    drawn = bootstrap(games)
    assert np.isfinite(drawn).all()
    assert drawn[:, 0] == pytest.approx(fit(games).strengths[0], abs=1e-3)


def test_the_same_comparisons_give_the_same_intervals() -> None:
    games = played(3, 60, prompts=30)
    assert (bootstrap(games, draws=20) == bootstrap(games, draws=20)).all()


def test_twelve_versions_and_three_thousand_comparisons_take_seconds() -> None:
    games = played(12, 3000, prompts=1500)
    began = time.process_time()
    bootstrap(games)
    assert time.process_time() - began < 5  # 0.8 on the machine it was written on


def test_a_pair_is_told_both_ways_round() -> None:
    games = [
        Game("1", "2", points, cluster=prompt)
        for points, prompt in ((1.0, "p"), (0.5, "p"), (0.0, "q"), (1.0, "r"))
    ]
    found = meetings(games)
    assert found[1, 2] == (2.5, 4, 3)
    assert found[2, 1] == (1.5, 4, 3)
    assert found[1, 2].share.share == pytest.approx(0.625)
