"""Two processes train a reward model as one does."""

from pathlib import Path
from typing import Any

import pytest

from tests.rlhf.letter_feedback import LEARNING_RATE, rankings, ratings, taught
from tests.two_processes import in_two_processes
from training.gpt.training_loop import Callbacks

Curve = list[dict[str, float]]


class Trains:
    """A job that can be sent to a process: train with these options, and stop after a step if asked to."""

    def __init__(self, *, stop_after: int = -1, **options: Any) -> None:
        self.stop_after = stop_after
        # Five texts a step: one process has more units than the other, and now and then one has none.
        self.options = {"epochs": 1, "batch_size": 5, "evaluate_every": 4, "heldout": 0.3} | options

    def __call__(self, rank: int) -> tuple[Curve, list[float], float]:
        logged: Curve = []

        def should_stop() -> bool:
            assert rank == 0, "only the first process may be asked"
            return self.stop_after in [metrics["step"] for metrics in logged]

        callbacks = Callbacks(
            on_step=lambda step, progress, metrics: logged.append({"step": step, **metrics}),
            should_stop=should_stop,
        )
        result = taught(rankings(14, prompts=1), ratings(6), callbacks=callbacks, **self.options)
        raw = result.model.unnormalised(result.model.member_scores(["a"] * 2, ["abc", "hh"]))
        return logged, (raw[0] - raw[1]).tolist(), result.accuracy


def tolerance(steps: int, *, scores: bool) -> float:
    """How far apart, relatively, two trainings may be after so many steps.

    In a batch of pairs the gradient of the head's bias is 0, except for rounding. Adam divides it by its own
    size, so each step moves the bias by up to the learning rate, up in one training and down in the other.
    This does not affect pairs, but it affects scores, which have a deviation of 1.
    """
    return 2e-3 + (2 * LEARNING_RATE * steps if scores else 0)


@pytest.mark.parametrize(
    "options",
    [
        {"parallel": "ddp", "accumulate": 2},
        {"parallel": "fsdp"},
        {"parallel": "ddp", "trunk": "frozen", "epochs": 4, "members": 2},
        {"parallel": "fsdp", "members": 2, "ensemble": "models", "loss": "scores+pairs"},
    ],
)
def test_the_steps_are_those_of_one_process(options: dict[str, Any]) -> None:
    whole, gap, accuracy = Trains(**options)(0)
    first, second = in_two_processes(Trains(**options))
    assert not isinstance(first, str), first
    assert not isinstance(second, str), second
    assert len(first[0]) == len(whole) > 4
    scores = "scores" in options.get("loss", "")
    for number, (ours, theirs) in enumerate(zip(first[0], whole, strict=True)):
        assert ours == pytest.approx(theirs, rel=tolerance(number, scores=scores), abs=1e-5)
    close = pytest.approx(gap, rel=tolerance(len(whole), scores=scores), abs=1e-4)
    assert first[1] == close
    assert first[2] == pytest.approx(accuracy)
    assert second[0] == [], "only the first process logs"
    assert second[1] == close


@pytest.mark.parametrize(("how", "then"), [("fsdp", "alone"), ("ddp", "fsdp")])
def test_one_goes_on_where_others_were_stopped(tmp_path: Path, how: str, then: str) -> None:
    whole, gap, _ = Trains()(0)
    stopped = in_two_processes(Trains(folder=tmp_path, parallel=how, stop_after=3))
    assert not isinstance(stopped[0], str), stopped[0]
    if then == "alone":
        rest = Trains(folder=tmp_path)(0)
    else:
        both = in_two_processes(Trains(folder=tmp_path, parallel=then))
        assert not isinstance(both[0], str), both[0]
        rest = both[0]
    steps = [metrics["step"] for metrics in stopped[0][0] + rest[0]]
    assert steps == [metrics["step"] for metrics in whole]
    assert rest[1] == pytest.approx(gap, rel=2e-3, abs=1e-4)
