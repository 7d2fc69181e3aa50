"""Killed at any step and resumed, the training of a reward model logs what it would have logged."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.gpt.tiny_pretraining import in_a_process
from tests.rlhf.letter_feedback import rankings, ratings, taught
from training.gpt.errors import InputError
from training.gpt.training_loop import Callbacks
from training.rlhf.reward.trainer import RewardResult

KINDS: list[dict[str, Any]] = [
    {},
    {"members": 2, "ensemble": "models", "patience": 2},
    {"members": 2, "trunk": "frozen", "loss": "scores+pairs"},
]


class LoggedMetrics(list[tuple[int, dict[str, float]]]):
    def __call__(self, step: int, progress: float, metrics: dict[str, float]) -> None:
        self.append((step, metrics))


def train(folder: Path | None, kind: dict[str, Any], callbacks: Callbacks) -> RewardResult:
    options = {"epochs": 2, "batch_size": 16, "evaluate_every": 3, "save_every": 0} | kind
    return taught(rankings(30, prompts=1), ratings(30), folder=folder, callbacks=callbacks, **options)


def train_until(step: int, folder: Path, kind: dict[str, Any]) -> None:
    """Die at a step."""

    def die(number: int, progress: float, metrics: dict[str, float]) -> None:
        if number == step:
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    train(folder, kind, Callbacks(on_step=die))


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_training_goes_on_bit_for_bit(tmp_path: Path, kind: dict[str, Any]) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    whole, rest = LoggedMetrics(), LoggedMetrics()
    resumed: list[int] = []
    expected = train(None, kind, Callbacks(on_step=whole))
    assert in_a_process(train_until, 7, tmp_path, kind) == -signal.SIGKILL
    result = train(tmp_path, kind, Callbacks(on_step=rest, on_resume=resumed.append))
    torch.set_num_threads(threads)
    # It was killed at step 7, and had saved the one before.
    assert resumed == [6]
    assert rest == whole[7:]
    assert len(whole) > 10
    assert (result.steps, result.best_step, result.stop_reason) == (
        expected.steps,
        expected.best_step,
        expected.stop_reason,
    )
    found, wanted = (each.model.member_scores(["a"] * 2, ["abc", "hh"]) for each in (result, expected))
    assert torch.equal(found, wanted)
    assert result.accuracy == expected.accuracy


def test_a_training_told_to_stop_goes_on_and_one_that_ended_only_reports(tmp_path: Path) -> None:
    logged, more = LoggedMetrics(), LoggedMetrics()
    first = train(tmp_path, {}, Callbacks(on_step=logged, should_stop=lambda: len(logged) > 4))
    assert first.stop_reason == "cancelled"
    assert "accuracy" not in first.metrics
    second = train(tmp_path, {}, Callbacks(on_step=more))
    assert [step for step, _ in more] == list(range(5, second.steps + 1))
    again = LoggedMetrics()
    third = train(tmp_path, {}, Callbacks(on_step=again))
    assert not again
    assert third.model.score([""], ["abc"]) == second.model.score([""], ["abc"])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"batch_size": 8}, "began with batch_size 16, not 8"),
        ({"loss": "scores"}, "began with loss pairs, not scores"),
    ],
)
def test_other_options_are_refused_by_name(tmp_path: Path, change: dict[str, Any], says: str) -> None:
    asked = {"epochs": 1, "loss": "pairs"}
    train(tmp_path, asked, Callbacks())
    with pytest.raises(InputError, match=says):
        train(tmp_path, asked | change, Callbacks())


def test_other_preferences_are_refused(tmp_path: Path) -> None:
    train(tmp_path, {"epochs": 1}, Callbacks())
    with pytest.raises(InputError, match="began with another set of preferences"):
        taught(
            rankings(31, prompts=1), epochs=1, batch_size=16, evaluate_every=3, save_every=0, folder=tmp_path
        )
