"""Killed at any step and resumed, a training logs bit for bit what an uninterrupted one logs."""

import json
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.gpt.tiny_pretraining import MOUSE, Log, in_a_process, train
from training.gpt import training_state
from training.gpt.corpus.shards import Shards
from training.gpt.errors import InputError
from training.gpt.pretraining import PretrainResult

pytestmark = pytest.mark.usefixtures("a_mouse")

OPTIONS: dict[str, Any] = {
    "steps": 12,
    "evaluate_every": 4,
    "dropout": 0.2,
    "accumulate": 2,
    "save_every": 0,
    "clip": 0.5,
}
CLOCK = {"tokens_per_second", "seconds"}


def train_until(step: int, shards: Shards, folder: Path, options: dict[str, Any]) -> None:
    """Train in this process, writing the metrics to a file, and die at a step (never: -1)."""
    torch.set_num_threads(1)

    class Killer(Log):
        def __call__(self, number: int, progress: float, metrics: dict[str, float]) -> None:
            with (folder / "log").open("a") as log:
                log.write(json.dumps([number, metrics]) + "\n")
            if number == step:
                os.kill(os.getpid(), signal.SIGKILL)

    train(shards, folder, Killer(), **options)


def without_clock(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name not in CLOCK}


def reported_metrics(log: Log) -> dict[int, dict[str, float]]:
    return {step: without_clock(each) for step, each in zip(log.steps, log.metrics, strict=True)}


def assert_equal(result: PretrainResult, whole: PretrainResult) -> None:
    assert (result.steps, result.stop_reason) == (whole.steps, whole.stop_reason)
    assert without_clock(result.metrics) == without_clock(whole.metrics)


