"""What a run's page and the terminal say of a tuning: why it stopped, what was kept, what changed."""

from typing import Any

import pytest
from django.test import Client

from tests.training.factories import admin
from training.models import Run
from training.reports.tuning_report import terminal_lines, tuning_report

pytestmark = pytest.mark.django_db

CHANGES: list[dict[str, Any]] = [
    {"measure": "kl", "before": 0.0, "after": 4.25, "low": 3.5, "high": 5.0},
    {"measure": "reward", "before": 0.1, "after": 1.3, "low": 0.9, "high": 1.5},
    {"measure": "win_rate", "before": 0.5, "after": 0.52, "low": -0.05, "high": 0.09},
    {"measure": "length", "before": 140.2, "after": 131.0, "low": None, "high": None},
]


def tuned(*, stopped: str = "steps", best_step: int = 30, steps: int = 40, kind: str = "finetune") -> Run:
    run = Run.objects.create(kind=kind)
    assert run.begin()
    tuning = {"chosen_by": "reward", "prompts": 64, "changes": CHANGES}
    metrics = {"stopped": stopped, "best_step": best_step, "steps": steps, "tuning": tuning}
    assert run.finish(Run.Status.SUCCEEDED, metrics=metrics)
    return run


@pytest.mark.parametrize("kind", [Run.Kind.FINETUNE, Run.Kind.DPO, Run.Kind.SUPERVISED])
def test_the_page_of_every_tuning_says_why_it_stopped_and_what_it_changed(client: Client, kind: str) -> None:
    client.force_login(admin())
    reason = (
        "over-optimised: the held-out reward rose from 0.87 to 1.62 while the win rate fell from 83% to 61%"
    )
    page = client.get(tuned(kind=kind, stopped=reason).get_absolute_url()).content.decode()
    assert "Stop reason" in page
    assert "Over-optimised: the held-out reward rose from 0.87 to 1.62" in page
    assert "after 40 steps." in page
    assert "Rolled back to the best checkpoint, of step 30" in page
    assert "On 64 held-out prompts" in page
    assert "+0.90 to +1.50" in page
    assert "selection metric" in page


@pytest.mark.parametrize(
    ("stopped", "expected", "is_warning"),
    [
        ("steps", "Step limit reached: 40 steps.", False),
        ("minutes", "Time limit reached, after 40 steps.", False),
        ("diverged", "Diverged: the loss or its gradient became infinite, after 40 steps.", True),
        ("no better version in 3 evaluations", "No better version in 3 evaluations, after 40 steps.", True),
    ],
)
def test_every_end_is_a_sentence(stopped: str, expected: str, is_warning: bool) -> None:
    report = tuning_report(tuned(stopped=stopped))
    assert report is not None
    assert (report.stop_reason, report.is_warning) == (expected, is_warning)


@pytest.mark.parametrize(
    ("best_step", "expected"), [(0, "initial policy"), (40, "The last checkpoint"), (20, "Rolled back")]
)
def test_it_says_which_version_was_kept(best_step: int, expected: str) -> None:
    report = tuning_report(tuned(best_step=best_step))
    assert report is not None
    assert expected in report.kept


def test_changes_come_in_the_order_of_their_weight_with_their_ranges() -> None:
    report = tuning_report(tuned())
    assert report is not None
    assert [
        (change.name, change.before, change.after, change.range, change.is_clear) for change in report.changes
    ] == [
        ("Reward", "0.10", "1.30", "+0.90 to +1.50", True),
        ("Win rate", "50%", "52%", "−5% to +9%", False),
        ("KL", "0.00", "4.25", "+3.50 to +5.00", True),
        ("Length", "140", "131", "", False),
    ]


def test_the_terminal_says_the_same() -> None:
    expected = "\n".join(terminal_lines(tuned()))
    assert "Step limit reached" in expected
    assert "Rolled back" in expected
    assert "Win rate" in expected


def test_other_runs_have_no_such_report() -> None:
    run = Run.objects.create(kind=Run.Kind.EVALUATE)
    assert tuning_report(run) is None
    assert terminal_lines(run) == []
