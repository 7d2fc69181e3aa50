import math
import random

import pytest

from training.rlhf.feedback.preferences import Comparison
from training.rlhf.reward.calibration import (
    calibration,
    calibration_error,
    fit_temperature,
    reliability_curve,
)


def answers(gaps: list[float], *, temperature: float) -> list[float]:
    """r_chosen - r_rejected after people chose with probability sigma(gap / temperature)."""
    rng = random.Random(1)
    return [gap if rng.random() < 1 / (1 + math.exp(-gap / temperature)) else -gap for gap in gaps]


def spread(count: int) -> list[float]:
    rng = random.Random(0)
    return [rng.gauss(0, 2) for _ in range(count)]


def pairs(count: int, *, ties: int = 0) -> list[Comparison]:
    return [Comparison(str(n), "a", "b", tie=n < ties) for n in range(count)]


def test_the_temperature_of_equal_differences_has_a_closed_form() -> None:
    # Right three times in four at a difference of 2: sigma(2 / T) = 3/4.
    assert fit_temperature([2.0, 2.0, 2.0, -2.0]) == pytest.approx(2 / math.log(3), rel=1e-6)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_people_answered_at_is_found(temperature: float) -> None:
    gaps = answers(spread(8000), temperature=temperature)
    assert fit_temperature(gaps) == pytest.approx(temperature, rel=0.08)


def test_where_no_temperature_fits_it_is_the_nearest_limit() -> None:
    assert fit_temperature([1.0, 2.0]) == pytest.approx(1e-3)
    assert fit_temperature([1.0, -1.0, -1.0]) == pytest.approx(1e3)
    assert fit_temperature([1e6, 1e6]) == pytest.approx(1e-3)


def test_a_calibrated_model_lies_on_the_diagonal() -> None:
    bins = reliability_curve(answers(spread(8000), temperature=1.0))
    assert {each.count for each in bins} == {800}
    assert [each.predicted for each in bins] == sorted(each.predicted for each in bins)
    for each in bins:
        assert each.observed == pytest.approx(each.predicted, abs=4 * math.sqrt(0.25 / 800))
    assert calibration_error(bins) < 0.03


def test_few_comparisons_make_few_bins() -> None:
    assert [each.count for each in reliability_curve([1.0] * 50)] == [25, 25]
    assert [each.count for each in reliability_curve([1.0] * 7)] == [7]


def test_a_model_too_sure_of_itself_is_cooled() -> None:
    found = calibration(answers(spread(2000), temperature=4.0), pairs(2000))
    assert found is not None
    assert found["temperature"] == pytest.approx(4.0, rel=0.25)
    assert found["ece_before"] > 0.1
    assert found["ece_after"] < 0.5 * found["ece_before"]


def test_a_temperature_fitted_to_noise_does_not_flatter() -> None:
    """Differences that say nothing: the error with a temperature is as large as chance makes it, not 0."""
    rng = random.Random(3)
    found = calibration([rng.choice([-1.0, 1.0]) * rng.random() for _ in range(60)], pairs(60))
    assert found is not None
    assert found["ece_after"] > 0.02


def test_ties_are_no_evidence_and_too_few_comparisons_are_none() -> None:
    gaps = answers(spread(100), temperature=1.0)
    found = calibration(gaps, pairs(100, ties=40))
    assert found is not None
    assert sum(each["count"] for each in found["bins"]) == 60
    assert calibration(gaps, pairs(100, ties=61)) is None
