"""`manage.py evaluate --source`: how well a policy knows a corpus."""

import io
import math
import random
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.training.factories import LETTERS, execute_run, make_policy
from training.models import Run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Documents longer than the policy's context of 32, over its own letters."""
    rng = random.Random(0)
    file = tmp_path / "letters.txt"
    file.write_text("\n".join("".join(rng.choices(LETTERS, k=100)) for _ in range(30)))
    return file


def evaluate_on(corpus: Path, **options: object) -> dict[str, float]:
    run = execute_run(
        Run.Kind.EVALUATE, policy="base", source=str(corpus), documents="line", split="all", **options
    )
    metrics: dict[str, float] = run.metrics
    return metrics


def test_windows_may_overlap(corpus: Path) -> None:
    make_policy()
    plain, halved, whole = (evaluate_on(corpus, stride=stride) for stride in (0, 16, 32))
    assert plain["loss"] == whole["loss"] != halved["loss"]
    for found in (plain, halved):
        assert found["documents"] == 30
        assert found["tokens"] == 30 * 101
        bits = found["loss"] * found["tokens"] / math.log(2)
        assert found["bits_per_byte"] == pytest.approx(bits / (30 * 100))


def test_a_stride_beyond_the_context_is_refused(corpus: Path) -> None:
    make_policy()
    with pytest.raises(CommandError, match="stride: 40 is more than the model's context of 32"):
        call_command("evaluate", "--policy", "base", "--source", str(corpus), "--stride", "40")
    with pytest.raises(CommandError, match="--stride: must be at least 0"):
        call_command("evaluate", "--policy", "base", "--source", str(corpus), "--stride", "-1")


def test_the_command_prints_the_figures(corpus: Path) -> None:
    make_policy()
    terminal = io.StringIO()
    call_command(
        "evaluate",
        "--policy",
        "base",
        "--source",
        str(corpus),
        "--documents",
        "line",
        "--stride",
        "8",
        stdout=terminal,
    )
    for name in ("loss", "perplexity", "bits", "accuracy"):
        assert name in terminal.getvalue().lower()
