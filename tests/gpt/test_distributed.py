"""Two processes train as one does: the same loss, the same files, and an end together."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.gpt.tiny_pretraining import Log, train
from tests.two_processes import in_two_processes
from training.gpt.checkpoint import load_checkpoint
from training.gpt.corpus.shards import Shards
from training.gpt.errors import InputError
from training.gpt.evaluation import evaluate
from training.gpt.pretraining import PretrainResult

pytestmark = pytest.mark.usefixtures("a_mouse")

OPTIONS: dict[str, Any] = {"steps": 8, "evaluate_every": 3, "dropout": 0.1}
ALONE = {**OPTIONS, "accumulate": 2}
"""Two pieces, as two processes have: dropout belongs to a piece."""


class Outcome(NamedTuple):
    """What each of two processes came to: its log, and its result or error."""

    logs: list[Log]
    results: list[PretrainResult | str]


Job = Callable[[int, Log], PretrainResult]


class Logged:
    """A job with a log of its own in each process."""

    def __init__(self, job: Job) -> None:
        self.job = job

    def __call__(self, rank: int) -> tuple[Log, PretrainResult | str]:
        log = Log()
        try:
            return log, self.job(rank, log)
        except InputError as error:
            return log, str(error)


def both(job: Job) -> Outcome:
    found = [answer for answer in in_two_processes(Logged(job)) if not isinstance(answer, str)]
    return Outcome([log for log, _ in found], [result for _, result in found])


class Trains:
    """A job that can be sent to a process: train with these options, and stop after a step if asked to."""

    def __init__(self, shards: Shards, folder: Path, *, stop_after: int = -1, **options: Any) -> None:
        self.shards, self.folder, self.stop_after, self.options = shards, folder, stop_after, options

    def __call__(self, rank: int, log: Log) -> PretrainResult:
        def should_stop() -> bool:
            assert rank == 0, "only the first process may be asked"
            return self.stop_after in log.steps

        return train(self.shards, self.folder, log, should_stop, **self.options)


def assert_same_curves(log: Log, whole: Log, steps: int = 9) -> None:
    assert log.steps == whole.steps
    assert len(log.steps) == steps
    for ours, theirs in zip(log.metrics, whole.metrics, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {"tokens_per_second"}:
            assert ours[name] == pytest.approx(theirs[name], rel=2e-4), name


@pytest.mark.parametrize(
    ("how", "optimizer", "pieces"),
    [("ddp", "adamw", 1), ("ddp", "muon", 2), ("fsdp", "adamw", 2), ("fsdp", "muon", 1)],
)
def test_the_loss_is_that_of_one_process(
    shards: Shards, tmp_path: Path, how: str, optimizer: str, pieces: int
) -> None:
    whole, options = Log(), {**OPTIONS, "optimizer": optimizer}
    alone = train(shards, tmp_path / "alone", whole, **options, accumulate=2 * pieces)
    two = both(Trains(shards, tmp_path / "two", **options, accumulate=pieces, parallel=how))
    assert_same_curves(two.logs[0], whole)
    assert two.logs[1].steps == [], "only the first process logs"
    for result in two.results:
        assert isinstance(result, PretrainResult)
        assert result.best_validation_loss == pytest.approx(alone.best_validation_loss, rel=1e-4)
    model, tokenizer = load_checkpoint(tmp_path / "two/model")
    loss = evaluate(model, shards.validation, eos_id=tokenizer.eos_id)["loss"]
    assert loss == pytest.approx(alone.best_validation_loss, rel=1e-4)


@pytest.mark.parametrize(("first", "then"), [("fsdp", "alone"), ("alone", "fsdp"), ("ddp", "fsdp")])
def test_one_goes_on_where_others_were_stopped(shards: Shards, tmp_path: Path, first: str, then: str) -> None:
    folder, parts, whole = tmp_path / "training", Log(), Log()
    train(shards, tmp_path / "whole", whole, **ALONE, optimizer="muon")
    for how, stop_after in ((first, 5), (then, -1)):
        if how == "alone":
            log = Log()
            job = Trains(shards, folder, stop_after=stop_after, **ALONE, optimizer="muon")
            result: PretrainResult | str = job(0, log)
        else:
            options = {**OPTIONS, "optimizer": "muon", "parallel": how}
            two = both(Trains(shards, folder, stop_after=stop_after, **options))
            log, result = two.logs[0], two.results[0]
        parts.steps += log.steps
        parts.metrics += log.metrics
        assert isinstance(result, PretrainResult)
        assert result.stop_reason == ("cancelled" if stop_after > 0 else "steps")
    assert_same_curves(parts, whole)


def test_the_minutes_end_for_all_at_once(shards: Shards, tmp_path: Path) -> None:
    two = both(Trains(shards, tmp_path, minutes=0.01, steps=0))
    first, second = two.results
    assert isinstance(first, PretrainResult)
    assert isinstance(second, PretrainResult)
    assert first.stop_reason == second.stop_reason == "minutes"
    assert first.steps == second.steps > 0


class FailsInOne:
    """The second process has nearly nothing to read; the first waits for it."""

    def __init__(self, shards: Shards, folder: Path) -> None:
        self.shards, self.folder = shards, folder

    def __call__(self, rank: int, log: Log) -> PretrainResult:
        context = 16 if rank == 0 else 5000
        return train(self.shards, self.folder, log, context=context)


def test_an_error_in_one_ends_all_and_is_told_by_all(shards: Shards, tmp_path: Path) -> None:
    two = both(FailsInOne(shards, tmp_path))
    assert two.results[0] == two.results[1]
    assert str(two.results[0]).startswith(
        "corpus: its 841 training tokens are fewer than one context of 5000"
    )


def test_a_batch_that_cannot_be_shared_out_is_refused(shards: Shards, tmp_path: Path) -> None:
    two = both(Trains(shards, tmp_path, batch_size=9, accumulate=3))
    message = "batch_size: 9 does not divide evenly among 2 processes with accumulate 3; use a multiple of 6"
    assert two.results == [message] * 2
