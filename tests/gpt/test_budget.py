import pytest

from training.gpt.budget import BudgetTracker, TrainingBudget


class Clock:
    """A clock that stands still until it is moved."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_nearer_end_decides() -> None:
    clock = Clock()
    budget = BudgetTracker(TrainingBudget(minutes=2, steps=100), clock=clock)
    clock.now += 30
    assert budget.progress(10) == 0.25
    assert budget.progress(60) == 0.6
    assert budget.stop_reason(60) is None
    assert budget.stop_reason(100) == "steps"
    clock.now += 90
    assert budget.stop_reason(99) == "minutes"
    assert budget.progress(99) == 1.0


def test_tokens_are_read_to_the_last() -> None:
    budget = BudgetTracker(TrainingBudget(tokens=1001, tokens_per_step=100))
    assert budget.progress(5) == pytest.approx(5 / 11)
    assert budget.stop_reason(10) is None
    assert budget.stop_reason(11) == "tokens"


def test_time_spent_before_counts() -> None:
    clock = Clock()
    budget = BudgetTracker(TrainingBudget(minutes=2), seconds_spent=90, clock=clock)
    clock.now += 15
    assert budget.progress(0) == 0.875


def test_a_missing_limit_never_ends() -> None:
    clock = Clock()
    clock.now += 1e9
    assert BudgetTracker(TrainingBudget(minutes=0, steps=10), clock=clock).stop_reason(9) is None
    assert BudgetTracker(TrainingBudget(minutes=1, steps=0), clock=clock).stop_reason(10**9) is None
