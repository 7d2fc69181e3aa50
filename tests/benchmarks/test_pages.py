"""How long pages over much data take. Run on a machine with nothing else to do: pytest -m slow -s -n 0."""

import time
from statistics import median

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.training.factories import admin
from tests.training.test_long_runs import STEPS, long_run
from training.models import Run

pytestmark = [pytest.mark.django_db, pytest.mark.slow]


def test_the_page_of_a_run_with_100_000_rows_takes_less_than_200_ms(client: Client) -> None:
    """Each of five runs is asked for once, right after its rows were written: no page of it came before."""
    client.force_login(admin())
    client.get(Run.objects.create(kind=Run.Kind.FINETUNE).get_absolute_url())  # compiles the templates
    found = []
    for _ in range(5):
        run = long_run()
        with CaptureQueriesContext(connection) as queries:
            began, worked = time.perf_counter(), time.process_time()
            assert client.get(run.get_absolute_url()).status_code == 200
            found.append((time.perf_counter() - began, time.process_time() - worked))
        assert len(queries) <= 10
    wall, work = ([1000 * each[part] for each in found] for part in (0, 1))
    spread = f"{min(wall):.0f} to {max(wall):.0f}"
    print(f"\n{STEPS:,} rows: {median(wall):.0f} ms ({spread}), {len(queries)} queries")
    print(f"of which this process worked {median(work):.0f} ms")
    assert median(wall) < 200
