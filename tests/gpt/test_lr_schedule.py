import pytest

from training.gpt.config import PretrainConfig
from training.gpt.lr_schedule import learning_rate


def test_the_rate_rises_stays_and_falls() -> None:
    config = PretrainConfig(warmup=0.1, decay=0.4)
    rates = [learning_rate(progress, config) for progress in (0, 0.05, 0.1, 0.3, 0.6, 0.8, 0.9, 1.0)]
    assert rates == pytest.approx([0.01, 0.5, 1, 1, 1, 0.5, 0.25, 0])


def test_without_warmup_and_decay_the_rate_is_constant() -> None:
    config = PretrainConfig(warmup=0, decay=0)
    assert {learning_rate(progress / 10, config) for progress in range(11)} == {1.0}


def test_a_share_of_the_rate_can_be_left_at_the_end() -> None:
    config = PretrainConfig(warmup=0.0, decay=0.5, final_rate=0.2)
    assert [learning_rate(progress, config) for progress in (0.5, 0.75, 1.0)] == pytest.approx([1, 0.6, 0.2])


def test_a_cosine_falls_all_the_way() -> None:
    config = PretrainConfig(schedule="cosine", warmup=0.2, decay=0.9, final_rate=0.1)
    rates = [learning_rate(progress, config) for progress in (0, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)]
    half = 0.9 * (0.5 + 0.5**1.5)
    assert rates == pytest.approx([0.01, 0.5, 1, 0.1 + half, 0.55, 0.1 + 0.9 - half, 0.1])


def test_no_step_is_lost_to_a_rate_of_nothing() -> None:
    """Ten steps, four of them to warm up and five to decay: each moves the weights."""
    config = PretrainConfig(warmup=0.4, decay=0.5)
    rates = [learning_rate(step / 10, config, after=(step + 1) / 10) for step in range(10)]
    assert rates == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
    cosine = PretrainConfig(schedule="cosine", warmup=0.4)
    assert learning_rate(0.3, cosine, after=0.4) == 1
