"""Two processes tune a policy as one does."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.rlhf.tiny_finetune import tune
from tests.rlhf.tiny_policy import tiny_policy
from tests.two_processes import in_two_processes
from training.gpt.training_loop import Callbacks
from training.rlhf.reward.reward_model import RewardModel

Curve = list[dict[str, float]]
OWN = {"step_time", "logprob_error", "kl_std", "clipped_tokens", "value/loss", "value/explained_variance"}
"""What depends on the clock or, being no mean over sequences, a little on who has which."""

# The pieces of a batch have random numbers of their own: two processes have as many as one that accumulates.
OPTIONS: dict[str, Any] = {
    "steps": 4,
    "prompts_per_step": 4,
    "samples_per_prompt": 3,
    "evaluate_every": 2,
    "heldout_prompts": 6,
    "learning_rate": 2e-3,
    "save_every": 0.0,
}


class Tunes:
    """A job that can be sent to a process: tune with these options, and stop after a step if asked to."""

    def __init__(self, *, stop_after: int = -1, folder: Path | None = None, **options: Any) -> None:
        self.stop_after, self.folder, self.options = stop_after, folder, OPTIONS | options

    def __call__(self, rank: int) -> tuple[Curve, list[float], float]:
        logged: Curve = []

        def should_stop() -> bool:
            assert rank == 0, "only the first process may be asked"
            return self.stop_after in [metrics["step"] for metrics in logged]

        policy, tokenizer = tiny_policy()
        callbacks = Callbacks(
            on_step=lambda step, progress, metrics: logged.append({"step": step, **metrics}),
            should_stop=should_stop,
        )
        reward = RewardModel.from_policy(policy, tokenizer, seed=3)
        result = tune(
            reward, callbacks=callbacks, folder=self.folder, model=(policy, tokenizer), **self.options
        )
        return logged, weights_of(result.policy), result.after.reward


def weights_of(policy: torch.nn.Module) -> list[float]:
    flat: Tensor = torch.cat([weight.detach().flatten() for weight in policy.parameters()])
    return [float(each) for each in flat[::97]]


def assert_same(ours: Curve, theirs: Curve) -> None:
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.keys() == other.keys()
        for name in one.keys() - OWN:
            assert one[name] == pytest.approx(other[name], rel=2e-3, abs=2e-5), name


@pytest.mark.parametrize(
    ("options", "pieces"),
    [
        ({"parallel": "ddp", "estimator": "rloo"}, 2),
        ({"parallel": "fsdp", "estimator": "reinforce", "kl_in": "loss"}, 1),
        ({"parallel": "ddp", "estimator": "ppo"}, 1),
        ({"parallel": "fsdp", "estimator": "ppo"}, 2),
    ],
    ids=["ddp rloo", "fsdp reinforce", "ddp ppo", "fsdp ppo"],
)
def test_the_steps_are_those_of_one_process(options: dict[str, Any], pieces: int) -> None:
    whole, weights, reward = Tunes(**options, accumulate=2 * pieces)(0)
    first, second = in_two_processes(Tunes(**options, accumulate=pieces))
    assert not isinstance(first, str), first
    assert not isinstance(second, str), second
    assert_same(first[0], whole)
    assert first[1] == pytest.approx(weights, abs=1e-4)
    assert first[2] == pytest.approx(reward, abs=1e-4)
    assert second[0] == [], "only the first process logs"
    assert second[1:] == first[1:], "all have the same policy in the end"


@pytest.mark.parametrize("then", ["alone", "ddp"])
def test_one_goes_on_where_others_were_stopped(tmp_path: Path, then: str) -> None:
    whole, weights, _ = Tunes(estimator="ppo", accumulate=2)(0)
    stopped = in_two_processes(Tunes(estimator="ppo", parallel="fsdp", folder=tmp_path, stop_after=2))
    assert not isinstance(stopped[0], str), stopped[0]
    if then == "alone":
        rest = Tunes(estimator="ppo", accumulate=2, folder=tmp_path)(0)
    else:
        both = in_two_processes(Tunes(estimator="ppo", parallel=then, folder=tmp_path))
        assert not isinstance(both[0], str), both[0]
        rest = both[0]
    assert_same(stopped[0][0] + rest[0], whole)
    assert rest[1] == pytest.approx(weights, abs=1e-4)


def test_a_batch_that_cannot_be_shared_out_is_refused_by_all() -> None:
    both = in_two_processes(Tunes(prompts_per_step=6, accumulate=2))
    message = (
        "prompts_per_step: 6 does not divide evenly among 2 processes with accumulate 2; use a multiple of 4"
    )
    assert both == [message] * 2
