import pytest

from training.gpt import schedule
from training.gpt.config import PretrainConfig
from training.gpt.schedule import Budget, learning_rate


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(schedule, "time", clock)
    return clock


def test_the_rate_rises_stays_and_falls() -> None:
    config = PretrainConfig(learning_rate=1.0, warmup=0.1, decay=0.4)
    rates = [learning_rate(progress, config) for progress in (0, 0.05, 0.1, 0.3, 0.6, 0.8, 0.9, 1.0)]
    assert rates == pytest.approx([0, 0.5, 1, 1, 1, 0.5, 0.25, 0])


def test_without_warmup_and_decay_the_rate_is_constant() -> None:
    config = PretrainConfig(learning_rate=0.5, warmup=0, decay=0)
    assert {learning_rate(progress / 10, config) for progress in range(11)} == {0.5}


def test_the_nearer_end_decides(clock: Clock) -> None:
    budget = Budget(minutes=2, steps=100)
    clock.now += 30
    assert budget.progress(10) == 0.25
    assert budget.progress(60) == 0.6
    assert budget.exhausted(60) is None
    assert budget.exhausted(100) == "steps"
    clock.now += 90
    assert budget.exhausted(99) == "minutes"
    assert budget.progress(99) == 1.0


def test_a_missing_limit_never_ends(clock: Clock) -> None:
    clock.now += 1e9
    assert Budget(minutes=0, steps=10).exhausted(9) is None
    assert Budget(minutes=1, steps=0).exhausted(10**9) is None
