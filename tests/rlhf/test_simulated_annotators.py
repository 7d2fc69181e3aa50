import math
from collections import Counter
from collections.abc import Sequence
from itertools import permutations

import pytest

from training.rlhf.config import SimulatedAnnotatorsConfig
from training.rlhf.feedback.simulated_annotators import SimulatedAnnotator, simulated_annotators

SCORES = {"a": 1.2, "b": 0.4, "c": -0.5}


def taste(prompts: Sequence[str], completions: Sequence[str], /) -> list[float]:
    return [SCORES[completion] for completion in completions]


def person(
    name: str = "ann", *, noise: float, tie_margin: float = 0.0, deviation: float = 1.0
) -> SimulatedAnnotator:
    return SimulatedAnnotator(
        name=name, scorer=taste, noise=noise, seed=0, tie_margin=tie_margin, deviation=deviation
    )


def test_without_noise_the_ranking_is_the_taste() -> None:
    assert person(noise=0.0).rank("p", ["b", "c", "a"]) == [2, 3, 1]


def test_without_noise_a_grade_is_a_step_for_each_deviation_begun() -> None:
    steady = person(noise=0.0, tie_margin=0.1)
    assert steady.grade("p", "b", "a") == 1  # 0.8 apart
    assert steady.grade("p", "a", "c") == -2  # 1.7
    assert steady.grade("p", "a", "a") == 0
    assert person(noise=0.0, deviation=0.5).grade("p", "c", "a") == 3  # 3.4 of them
    assert person(noise=0.0, tie_margin=1.0).grade("p", "b", "a") == 0


def test_a_grade_turns_with_the_order_and_prefers_what_a_ranking_does() -> None:
    ann = person(noise=0.7)
    for task in range(50):
        grade = ann.grade(str(task), "a", "b")
        assert ann.grade(str(task), "b", "a") == -grade
        assert (grade > 0) == (ann.rank(str(task), ["a", "b"]) == [2, 1])


def test_a_score_does_not_depend_on_what_is_beside_it() -> None:
    ann = person(noise=0.5)
    alone = [ann.score("p", [each], scale=5)[0] for each in "abc"]
    assert ann.score("p", ["a", "b", "c"], scale=5) == alone


@pytest.mark.parametrize(("scale", "expected"), [(5, [4, 3, 2]), (9, [7, 5, 3]), (2, [2, 1, 1])])
def test_without_noise_scores_are_the_taste_about_its_mean(scale: int, expected: list[int]) -> None:
    calm = SimulatedAnnotator(name="ann", scorer=taste, noise=0.0, seed=0, mean=0.4)
    assert calm.score("p", ["a", "b", "c"], scale=scale) == expected


def test_scores_of_the_average_text_are_in_the_middle_whatever_the_noise() -> None:
    for noise in (0.3, 1.0):
        ann = SimulatedAnnotator(name="ann", scorer=taste, noise=noise, seed=0, mean=SCORES["b"])
        scores = [ann.score(str(task), ["b"], scale=9)[0] for task in range(1000)]
        assert sum(scores) / len(scores) == pytest.approx(5.0, abs=0.35)


def test_win_frequencies_match_bradley_terry() -> None:
    noise, deviation, count = 0.5, 2.0, 4000
    ann = person(noise=noise, deviation=deviation)
    wins = sum(ann.rank(str(task), ["a", "b"]) == [1, 2] for task in range(count))
    expected = 1 / (1 + math.exp(-(SCORES["a"] - SCORES["b"]) / (noise * deviation)))
    assert wins / count == pytest.approx(expected, abs=4 * math.sqrt(0.25 / count))


def test_rankings_match_plackett_luce() -> None:
    noise, count = 0.8, 6000
    ann = person(noise=noise)
    seen = Counter(tuple(ann.rank(str(task), ["a", "b", "c"])) for task in range(count))
    weights = {name: math.exp(score / noise) for name, score in SCORES.items()}
    for order in permutations("abc"):
        left, probability = sum(weights.values()), 1.0
        for name in order:
            probability *= weights[name] / left
            left -= weights[name]
        ranks = tuple(order.index(name) + 1 for name in "abc")
        assert seen[ranks] / count == pytest.approx(probability, abs=4 * math.sqrt(0.25 / count))


def test_the_same_person_answers_the_same_again_in_any_order() -> None:
    ann = person(noise=2.0)
    for task in range(50):
        a, b, c = ann.rank(str(task), ["a", "b", "c"])
        assert person(noise=2.0).rank(str(task), ["c", "a", "b"]) == [c, a, b]


def test_two_people_differ() -> None:
    first, second = person("ann", noise=2.0), person("bob", noise=2.0)
    tasks = [str(task) for task in range(50)]
    assert [first.rank(task, ["a", "b", "c"]) for task in tasks] != [
        second.rank(task, ["a", "b", "c"]) for task in tasks
    ]


def test_what_lies_within_the_margin_of_the_best_is_a_tie_and_no_chain() -> None:
    # a and b are 0.8 apart, b and c 0.9: neither pair may join the other into one rank.
    assert person(noise=0.0, tie_margin=0.85).rank("p", ["a", "b", "c"]) == [1, 1, 2]
    assert person(noise=0.0, tie_margin=0.95).rank("p", ["a", "b", "c"]) == [1, 1, 2]
    assert person(noise=0.0, tie_margin=0.5).rank("p", ["a", "b", "c"]) == [1, 2, 3]


def test_the_config_makes_that_many_different_people() -> None:
    people = simulated_annotators(SimulatedAnnotatorsConfig(count=3, noise=0.5), taste)
    assert [ann.name for ann in people] == ["simulated-1", "simulated-2", "simulated-3"]
    assert {ann.noise for ann in people} == {0.5}


def test_careless_people_rank_in_every_order_alike() -> None:
    count, names = 3000, ("a", "b", "c")
    ann = SimulatedAnnotator(name="ann", scorer=taste, noise=0.1, seed=0, careless=True)
    seen = Counter(tuple(ann.rank(str(task), names)) for task in range(count))
    assert len(seen) == 6
    for times in seen.values():
        assert times / count == pytest.approx(1 / 6, abs=4 * math.sqrt(5 / 36 / count))


def test_careless_people_are_as_sure_of_themselves_as_others() -> None:
    ann = SimulatedAnnotator(name="ann", scorer=taste, noise=0.0, seed=0, careless=True)
    assert [ann.rank("p", ["a", "b", "c"]) for _ in range(3)] == [ann.rank("p", ["a", "b", "c"])] * 3
    assert all(sorted(ann.rank(str(task), ["a", "b"])) == [1, 2] for task in range(100))


@pytest.mark.parametrize(
    ("count", "share", "careless"), [(10, 0.2, 2), (3, 0.2, 1), (2, 0.2, 0), (4, 1.0, 4)]
)
def test_the_config_makes_that_share_of_them_careless(count: int, share: float, careless: int) -> None:
    people = simulated_annotators(SimulatedAnnotatorsConfig(count=count, careless=share), taste)
    assert [ann.careless for ann in people] == [True] * careless + [False] * (count - careless)
