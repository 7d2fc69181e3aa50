"""Killed at any step and resumed, a fine-tune logs bit for bit what an uninterrupted one logs."""

import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.gpt.tiny_pretraining import Log, in_a_process
from tests.rlhf.tiny_finetune import tune
from tests.rlhf.tiny_policy import tiny_policy
from training.gpt.errors import InputError
from training.gpt.training_loop import Callbacks
from training.rlhf.reward.reward_model import RewardModel
from training.rlhf.tuning.heldout_evaluation import TuningResult

OPTIONS: dict[str, Any] = {
    "steps": 7,
    "prompts_per_step": 6,
    "accumulate": 2,
    "evaluate_every": 3,
    "heldout_prompts": 8,
    "kl_horizon": 100.0,
    "save_every": 0.0,
}
KINDS: list[tuple[dict[str, Any], tuple[int, ...]]] = [
    ({"estimator": "rloo"}, (0, 2, 6)),
    ({"estimator": "reinforce", "kl_in": "loss"}, (6,)),
    ({"estimator": "ppo", "learning_rate": 3e-3}, (1, 6)),
]
IDS = ["rloo", "reinforce, KL in the loss", "ppo"]


def taste() -> RewardModel:
    policy, tokenizer = tiny_policy()
    return RewardModel.from_policy(policy, tokenizer, seed=3)


def train(folder: Path, log: Log, options: dict[str, Any], stops: Any = lambda: False) -> TuningResult:
    callbacks = Callbacks(on_step=log, on_resume=log.resumed.append, should_stop=stops)
    return tune(taste(), folder=folder, callbacks=callbacks, **options)


def train_until(step: int, folder: Path, options: dict[str, Any]) -> None:
    """Train in this process, write what is logged to a file, and die at a step."""
    torch.set_num_threads(1)

    class Killer(Log):
        def __call__(self, number: int, progress: float, metrics: dict[str, float]) -> None:
            with (folder / "log").open("a") as log:
                log.write(json.dumps([number, metrics]) + "\n")
            if number == step:
                os.kill(os.getpid(), signal.SIGKILL)

    train(folder / "last", Killer(), options)


def without_clock(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name not in {"step_time", "seconds"}}


def logged_metrics(log: Log) -> dict[int, dict[str, float]]:
    return {step: without_clock(each) for step, each in zip(log.steps, log.metrics, strict=True)}


def assert_equal(result: TuningResult, whole: TuningResult) -> None:
    assert (result.steps, result.stop_reason, result.best_step) == (
        whole.steps,
        whole.stop_reason,
        whole.best_step,
    )
    assert (result.before, result.after, result.notes) == (whole.before, whole.after, whole.notes)
    assert without_clock(result.metrics) == without_clock(whole.metrics)
    ours, theirs = result.policy.state_dict(), whole.policy.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize(("kind", "kills"), KINDS, ids=IDS)
def test_killed_and_resumed_it_tells_the_same_bit_for_bit(
    tmp_path: Path, kind: dict[str, Any], kills: tuple[int, ...]
) -> None:
    options = {**OPTIONS, **kind}
    whole = Log()
    result = train(tmp_path / "whole", whole, options)
    for step in kills:
        assert in_a_process(train_until, step, tmp_path, options) == -signal.SIGKILL
    last = Log()
    assert_equal(train(tmp_path / "last", last, options), result)
    # The state of the step it died at was not written yet.
    assert last.resumed == [5]
    rows = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    rows += zip(last.steps, last.metrics, strict=True)
    assert {step for step, _ in rows} == set(whole.steps) == set(range(8))
    for step, metrics in rows:
        assert without_clock(metrics) == logged_metrics(whole)[step], f"step {step}"


def test_stopped_at_every_question_and_resumed_it_tells_the_same_bit_for_bit(tmp_path: Path) -> None:
    """In the middle of an evaluation too, after which the best weights may be others."""
    options = {**OPTIONS, "save_every": 1e9}
    whole, pieces = Log(), Log()
    result = train(tmp_path / "whole", whole, options)
    stops = 0
    while True:
        piece = train(tmp_path / "stopped", pieces, options, partial(next, iter([False] * 2), True))
        torch.rand(stops)
        if piece.stop_reason != "cancelled":
            break
        stops += 1
    assert stops > 4
    assert pieces.steps == whole.steps, "each step should be logged once"
    assert logged_metrics(pieces) == logged_metrics(whole)
    assert_equal(piece, result)


def test_a_finished_fine_tune_is_not_repeated(tmp_path: Path) -> None:
    result = train(tmp_path, Log(), OPTIONS)
    log = Log()
    assert_equal(train(tmp_path, log, OPTIONS), result)
    assert log.steps == []


def test_other_options_prompts_policies_and_rewards_are_refused(tmp_path: Path) -> None:
    train(tmp_path, Log(), OPTIONS)
    with pytest.raises(InputError, match=r"training.json: this training began with clip 1.0, not 2.0"):
        train(tmp_path, Log(), {**OPTIONS, "clip": 2.0})
    with pytest.raises(InputError, match=r"training.json: this training began with another policy"):
        tune(taste(), folder=tmp_path, model=tiny_policy(seed=1), **OPTIONS)
    policy, tokenizer = tiny_policy()
    other = RewardModel.from_policy(policy, tokenizer, seed=4)
    with pytest.raises(InputError, match=r"training.json: this training began with another reward"):
        tune(other, folder=tmp_path, **OPTIONS)
