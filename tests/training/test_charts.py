"""The pictures of curves: every coordinate follows from the metrics, and nothing that matters is left out."""

import math
from pathlib import Path

import pytest
from django.template.loader import render_to_string

from training.reports.charts import MAX_POINTS, Chart, Curve, ReferenceLine, downsample, running_mean

GOLDEN = Path(__file__).parent / "golden/chart.html"

LOSS = Chart(
    "Loss",
    [
        Curve("training", [(0, 4.0), (10, 3.0), (20, 2.5), (40, 2.0)]),
        Curve("validation", [(0, 4.0), (40, 3.0)]),
    ],
    ReferenceLine("floor", 1.0),
)


def coordinates(points: object) -> list[tuple[float, float]]:
    pairs = (pair.split(",") for pair in str(points).split())
    return [(float(x), float(y)) for x, y in pairs]


def test_a_chart_of_known_metrics_is_drawn_as_it_was_looked_at() -> None:
    """After a wanted change: look at the new picture, then store what this renders in golden/chart.html."""
    drawn = render_to_string("training/_chart.html", {"chart": LOSS})
    assert drawn == GOLDEN.read_text(encoding="utf-8")


def test_points_lie_where_their_values_are() -> None:
    # The plot spans x 52 to 468 for steps 0 to 40, and y 174 to 12 for values 1 (the level) to 4.
    training, validation = LOSS.lines
    assert coordinates(training["points"]) == [(52, 12), (156, 66), (260, 93), (468, 120)]
    assert coordinates(validation["points"]) == [(52, 12), (468, 66)]
    assert LOSS.reference_y == 174
    assert (training["steps"], training["values"]) == ("0 10 20 40", "4 3 2.5 2")
    assert training["last"] == "2"


def test_a_single_point_stands_at_the_left_and_no_step_is_below_it() -> None:
    chart = Chart("Perplexity", [Curve("validation", [(0, 1283.0)])])
    assert coordinates(chart.lines[0]["points"]) == [(52, 93)]
    assert [name for _, name in chart.x_ticks] == ["0", "1"]


def test_a_level_far_above_the_curves_is_named_and_not_drawn() -> None:
    low = Chart("KL", [Curve("", [(0, 0.0), (10, 1.0)])], ReferenceLine("budget", 15.0))
    high = Chart("KL", [Curve("", [(0, 0.0), (10, 5.0)])], ReferenceLine("budget", 15.0))
    assert not low.shows_reference
    assert low.y(1.0) == 12
    assert high.shows_reference
    assert high.reference_y == 12
    assert "budget 15" in render_to_string("training/_chart.html", {"chart": low})


def test_many_points_are_thinned_to_the_extremes_of_each_stretch_and_both_ends() -> None:
    values = [(step, math.sin(step / 500)) for step in range(10_000)]
    values[7_777] = (7_777, 99.0)
    kept = downsample(values)
    assert len(kept) <= MAX_POINTS + 4
    assert {values[0], values[7_777], values[-1]} <= set(kept)
    assert kept == sorted(kept)


def test_a_noisy_curve_gets_its_mean_which_follows_a_slope_without_lag() -> None:
    noisy = [(step, step + (-1.0) ** step) for step in range(200)]
    means = dict(running_mean(noisy))
    assert all(means[step] == pytest.approx(step, abs=0.2) for step in range(10, 190))
    assert running_mean(noisy[:20]) == []
    chart = Chart("Score", [Curve("", noisy, is_noisy=True)])
    assert chart.lines[0]["mean"]
    assert render_to_string("training/_chart.html", {"chart": chart}).count("<polyline") == 2


@pytest.mark.parametrize("values", [[(5, 1.0)], [(0, 2.0), (9, 2.0)]])
def test_one_point_and_a_flat_curve_are_drawn_too(values: list[tuple[int, float]]) -> None:
    drawn = Chart("Flat", [Curve("", values)])
    assert all(math.isfinite(x) and 12 <= y <= 174 for x, y in coordinates(drawn.lines[0]["points"]))
    assert "<polyline" in render_to_string("training/_chart.html", {"chart": drawn})
