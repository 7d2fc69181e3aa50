"""How long a run will take is judged by the runs of its kind that ended here."""

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from tests.training.factories import admin, make_policy, make_project, make_reward, queue_run
from training.duration_estimates import Estimate, estimate, format_estimate
from training.forms import FORMS
from training.models import Run

pytestmark = pytest.mark.django_db

FINETUNE: dict[str, Any] = {"project": "letters", "policy": "base", "reward": "taste"}


@pytest.fixture(autouse=True)
def there() -> None:
    make_project()
    make_policy()
    make_reward()


def make_finished_run(
    kind: str, *, seconds: float, metrics: dict[str, Any] | None = None, **options: Any
) -> Run:
    """A run that took so long."""
    run = queue_run(kind, **options)
    Run.objects.filter(pk=run.pk).update(
        status="succeeded", started_at=run.created_at, spent=timedelta(seconds=seconds), metrics=metrics or {}
    )
    return run


def estimate_for(kind: str, **options: Any) -> Estimate | None:
    form = FORMS[kind](options)
    assert form.is_valid(), form.errors
    return estimate(form)


def test_where_no_run_of_the_kind_ended_there_is_no_estimate() -> None:
    make_finished_run("pretrain", seconds=60, metrics={"tokens": 10_000})
    Run.objects.create(kind="finetune", status="failed", spent=timedelta(seconds=9))
    assert estimate_for("finetune", **FINETUNE) is None


def test_four_times_the_steps_take_about_four_times_as_long() -> None:
    for seconds in (100, 110, 120):
        make_finished_run("finetune", seconds=seconds, **FINETUNE, steps=100)
    found = estimate_for("finetune", **FINETUNE, steps=400)
    assert found is not None
    assert 380 < found.likely < 480
    assert found.low < found.likely < found.high
    assert found.runs == 3


def test_what_a_run_did_counts_and_not_what_it_was_asked_to_do() -> None:
    make_finished_run("finetune", seconds=50, metrics={"steps": 40}, **FINETUNE, steps=1000)
    found = estimate_for("finetune", **FINETUNE, steps=80)
    assert found is not None
    assert 70 < found.likely < 110


def test_runs_near_in_size_weigh_more_than_far_ones_and_few_runs_give_a_wide_range() -> None:
    make_finished_run("finetune", seconds=1000, **FINETUNE, steps=10)
    make_finished_run("finetune", seconds=100, **FINETUNE, steps=100)
    alike = estimate_for("finetune", **FINETUNE, steps=100)
    assert alike is not None
    assert 90 < alike.likely < 400
    Run.objects.filter(parameters__steps=10).delete()
    one = estimate_for("finetune", **FINETUNE, steps=100)
    assert one is not None
    assert one.likely == pytest.approx(100)
    assert one.high / one.low > 1.5


def test_a_limit_in_minutes_caps_the_estimate() -> None:
    make_finished_run("finetune", seconds=100, **FINETUNE, steps=100)
    found = estimate_for("finetune", **FINETUNE, steps=10_000, minutes=3)
    assert found is not None
    assert found.likely == pytest.approx(180)


def test_a_pretraining_takes_its_minutes_and_what_was_spent_around_them() -> None:
    make_finished_run("pretrain", seconds=135, metrics={"tokens": 10_000, "seconds": 120})
    found = estimate_for("pretrain", minutes=20)
    assert found is not None
    assert found.likely == pytest.approx(1215)


@pytest.mark.parametrize(
    ("kind", "options", "metrics"),
    [
        ("sample", {"project": "letters", "policy": "base", "tasks": 10}, {"samples": 30}),
        ("evaluate", {"policy": "base", "source": "stories"}, {"tokens": 170_000}),
        (
            "evaluate",
            {"policy": "base", "against": "base", "project": "letters", "judge": "taste", "reward": "taste",
             "best_of": 4},
            {"prompts": 6},
        ),
        (
            "supervised",
            {"project": "letters", "policy": "base", "best_of": 4, "reward": "taste"},
            {"demonstrations": 24, "steps": 3},
        ),
    ],
)  # fmt: skip
def test_the_same_again_takes_about_as_long(
    kind: str, options: dict[str, Any], metrics: dict[str, Any]
) -> None:
    make_finished_run(kind, seconds=30, metrics=metrics, **options)
    found = estimate_for(kind, **options)
    assert found is not None
    assert found.likely == pytest.approx(30, rel=0.3)


def test_learning_from_a_file_is_judged_by_its_length(tmp_path: Any) -> None:
    line = '{"prompt": "a", "chosen": "b", "rejected": "c"}\n'
    short, long = tmp_path / "short.jsonl", tmp_path / "long.jsonl"
    short.write_text(line * 50)
    long.write_text(line * 500)
    options = {"policy": "base", "project": ""}
    make_finished_run(
        "train_reward", seconds=20, metrics={"comparisons": 50}, preferences=str(short), **options
    )
    found = estimate_for("train_reward", preferences=str(long), **options)
    assert found is not None
    assert found.likely == pytest.approx(200, rel=0.2)


def test_of_a_folder_what_a_corpus_is_read_from_counts(tmp_path: Any) -> None:
    folder = tmp_path / "tales, and more"
    folder.mkdir()
    (folder / "a.txt").write_text("Once there was a hare. " * 2000)
    options = {"policy": "base", "source": str(folder), "split": "test", "shares": "80/10/10"}
    make_finished_run("evaluate", seconds=20, metrics={"tokens": 1150}, **options)
    alone = estimate_for("evaluate", **options)
    assert alone is not None
    assert alone.likely == pytest.approx(20, rel=0.2)
    (folder / "picture.bin").write_bytes(bytes(1_000_000))
    assert estimate_for("evaluate", **options) == alone


def test_seconds_are_as_precise_as_an_estimate() -> None:
    assert [format_estimate(seconds) for seconds in (0.2, 4, 43, 200, 1500, 5000, 7200)] == [
        "1 s", "4 s", "45 s", "3 min", "25 min", "85 min", "2 h",
    ]  # fmt: skip


def test_the_line_beneath_the_form_says_it_and_how_much_waits(client: Client) -> None:
    client.force_login(admin())
    make_finished_run("finetune", seconds=240, **FINETUNE)
    queue_run("finetune", detached=True, **FINETUNE)
    page = client.get(reverse("training:estimate"), {"kind": "finetune", **FINETUNE}).content.decode()
    assert "About 4 min on this machine (3 min to 6 min), based on 1 similar run." in page
    assert "1 other run running or queued." in page
    options = {"kind": "finetune", **FINETUNE, "project_before": "letters", "reward": ""}
    page = client.get(reverse("training:estimate"), options).content.decode()
    assert "Before it can start" in page


def test_the_estimate_costs_few_queries(client: Client, django_assert_max_num_queries: Any) -> None:
    client.force_login(admin())
    for _ in range(30):
        make_finished_run("finetune", seconds=240, **FINETUNE)
    with django_assert_max_num_queries(32):
        client.get(reverse("training:estimate"), {"kind": "finetune", **FINETUNE})
