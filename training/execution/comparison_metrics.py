"""Metrics of a head-to-head comparison: a row per judge, example pairs, and the best-of-n curve."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from training.forms.judges import PEOPLE, STORY_REWARD_FUNCTION
from training.rlhf.evaluation.best_of_n import best_of_n, powers_of_two
from training.rlhf.evaluation.win_rate import RateEstimate, WinRate, longer_win_rate, win_rate
from training.rlhf.reward_functions import Scorer

MAX_EXAMPLES = 8


@dataclass(frozen=True)
class Pairs:
    """A completion by each of two versions per prompt; prompts may repeat."""

    prompts: Sequence[str] = ()
    ours: Sequence[str] = ()
    theirs: Sequence[str] = ()

    def win_rate(self, scorer: Scorer) -> WinRate:
        """The win rate of ours over theirs by the scorer."""
        return win_rate(scorer, prompts=self.prompts, completions_a=self.ours, completions_b=self.theirs)

    def longer_win_rate(self, points: Sequence[float]) -> RateEstimate | None:
        """The share of pairs in which the longer completion won."""
        return longer_win_rate(
            points, prompts=self.prompts, completions_a=self.ours, completions_b=self.theirs
        )


def scorer_row(name: str, found: WinRate, new_pairs: Pairs, agreed: RateEstimate | None) -> dict[str, Any]:
    """The metrics of a scorer as a judge, with its agreement with people."""
    return {
        "judge": name,
        "kind": "reward function" if name == STORY_REWARD_FUNCTION else "reward model",
        "won": share_as_json(RateEstimate(rate=found.rate, interval=found.interval, count=found.count)),
        "ties": found.points.count(0.5),
        "prompts": len(set(new_pairs.prompts)),
        "score": found.mean_a,
        "score_against": found.mean_b,
        "longer_won": share_as_json(new_pairs.longer_win_rate(found.points)),
        "agreement": share_as_json(agreed),
    }


def best_of_curve(
    prompts: Sequence[str],
    candidates: Sequence[Sequence[str]],
    chooser: Scorer,
    judges: Mapping[str, Scorer],
) -> list[dict[str, Any]]:
    """The best-of-n curve for n = 1, 2, 4, …: KL, mean score by the chooser, and mean score by each judge."""

    def scores(scorer: Scorer) -> list[list[float]]:
        flat = [(prompt, text) for prompt, texts in zip(prompts, candidates, strict=True) for text in texts]
        found = iter(scorer([prompt for prompt, _ in flat], [text for _, text in flat]))
        return [[next(found) for _ in texts] for texts in candidates]

    rewards = scores(chooser)
    golds = {name: scores(scorer) for name, scorer in judges.items()}
    curve = []
    for n in powers_of_two(len(candidates[0])):
        by_judge = {name: best_of_n(rewards, gold, n=n) for name, gold in golds.items()}
        first = next(iter(by_judge.values()))
        curve.append(
            {
                "n": n,
                "kl": first.kl,
                "reward": first.reward,
                "judges": {name: each.gold for name, each in by_judge.items()},
            }
        )
    return curve


def share_as_json(found: RateEstimate | None) -> dict[str, Any] | None:
    """A share as JSON-serialisable metrics."""
    if found is None:
        return None
    low, high = found.interval
    return {"rate": found.rate, "low": low, "high": high, "count": found.count}


def points_by_pair(people_pairs: Pairs, by_people: Sequence[float]) -> dict[int, list[float]]:
    """People's points for each distinct pair, by the index of its first answer."""
    places: dict[tuple[str, str, str], int] = {}
    points: dict[int, list[float]] = defaultdict(list)
    rows = zip(people_pairs.prompts, people_pairs.ours, people_pairs.theirs, strict=True)
    for place, (pair, given) in enumerate(zip(rows, by_people, strict=True)):
        points[places.setdefault(pair, place)].append(given)
    return points


def examples(
    by_people: Mapping[int, Sequence[float]],
    people_pairs: Pairs,
    people_pair_results: Mapping[str, WinRate],
    new_pairs: Pairs,
    new_pair_results: Mapping[str, WinRate],
) -> list[dict[str, Any]]:
    """The first pairs with the verdict of each judge; pairs that people judged come first."""
    found = []
    for place, points in by_people.items():
        verdict = {"judge": PEOPLE, "points": fmean(points), "answers": len(points)}
        found.append(example(people_pairs, place, [verdict, *scorer_verdicts(people_pair_results, place)]))
    found += [
        example(new_pairs, place, scorer_verdicts(new_pair_results, place))
        for place in range(len(new_pairs.prompts))
    ]
    return found[:MAX_EXAMPLES]


def example(pairs: Pairs, place: int, verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "prompt": pairs.prompts[place],
        "completion": pairs.ours[place],
        "against": pairs.theirs[place],
        "verdicts": verdicts,
    }


def scorer_verdicts(found: Mapping[str, WinRate], place: int) -> list[dict[str, Any]]:
    return [
        {
            "judge": name,
            "points": each.points[place],
            "score": each.scores_a[place],
            "score_against": each.scores_b[place],
        }
        for name, each in found.items()
    ]
