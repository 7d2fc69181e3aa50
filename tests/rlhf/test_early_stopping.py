"""Early stopping on made-up sequences of evaluations with the noise of small held-out batches."""

import json
import random
from collections.abc import Callable

import pytest

from training.gpt.errors import InputError
from training.rlhf.config import EarlyStoppingConfig
from training.rlhf.tuning.early_stopping import EarlyStopping, Evaluation

PROMPTS = 64
Truth = Callable[[int], dict[str, float]]
"""What the measures truly are at an evaluation, by its number."""


def steady(number: int) -> dict[str, float]:
    """A tuning that goes well: the reward rises and levels off, all else stays as it is."""
    gained = 1 - 0.9**number
    return {"reward": 1.5 * gained, "win_rate": 0.5 + 0.35 * gained, "kl": 8 * gained, "disagreement": 0.3,
            "length": 40.0, "repetition": 0.2}  # fmt: skip


def but(**changes: Callable[[int], float]) -> Truth:
    return lambda number: steady(number) | {name: change(number) for name, change in changes.items()}


def evaluation(
    number: int, truth: dict[str, float], rng: random.Random, prompts: int = PROMPTS
) -> Evaluation:
    """Measured on few prompts, each with a noise like that of real samples."""
    spread = {"reward": 1.0, "kl": 3.0, "disagreement": 0.15, "length": 15.0, "repetition": 0.08,
              "gold": 1.0}  # fmt: skip
    each = {
        name: [
            float(rng.random() < value) if name.endswith("win_rate") else value + rng.gauss(0, spread[name])
            for _ in range(prompts)
        ]
        for name, value in truth.items()
    }
    return Evaluation(step=10 * number, per_prompt=each, completions=["text"] * prompts)


def watched(
    truth: Truth, *, seed: int, evaluations: int = 60, prompts: int = PROMPTS, **config: float
) -> EarlyStopping:
    """Evaluation after evaluation, until the control stops the tuning or they are over."""
    early_stopping, rng = EarlyStopping(EarlyStoppingConfig(**config)), random.Random(seed)  # type: ignore[arg-type]
    for number in range(evaluations):
        early_stopping.update(evaluation(number, truth(number), rng, prompts))
        if early_stopping.stop_reason:
            break
    return early_stopping


@pytest.mark.parametrize("prompts", [8, 64])
def test_noise_alone_seldom_stops_a_tuning_that_goes_well(prompts: int) -> None:
    stopped = [watched(steady, seed=seed, prompts=prompts).stop_reason for seed in range(25)]
    assert sum(reason is not None for reason in stopped) <= 1


SIGNS = {
    # By sign, what is true from the tenth evaluation on, and from when on the measure is beyond its limit.
    "win rate fell": (but(reward=lambda n: 0.1 * n, win_rate=lambda n: 0.8 - 0.04 * max(0, n - 10)), 12),
    "disagree": (but(disagreement=lambda n: 0.3 + 0.05 * max(0, n - 10)), 16),
    "have grown": (but(length=lambda n: 40 + 5.0 * max(0, n - 10)), 18),
    "have shrunk": (but(length=lambda n: 40 - min(35.0, 3.0 * max(0, n - 10))), 17),
    "repeated words": (but(repetition=lambda n: 0.2 + min(0.7, 0.04 * max(0, n - 10))), 15),
}


@pytest.mark.parametrize("sign", SIGNS)
def test_each_sign_stops_the_tuning_soon_after_it_is_true_and_what_is_kept_does_not_show_it(
    sign: str,
) -> None:
    truth, beyond = SIGNS[sign]
    for seed in range(8):
        early_stopping = watched(truth, seed=seed)
        assert early_stopping.stop_reason
        assert early_stopping.stop_reason.startswith("over-optimised: ")
        assert sign in early_stopping.stop_reason
        assert early_stopping.best is not None
        stopped = early_stopping.best.step // 10 + early_stopping.evaluations_since_best
        assert beyond < stopped <= beyond + 9
        # Noise on one evaluation may hide what is only just too much, not what is far beyond it.
        assert early_stopping.best.step // 10 <= beyond + 4


def test_a_tuning_that_goes_well_keeps_a_late_version() -> None:
    found = [watched(steady, seed=seed, evaluations=40).best for seed in range(10)]
    steps = sorted(best.step for best in found if best is not None)
    assert steps[2] >= 150


