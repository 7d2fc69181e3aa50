"""What a reward run's page and its command say of the model and of the people it learned from."""

from typing import Any

import pytest
from django.test import Client

from tests.training.factories import admin, annotator, make_project
from training.management.run_command import describe_result
from training.models import Run
from training.reports.reward_report import reward_report

pytestmark = pytest.mark.django_db


def bins(*shares: tuple[float, float]) -> list[dict[str, float]]:
    return [
        {
            "predicted": predicted,
            "observed": observed,
            "low": observed - 0.1,
            "high": observed + 0.05,
            "count": 40,
        }
        for predicted, observed in shares
    ]


def person(name: str, *, reliability: float) -> dict[str, Any]:
    return {
        "annotator": name,
        "reliability": reliability,
        "low": reliability - 0.1,
        "high": reliability + 0.04,
        "comparisons": 77,
        "heldout_accuracy": 0.6,
        "heldout_low": 0.5,
        "heldout_high": 0.7,
        "heldout_comparisons": 12,
    }


def finished(**metrics: Any) -> Run:
    run = Run.objects.create(kind=Run.Kind.TRAIN_REWARD, project=metrics.pop("project", None))
    run.begin()
    found = {
        "accuracy": 0.71,
        "interval": [0.62, 0.79],
        "longer_wins": 0.52,
        "longer_wins_interval": [0.43, 0.61],
        "comparisons": 400,
        "heldout_comparisons": 120,
        "annotators": [person("<b>ben", reliability=0.95), person("ann", reliability=0.51)],
        "by_strength": [
            {"strength": 0.0, "accuracy": 0.6, "low": 0.5, "high": 0.7, "comparisons": 60},
            {"strength": 1.0, "accuracy": 0.8, "low": 0.7, "high": 0.9, "comparisons": 60},
        ],
        "calibration": {
            "temperature": 1.8,
            "ece_before": 0.093,
            "ece_after": 0.021,
            "bins": bins((0.55, 0.52), (0.7, 0.61), (0.9, 0.75)),
        },
        "learning_curve": [
            {"comparisons": 70, "accuracy": 0.6, "low": 0.5, "high": 0.7},
            {"comparisons": 140, "accuracy": 0.65, "low": 0.55, "high": 0.74},
            {"comparisons": 280, "accuracy": 0.71, "low": 0.62, "high": 0.79},
        ],
    }
    run.finish(Run.Status.SUCCEEDED, metrics=found | metrics)
    run.refresh_from_db()
    return run


def page_of(client: Client, run: Run) -> str:
    client.force_login(admin())
    return client.get(run.get_absolute_url()).content.decode()


def test_the_page_shows_people_strengths_and_both_curves(client: Client) -> None:
    page = page_of(client, finished())
    assert "<h2>Annotators</h2>" in page
    assert "&lt;b&gt;ben" in page
    assert "<b>ben" not in page
    assert page.index("ann <span") < page.index("&lt;b&gt;ben")
    assert page.count("low weight") == 1
    assert "Preference strength 1" in page
    assert "Calibration: 52% right at 55% confidence" in page
    assert "Learning curve: 60% from 70, 65% from 140, 71% from 280 comparisons" in page
    assert "Overconfident: expected calibration error 9.3 points" in page
    assert "style=" not in page


def test_where_tasks_were_chosen_those_at_random_stand_first(client: Client) -> None:
    beside = {"accuracy": 0.62, "low": 0.56, "high": 0.68, "comparisons": 115}
    run = finished(heldout_chosen=50, accuracy_of_all=beside)
    page = page_of(client, run)
    assert page.index("This model, random tasks") < page.index("This model, all tasks")
    named = dict(reward_report(run).accuracy_rows)
    assert named["This model, random tasks"].count == 70
    assert named["This model, all tasks"].rate == 0.62
    only = reward_report(finished(heldout_chosen=120))
    assert next(name for name, _ in only.accuracy_rows) == "This model, no random tasks"


def test_all_that_is_drawn_lies_in_the_picture() -> None:
    for plot in reward_report(finished()).plots:
        for bar in plot.error_bars:
            assert plot.plot["left"] <= bar["x"] <= plot.plot["right"]
            assert plot.plot["top"] <= bar["high"] <= bar["y"] <= bar["low"] <= plot.plot["bottom"]
        across = [x for x, _ in plot.x_ticks]
        assert across == sorted(across)
    learning = reward_report(finished()).plots[1]
    first, second, third = (bar["x"] for bar in learning.error_bars)
    assert second - first == pytest.approx(third - second, abs=0.2)


def test_the_command_tells_the_same_in_aligned_lines_and_no_lists() -> None:
    output = describe_result(finished())
    assert "This model             71%" in output
    assert "ann        51%          41 to 55%      77" in output
    assert "Overconfident" in output
    assert "{" not in output
    assert "[" not in output


def test_people_of_a_project_go_by_their_names(client: Client) -> None:
    user = annotator("berta")
    run = finished(
        project=make_project(),
        annotators=[person(str(user.pk), reliability=0.9), person("999999", reliability=0.9)],
    )
    assert [each.name for each in reward_report(run).annotators] == ["berta", "999999"]


def test_what_was_not_measured_is_left_out(client: Client) -> None:
    run = finished(
        accuracy=None, longer_wins=None, calibration=None, learning_curve=[], by_strength=[], annotators=[]
    )
    assert not reward_report(run)
    page = page_of(client, run)
    assert "Accuracy and calibration" not in page
    assert "<h2>Annotators</h2>" not in page
    assert "annotator" not in describe_result(run)
    unweighed = finished(annotators=[{"annotator": "ann", "heldout_accuracy": None}])
    assert not reward_report(unweighed).has_reliabilities