@pytest.mark.parametrize(
    ("changes", "kills"),
    [
        ({}, (0, 3, 8, 12)),
        ({"optimizer": "muon", "schedule": "cosine"}, (2, 9)),
        ({"save_every": 0.0005, "steps": 0, "tokens": 1500}, (5, 9)),
    ],
    ids=["each step saved", "muon", "now and then saved"],
)
def test_killed_and_resumed_it_tells_the_same_bit_for_bit(
    shards: Shards, tmp_path: Path, changes: dict[str, Any], kills: tuple[int, ...]
) -> None:
    options = {**OPTIONS, **changes}
    whole = Log()
    result = train(shards, tmp_path / "whole", whole, **options)
    folder = tmp_path / "killed"
    folder.mkdir()
    for step in kills:
        assert in_a_process(train_until, step, shards, folder, options) == -signal.SIGKILL
    last = Log()
    assert_equal(train(shards, folder, last, **options), result)
    assert last.resumed
    rows = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    rows += zip(last.steps, last.metrics, strict=True)
    assert {step for step, _ in rows} == set(whole.steps)
    for step, metrics in rows:
        assert without_clock(metrics) == reported_metrics(whole)[step], f"step {step}"
    for name in ("model/model.safetensors", "last/step-12.safetensors"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_stopped_and_resumed_it_tells_the_same_bit_for_bit(shards: Shards, tmp_path: Path) -> None:
    """Stopped at every check in turn, in the middle of a validation too."""
    options = {**OPTIONS, "save_every": 1e9}
    whole, pieces = Log(), Log()
    result = train(shards, tmp_path / "whole", whole, **options)
    stops = 0
    while True:
        questions = partial(next, iter([False] * 3), True)
        piece = train(shards, tmp_path / "stopped", pieces, questions, **options)
        torch.rand(stops)
        if piece.stop_reason != "cancelled":
            break
        stops += 1
    assert stops > 4
    assert pieces.steps == whole.steps, "each step should be reported once"
    assert reported_metrics(pieces) == reported_metrics(whole)
    assert_equal(piece, result)


def test_a_finished_training_is_not_repeated(shards: Shards, tmp_path: Path) -> None:
    result = train(shards, tmp_path / "training", **OPTIONS)
    log = Log()
    assert train(shards, tmp_path / "training", log, **OPTIONS) == result
    assert log.steps == []
    assert log.resumed == [12]


def test_patience_is_remembered(shards: Shards, tmp_path: Path) -> None:
    options: dict[str, Any] = {
        "steps": 200,
        "evaluate_every": 1,
        "patience": 4,
        "optimizer": "adamw",
        "learning_rate": 0.0,
        "save_every": 0,
    }
    log = Log()
    train(shards, tmp_path / "training", log, lambda: len(log.steps) > 2, **options)
    result = train(shards, tmp_path / "training", **options)
    assert (result.stop_reason, result.steps, result.metrics["best_step"]) == ("patience", 4, 0)


def test_minutes_already_spent_count(shards: Shards, tmp_path: Path) -> None:
    log = Log()
    options: dict[str, Any] = {"steps": 0, "minutes": 0.02}
    first = train(shards, tmp_path / "training", log, lambda: len(log.steps) > 5, **options)
    second = train(shards, tmp_path / "training", log, **options)
    assert (first.stop_reason, second.stop_reason) == ("cancelled", "minutes")
    assert 1.2 <= second.metrics["seconds"] < first.metrics["seconds"] + 1.2 + 10
    assert log.progress == sorted(log.progress)


def save_and_die(at: int, folder: Path, shards: Shards) -> None:
    """Go on from step 5 and be killed as the ``at``-th file of the next state reaches the disk."""
    files = iter(range(1, at))
    sync = os.fsync

    def killed(file: int) -> None:
        sync(file)
        if next(files, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    training_state.os.fsync = killed  # type: ignore[attr-defined]
    train(shards, folder, **OPTIONS)


def test_a_kill_while_the_state_is_written_leaves_a_whole_one(shards: Shards, tmp_path: Path) -> None:
    folder = tmp_path / "training"
    whole, log = Log(), Log()
    train(shards, tmp_path / "whole", whole, **OPTIONS)
    train(shards, folder, log, lambda: len(log.steps) > 5, **OPTIONS)
    # Two files: the tensors, and the one that makes them count.
    for at in (1, 2):
        assert in_a_process(save_and_die, at, folder, shards) == -signal.SIGKILL
        log = Log()
        train(shards, folder, log, lambda: True, **OPTIONS)
        assert log.resumed == [5]
    log = Log()
    train(shards, folder, log, **OPTIONS)
    assert reported_metrics(log) == {step: each for step, each in reported_metrics(whole).items() if step > 5}
    assert sorted(path.name for path in (folder / "last").iterdir()) == [
        "step-12.safetensors",
        "training.json",
    ]


@pytest.fixture
def left(shards: Shards, tmp_path: Path) -> Path:
    """A training left at step 5."""
    log = Log()
    train(shards, tmp_path / "training", log, lambda: len(log.steps) > 5, **OPTIONS)
    return tmp_path / "training"


def test_other_options_are_refused(left: Path, shards: Shards) -> None:
    with pytest.raises(
        InputError, match=r"last/training.json: this training began with clip 0.5, not 1.0; go on with the"
    ):
        train(shards, left, **{**OPTIONS, "clip": 1.0})


def test_how_often_it_saves_may_change(left: Path, shards: Shards) -> None:
    assert train(shards, left, **{**OPTIONS, "save_every": 2.0}).steps == 12


def test_another_corpus_is_refused(left: Path, shards: Shards) -> None:
    tokens = shards.train.tokens + 1
    other = Shards(
        train=type(shards.train)(
            tokens=tokens, documents=shards.train.documents, text_bytes=shards.train.text_bytes
        ),
        validation=shards.validation,
        test=shards.test,
    )
    with pytest.raises(InputError, match=r"training.json: this training began with another corpus"):
        train(other, left, **OPTIONS)


def test_another_model_is_refused(left: Path, shards: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MOUSE, "layers", 1)
    with pytest.raises(InputError, match=r"training.json: this training began with another model"):
        train(shards, left, **OPTIONS)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("training.json", b'{"format": 1', "training.json: not a whole state of a training"),
        ("training.json", b"[]", "training.json: not a whole state of a training"),
        ("training.json", b'{"format": 99}', "training.json: of another version of this program"),
        ("step-5.safetensors", b"\x10", "step-5.safetensors: not a whole state"),
        ("step-5.safetensors", None, "step-5.safetensors: not a whole state"),
    ],
)
def test_a_damaged_state_is_refused(
    left: Path, shards: Shards, name: str, content: bytes | None, message: str
) -> None:
    path = left / "last" / name
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        train(shards, left, **OPTIONS)
    assert "\n" not in str(error.value)