def test_a_single_strange_evaluation_stops_nothing_but_is_not_kept() -> None:
    for name, strange in (("length", 200.0), ("disagreement", 5.0), ("repetition", 0.9)):
        truth = but(**{name: lambda n, strange=strange, name=name: strange if n == 20 else steady(n)[name]},
                    reward=lambda n: 9.0 if n == 20 else steady(n)["reward"])  # fmt: skip
        early_stopping = watched(truth, seed=1)
        assert early_stopping.stop_reason is None
        assert early_stopping.best is not None
        assert early_stopping.best.step != 200


def test_the_gold_scorer_decides_where_there_is_one() -> None:
    fooled = but(
        reward=lambda n: 0.1 * n,
        win_rate=lambda n: min(0.95, 0.5 + 0.05 * n),
        gold=lambda n: 0.1 * n if n <= 8 else 0.8 - 0.1 * (n - 8),
        gold_win_rate=lambda n: 0.5 + 0.04 * n if n <= 8 else max(0.1, 0.82 - 0.05 * (n - 8)),
    )
    early_stopping = watched(fooled, seed=3)
    assert early_stopping.best is not None
    assert early_stopping.best.selection_measure == "gold"
    assert 50 <= early_stopping.best.step <= 110
    assert early_stopping.stop_reason is not None
    assert "gold win rate fell" in early_stopping.stop_reason


def test_signs_can_be_turned_off_one_by_one_and_all_together() -> None:
    for sign, option in {
        "win rate fell": "win_rate_limit",
        "disagree": "disagreement_limit",
        "have grown": "length_limit",
        "repeated words": "repetition_limit",
    }.items():
        assert watched(SIGNS[sign][0], seed=0, evaluations=40).stop_reason is not None
        assert watched(SIGNS[sign][0], seed=0, evaluations=40, **{option: 0}).stop_reason is None
        assert watched(SIGNS[sign][0], seed=0, evaluations=40, stop_window=0).stop_reason is None


def test_the_best_is_the_highest_reward_inside_the_kl_budget() -> None:
    evaluations = [(0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (9.0, 50.0), (1.5, 2.0)]
    early_stopping = EarlyStopping(EarlyStoppingConfig(kl_budget=10.0))
    kept = [
        early_stopping.update(evaluation(number, steady(0) | {"reward": reward, "kl": kl}, random.Random(0)))
        for number, (reward, kl) in enumerate(evaluations)
    ]
    assert kept == [True, True, True, False, False]
    assert early_stopping.best is not None
    assert early_stopping.best.step == 20


def test_patience_counts_evaluations_without_a_new_best() -> None:
    early_stopping = watched(but(reward=lambda n: 9.0 if n == 5 else 0.1), seed=0, patience=40)
    assert early_stopping.best is not None
    assert early_stopping.stop_reason == "no better version in 40 evaluations"
    assert watched(but(reward=lambda n: -float(n)), seed=0, patience=3).evaluations_since_best == 3


def test_one_prompt_proves_nothing() -> None:
    assert watched(SIGNS["have grown"][0], seed=0, prompts=1).stop_reason is None


@pytest.mark.parametrize("at", [1, 4, 9, 17])
def test_it_goes_on_from_its_values_as_if_it_had_never_stopped(at: int) -> None:
    truth, _ = SIGNS["win rate fell"]
    whole, halves = EarlyStopping(EarlyStoppingConfig()), EarlyStopping(EarlyStoppingConfig())
    rng = random.Random(7)
    for number in range(30):
        found = evaluation(number, truth(number), rng)
        if number == at:
            again = EarlyStopping(EarlyStoppingConfig())
            again.restore(json.loads(json.dumps(halves.values())))
            halves = again
        assert whole.update(found) == halves.update(found)
        assert whole.stop_reason == halves.stop_reason
    assert json.dumps(whole.values()) == json.dumps(halves.values())
    assert whole.stop_reason


@pytest.mark.parametrize("name", ["length_limit", "disagreement_limit"])
def test_a_limit_that_everything_exceeds_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"^{name}: a factor of 0.5 is no growth"):
        EarlyStoppingConfig(**{name: 0.5})  # type: ignore[arg-type]
