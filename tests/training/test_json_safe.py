"""Whatever a model writes and a training measures can be kept in PostgreSQL."""

import math

import pytest

from training.execution.json_safe import json_safe
from training.models import Run


@pytest.mark.django_db
def test_wild_metrics_survive_the_database() -> None:
    wild = {"loss": math.nan, "kl": math.inf, "examples": [{"completion": "a\x00b\x01", "score": 1 / 3}]}
    run = Run.objects.create(kind=Run.Kind.PRETRAIN, metrics=json_safe(wild))
    run.refresh_from_db()
    assert run.metrics == {
        "loss": None,
        "kl": None,
        "examples": [{"completion": "ab\x01", "score": 0.3333333}],
    }
