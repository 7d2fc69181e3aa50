"""The page of a run of many steps: as quick as that of a short one, and right at its ends."""

import time

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.training.factories import admin
from training.models import Run
from training.reports.curves import MAX_ROWS, read_points, run_charts

pytestmark = pytest.mark.django_db

STEPS = 100_000

INSERT = """
INSERT INTO training_point (run_id, step, "values")
SELECT %(run)s, step, jsonb_build_object(
    'score', sin(step / 9000.0), 'kl', step / 10000.0, 'entropy', 2 - step / 100000.0,
    'completions/mean_length', 40 + step %% 7, 'learning_rate', 0.0003 * (1 - step / 100000.0),
    'kl_coefficient', 0.1, 'gradient_norm', 1 + (step %% 13) / 10.0, 'reward', step / 50000.0,
    'reward_std', 0.5, 'num_tokens', step * 2048
) || CASE WHEN step %% %(every)s = 0 OR step = %(steps)s THEN jsonb_build_object(
    'heldout/reward', step / 40000.0, 'heldout/kl', step / 9000.0, 'heldout/win_rate', 0.5,
    'heldout/length', 41
) ELSE '{}' END
FROM generate_series(1, %(steps)s) AS step
"""


def long_run(*, steps: int = STEPS, every: int = 5000) -> Run:
    """A fine-tune with a row for every step, evaluated every so often and at its end."""
    run = Run.objects.create(kind=Run.Kind.FINETUNE, parameters={"kl_budget": 15.0})
    assert run.begin()
    with connection.cursor() as cursor:
        cursor.execute(INSERT, {"run": run.pk, "steps": steps, "every": every})
    return run


def test_a_page_over_100_000_rows_takes_few_queries_few_rows_and_little_time(client: Client) -> None:
    client.force_login(admin())
    # A server has answered before: its templates are compiled. Of this run nobody has asked for anything.
    client.get(Run.objects.create(kind=Run.Kind.FINETUNE).get_absolute_url())
    run = long_run()
    with CaptureQueriesContext(connection) as queries:
        began = time.perf_counter()
        page = client.get(run.get_absolute_url())
        took = time.perf_counter() - began
    assert page.status_code == 200
    assert len(queries) <= 10
    rows, every = read_points(run)
    assert every == 256
    assert len(list(rows)) <= 2 * MAX_ROWS
    assert "One in 256 steps" in page.content.decode()
    assert len(page.content) < 400_000
    # 0.1 to 0.25 s on two busy cores, so a bound that only another order of magnitude breaks.
    assert took < 2


def test_the_ends_and_every_evaluation_are_drawn() -> None:
    run = long_run()
    curves = {(chart.title, curve.name): curve for chart in run_charts(run).charts for curve in chart.curves}
    entropy = curves["Entropy, nats per token", ""].values
    assert (entropy[0][0], entropy[-1]) == (1, (STEPS, 1.0))
    held_out = curves["KL, nats per sequence", "held out"].values
    assert [step for step, _ in held_out] == list(range(5000, STEPS + 1, 5000))
    assert all(value == pytest.approx(step / 9000) for step, value in held_out)


def test_what_is_drawn_of_the_past_stays_as_the_run_goes_on() -> None:
    """Otherwise the curves would flicker each time that a page polls."""
    early, late = (
        [step for step, _ in read_points(long_run(steps=steps))[0]] for steps in (10_000, 10_300)
    )  # fmt: skip
    assert set(early[:-1]) <= set(late)


def test_many_evaluations_are_thinned_and_their_last_is_kept() -> None:
    run = long_run(steps=20_003, every=2)
    steps = [step for step, values in read_points(run)[0] if "heldout/kl" in values]
    assert len(steps) <= 2 * MAX_ROWS
    assert steps[-1] == 20_003


def test_of_a_short_run_every_row_is_drawn() -> None:
    rows, every = read_points(long_run(steps=MAX_ROWS))
    assert every == 1
    assert [step for step, _ in rows] == list(range(1, MAX_ROWS + 1))


def test_a_run_without_rows_has_no_charts() -> None:
    run = Run.objects.create(kind=Run.Kind.FINETUNE)
    assert run_charts(run).charts == []
